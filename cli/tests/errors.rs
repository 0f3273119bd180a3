//! What a user sees when something is wrong: exit code, standard output and standard error, read as a user reads them.

mod support;

use std::net::{SocketAddr, TcpListener};

use support::fixture::{layer, layout, multi_platform};
use support::server::Server;
use support::{Desk, Finished};

/// The transcripts of these command lines, one after the other.
fn transcript(desk: &Desk, lines: &[&[&str]], differing: &[(&str, &str)]) -> String {
    let shown = lines.iter().map(|line| {
        let finished = desk.run(line);
        assert!(finished.code.is_some_and(|code| code != 0), "this must not work: {finished}");
        finished.without(differing)
    });
    shown.collect::<Vec<_>>().join("\n")
}

/// An address where nobody listens.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port")
}

/// A store with the image `team/app:1`.
fn desk_with_image() -> Desk {
    let desk = Desk::new();
    layout(&desk, "layout", &[layer("hello", b"hello\n")]);
    desk.good(&["copy", &format!("oci:{}", desk.text("layout")), "team/app:1", "--quiet"]);
    desk
}

#[test]
fn command_lines_that_make_no_sense() {
    let lines: [&[&str]; 9] = [
        &["bild"],
        &["images", "--colour"],
        &["push"],
        &["build"],
        &["build", "--compression", "lzma", "."],
        &["images", "--progress", "loud"],
        &["serve", "--tls-key", "key.pem"],
        &["inspect", "--raw", "--image-config", "a"],
        &["login", "--password-stdin"],
    ];
    insta::assert_snapshot!(transcript(&Desk::new(), &lines, &[]));
}

#[test]
fn names_against_the_grammar() {
    let lines: [&[&str]; 9] = [
        &["tag", "Team/App", "x"],
        &["tag", "app:-1", "x"],
        &["tag", "app@sha256:12", "x"],
        &["tag", "a", "b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
        &["pull", "registry.example:99999/app"],
        &["copy", "oci:layout:-x", "app"],
        &["copy", "Team/App", "app"],
        &["login", "not a host"],
        &["copy", "dockerarchive:x.tar", "app"],
    ];
    insta::assert_snapshot!(transcript(&Desk::new(), &lines, &[]));
}

#[test]
fn images_that_are_not_there() {
    let lines: [&[&str]; 8] = [
        &["inspect", "team/other:1"],
        &["inspect", "team/app:2"],
        &["rm", "team/app:2"],
        &["tag", "team/other:1", "x:1"],
        &["push", "team/other:1", "127.0.0.1:1/x:1"],
        &["copy", "team/other:1", "x:1"],
        &["rm", "team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
        &[
            "inspect",
            "--image-config",
            "team/app@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ],
    ];
    insta::assert_snapshot!(transcript(&desk_with_image(), &lines, &[]));
}

#[test]
fn registries_that_do_not_do_it() {
    let here = Desk::new();
    let server = Server::start(&here);
    let address = server.address.to_string();
    let lines: [&[&str]; 6] = [
        &["push", "team/app:1"],
        &["push", "team/app:1", "team/app:2"],
        &["pull", &format!("{address}/team/app:1")],
        &["inspect", &format!("{address}/team/app:1")],
        &["rm", &format!("{address}/team/app:1")],
        &["--registry-ca", "nowhere.pem", "pull", &format!("{address}/team/app:1")],
    ];
    insta::assert_snapshot!(transcript(&desk_with_image(), &lines, &[(&address, "[SERVER]")]));
}

/// What is tried again is said, but the waits differ from run to run.
#[test]
fn registries_that_do_not_answer() {
    let nobody = nobody().to_string();
    let image = format!("{nobody}/team/app:1");
    let desk = desk_with_image();
    let shown = |lines: &[&[&str]]| transcript(&desk, lines, &[(&nobody, "[NOBODY]")]);
    let (pull, login) = std::thread::scope(|scope| {
        let pull = scope.spawn(|| desk.run(&["pull", &image]).without(&[(&nobody, "[NOBODY]")]));
        let login = scope.spawn(|| shown(&[&["--quiet", "login", "-u", "ann", "--password-stdin", &nobody]]));
        (pull.join().expect("no panic"), login.join().expect("no panic"))
    });
    let again: Vec<_> = pull.lines().filter(|line| line.contains("; trying again in ")).collect();
    assert!(again.len() > 1 && again.iter().all(|line| line.ends_with(" s")), "{pull}");
    let ends: Vec<_> = pull.lines().filter(|line| !again.contains(line)).collect();
    insta::assert_snapshot!(format!("{}\n\n{login}", ends.join("\n")));
}

#[test]
fn places_that_are_none() {
    let desk = desk_with_image();
    desk.write("text", "not an archive");
    desk.write("empty/file", "");
    multi_platform(&desk, "both");
    let lines: [&[&str]; 10] = [
        &["copy", "oci:nowhere", "x:1"],
        &["copy", "oci:empty", "x:1"],
        &["copy", "oci:layout:2", "x:1"],
        &["copy", "oci-archive:nowhere.tar", "x:1"],
        &["copy", "docker-archive:text", "x:1"],
        &["copy", "team/app:1", "oci:text"],
        &["copy", "team/app:1", "oci-archive:no/such/directory.tar"],
        &["copy", "oci:both", "x:1", "--platform", "linux/s390x"],
        &["copy", "oci:", "x:1"],
        &["copy", "docker-archive:", "x:1"],
    ];
    insta::assert_snapshot!(transcript(&desk, &lines, &[]));
}

#[test]
fn stores_that_cannot_be_opened() {
    let desk = desk_with_image();
    desk.write("file", "");
    desk.write("full/notes", "other things");
    desk.good(&["images", "--store", "newer"]);
    let marker = std::fs::read_to_string(desk.path("newer/wharf-store.json")).expect("a marker");
    desk.write("newer/wharf-store.json", marker.replace("\"version\":1", "\"version\":9"));
    let lines: [&[&str]; 6] = [
        &["images", "--store", "file"],
        &["images", "--store", "full"],
        &["images", "--store", "newer"],
        &["images", "--store", "gs://bucket/prefix"],
        &["images", "--store", "s3://bucket/prefix?regoin=eu-north-1"],
        &["images", "--store", "/proc/nowhere"],
    ];
    insta::assert_snapshot!(transcript(&desk, &lines, &[]));
}

#[test]
fn configurations_that_cannot_be_read() {
    let desk = Desk::new();
    desk.write("unknown.toml", "[serve]\nlisten = \"127.0.0.1:0\"\nlisen = \"x\"\n");
    desk.write("type.toml", "[serve]\ndelete = \"yes\"\n");
    desk.write("syntax.toml", "[serve\n");
    desk.write("mirror.toml", "[registries.\"docker.io\"]\nmirrors = [\"ftp://mirror.example\"]\n");
    let lines: [&[&str]; 5] = [
        &["images", "--config", "nowhere.toml"],
        &["images", "--config", "unknown.toml"],
        &["images", "--config", "type.toml"],
        &["images", "--config", "syntax.toml"],
        &["pull", "debian:12", "--config", "mirror.toml"],
    ];
    insta::assert_snapshot!(transcript(&desk, &lines, &[]));
}

#[test]
fn servers_that_cannot_start() {
    let desk = Desk::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().map(|address| (address.to_string(), taken)).expect("an address").0;
    let held = TcpListener::bind(&taken).expect("the port again");
    desk.write("users.md5", "ann:$apr1$abcdefgh$abcdefghijklmnopqrstuv\n");
    desk.write("users", "ann\n");
    desk.write("text.pem", "no certificate\n");
    desk.write("half.toml", "[serve]\ntls-cert = \"cert.pem\"\n");
    let lines: [&[&str]; 8] = [
        &["serve", "--listen", &taken],
        &["serve", "--listen", "5000"],
        &["serve", "--listen", "127.0.0.1:0", "--htpasswd", "nowhere"],
        &["serve", "--listen", "127.0.0.1:0", "--htpasswd", "users.md5"],
        &["serve", "--listen", "127.0.0.1:0", "--htpasswd", "users"],
        &["serve", "--listen", "127.0.0.1:0", "--tls-cert", "nowhere.pem", "--tls-key", "nowhere.pem"],
        &["serve", "--listen", "127.0.0.1:0", "--tls-cert", "text.pem", "--tls-key", "text.pem"],
        &["serve", "--listen", "127.0.0.1:0", "--config", "half.toml"],
    ];
    insta::assert_snapshot!(transcript(&desk, &lines, &[(&taken, "[TAKEN]")]));
    drop(held);
}

#[test]
fn builds_that_cannot_start() {
    let desk = Desk::new();
    desk.write("context/Dockerfile", "FROM scratch\nCOPY . /\n");
    desk.write("empty/file", "");
    let lines: [&[&str]; 15] = [
        &["build", "nowhere"],
        &["build", "empty"],
        &["build", "-f", "Other", "context"],
        &["build", "--output", "type=what,dest=x", "context"],
        &["build", "--output", "type=oci", "context"],
        &["build", "--output", "type=image,shape=x", "context"],
        &["build", "--output", "type=local,dest=x,shape=round", "context"],
        &["build", "--build-context", "base", "context"],
        &["build", "--build-context", "base=nowhere", "context"],
        &["build", "--build-context", "base=docker-image://Base", "context"],
        &["build", "--build-context", "base=https://example.com/x.git?brnach=x", "context"],
        &["build", "--secret", "src=x", "context"],
        &["build", "--secret", "id=key,src=nowhere", "context"],
        &["build", "--push", "-t", "team/app:1", "context"],
        &["build", "--network", "bridged", "--add-host", "x", "context"],
    ];
    insta::assert_snapshot!(transcript(&desk, &lines, &[]));
}

#[test]
fn the_environment_is_checked_too() {
    let desk = Desk::new();
    desk.write("context/Dockerfile", "FROM scratch\nCOPY . /\n");
    let run = |name: &str, value: &str, arguments: &[&str]| -> Finished {
        let mut command = desk.command(arguments);
        command.env(name, value);
        desk.run_with(command, "")
    };
    let shown = [
        run("SOURCE_DATE_EPOCH", "yesterday", &["build", "context"]),
        run("BUILDKIT_PROGRESS", "loud", &["build", "context"]),
        run("WHARF_LOG", "wharf=[loud", &["images"]),
        run("WHARF_CONFIG", "nowhere.toml", &["images"]),
    ];
    insta::assert_snapshot!(shown.map(|finished| finished.without(&[])).join("\n"));
}
