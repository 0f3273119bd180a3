//! The examples of the help pages are command lines that work: each is given to a shell, with a registry of ours where it says
//! `registry.example`.

use std::path::Path;
use std::process::Command;

use crate::support::Desk;
use crate::support::fixture::{layer, layout};
use crate::support::server::Server;

/// A digest as the pages abbreviate it, and one that it could stand for.
const ABBREVIATED: &str = "sha256:0c25...";
const IN_FULL: &str = "sha256:0c25000000000000000000000000000000000000000000000000000000000000";

/// What is run as it stands. Not in it, and why: `serve` and `up` do not end; `login` asks its user; `migrate`, `backup` and
/// `restore` name machines and directories of other people; `cache prune`, `gc` and `prune` are about a store's age. Those are
/// only read.
const RUN: [&str; 8] = ["build", "copy", "history", "import", "pull", "push", "rollback", "tag"];

/// Examples of these commands that are only read, because they need what no test has.
const ONLY_READ: [(&str, &str); 3] = [
    ("debootstrap ", "downloads a distribution"),
    (" --to ", "names a version of somebody's tag"),
    ("| jq ", "needs jq"),
];

/// The names of all commands, and none for the first page.
fn pages(desk: &Desk) -> Vec<String> {
    let help = desk.good(&["--help"]);
    let section = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    let names = section.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help");
    [String::new()].into_iter().chain(names.map(str::to_owned)).collect()
}

/// The command lines below `Examples:` of a page, without what explains them.
fn examples(desk: &Desk, page: &str) -> Vec<String> {
    let help = desk.good(&[page, "--help"].into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>());
    let Some(section) = help.split("Examples:\n").nth(1) else { return Vec::new() };
    let lines = section.lines().take_while(|line| line.starts_with("  "));
    lines.filter_map(|line| line.trim_start().split("  ").next()).map(str::to_owned).collect()
}

/// The parts of a command line that are ours: `a | wharf b && c` has one.
fn ours(line: &str) -> impl Iterator<Item = &str> {
    line.split(" | ").flat_map(|part| part.split(" && ")).filter(|part| part.starts_with("wharf "))
}

#[test]
fn every_example_is_a_command_line_that_is_understood() {
    let desk = Desk::new();
    let mut pages_with_examples = 0;
    for page in pages(&desk) {
        let examples = examples(&desk, &page);
        pages_with_examples += usize::from(!examples.is_empty());
        for example in examples {
            for command in ours(&example) {
                // After `--help` nothing is done; what stands before it must still make sense.
                let line = format!("{} --help", command.replace(ABBREVIATED, IN_FULL));
                let finished = desk.run_with(shell(&desk, &line), "");
                assert_eq!(finished.code, Some(0), "{example}: {finished}");
            }
        }
    }
    assert!(pages_with_examples >= 10, "{pages_with_examples}");
    // What does not make sense is not saved by `--help`.
    for wrong in ["wharf push --platfrom x --help", "wharf pull NAME:UPPER:1 --help", "wharf rollback a --to b --help"]
    {
        assert_eq!(desk.run_with(shell(&desk, wrong), "").code, Some(125), "{wrong}");
    }
}

#[test]
fn examples_work() {
    let registry = Desk::new();
    layout(&registry, "layout", &[layer("hello", b"hello\n")]);
    for name in ["app:1", "team/app:1", "team/app:stable", "library/debian:12"] {
        registry.good(&["copy", "oci:layout", name]);
    }
    let server = Server::start(&registry);
    let desk = Desk::new();
    // In place of docker.io, which is asked only for what its mirror does not have.
    let mirrors = format!("[registries.\"docker.io\"]\nmirrors = [\"http://{}\"]\n", server.address);
    desk.write("config.toml", mirrors);
    desk.write("Dockerfile", "FROM scratch AS test\nARG VERSION=1\nENV V=$VERSION\nCOPY hello /\nFROM test\n");
    desk.write("hello", "hello\n");
    desk.write("rootfs.tar.zst", layer("hello", b"hello\n"));
    let image = layout(&desk, "layout", &[layer("hello", b"hello\n")]);
    let other = layout(&desk, "other", &[layer("hello", b"other\n")]);
    desk.good(&["copy", "oci:layout", "team/app:1"]);
    desk.good(&["tag", "team/app:1", &server.name("team/app:1")]);
    // Something to go back to.
    for name in ["team/app:stable", &server.name("team/app:stable")] {
        desk.good(&["copy", "oci:layout", name]);
        desk.good(&["copy", "oci:other", name]);
    }
    let mut done = Vec::new();
    for page in pages(&desk) {
        for example in examples(&desk, &page) {
            let command = example.strip_prefix("wharf ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            if !RUN.contains(&command) || ONLY_READ.iter().any(|(part, _)| example.contains(part)) {
                continue;
            }
            let line = example.replace("registry.example", &server.address.to_string());
            let finished = desk.run_with(shell(&desk, &line), "");
            assert_eq!(finished.code, Some(0), "{example}: {finished}");
            done.push(example);
        }
    }
    assert!(done.len() >= 15, "{done:?}");
    // `wharf pull debian:12` came from the mirror, and the rollback went back.
    assert_eq!(desk.good(&["inspect", "--raw", "docker.io/library/debian:12"]).as_bytes(), image.manifest);
    assert_eq!(desk.good(&["inspect", "--raw", "team/app:stable"]).as_bytes(), image.manifest);
    assert_ne!(image.manifest, other.manifest);
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
