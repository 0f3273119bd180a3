//! The first process of the sandbox's PID namespace: makes the sandbox from the inside, starts the program, reaps
//! whatever is orphaned, and reports how the program ended. With it, everything in the sandbox dies.
//!
//! It keeps all its capabilities, so that no process in the sandbox may trace it or look into its files.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_change, unmount};
use rustix::process::{Pid, Signal, WaitOptions, umask, wait};

use super::error::{At, SandboxError, Step};
use super::inside::{self, Place};
use super::mounts::{self, Leftovers};
use super::payload::{self, Becoming};
use super::report::{Channel, Report};
use super::rootfs::{self, Kind, Root, Target, Targets};
use super::scratch::Scratch;
use super::spec::{Network, Process, Task};
use super::sys::{self, Fork};
use super::{devices, kernel_files, name_files, user, userns};

const HOSTS: &str = "/etc/hosts";
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where every sandbox has something mounted.
const ALWAYS: [(&str, Kind); 5] = [
    ("/proc", Kind::Directory),
    ("/dev", Kind::Directory),
    ("/sys", Kind::Directory),
    (HOSTS, Kind::File),
    (RESOLV_CONF, Kind::File),
];

/// Runs the task to its end. `helper` is the parent, without which nothing here may live on.
pub(super) fn run(task: &Task, channel: &mut Channel, helper: &OwnedFd) -> ! {
    match make_and_start(task, helper, channel) {
        Ok((program, leftovers)) => {
            let (report, code) = reap_until(program);
            if !leftovers.is_empty() {
                end_everything();
                leftovers.remove();
            }
            channel.send(&report);
            sys::exit_now(code)
        }
        Err(error) => {
            channel.send(&Report::Failed(error));
            sys::exit_now(1)
        }
    }
}

fn make_and_start(task: &Task, helper: &OwnedFd, channel: &mut Channel) -> Result<(Pid, Leftovers), SandboxError> {
    die_with(helper)?;
    let process = &task.process;
    rustix::system::sethostname(process.hostname.as_bytes()).at(Step::CreateNamespaces, &process.hostname)?;
    if process.network == Network::None {
        start_loopback().at(Step::ConfigureNetwork, "")?;
    }
    umask(Mode::from_raw_mode(0o022));
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).at(Step::CreateNamespaces, "")?;

    let made = make_root(task)?;
    change_root(&made.root)?;
    match sys::fork().at(Step::Fork, "")? {
        Fork::Parent(program) => Ok((program, made.leftovers)),
        Fork::Child => {
            if let Err(error) = payload::become_program(process, &made.becoming) {
                channel.send(&Report::Failed(error));
            }
            sys::exit_now(127)
        }
    }
}

struct Made {
    root: Root,
    leftovers: Leftovers,
    becoming: Becoming,
}

fn make_root(task: &Task) -> Result<Made, SandboxError> {
    let process = &task.process;
    let Process { security, mounts, .. } = process;
    let scratch = Scratch::mount(&task.rootfs)?;
    let hosts = name_files::hosts(&process.hostname, &process.extra_hosts);
    let resolv_conf = name_files::resolv_conf().at(Step::Mount, RESOLV_CONF)?;
    let name_files = [(HOSTS, hosts), (RESOLV_CONF, resolv_conf)];

    let prepared = mounts::prepare(mounts, *security, &scratch)?;
    let targets = Targets {
        always: ALWAYS.map(|(path, kind)| Target { path: Path::new(path), kind }).into(),
        here: prepared.iter().map(mounts::Prepared::target).collect(),
    };
    let root = rootfs::mount(&task.rootfs, &targets, *security, &scratch)?;

    let identity = user::resolve(root.place.as_fd(), &process.user)?;
    let becoming = Becoming { identity, set_groups: userns::may_set_groups() };
    kernel_files::mount_proc(&root)?;
    kernel_files::mount_sys(&root, *security)?;
    devices::mount(&root, *security, process.limits.shared_memory)?;
    kernel_files::mask(&root, *security, &scratch)?;
    for (number, (path, text)) in name_files.iter().enumerate() {
        mounts::attach_text(path, text, &format!("names{number}"), &root, &scratch)?;
    }
    let leftovers = mounts::attach(prepared, &root)?;
    make_working_directory(&root, &process.cwd)?;
    Ok(Made { root, leftovers, becoming })
}

/// As an image expects it, the directory stays in the layer.
fn make_working_directory(root: &Root, cwd: &str) -> Result<(), SandboxError> {
    let make = || -> Result<(), Errno> {
        let Place::Missing { path, existing } = inside::locate(root.place.as_fd(), Path::new(cwd))? else {
            return Ok(());
        };
        for ancestor in path.ancestors().collect::<Vec<_>>().into_iter().rev().skip(existing + 1) {
            rustix::fs::mkdirat(&root.place, ancestor, Mode::from_raw_mode(0o755))?;
        }
        Ok(())
    };
    make().at(Step::EnterDirectory, cwd)
}

/// Makes the image the root directory, and lets go of the host's for good.
fn change_root(root: &Root) -> Result<(), SandboxError> {
    let change = || -> Result<(), Errno> {
        rustix::process::chdir(&root.path)?;
        // The old root ends up on top of the new one, and is taken off it.
        rustix::process::pivot_root(".", ".")?;
        unmount(".", UnmountFlags::DETACH)?;
        rustix::process::chdir("/")
    };
    change().at(Step::ChangeRoot, "")
}

fn die_with(helper: &OwnedFd) -> Result<(), SandboxError> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).at(Step::Fork, "")?;
    // It may have died before the line above; then no signal will come.
    let mut ended = [PollFd::new(helper, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut ended, Some(&now)).at(Step::Fork, "")? > 0 {
        sys::exit_now(1);
    }
    Ok(())
}

fn start_loopback() -> Result<(), Errno> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
    sys::loopback_up(socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

/// Waits for the program, and for everybody whose parent is gone. The second value is our own exit code.
fn reap_until(program: Pid) -> (Report, i32) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == program => {
                return if let Some(signal) = status.terminating_signal() {
                    (Report::Killed { signal }, 128 + signal)
                } else {
                    let code = status.exit_status().unwrap_or_default();
                    (Report::Exited { code }, code)
                };
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return (Report::Failed(SandboxError::HelperVanished), 1),
        }
    }
}

fn end_everything() {
    let _ = sys::kill_all();
    while wait(WaitOptions::empty()).is_ok() {}
}
