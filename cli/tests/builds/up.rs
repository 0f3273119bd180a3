//! `wharf up`: the whole loop in one command.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Desk, Ended, PATIENCE};

#[test]
fn what_it_prints_pulls_the_image() {
    let desk = Desk::new();
    desk.write("My App/hello.txt", "hello\n");
    desk.write("My App/Dockerfile", "FROM scratch\nCOPY hello.txt /\n");
    let mut command = desk.command(&["up", "--listen", "127.0.0.1:0", "-t", "team/app:1", "My App"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut up = Ended(command.spawn().expect("the binary starts"));
    let (sender, lines) = channel();
    let stdout = up.0.stdout.take().expect("piped");
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let pull = loop {
        let line = lines.recv_timeout(PATIENCE).expect("it says how to pull");
        if let Some(pull) = line.split_once("docker pull ") {
            break pull.1.to_owned();
        }
    };
    let user = Desk::new();
    user.good(&["pull", &pull, "app"]);
    assert_eq!(user.good(&["inspect", "--raw", "app"]), desk.good(&["inspect", "--raw", "team/app:1"]));
    kill_process(Pid::from_child(&up.0), Signal::INT).expect("the child is ours");
    reader.join().expect("no panic");
    assert_eq!(up.0.wait().expect("the child is ours").code(), Some(0));
}

#[test]
fn a_directory_whose_name_is_no_image_s_wants_a_name() {
    let desk = Desk::new();
    desk.write("My App/Dockerfile", "FROM scratch\nCOPY . /\n");
    let said = desk.bad(&["up", "--listen", "127.0.0.1:0", "My App"]);
    assert!(said.contains("the directory's name `my app` cannot be the image's") && said.contains("-t NAME"), "{said}");
}

#[test]
fn a_build_that_fails_ends_it() {
    let desk = Desk::new();
    desk.write("app/Dockerfile", "FROM scratch\nCOPY missing /\n");
    let finished = desk.run(&["up", "--listen", "127.0.0.1:0", "app"]);
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(1), ""), "{finished}");
}
