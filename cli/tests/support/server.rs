//! `wharf serve` as a process of its own, on a port the system chooses.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use super::{Desk, Ended, PATIENCE};

/// A server that runs; killed when dropped.
pub struct Server {
    process: Ended,
    lines: Receiver<String>,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Serves the desk's store.
    pub fn start(desk: &Desk) -> Self {
        Self::start_with(desk, &[])
    }

    /// Serves the desk's store with more options. Ready when it says where it listens.
    pub fn start_with(desk: &Desk, options: &[&str]) -> Self {
        let mut command = desk.command(&["serve"]);
        if !options.contains(&"--listen") {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        command.args(options).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = Ended(command.spawn().expect("the binary starts"));
        let stderr = process.0.stderr.take().expect("piped");
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut said = Vec::new();
        let address = loop {
            match lines.recv_timeout(PATIENCE) {
                Ok(line) => match line.split_once("://") {
                    Some((before, address)) if before.starts_with("serving ") => {
                        break address.parse().expect("an address");
                    }
                    Some(_) | None => said.push(line),
                },
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("the server does not serve: {said:?}")
                }
            }
        };
        Self { process, lines, address }
    }

    /// The full name of an image of its store.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Ends it as a power cut would, and waits until it is gone.
    pub fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.ended(), None, "a signal leaves no exit code");
    }

    /// Waits for its end; its exit code.
    pub fn ended(mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the server does not end"),
            }
        }
        self.process.0.wait().expect("the child is ours").code()
    }

    /// The child is not waited for before the end of `self`: its id is nobody else's.
    fn signal(&self, signal: Signal) {
        let id = Pid::from_child(&self.process.0);
        kill_process(id, signal).expect("the child is ours");
    }
}
