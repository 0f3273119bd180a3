//! The examples of the help pages are command lines that work: each is given to a shell, with a registry of ours where it says
//! `registry.example`.

use std::path::Path;
use std::process::Command;

use crate::support::Desk;
use crate::support::fixture::{layer, layout};
use crate::support::server::Server;

/// The command lines below `Examples:`, without what explains them.
fn examples(help: &str) -> Vec<String> {
    let Some(section) = help.split("Examples:\n").nth(1) else { return Vec::new() };
    let lines = section.lines().take_while(|line| line.starts_with("  "));
    lines.filter_map(|line| line.trim_start().split("  ").next()).map(str::to_owned).collect()
}

/// Pages with examples that end by themselves; `up` and `serve` do not, and `login` asks its user.
const PAGES: [&str; 6] = ["push", "pull", "copy", "tag", "build", "import"];

#[test]
fn every_example_is_a_command_line_that_is_understood() {
    let desk = Desk::new();
    let mut count = 0;
    let commands = ["", "build", "copy", "import", "login", "pull", "push", "serve", "up"];
    for page in commands {
        let help = desk.good(&[page, "--help"].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>());
        for example in examples(&help).iter().filter(|example| example.contains("wharf ")) {
            // After `--help` nothing is done; what stands before it must still make sense.
            let finished = desk.run_with(shell(&desk, &format!("{example} --help")), "");
            assert_eq!(finished.code, Some(0), "{example}: {finished}");
            count += 1;
        }
    }
    assert!(count > 15, "{count}");
}

#[test]
fn examples_work() {
    let registry = Desk::new();
    layout(&registry, "layout", &[layer("hello", b"hello\n")]);
    for name in ["app:1", "team/app:1", "library/debian:12"] {
        registry.good(&["copy", "oci:layout", name]);
    }
    let server = Server::start(&registry);
    let desk = Desk::new();
    let mirrors = format!("[registries.\"docker.io\"]\nmirrors = [\"http://{}\"]\n", server.address);
    desk.write("config.toml", mirrors);
    desk.write("Dockerfile", "FROM scratch AS test\nARG VERSION=1\nENV V=$VERSION\nCOPY hello /\nFROM test\n");
    desk.write("hello", "hello\n");
    desk.write("rootfs.tar.zst", layer("hello", b"hello\n"));
    layout(&desk, "layout", &[layer("hello", b"hello\n")]);
    desk.good(&["copy", "oci:layout", "team/app:1"]);
    desk.good(&["tag", "team/app:1", &server.name("team/app:1")]);
    let mut done = Vec::new();
    for page in [""].into_iter().chain(PAGES) {
        let help = desk.good(&[page, "--help"].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>());
        for example in examples(&help) {
            let command = example.strip_prefix("wharf ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            if !PAGES.contains(&command) {
                continue;
            }
            let line = example.replace("registry.example", &server.address.to_string());
            let finished = desk.run_with(shell(&desk, &line), "");
            assert_eq!(finished.code, Some(0), "{example}: {finished}");
            done.push(example);
        }
    }
    assert!(done.len() >= 10, "{done:?}");
}

/// A shell that finds the binary, at this desk.
fn shell(desk: &Desk, line: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_wharf")).parent().expect("a directory").display().to_string();
    let own = desk.command(&[]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(desk.path("")).env_clear();
    for (name, value) in own.get_envs() {
        command.env(name, value.expect("a value"));
    }
    command.env("PATH", format!("{binary}:/usr/bin:/bin"));
    command
}
