//! Servers that end: in peace, with a download under way, and without warning, in the middle of a push.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use wharf_spec::Digest;

use crate::support::fixture::{Image, layer, layout};
use crate::support::http::{answer, ask, connect, head};
use crate::support::server::Server;
use crate::support::{Desk, Ended, PATIENCE};

/// More than all buffers between two processes hold.
const LARGE: usize = 48 << 20;

/// A desk with the image `team/app:1` in its store, with one large layer.
fn desk_with_large_image() -> (Desk, Image) {
    let desk = Desk::new();
    let content: Vec<u8> = (0..LARGE / 8).flat_map(usize::to_le_bytes).collect();
    let image = layout(&desk, "layout", &[layer("large", &content)]);
    desk.good(&["copy", "oci:layout", "team/app:1"]);
    (desk, image)
}

#[test]
fn a_download_under_way_ends_before_the_server_does() {
    let (desk, image) = desk_with_large_image();
    let server = Server::start(&desk);
    let mut slow = slow_download(&server, &image);
    server.terminate();
    // The download outlives the end of everything else.
    until_deaf(&server);
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).expect("the rest of the answer");
    let body = rest.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
    assert_eq!(Digest::sha256(&rest[body..]).to_string(), image.layers[0]);
    assert_eq!(server.ended(), Some(0));
}

/// Sends a request for the large layer, and reads no more than the answer's beginning.
fn slow_download(server: &Server, image: &Image) -> TcpStream {
    let mut slow = connect(server.address);
    let path = format!("/v2/team/app/blobs/{}", image.layers[0]);
    slow.write_all(head("GET", &path, &[], 0).as_bytes()).expect("sent");
    let mut first = [0; 1];
    slow.read_exact(&mut first).expect("the answer begins");
    slow
}

/// Waits until the server does not listen any more.
fn until_deaf(server: &Server) {
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(server.address).is_ok() {
        assert!(Instant::now() < end, "the server still listens");
        std::thread::yield_now();
    }
}

#[test]
fn who_asks_twice_does_not_wait() {
    let (desk, image) = desk_with_large_image();
    let server = Server::start(&desk);
    let _slow = slow_download(&server, &image);
    server.terminate();
    until_deaf(&server);
    server.terminate();
    assert_eq!(server.ended(), Some(130));
}

#[test]
fn a_server_without_work_ends_at_once() {
    for _ in 0..2 {
        let desk = Desk::new();
        let server = Server::start(&desk);
        assert_eq!(ask(server.address, "GET", "/v2/", &[], b"").status, 200);
        // An idle connection holds nobody up.
        let _idle = connect(server.address);
        server.terminate();
        assert_eq!(server.ended(), Some(0));
    }
}

#[test]
fn half_a_blob_is_never_seen() {
    let desk = Desk::new();
    let server = Server::start(&desk);
    let blob = vec![42; 1 << 20];
    let digest = Digest::sha256(&blob).to_string();
    let began = ask(server.address, "POST", "/v2/team/app/blobs/uploads/", &[], b"");
    assert_eq!(began.status, 202);
    let location = began.header("location").expect("a location").to_owned();
    let path = location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).expect("a path");
    let quarter = blob.len() / 4;
    let patched = ask(server.address, "PATCH", &path, &["Content-Type: application/octet-stream"], &blob[..quarter]);
    assert_eq!(patched.status, 202);
    let location = patched.header("location").expect("a location").to_owned();
    let path = location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).expect("a path");
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut push = connect(server.address);
    let put = format!("{path}{separator}digest={digest}");
    push.write_all(head("PUT", &put, &[], blob.len() - quarter).as_bytes()).expect("sent");
    push.write_all(&blob[quarter..2 * quarter]).expect("sent");
    server.kill();

    let server = Server::start(&desk);
    let seen = ask(server.address, "HEAD", &format!("/v2/team/app/blobs/{digest}"), &[], b"");
    assert_eq!(seen.status, 404);
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
    // What was acknowledged is still there, and the upload goes on from it.
    let status = ask(server.address, "GET", &path, &[], b"");
    assert_eq!(status.status, 204);
    let last: usize = status
        .header("range")
        .and_then(|range| range.strip_prefix("0-"))
        .and_then(|last| last.parse().ok())
        .expect("a range");
    assert!(last + 1 >= quarter, "{last}");
    let mut rest = connect(server.address);
    let location = status.header("location").unwrap_or(&path).to_owned();
    let path = location.split_once("/v2/").map(|(_, path)| format!("/v2/{path}")).expect("a path");
    let separator = if path.contains('?') { '&' } else { '?' };
    let put = format!("{path}{separator}digest={digest}");
    rest.write_all(head("PUT", &put, &[], blob.len() - last - 1).as_bytes()).expect("sent");
    rest.write_all(&blob[last + 1..]).expect("sent");
    assert_eq!(answer(&mut rest).status, 201);
    let got = ask(server.address, "GET", &format!("/v2/team/app/blobs/{digest}"), &[], b"");
    assert_eq!(Digest::sha256(&got.body).to_string(), digest);
}

/// `upload-expiry`: the session goes, and its bytes with it, while the server serves.
#[test]
fn an_upload_that_nobody_continues_expires() {
    let desk = Desk::new();
    // Long enough for the chunk to arrive on a busy machine.
    desk.write("config.toml", "[serve]\nupload-expiry = 5\n");
    let server = Server::start(&desk);
    let began = ask(server.address, "POST", "/v2/team/app/blobs/uploads/", &[], b"");
    let path = began.header("location").expect("a location").to_owned();
    let content: Vec<u8> = (0..1_000_000_usize).flat_map(usize::to_le_bytes).collect();
    assert_eq!(ask(server.address, "PATCH", &path, &[], &content).status, 202);
    let end = Instant::now() + PATIENCE;
    while ask(server.address, "GET", &path, &[], b"").status != 404 {
        assert!(Instant::now() < end, "the upload is still there");
    }
    while largest(&desk.path("store")) >= content.len() as u64 {
        assert!(Instant::now() < end, "its bytes are still there");
    }
    // Who comes back begins anew.
    assert_eq!(ask(server.address, "PATCH", &path, &[], b"more").status, 404);
    assert_eq!(ask(server.address, "POST", "/v2/team/app/blobs/uploads/", &[], b"").status, 202);
}

/// The length of the largest file below.
fn largest(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => largest(&entry.path()),
        Ok(data) => data.len(),
        Err(_) => 0,
    };
    entries.map(size).max().unwrap_or(0)
}

/// A push goes on when the server comes back at the same address with the same store.
#[test]
fn a_push_survives_the_server_s_death() {
    let (user, image) = desk_with_large_image();
    let registry = Desk::new();
    let server = Server::start(&registry);
    let address = server.address.to_string();
    let mut command = user.command(&["--progress=json", "push", "team/app:1", &server.name("team/app:1")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut push = Ended(command.spawn().expect("the binary starts"));
    let mut lines = BufReader::new(push.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let moves = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap_or_default();
        event["event"] == "bytes" && event["total"].as_u64() > Some(LARGE as u64)
    };
    assert!(lines.any(|line| moves(&line)), "the push ended before it began");
    server.kill();
    let server = Server::start_with(&registry, &["--listen", &address]);
    let rest: Vec<String> = lines.collect();
    assert_eq!(push.0.wait().expect("the child is ours").code(), Some(0), "{rest:?}");
    assert_eq!(registry.good(&["inspect", "--raw", "team/app:1"]).as_bytes(), image.manifest);
    Desk::new().good(&["pull", &server.name("team/app:1")]);
}
