//! The helper process: a copy of the builder's program that does nothing but hold one sandbox.
//!
//! The builder has threads, and a process with threads cannot safely fork. So it starts its own program anew, with
//! a hidden argument; this process stays single-threaded, makes the namespaces, forks their [`super::init`], and
//! waits, for the init or for the builder to go away.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, setsid, waitpid};
use rustix::thread::UnshareFlags;

use super::error::{At, SandboxError, Step};
use super::init;
use super::report::{Channel, Report};
use super::spec::{Network, Process, Task};
use super::sys::{self, Fork};

/// The hidden first argument.
pub const HELPER_ARG: &str = "--wharf-sandbox-helper";

/// The argument after it that makes the program end at once: what a rehearsal runs inside.
pub(super) const NOTHING_ARG: &str = "nothing";

/// Becomes the helper and never returns, if that is what this process was started for.
///
/// Must be the first thing `main` does: before threads, before arguments are parsed, before anything is printed.
pub fn run_helper_if_asked() {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|arg| arg != HELPER_ARG) {
        return;
    }
    if args.next().is_some_and(|arg| arg == NOTHING_ARG) {
        sys::exit_now(0);
    }
    run()
}

fn run() -> ! {
    // What another thread of the builder had open without close-on-exec when it started us. Before Linux 5.9 it
    // stays open here, and is closed by nobody.
    let _ = sys::close_from(3);
    let Ok(socket) = fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3) else { sys::exit_now(1) };
    let mut channel = Channel::new(socket);
    // A signal to the terminal's processes is the builder's to handle.
    let _ = setsid();
    let Ok(task) = channel.receive_task() else { sys::exit_now(1) };
    match hold(&task, &mut channel) {
        Ok(()) => sys::exit_now(0),
        Err(error) => {
            channel.send(&Report::Failed(error));
            sys::exit_now(1)
        }
    }
}

fn hold(task: &Task, channel: &mut Channel) -> Result<(), SandboxError> {
    let init = start(task, channel)?;
    let killed_before = out_of_memory_kills();
    let code = wait_for(init, channel).at(Step::Fork, "")?;
    // Whoever was killed, the program's own end tells: by 9, or by a shell that adds 128.
    if code == Some(128 + Signal::KILL.as_raw()) && out_of_memory_kills() > killed_before {
        channel.send(&Report::OutOfMemory);
    }
    Ok(())
}

fn start(task: &Task, channel: &mut Channel) -> Result<Pid, SandboxError> {
    sys::unshare(namespaces(&task.process)).at(Step::CreateNamespaces, "")?;
    let this = pidfd_open(getpid(), PidfdFlags::empty()).at(Step::Fork, "")?;
    match sys::fork().at(Step::Fork, "")? {
        Fork::Parent(init) => Ok(init),
        Fork::Child => init::run(task, channel, &this),
    }
}

fn namespaces(process: &Process) -> UnshareFlags {
    let always = UnshareFlags::NEWNS
        | UnshareFlags::NEWPID
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    match process.network {
        Network::Default | Network::Host => always,
        Network::None => always | UnshareFlags::NEWNET,
    }
}

/// Waits until the init is gone, and all its namespace with it; kills it if the builder goes first.
fn wait_for(init: Pid, channel: &Channel) -> Result<Option<i32>, Errno> {
    let handle: OwnedFd = pidfd_open(init, PidfdFlags::empty())?;
    loop {
        let mut events =
            [PollFd::new(&handle, PollFlags::IN), PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN)];
        match poll(&mut events, None) {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        if !events[1].revents().is_empty() {
            // The builder never says anything after the task: this is the end of the socket.
            pidfd_send_signal(&handle, Signal::KILL)?;
            break;
        }
        if !events[0].revents().is_empty() {
            break;
        }
    }
    let status = waitpid(Some(init), WaitOptions::empty())?;
    Ok(status.and_then(|(_, status)| status.exit_status()))
}

/// How often the kernel killed for lack of memory since it started: machine-wide, the only count that needs no
/// control group.
fn out_of_memory_kills() -> u64 {
    let counters = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).unwrap_or_default()
}
