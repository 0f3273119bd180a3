//! System calls made from inside a sandbox by the test program itself, started there as `/probe`.

use std::io;

/// What `/probe` must be started with.
pub(crate) const ARG: &str = "--make-system-calls";

/// Makes the calls and prints a line `name: outcome` for each, if this process was started for it.
pub(crate) fn run_if_asked() {
    if std::env::args().nth(1).is_some_and(|arg| arg == ARG) {
        for (name, returned) in calls() {
            println!("{name}: {}", outcome(returned));
        }
        std::process::exit(0);
    }
}

fn outcome(returned: Result<(), i32>) -> String {
    match returned {
        Ok(()) => "ok".to_owned(),
        Err(libc::EPERM) => "EPERM".to_owned(),
        Err(libc::ENOSYS) => "ENOSYS".to_owned(),
        Err(libc::EACCES) => "EACCES".to_owned(),
        Err(libc::ENOENT) => "ENOENT".to_owned(),
        Err(other) => format!("errno {other}"),
    }
}

fn call(number: libc::c_long, args: [usize; 3]) -> Result<(), i32> {
    // SAFETY: the callers pass nulls, numbers and pointers to static C strings only.
    let returned = unsafe { libc::syscall(number, args[0], args[1], args[2], 0, 0) };
    if returned < 0 { Err(io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { Ok(()) }
}

/// `AT_FDCWD`.
const HERE: usize = libc::AT_FDCWD.cast_unsigned() as usize;

fn calls() -> Vec<(&'static str, Result<(), i32>)> {
    let text = |text: &'static std::ffi::CStr| text.as_ptr() as usize;
    let tmpfs = text(c"tmpfs");
    // Block device 259:0 or whatever: opening it must fail before anybody looks at the number.
    let made = call(libc::SYS_mknodat, [HERE, text(c"/tmp/disk"), libc::S_IFBLK as usize | 0o600]);
    vec![
        ("mount", call(libc::SYS_mount, [tmpfs, text(c"/tmp"), tmpfs])),
        ("umount2", call(libc::SYS_umount2, [text(c"/proc"), libc::MNT_DETACH.cast_unsigned() as usize, 0])),
        ("unshare", call(libc::SYS_unshare, [libc::CLONE_NEWUSER.cast_unsigned() as usize, 0, 0])),
        ("setns", call(libc::SYS_setns, [0, 0, 0])),
        ("bpf", call(libc::SYS_bpf, [0, 0, 0])),
        ("keyctl", call(libc::SYS_keyctl, [0, 0, 0])),
        ("add_key", call(libc::SYS_add_key, [0, 0, 0])),
        ("perf_event_open", call(libc::SYS_perf_event_open, [0, 0, 0])),
        ("sethostname", call(libc::SYS_sethostname, [text(c"x"), 1, 0])),
        ("io_uring_setup", call(libc::SYS_io_uring_setup, [1, 0, 0])),
        ("clone3", call(libc::SYS_clone3, [0, 0, 0])),
        ("clone with a namespace", call(libc::SYS_clone, [libc::CLONE_NEWUSER.cast_unsigned() as usize, 0, 0])),
        ("personality ADDR_NO_RANDOMIZE", call(libc::SYS_personality, [0x0040_0000, 0, 0])),
        ("personality query", call(libc::SYS_personality, [0xffff_ffff, 0, 0])),
        (
            "socket vsock",
            call(
                libc::SYS_socket,
                [libc::AF_VSOCK.cast_unsigned() as usize, libc::SOCK_STREAM.cast_unsigned() as usize, 0],
            ),
        ),
        (
            "socket inet",
            call(
                libc::SYS_socket,
                [libc::AF_INET.cast_unsigned() as usize, libc::SOCK_STREAM.cast_unsigned() as usize, 0],
            ),
        ),
        ("a call from the future", call(4000, [0, 0, 0])),
        ("chmod", call(libc::SYS_fchmodat, [HERE, text(c"/tmp"), 0o1777])),
        ("mknod", made),
        ("open", call(libc::SYS_openat, [HERE, text(c"/tmp/disk"), 0])),
    ]
}
