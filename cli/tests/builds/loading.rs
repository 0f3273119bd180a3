//! `--load`, with an engine made here: what it is asked, and what it is sent.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::support::{Desk, Finished, PATIENCE};

/// What the engine was asked, and the body.
type Asked = (String, Vec<u8>);

/// An engine that answers like Docker's. It knows images with these ids, and takes all others, or says `broken`.
fn engine(desk: &Desk, known: &str, broken: bool) -> Receiver<Asked> {
    let socket = desk.path("engine.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket");
    let (sender, asked) = channel();
    let known = known.to_owned();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut reader = BufReader::new(stream.try_clone().expect("a socket"));
            while let Some((line, body)) = request(&mut reader) {
                let (status, said) = match line.split(' ').nth(1).expect("a path") {
                    path if path.ends_with("/json") && !known.is_empty() && path.contains(&known) => ("200 OK", "{}"),
                    path if path.ends_with("/json") => ("404 Not Found", r#"{"message":"No such image"}"#),
                    path if path.contains("/tag?") => ("201 Created", ""),
                    _ if broken => ("200 OK", "{\"error\":\"no space left\"}\n"),
                    _ => ("200 OK", "{\"stream\":\"Loaded image\"}\n"),
                };
                if sender.send((line, body)).is_err() || answer(&stream, status, said).is_err() {
                    return;
                }
            }
        }
    });
    asked
}

fn answer(mut stream: &UnixStream, status: &str, said: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{said}", said.len())
}

/// One request with its body; none when the connection ends.
fn request(reader: &mut BufReader<UnixStream>) -> Option<Asked> {
    let mut first = String::new();
    reader.read_line(&mut first).ok().filter(|length| *length > 0)?;
    let mut chunked = false;
    loop {
        let mut field = String::new();
        reader.read_line(&mut field).ok()?;
        chunked |= field.to_ascii_lowercase().starts_with("transfer-encoding: chunked");
        if field.trim().is_empty() {
            break;
        }
    }
    let mut body = Vec::new();
    while chunked {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk).ok()?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Some((first.trim().to_owned(), body))
}

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("context/hello.txt", "hello\n");
    desk.write("context/Dockerfile", "FROM scratch\nCOPY hello.txt /\n");
    desk
}

fn load(desk: &Desk, arguments: &[&str]) -> Finished {
    let mut command = desk.command(&[&["build"], arguments, &["context"]].concat());
    command.env("DOCKER_HOST", format!("unix://{}", desk.text("engine.sock")));
    desk.run_with(command, "")
}

#[test]
fn an_image_is_sent_with_its_names() {
    let desk = desk();
    let asked = engine(&desk, "", false);
    let finished = load(&desk, &["--load", "-t", "team/app:1", "-t", "registry.example:5000/app"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("loaded it"), "{finished}");
    let all: Vec<Asked> = asked.try_iter().collect();
    let lines: Vec<&str> = all.iter().map(|(line, _)| line.split('?').next().expect("text")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("GET /images/sha256:") && lines[1].starts_with("GET /images/sha256:"), "{lines:?}");
    assert_eq!(lines[2], "POST /images/load");
    let mut archive = tar::Archive::new(all[2].1.as_slice());
    let mut listed = String::new();
    let mut blobs = 0;
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        blobs += usize::from(path.starts_with("blobs/sha256/") && path.len() > 20);
        if path == "manifest.json" {
            entry.read_to_string(&mut listed).expect("text");
        }
    }
    assert_eq!(blobs, 3, "a manifest, a configuration and a layer, each once");
    let listed: Value = serde_json::from_str(&listed).expect("JSON");
    let names: Vec<_> =
        listed.as_array().expect("a list").iter().filter_map(|one| one["RepoTags"].as_array()).flatten().collect();
    assert_eq!(names, ["team/app:1", "registry.example:5000/app:latest"]);
}

#[test]
fn an_image_that_is_there_gets_its_names() {
    let desk = desk();
    desk.good(&["build", "-t", "app", "context"]);
    let manifest: Value = serde_json::from_str(&desk.good(&["inspect", "--raw", "app"])).expect("JSON");
    let id = manifest["config"]["digest"].as_str().expect("text");
    let asked = engine(&desk, id, false);
    let finished = load(&desk, &["--load", "-t", "app", "-t", "registry.example:5000/app:2"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("had it already"), "{finished}");
    let lines: Vec<String> = asked.try_iter().map(|(line, _)| line).collect();
    let tagged = |rest: &str| format!("POST /images/{id}/tag?{rest} HTTP/1.1");
    assert_eq!(lines[1..], [tagged("repo=app&tag=latest"), tagged("repo=registry.example%3A5000/app&tag=2")]);
    // As Docker has it, this output is the engine as well.
    let finished = load(&desk, &["-o", "type=docker", "-t", "app"]);
    assert!(finished.stderr.contains("had it already"), "{finished}");
}

#[test]
fn what_an_engine_says_is_passed_on() {
    let desk = desk();
    let _asked = engine(&desk, "", true);
    let finished = load(&desk, &["--load", "-t", "app"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("the engine did not take the image: no space left"), "{finished}");
}

#[test]
fn an_engine_that_is_not_there_is_said() {
    let desk = desk();
    let finished = load(&desk, &["--load", "-t", "app"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("no engine answers at") && finished.stderr.contains("DOCKER_HOST="), "{finished}");
    let mut command = desk.command(&["build", "--load", "context"]);
    command.env("DOCKER_HOST", "ssh://engine.example");
    let refused = desk.run_with(command, "");
    assert_eq!(refused.code, Some(125), "{refused}");
}
