//! Entering a user namespace, so that an ordinary user's builder is root over its own files.
//!
//! The whole builder enters, once, before it starts threads: unpacking layers, reading what a step changed, and
//! removing it all happen as the namespace's root, with ids as the image means them. The process stays the same
//! one, so signals, exit codes and the terminal need no forwarding: a short-lived child that stays outside writes
//! the id maps.

use std::fs;
use std::io::{self, PipeReader, Read, Write};
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, waitpid};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::detached::{DATA_ONLY, Detached};
use super::error::errno;
use super::subids::{Extent, Ids, find, format_map, parse_map, plan};
use super::sys::{self, Fork};
use super::tier::Tier;

/// The initial user namespace has had this inode number since namespaces have inodes.
const INITIAL: u64 = 0xefff_fffd;

/// Whether this is the real root's user namespace, not one somebody made.
pub(super) fn is_initial() -> bool {
    rustix::fs::stat("/proc/self/ns/user").is_ok_and(|found| found.st_ino == INITIAL)
}

/// Whether mounting is allowed, as far as capabilities go.
pub(super) fn has_capability(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(capability))
}

/// Whether processes may be given supplementary groups; a single-id namespace has given that up.
pub(super) fn may_set_groups() -> bool {
    fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "allow")
}

/// How many ids exist here: of users or of groups, whatever is less.
pub(super) fn id_count() -> u64 {
    let count = |ids: Ids| {
        let map = fs::read_to_string(format!("/proc/self/{}", ids.map())).unwrap_or_default();
        parse_map(&map).iter().map(|extent| u64::from(extent.count)).sum::<u64>()
    };
    count(Ids::Users).min(count(Ids::Groups))
}

/// The process cannot go on: it is in a user namespace without usable ids.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} while entering a user namespace: {source}")]
pub struct EnterError {
    doing: &'static str,
    source: io::Error,
}

/// Gets this process the privileges a build needs, if it lacks them and the machine allows. Returns the tier the
/// process is in now; [`Tier::None`] means that it is where it was and cannot run build steps.
///
/// Must be called before the process starts its first thread.
pub fn enter_user_namespace_if_needed() -> Result<Tier, EnterError> {
    if has_capability(CapabilitySet::SYS_ADMIN) {
        return Ok(Tier::current());
    }
    if let Err(refusal) = try_out() {
        return Ok(Tier::None { reason: refusal.to_string() });
    }
    let maps = [Ids::Users, Ids::Groups].map(|ids| (ids, own_id(ids)));
    enter(maps)?;
    Ok(Tier::current())
}

fn enter(own: [(Ids, u32); 2]) -> Result<(), EnterError> {
    let writer = MapWriter::choose().map(MapWriter::start).transpose().map_err(failed("start a child"))?;
    sys::unshare(UnshareFlags::NEWUSER).map_err(failed("create the namespace"))?;
    if let Some(writer) = writer {
        writer.finish().map_err(failed("wait for a child"))?;
    }
    // What the child could not map is mapped to the one id that needs nobody's leave.
    for (ids, own) in own {
        let file = format!("/proc/self/{}", ids.map());
        if !fs::read_to_string(&file).map_err(failed("read an id map"))?.is_empty() {
            continue;
        }
        if ids == Ids::Groups {
            fs::write("/proc/self/setgroups", "deny").map_err(failed("give up setgroups"))?;
        }
        let map = format_map(&[Extent { inside: 0, outside: own, count: 1 }]);
        fs::write(&file, map).map_err(failed("write an id map"))?;
    }
    Ok(())
}

fn failed<E: Into<io::Error>>(doing: &'static str) -> impl FnOnce(E) -> EnterError {
    move |error| EnterError { doing, source: error.into() }
}

fn own_id(ids: Ids) -> u32 {
    match ids {
        Ids::Users => rustix::process::geteuid().as_raw(),
        Ids::Groups => rustix::process::getegid().as_raw(),
    }
}

/// Who may write a map of many ids into this process's new namespace, from outside of it.
enum MapWriter {
    /// The setuid programs of the `shadow` package, for the ranges given to the user.
    Programs(Vec<(Ids, Vec<Extent>)>),
    /// We ourselves: root in a container without the right to mount. All its ids stay what they are.
    Direct(Vec<(Ids, Vec<Extent>)>),
}

struct Running {
    child: Pid,
    go: io::PipeWriter,
}

impl MapWriter {
    fn choose() -> Option<Self> {
        let both = [Ids::Users, Ids::Groups];
        if has_capability(CapabilitySet::SETUID | CapabilitySet::SETGID) {
            let maps = both.map(|ids| (ids, same_ids(ids)));
            return Some(Self::Direct(maps.into()));
        }
        let uid = own_id(Ids::Users);
        let maps: Option<Vec<_>> = both.into_iter().map(|ids| Some((ids, plan(ids, uid, own_id(ids))?))).collect();
        let programs = both.iter().all(|ids| find(ids.program()).is_some());
        maps.filter(|_| programs).map(Self::Programs)
    }

    fn start(self) -> io::Result<Running> {
        let parent = getpid();
        let (wait, go) = io::pipe()?;
        match sys::fork()? {
            Fork::Parent(child) => Ok(Running { child, go }),
            Fork::Child => {
                drop(go);
                sys::exit_now(i32::from(self.write(parent, wait).is_err()))
            }
        }
    }

    fn write(&self, target: Pid, mut wait: PipeReader) -> io::Result<()> {
        // A byte says that the namespace is there; the end of the pipe, that it will not be.
        wait.read_exact(&mut [0])?;
        match self {
            Self::Direct(maps) => maps.iter().try_for_each(|(ids, map)| {
                fs::write(format!("/proc/{}/{}", target.as_raw_nonzero(), ids.map()), format_map(map))
            }),
            Self::Programs(maps) => maps.iter().try_for_each(|(ids, map)| run_program(*ids, map, target)),
        }
    }
}

impl Running {
    fn finish(mut self) -> io::Result<()> {
        // Fails only if the child is gone, which the wait tells as well.
        let _ = self.go.write_all(&[1]);
        waitpid(Some(self.child), WaitOptions::empty())?;
        Ok(())
    }
}

fn run_program(ids: Ids, map: &[Extent], target: Pid) -> io::Result<()> {
    let program = find(ids.program()).ok_or(io::ErrorKind::NotFound)?;
    let numbers = map.iter().flat_map(|extent| [extent.inside, extent.outside, extent.count]);
    let mut command = Command::new(program);
    command.env_clear().arg(target.as_raw_nonzero().to_string()).args(numbers.map(|number| number.to_string()));
    if command.output()?.status.success() { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Every id that exists here, mapped to itself.
fn same_ids(ids: Ids) -> Vec<Extent> {
    let map = fs::read_to_string(format!("/proc/self/{}", ids.map())).unwrap_or_default();
    parse_map(&map).into_iter().map(|extent| Extent { outside: extent.inside, ..extent }).collect()
}

/// What the kernel refused in [`try_out`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the kernel refuses user namespaces: {0}")]
    Create(Errno),
    #[error("the kernel refuses to map an id in a user namespace: {0}")]
    Map(Errno),
    #[error("the kernel refuses to mount in a user namespace: {0}")]
    Mount(Errno),
    #[error("cannot start a child: {0}")]
    Fork(Errno),
}

/// Does in a child what entering needs, because a process cannot leave a namespace that turns out to be useless
/// (`AppArmor` on Ubuntu lets one be made and then refuses everything in it).
pub(super) fn try_out() -> Result<(), Refusal> {
    let (mut answer, mut tell) = io::pipe().map_err(|error| Refusal::Fork(errno(&error)))?;
    match sys::fork().map_err(Refusal::Fork)? {
        Fork::Child => {
            let (step, code) = match attempt() {
                Ok(()) => (0, 0),
                Err(Refusal::Create(errno)) => (1, errno.raw_os_error()),
                Err(Refusal::Map(errno)) => (2, errno.raw_os_error()),
                Err(Refusal::Mount(errno) | Refusal::Fork(errno)) => (3, errno.raw_os_error()),
            };
            let [low, high, ..] = code.to_le_bytes();
            let _ = tell.write_all(&[step, low, high]);
            sys::exit_now(0)
        }
        Fork::Parent(child) => {
            drop(tell);
            let mut said = [u8::MAX; 3];
            let heard = answer.read_exact(&mut said);
            waitpid(Some(child), WaitOptions::empty()).map_err(Refusal::Fork)?;
            heard.map_err(|_| Refusal::Fork(Errno::CHILD))?;
            let errno = || Errno::from_raw_os_error(i32::from(u16::from_le_bytes([said[1], said[2]])));
            match said[0] {
                0 => Ok(()),
                1 => Err(Refusal::Create(errno())),
                2 => Err(Refusal::Map(errno())),
                _ => Err(Refusal::Mount(errno())),
            }
        }
    }
}

fn attempt() -> Result<(), Refusal> {
    let own = [Ids::Users, Ids::Groups].map(|ids| (ids, own_id(ids)));
    sys::unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(Refusal::Create)?;
    fs::write("/proc/self/setgroups", "deny").map_err(|error| Refusal::Map(errno(&error)))?;
    for (ids, own) in own {
        let map = format_map(&[Extent { inside: 0, outside: own, count: 1 }]);
        fs::write(format!("/proc/self/{}", ids.map()), map).map_err(|error| Refusal::Map(errno(&error)))?;
    }
    Detached::fresh("tmpfs", &[], DATA_ONLY).map(drop).map_err(Refusal::Mount)
}
