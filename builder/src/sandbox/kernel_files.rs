//! `/proc` and `/sys` as a confined process sees them: its own processes, and nothing to turn or to learn from.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

use super::detached::{DATA_ONLY, Detached, READ_ONLY, Setting};
use super::error::{At, SandboxError, Step};
use super::inside;
use super::rootfs::{Kind, Root, kind_of};
use super::scratch::Scratch;
use super::spec::Security;

/// Hidden: an empty file or directory lies over them.
const MASKED: [&str; 13] = [
    "proc/acpi",
    "proc/asound",
    "proc/interrupts",
    "proc/kcore",
    "proc/keys",
    "proc/latency_stats",
    "proc/sched_debug",
    "proc/scsi",
    "proc/timer_list",
    "proc/timer_stats",
    "sys/devices/virtual/powercap",
    "sys/firmware",
    "sys/fs/selinux",
];

/// Readable, not writable.
const READ_ONLY_PATHS: [&str; 5] = ["proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"];

/// As much as containers have when nothing is said.
const SHARED_MEMORY: u64 = 64 << 20;

/// Mounts a `/proc` of the current PID namespace. Must run in a process of that namespace.
pub(super) fn mount_proc(root: &Root) -> Result<(), SandboxError> {
    let over = inside::open(&root.place, Path::new("proc")).at(Step::MountProc, "")?;
    Detached::fresh("proc", &[], DATA_ONLY).and_then(|proc| proc.attach(over)).at(Step::MountProc, "").map(drop)
}

/// Mounts `/sys` with the control groups in it.
pub(super) fn mount_sys(root: &Root, security: Security) -> Result<(), SandboxError> {
    let attributes = match security {
        Security::Sandbox => DATA_ONLY | READ_ONLY,
        Security::Insecure => DATA_ONLY,
    };
    let over = inside::open(&root.place, Path::new("sys")).at(Step::MountSys, "")?;
    match Detached::fresh("sysfs", &[], attributes) {
        Ok(sys) => {
            sys.attach(over).at(Step::MountSys, "")?;
            mount_cgroups(root, attributes)
        }
        // Only the owner of the network namespace may: a user namespace on the host's network is not. The host's
        // has the control groups in it.
        Err(Errno::PERM | Errno::ACCESS) => {
            let bound = Detached::copy_of_path("/sys").and_then(|sys| sys.restrict(attributes)?.attach(over));
            bound.at(Step::MountSys, "").map(drop)
        }
        Err(errno) => Err(errno).at(Step::MountSys, ""),
    }
}

/// The unified hierarchy as the cgroup namespace shows it, or what the host has.
fn mount_cgroups(root: &Root, attributes: rustix::mount::MountAttrFlags) -> Result<(), SandboxError> {
    const HOST: &str = "/sys/fs/cgroup";
    let Ok(over) = inside::open(&root.place, Path::new("sys/fs/cgroup")) else { return Ok(()) };
    let unified = rustix::fs::statfs(HOST).is_ok_and(|found| found.f_type == libc::CGROUP2_SUPER_MAGIC);
    let groups = if unified {
        Detached::fresh("cgroup2", &[], attributes)
    } else {
        Detached::copy_of_path(HOST).and_then(|groups| groups.restrict(attributes))
    };
    groups.and_then(|groups| groups.attach(over)).at(Step::MountSys, HOST).map(drop)
}

/// `/dev/mqueue`, of the current IPC namespace.
pub(super) fn mount_mqueue(over: BorrowedFd<'_>) -> Result<(), Errno> {
    match Detached::fresh("mqueue", &[], DATA_ONLY) {
        Ok(mqueue) => mqueue.attach(over).map(drop),
        // A kernel without POSIX message queues.
        Err(Errno::NODEV) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Hides and locks what a confined process has no business with.
pub(super) fn mask(root: &Root, security: Security, scratch: &Scratch) -> Result<(), SandboxError> {
    match security {
        Security::Sandbox => {}
        Security::Insecure => return Ok(()),
    }
    let nothing = scratch.directory("nothing")?;
    for path in MASKED {
        on_existing(root, path, |over| match kind_of(over)? {
            Kind::File => Detached::copy_of_path("/dev/null")?.attach(over).map(drop),
            Kind::Directory => {
                Detached::copy_of_path(&nothing)?.restrict(READ_ONLY | DATA_ONLY)?.attach(over).map(drop)
            }
        })?;
    }
    for path in READ_ONLY_PATHS {
        on_existing(root, path, |over| Detached::copy_of(over)?.restrict(READ_ONLY)?.attach(over).map(drop))?;
    }
    Ok(())
}

fn on_existing(
    root: &Root,
    path: &str,
    cover: impl FnOnce(BorrowedFd<'_>) -> Result<(), Errno>,
) -> Result<(), SandboxError> {
    match inside::open(&root.place, Path::new(path)) {
        Ok(over) => cover(over.as_fd()).at(Step::MaskPaths, path),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(errno) => Err(errno).at(Step::MaskPaths, path),
    }
}

/// An in-memory directory for shared memory, as every container has.
pub(super) fn mount_shm(over: BorrowedFd<'_>, size: Option<u64>) -> Result<(), Errno> {
    let size = size.unwrap_or(SHARED_MEMORY).to_string();
    let settings = [Setting::Value("mode", "1777"), Setting::Value("size", &size)];
    Detached::fresh("tmpfs", &settings, DATA_ONLY)?.attach(over).map(drop)
}
