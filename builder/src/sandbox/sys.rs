//! The few kernel calls that no crate in use wraps safely. Every `unsafe` of the sandbox is in this file, the
//! system call filter's installation included.
//!
//! Only the helper process calls these (and [`super::userns`] before any thread exists): it never starts a
//! thread, which is what makes `fork` here harmless.
#![expect(unsafe_code, reason = "the sandbox talks to the kernel where rustix has no safe call")]

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;

use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// The two sides of a [`fork`].
pub(super) enum Fork {
    Child,
    Parent(Pid),
}

/// `fork(2)`. The caller must be single-threaded.
pub(super) fn fork() -> Result<Fork, Errno> {
    // SAFETY: the callers never start threads, so the child may use all of std.
    let pid = check(unsafe { libc::fork() }.into())?;
    Ok(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::OVERFLOW)?).map_or(Fork::Child, Fork::Parent))
}

/// `unshare(2)`, never with `CLONE_FILES`.
pub(super) fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    debug_assert!(!flags.contains(UnshareFlags::FILES));
    // SAFETY: the descriptor table is not unshared.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Closes every descriptor from `first` on; unsupported before Linux 5.9.
pub(super) fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: called at the very start, when no object in this process owns a descriptor that high.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// `mount_setattr(2)`: adds attributes to the mount at `mount` and all below it.
pub(super) fn add_mount_attributes(mount: BorrowedFd<'_>, add: MountAttrFlags) -> Result<(), Errno> {
    let attributes = libc::mount_attr { attr_set: add.bits().into(), attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: the path is a C string, and the structure is passed with its size.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of_val(&attributes),
        )
    })
    .map(drop)
}

/// `IFF_UP | IFF_RUNNING`, as narrow as the structure has it.
const LOOPBACK_UP: libc::c_short = 0x41;

/// Brings the loopback device of the current network namespace up.
pub(super) fn loopback_up(socket: impl AsFd) -> Result<(), Errno> {
    // SAFETY: all zeroes is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = LOOPBACK_UP;
    // SAFETY: SIOCSIFFLAGS reads one `ifreq`, which outlives the call.
    check(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.into()).map(drop)
}

/// Every signal back to its default action and unblocked: `exec` keeps ignored and blocked ones.
pub(super) fn reset_signals() {
    for signal in 1..=64 {
        // SAFETY: the default action runs no code of ours. KILL, STOP and libc's own refuse; that is fine.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    // SAFETY: an all-zero mask is the empty set, and it outlives the call.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
    }
}

/// `setrlimit(2)` by the C library's number of the resource.
pub(super) fn set_rlimit(resource: u32, limit: libc::rlimit) -> Result<(), Errno> {
    // SAFETY: the structure outlives the call.
    check(unsafe { libc::setrlimit(resource as _, &raw const limit) }.into()).map(drop)
}

/// `execve(2)`: returns only on failure.
pub(super) fn execve(program: &CString, args: &[CString], env: &[CString]) -> Errno {
    let pointers = |strings: &[CString]| -> Vec<*const libc::c_char> {
        strings.iter().map(|string| string.as_ptr()).chain([ptr::null()]).collect()
    };
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: both arrays end in a null pointer and point at C strings that outlive the call.
    unsafe { libc::execve(program.as_ptr(), args.as_ptr(), env.as_ptr()) };
    last_errno()
}

/// Installs a system call filter on this thread. Needs `CAP_SYS_ADMIN` in the current user namespace.
pub(super) fn install_filter(program: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let length = u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?;
    let program = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies `len` instructions out of a slice that long.
    check(unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) }).map(drop)
}

/// Kills every process this one may signal but itself: as the first of a PID namespace, all of the namespace.
pub(super) fn kill_all() -> Result<(), Errno> {
    // SAFETY: touches no memory.
    check(unsafe { libc::kill(-1, libc::SIGKILL) }.into()).map(drop)
}

/// Ends the process without running anything registered for its exit.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: never returns and touches no memory.
    unsafe { libc::_exit(code) }
}

fn check(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned < 0 { Err(last_errno()) } else { Ok(returned) }
}

fn last_errno() -> Errno {
    std::io::Error::last_os_error().raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error)
}
