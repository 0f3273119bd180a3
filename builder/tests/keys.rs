//! The agent for keys in files, as OpenSSH's own programs see it.

use std::path::Path;
use std::process::Command;

use wharf_builder::ssh::{KeyAgent, KeyError, PrivateKey};

/// Runs a program of OpenSSH; what it printed, or what it said when it failed.
fn run(program: &str, arguments: &[&str], agent: Option<&Path>) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_remove("SSH_AUTH_SOCK");
    if let Some(agent) = agent {
        command.env("SSH_AUTH_SOCK", agent);
    }
    let done = command.stdin(std::process::Stdio::null()).output().expect("OpenSSH is installed");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if done.status.success() { Ok(text(done.stdout)) } else { Err(text(done.stderr)) }
}

fn installed() -> bool {
    let found = Path::new("/usr/bin/ssh-keygen").exists();
    if !found {
        println!("skipped: there is no ssh-keygen");
    }
    found
}

/// Makes a key with these options; the path of its file.
fn key(room: &Path, name: &str, options: &[&str]) -> String {
    let path = room.join(name).display().to_string();
    let made = [&["-q", "-f", &path, "-C", name], options].concat();
    run("ssh-keygen", &made, None).unwrap();
    path
}

fn read(path: &str) -> Result<PrivateKey, KeyError> {
    PrivateKey::parse(&std::fs::read_to_string(path).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_signs_what_openssh_accepts() {
    if !installed() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let plain = ["-N", ""];
    for (name, options) in [
        ("ed25519", &["-t", "ed25519"][..]),
        ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
        ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
        ("rsa2048", &["-t", "rsa", "-b", "2048"]),
        ("rsa3072pem", &["-t", "rsa", "-b", "3072", "-m", "PEM"]),
        ("rsa3072pkcs8", &["-t", "rsa", "-b", "3072", "-m", "PKCS8"]),
        ("ecdsa256pkcs8", &["-t", "ecdsa", "-b", "256", "-m", "PKCS8"]),
    ] {
        let path = key(room.path(), name, &[options, &plain].concat());
        let home = tempfile::tempdir().unwrap();
        let agent = KeyAgent::start(vec![read(&path).unwrap()], home.path()).unwrap();
        let listed = run("ssh-add", &["-L"], Some(agent.socket())).unwrap();
        let public = std::fs::read_to_string(format!("{path}.pub")).unwrap();
        let words = |text: &str| text.split(' ').take(2).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&listed), words(&public), "{name}");
        // Of an RSA key this asks for a signature with SHA-1, which there is none of.
        if !name.starts_with("rsa") {
            let checked = run("ssh-add", &["-T", &format!("{path}.pub")], Some(agent.socket()));
            checked.unwrap_or_else(|said| panic!("{name}: {said}"));
        }
        // Signs through the agent alone, the key's file being gone, and verifies with the public key.
        let message = room.path().join("message");
        std::fs::write(&message, name).unwrap();
        std::fs::remove_file(&path).unwrap();
        let message = message.display().to_string();
        let sign = ["-Y", "sign", "-n", "test", "-f", &format!("{path}.pub"), &message];
        run("ssh-keygen", &sign, Some(agent.socket())).unwrap_or_else(|said| panic!("{name}: {said}"));
        let check = format!("ssh-keygen -Y check-novalidate -n test -s {message}.sig < {message}");
        run("sh", &["-c", &check], None).unwrap_or_else(|said| panic!("{name}: {said}"));
        std::fs::remove_file(format!("{message}.sig")).unwrap();
        let refused = run("ssh-add", &["-D"], Some(agent.socket()));
        assert!(refused.is_err(), "nobody can take keys away: {refused:?}");
        drop(agent);
        assert!(run("ssh-add", &["-L"], Some(&home.path().join("agent"))).is_err());
    }
}

#[test]
fn keys_that_cannot_be_used_say_why() {
    if !installed() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    for (name, options, why) in [
        ("locked", &["-t", "ed25519", "-N", "secret"][..], KeyError::Encrypted),
        ("lockedpem", &["-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "secret"], KeyError::Encrypted),
        ("lockedpkcs8", &["-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret"], KeyError::Encrypted),
        ("p521", &["-t", "ecdsa", "-b", "521", "-N", ""], KeyError::UnknownKind),
        ("short", &["-t", "rsa", "-b", "1024", "-N", ""], KeyError::UnknownKind),
    ] {
        assert_eq!(read(&key(room.path(), name, options)).unwrap_err(), why, "{name}");
    }
    let path = key(room.path(), "whole", &["-t", "ed25519", "-N", ""]);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!format!("{:?}", read(&path).unwrap()).contains("b3BlbnNz"));
    for (damaged, why) in [
        (text.replace("b3BlbnNz", "b3BlbnNa"), KeyError::Damaged),
        (text.replace("b3BlbnNz", "b3Blb*Nz"), KeyError::Damaged),
        (std::fs::read_to_string(format!("{path}.pub")).unwrap(), KeyError::NotAKey),
        (String::new(), KeyError::NotAKey),
    ] {
        assert_eq!(PrivateKey::parse(&damaged).unwrap_err(), why, "{damaged}");
    }
    // Whatever is cut off, nothing panics.
    for end in 0..text.len() {
        let _ = PrivateKey::parse(&format!("{}\n-----END OPENSSH PRIVATE KEY-----\n", &text[..end]));
    }
}
