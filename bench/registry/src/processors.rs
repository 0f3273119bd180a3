//! Who runs on which processors: half of them are the servers', the others the clients', so that neither takes time from the
//! other. A machine with one has nothing to divide.

use std::ffi::OsStr;
use std::fs;
use std::num::NonZero;
use std::process::{Command, Stdio};
use std::thread;

/// Processors of servers and of clients, as `taskset` takes them.
fn halves() -> Option<(String, String)> {
    // Before this process is moved to some of them.
    let all = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let all = all.lines().filter(|line| line.starts_with("processor")).count();
    let half = NonZero::new(all / 2)?.get();
    Some((format!("0-{}", half - 1), format!("{half}-{}", all - 1)))
}

/// A command that starts a server.
pub fn server(program: impl AsRef<OsStr>) -> Command {
    let Some((servers, _)) = halves() else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &servers]).arg(program);
    command
}

/// From now on this process and what it starts are clients.
pub fn be_clients() -> Result<(), String> {
    let Some((_, clients)) = halves() else { return Ok(()) };
    did(Command::new("taskset").args(["--cpu-list", "--pid", &clients]).arg(std::process::id().to_string()))
}

/// From now on the client in this thread steps back for every other one: it stands for a machine elsewhere.
pub fn step_back() -> Result<(), String> {
    let thread = fs::read_link("/proc/thread-self").map_err(|error| format!("/proc/thread-self: {error}"))?;
    let number = thread.file_name().ok_or_else(|| format!("{:?} has no number", thread::current().name()))?;
    did(Command::new("chrt").args(["--idle", "--pid", "0"]).arg(number))
}

fn did(command: &mut Command) -> Result<(), String> {
    let ended = command.stdout(Stdio::null()).status().map_err(|error| format!("start {command:?}: {error}"))?;
    if ended.success() { Ok(()) } else { Err(format!("{command:?}: {ended}")) }
}
