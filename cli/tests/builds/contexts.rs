//! Contexts that are no directories, and options that change what a build is given.

use std::os::unix::net::UnixListener;

use crate::support::Desk;

/// A tar of these files. It is valid UTF-8 as well.
fn tar(files: &[(&str, &str)]) -> String {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, text.as_bytes()).expect("a file");
    }
    String::from_utf8(builder.into_inner().expect("a tar")).expect("ASCII")
}

#[test]
fn standard_input_is_a_dockerfile_or_a_tar() {
    let desk = Desk::new();
    let finished = desk.run_with(desk.command(&["build", "-o", "one", "-"]), "FROM scratch\nCOPY <<x /y\nz\nx\n");
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(std::fs::read_to_string(desk.path("one/y")).expect("a file"), "z\n");
    let archive = tar(&[("Dockerfile", "FROM scratch\nCOPY a /b\n"), ("a", "from the tar")]);
    let finished = desk.run_with(desk.command(&["build", "-o", "two", "-"]), &archive);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert_eq!(std::fs::read_to_string(desk.path("two/b")).expect("a file"), "from the tar");
    let left: Vec<_> = std::fs::read_dir(desk.path("store/build/scratch")).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_dockerfile_alone_has_nothing_to_copy_from() {
    let desk = Desk::new();
    let finished = desk.run_with(desk.command(&["build", "-"]), "FROM scratch\nCOPY a /b\n");
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("this build has no context to copy from"), "{finished}");
    let both = desk.run_with(desk.command(&["build", "-f", "-", "-"]), "FROM scratch\n");
    assert_eq!(both.code, Some(125), "{both}");
}

#[test]
fn contexts_that_make_no_sense_are_said_at_once() {
    let desk = Desk::new();
    desk.write("context/Dockerfile", "FROM scratch\n");
    for (arguments, words) in [
        (vec!["build", "https://127.0.0.1/r.git?no=1"], "`no=1` is nothing that can be asked of a repository"),
        (vec!["build", "nowhere"], "there is no directory nowhere to build"),
        (vec!["build", "--build-context", "a=nowhere", "context"], "there is no such directory"),
        (vec!["build", "--build-context", "a=target:b", "context"], "`target:` is for bake files"),
        (vec!["build", "--build-context", "a::linux/=context", "context"], "write NAME::OS/ARCH=VALUE"),
        (vec!["build", "--ulimit", "files=1", "context"], "there is no limit files"),
        (vec!["build", "--shm-size", "big", "context"], "--shm-size big"),
        (vec!["build", "--ssh", "default", "context"], "there is no agent in SSH_AUTH_SOCK"),
        (vec!["build", "--ssh", "k=context/Dockerfile", "context"], "it holds no private key"),
        (vec!["build", "--allow", "everything", "context"], "it is security.insecure or network.host"),
        (vec!["build", "--call=what", "context"], "the methods are build, check, outline and targets"),
    ] {
        let finished = desk.run(&arguments);
        assert_eq!(finished.code, Some(125), "{finished}");
        assert!(finished.stderr.contains(words), "{finished}");
    }
}

#[test]
fn options_reach_the_build() {
    let desk = Desk::new();
    desk.write("context/Dockerfile", "FROM scratch AS one\nCOPY <<x /y\nz\nx\n");
    let _agent = UnixListener::bind(desk.path("agent")).expect("a socket");
    let agent = format!("k={}", desk.text("agent"));
    let build =
        ["build", "-t", "app", "--rm", "--annotation", "a=b", "--ssh", agent.as_str(), "--allow", "network.host"];
    desk.good(&[&build[..], &["context"]].concat());
    let shown = desk.good(&["inspect", "app"]);
    assert!(shown.contains("\"annotations\":{\"a\":\"b\"}"), "{shown}");
    let again = desk.run(&[&["--progress=plain"], &build[..], &["context"]].concat());
    assert!(again.stderr.contains("CACHED"), "{again}");
    let limited = desk.run(&["build", "--memory", "1g", "--cpuset-cpus=0", "context"]);
    assert_eq!(limited.code, Some(0), "{limited}");
    assert!(!limited.stderr.contains("no effect"), "{limited}");
    let fresh = desk.run(&[&["--progress=plain"], &build[..], &["--no-cache-filter=one", "context"]].concat());
    assert!(!fresh.stderr.contains("CACHED"), "{fresh}");
}

#[test]
fn the_time_of_an_image_can_be_that_of_its_context() {
    let desk = Desk::new();
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text, time) in [("Dockerfile", "FROM scratch\nCOPY a /b\n", 1_500_000_000), ("a", "x", 1_600_000_000)] {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(time);
        builder.append_data(&mut header, name, text.as_bytes()).expect("a file");
    }
    let archive = String::from_utf8(builder.into_inner().expect("a tar")).expect("ASCII");
    let created = |arguments: &[&str], epoch: &str| {
        let mut command = desk.command(&[&["build", "-t", "app"], arguments, &["-"]].concat());
        command.env("SOURCE_DATE_EPOCH", epoch);
        let finished = desk.run_with(command, &archive);
        assert_eq!(finished.code, Some(0), "{finished}");
        let config = desk.good(&["inspect", "--image-config", "app"]);
        config.split_once("\"created\": \"").or(config.split_once("\"created\":\"")).expect("a time").1[..10].to_owned()
    };
    assert_eq!(created(&[], "context"), "2020-09-13");
    assert_eq!(created(&["--build-arg", "SOURCE_DATE_EPOCH=context"], "5"), "2020-09-13");
    assert_eq!(created(&["--build-arg", "SOURCE_DATE_EPOCH=86400"], "5"), "1970-01-02");
    assert_eq!(created(&[], "5"), "1970-01-01");
    assert_ne!(created(&["--build-arg", "SOURCE_DATE_EPOCH="], "5"), "1970-01-01", "back to the time of day");
    // A directory has no time of its own.
    desk.write("named/x", "x");
    assert_ne!(created(&["--build-context", "n=named"], "n"), "1970-01-01");
    let refused = desk.run_with(desk.command(&["build", "--build-arg", "SOURCE_DATE_EPOCH=m", "-"]), &archive);
    assert_eq!(refused.code, Some(125), "{refused}");
}

/// A key that was made for this test, and opens nothing.
const KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";

#[test]
fn keys_in_files_are_served_and_never_kept() {
    if !crate::run_works("keys_in_files_are_served_and_never_kept") {
        return;
    }
    let desk = Desk::new();
    desk.write("key", KEY);
    let text = format!("{}RUN --mount=type=ssh,required [\"/wharf\", \"--version\"]\n", crate::BASE);
    desk.write("context/Dockerfile", text);
    let missing = desk.run(&["build", "context"]);
    assert!(missing.stderr.contains("SSH agent `default` is required"), "{missing}");
    let finished = desk.run(&["--progress=plain", "build", "-t", "app", "--ssh", "default=key,key", "context"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let said = format!("{}{}", finished.stdout, finished.stderr);
    let secret = [0xd4_u8, 0xee, 0x72, 0xdb, 0xf9, 0x13, 0x58, 0x4a];
    let text = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp";
    assert!(!said.contains(text), "{said}");
    let found = |bytes: &[u8]| {
        bytes.windows(secret.len()).any(|window| window == secret)
            || bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    assert!(found(&std::fs::read(desk.path("key")).expect("the key")), "what is looked for is in the key");
    assert_eq!(
        files(&desk.path("store")).iter().filter(|path| found(&std::fs::read(path).expect("a file"))).count(),
        0
    );
    let left: Vec<_> = std::fs::read_dir(desk.path("store/build/scratch")).expect("a directory").collect();
    assert!(left.is_empty(), "{left:?}");
    desk.write("locked", KEY.replace("BEGIN PRIVATE", "BEGIN ENCRYPTED PRIVATE"));
    let refused = desk.run(&["build", "--ssh", "default=locked", "context"]);
    assert_eq!(refused.code, Some(125), "{refused}");
    assert!(refused.stderr.contains("passphrase") && refused.stderr.contains("ssh-add"), "{refused}");
}

/// All files below a directory.
fn files(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            found.extend(files(&entry.path()));
        } else if kind.is_file() {
            found.push(entry.path());
        }
    }
    found
}
