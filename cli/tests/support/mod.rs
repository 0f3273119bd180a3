//! The real binary, run as a user runs it: own home, own store, a clean environment, bounded waits.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

pub mod counting;
pub mod fixture;
pub mod http;
pub mod server;

use std::fmt;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; a command that takes longer hangs.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A user's place: a home, a store, Docker's credentials and a configuration file, all in one directory that goes away.
pub struct Desk {
    directory: TempDir,
}

impl Desk {
    /// A new one. Its configuration file is empty.
    pub fn new() -> Self {
        let desk = Self { directory: tempfile::tempdir().expect("a temporary directory") };
        desk.write("config.toml", "");
        desk
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A path in it, for a command line.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().expect("a temporary path is UTF-8").to_owned()
    }

    /// Writes a file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// A command with this home and store. Nothing of the machine's own configuration reaches it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.path("home")).env("WHARF_STORE", self.path("store"));
        command.env("WHARF_CONFIG", self.path("config.toml")).env("DOCKER_CONFIG", self.path("docker"));
        // A wide, fixed terminal: clap wraps help and messages at it.
        command.env("COLUMNS", "120").env("TMPDIR", self.directory.path());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(self.command(arguments), "")
    }

    /// Runs a command to its end with this on its standard input.
    pub fn run_with(&self, mut command: Command, input: &str) -> Finished {
        let arguments: Vec<_> = command.get_args().map(|text| text.to_string_lossy().into_owned()).collect();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Ended(command.spawn().expect("the binary starts"));
        let (stdout, stderr) = (drain(child.0.stdout.take()), drain(child.0.stderr.take()));
        // A command that does not read it closes the pipe.
        let _ = child.0.stdin.take().expect("piped").write_all(input.as_bytes());
        let line = format!("wharf {}", arguments.join(" "));
        let text = |pipe: Receiver<Vec<u8>>| match pipe.recv_timeout(PATIENCE) {
            Ok(bytes) => String::from_utf8(bytes).expect("output is UTF-8"),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => panic!("`{line}` does not end"),
        };
        let (stdout, stderr) = (text(stdout), text(stderr));
        let status = child.0.wait().expect("the child is ours");
        Finished { line, code: status.code(), stdout, stderr, directory: self.text("") }
    }

    /// Runs a command that must work; what it printed.
    pub fn good(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.code, Some(0), "{finished}");
        finished.stdout
    }

    /// Runs a command that must fail; all that was said.
    pub fn bad(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert!(finished.code.is_some_and(|code| code != 0), "{finished}");
        finished.stderr
    }
}

/// A command that ended.
pub struct Finished {
    line: String,
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    directory: String,
}

impl Finished {
    /// Itself as text, without what differs from run to run: the desk's directory, and these.
    pub fn without(&self, differing: &[(&str, &str)]) -> String {
        let text = self.to_string().replace(self.directory.trim_end_matches('/'), "[DESK]");
        differing.iter().fold(text, |text, (what, name)| text.replace(what, name))
    }
}

impl fmt::Display for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("none: a signal".to_owned(), |code| code.to_string());
        writeln!(f, "$ {}\nexit code {code}", self.line)?;
        write!(f, "--- stdout\n{}--- stderr\n{}", self.stdout, self.stderr)
    }
}

/// A child that does not outlive its test.
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a pipe to its end on a thread.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    let mut pipe = pipe.expect("piped");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = sender.send(bytes);
    });
    receiver
}

/// Whether a directory holds any file with this in its path.
pub fn holds(directory: &Path, part: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| entry.path().to_string_lossy().contains(part) || holds(&entry.path(), part))
}
