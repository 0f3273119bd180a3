//! Every help page, as a user sees it.

mod support;

use support::Desk;

fn page(arguments: &[&str]) -> String {
    let desk = Desk::new();
    let finished = desk.run(arguments);
    assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{finished}");
    finished.stdout
}

/// Names under `Commands:`.
fn commands(help: &str) -> Vec<String> {
    let section = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a list");
    section.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn help_pages() {
    let top = page(&["--help"]);
    let commands = commands(&top);
    assert!(commands.len() >= 15, "{commands:?}");
    insta::assert_snapshot!("wharf", top);
    for command in &commands {
        insta::assert_snapshot!(format!("wharf_{command}"), page(&[command, "--help"]));
    }
}

#[test]
fn the_version_is_the_package_s() {
    assert_eq!(page(&["--version"]), format!("wharf {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completion_scripts_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = page(&["completion", shell]);
        assert!(script.contains("anonymous-pull") && script.contains("insecure-registry"), "{shell}");
    }
}
