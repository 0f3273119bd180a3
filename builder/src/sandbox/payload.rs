//! The last steps of the process itself, from the init's copy to the image's program.
//!
//! The order matters: what needs privileges comes before they are dropped, and the filter, which needs
//! `CAP_SYS_ADMIN`, before the user changes.

use std::ffi::CString;
use std::path::Path;

use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::process::umask;
use rustix::thread::CapabilitySet;

use super::error::{At, SandboxError, Step};
use super::spec::{Process, Resource, Rlimit, Security};
use super::user::Identity;
use super::{inside, seccomp, sys};

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What root may do inside: enough for package managers, nothing that reaches the machine.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// Who the process becomes, as far as the namespace allows.
pub(super) struct Becoming {
    pub(super) identity: Identity,
    /// Whether the kernel lets us set supplementary groups.
    pub(super) set_groups: bool,
}

/// Turns this process, already inside the image, into the program. Returns only if that fails.
pub(super) fn become_program(process: &Process, becoming: &Becoming) -> Result<(), SandboxError> {
    sys::reset_signals();
    // Its own session: no way to reach the builder's terminal through `/dev/tty`.
    rustix::process::setsid().at(Step::EnterDirectory, "")?;
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    null.and_then(rustix::stdio::dup2_stdin).at(Step::MountDev, "null")?;
    limit(&process.limits.rlimits)?;
    match process.security {
        Security::Sandbox => {
            drop_capabilities().at(Step::DropCapabilities, "")?;
            seccomp::install().at(Step::FilterSystemCalls, "")?;
        }
        Security::Insecure => {}
    }
    change_user(becoming)?;
    umask(Mode::from_raw_mode(0o022));
    let cwd = Path::new("/").join(inside::clean(Path::new(&process.cwd)));
    rustix::process::chdir(&cwd).at(Step::EnterDirectory, cwd.display())?;
    execute(process, &becoming.identity)
}

fn limit(limits: &[Rlimit]) -> Result<(), SandboxError> {
    for limit in limits {
        let value = |value: Option<u64>| value.unwrap_or(libc::RLIM_INFINITY);
        let both = libc::rlimit { rlim_cur: value(limit.soft), rlim_max: value(limit.hard) };
        sys::set_rlimit(number(limit.resource), both).at(Step::LimitResources, limit.resource.name())?;
    }
    Ok(())
}

fn number(resource: Resource) -> u32 {
    match resource {
        Resource::As => libc::RLIMIT_AS,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Stack => libc::RLIMIT_STACK,
    }
}

/// Takes all other capabilities out of reach for good: `exec` as root gives what the bounding set allows, any other
/// user gets none, setuid programs get what is left.
fn drop_capabilities() -> Result<(), Errno> {
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        if KEPT.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // Past the last capability this kernel knows.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(errno),
        }
    }
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable = CapabilitySet::empty();
    // Also empties the ambient set, which never holds what is not inheritable.
    rustix::thread::set_capabilities(None, sets)
}

fn change_user(Becoming { identity, set_groups }: &Becoming) -> Result<(), SandboxError> {
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    // The pipes belong to the builder: without this `/dev/stdout` could not be opened by any other user.
    for output in [rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let _ = rustix::fs::fchown(output, Some(uid), None);
    }
    let change = || {
        if *set_groups {
            let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
            rustix::thread::set_thread_groups(&groups)?;
        }
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)
    };
    match change() {
        Err(Errno::INVAL) => Err(SandboxError::IdNotMapped { uid: identity.uid, gid: identity.gid }),
        other => other.at(Step::ChangeUser, ""),
    }
}

fn execute(process: &Process, identity: &Identity) -> Result<(), SandboxError> {
    let env = environment(&process.env, &identity.home);
    let Some(program) = process.args.first() else {
        return Err(SandboxError::ProgramNotFound { program: String::new(), searched: None });
    };
    let path = env.iter().find_map(|(key, value)| (*key == "PATH").then_some(*value)).unwrap_or(DEFAULT_PATH);
    let args = process.args.iter().map(|arg| c_string(arg)).collect::<Result<Vec<_>, _>>()?;
    let env = env.iter().map(|(key, value)| c_string(&format!("{key}={value}"))).collect::<Result<Vec<_>, _>>()?;

    if program.contains('/') {
        let errno = sys::execve(&c_string(program)?, &args, &env);
        return Err(explain(program, program, None, errno));
    }
    let mut denied = None;
    for directory in path.split(':') {
        let candidate = Path::new(if directory.is_empty() { "." } else { directory }).join(program);
        let candidate = candidate.to_string_lossy();
        match sys::execve(&c_string(&candidate)?, &args, &env) {
            Errno::NOENT if !Path::new(&*candidate).exists() => {}
            Errno::NOTDIR => {}
            Errno::ACCESS => denied = Some(candidate.into_owned()),
            errno => return Err(explain(program, &candidate, Some(path), errno)),
        }
    }
    Err(match denied {
        Some(candidate) => explain(program, &candidate, Some(path), Errno::ACCESS),
        None => explain(program, program, Some(path), Errno::NOENT),
    })
}

/// The caller's variables without repetitions, the last of each name, with `PATH` and `HOME` in any case.
fn environment<'a>(given: &'a [(String, String)], home: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut env: Vec<(&str, &str)> = Vec::with_capacity(given.len() + 2);
    for (key, value) in given {
        match env.iter_mut().find(|(known, _)| known == key) {
            Some(known) => known.1 = value,
            None => env.push((key, value)),
        }
    }
    for (key, value) in [("PATH", DEFAULT_PATH), ("HOME", home)] {
        if !env.iter().any(|(known, _)| *known == key) {
            env.push((key, value));
        }
    }
    env
}

fn explain(program: &str, tried: &str, path: Option<&str>, errno: Errno) -> SandboxError {
    match errno {
        Errno::NOENT if Path::new(tried).is_file() => SandboxError::InterpreterNotFound { program: tried.to_owned() },
        Errno::NOENT | Errno::NOTDIR => {
            SandboxError::ProgramNotFound { program: program.to_owned(), searched: path.map(str::to_owned) }
        }
        errno => SandboxError::ProgramNotExecutable { program: tried.to_owned(), errno: errno.into() },
    }
}

fn c_string(text: &str) -> Result<CString, SandboxError> {
    CString::new(text).map_err(|_| SandboxError::Unrepresentable { reason: format!("a zero byte in {text:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(given: &[(&str, &str)], expected: &[(&str, &str)]) {
        let given: Vec<_> = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        assert_eq!(environment(&given, "/home/app"), expected);
    }

    #[test]
    fn path_and_home_are_there_in_any_case() {
        check(&[], &[("PATH", DEFAULT_PATH), ("HOME", "/home/app")]);
        check(&[("HOME", "/x"), ("PATH", "/bin")], &[("HOME", "/x"), ("PATH", "/bin")]);
    }

    #[test]
    fn of_equal_names_the_last_wins_in_the_first_ones_place() {
        check(&[("A", "1"), ("PATH", "/b"), ("A", "2"), ("HOME", "")], &[("A", "2"), ("PATH", "/b"), ("HOME", "")]);
    }
}
