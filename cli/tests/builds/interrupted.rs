//! Builds that end before they are done, in order and without warning.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::support::{Desk, Ended};
use crate::{BASE, run_works};

/// A Dockerfile with a step that never ends: a server.
fn endless() -> Desk {
    let desk = Desk::new();
    let steps = "RUN [\"/wharf\", \"serve\", \"--store\", \"/inner\", \"--listen\", \"127.0.0.1:0\"]\n";
    desk.write("context/Dockerfile", format!("{BASE}{steps}"));
    desk
}

/// Starts the build, and waits until its last step runs; what it says until its end, and its exit code after `signal`.
fn stopped(desk: &Desk, signal: Signal) -> (Option<i32>, String) {
    let mut command = desk.command(&["--progress=json", "build", "-t", "app", "context"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut build = Ended(command.spawn().expect("the binary starts"));
    let mut lines = BufReader::new(build.0.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let serves = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        event["event"] == "output" && event["line"].as_str().is_some_and(|line| line.contains("serving "))
    };
    assert!(lines.any(serves), "the step runs");
    kill_process(Pid::from_child(&build.0), signal).expect("the child is ours");
    // The step holds the pipe as well: its end is seen here.
    let rest: Vec<String> = lines.collect();
    (build.0.wait().expect("the child is ours").code(), rest.join("\n"))
}

#[test]
fn ctrl_c_stops_a_build_and_its_step() {
    if !run_works("ctrl_c_stops_a_build_and_its_step") {
        return;
    }
    let desk = endless();
    let (code, said) = stopped(&desk, Signal::INT);
    assert_eq!(code, Some(130), "{said}");
    assert!(said.ends_with("error: the build was stopped"), "{said}");
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
}

#[test]
fn after_a_kill_the_store_opens_and_the_build_works() {
    if !run_works("after_a_kill_the_store_opens_and_the_build_works") {
        return;
    }
    let desk = endless();
    let (code, said) = stopped(&desk, Signal::KILL);
    assert_eq!(code, None, "{said}");
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
    desk.write("context/Dockerfile", format!("{BASE}RUN [\"/wharf\", \"--version\"]\n"));
    desk.good(&["build", "-t", "app", "context"]);
}
