//! How much of a sandbox this machine lets this user have, and what stands in the way of more.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::thread::CapabilitySet;

use super::subids::{Ids, find, plan};
use super::userns::{self, Refusal};

/// From best to none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The real root. All ids, all files.
    Root,
    /// Root of a user namespace with many ids: everything images do works, but device nodes cannot be made.
    UserNamespaceSubuid,
    /// Root of a user namespace with one id. Programs that change to another user or give files away (`chown`,
    /// `USER app`, `apt` without `APT::Sandbox::User=root`) fail, and all files belong to root in the image.
    UserNamespaceSingle,
    /// No sandbox: an image can still be put together from `COPY` and `ADD`.
    None {
        /// What forbids it.
        reason: String,
    },
}

impl Tier {
    /// The tier this process is in, judged by its privileges alone.
    pub fn current() -> Self {
        if !userns::has_capability(CapabilitySet::SYS_ADMIN) {
            return Self::None { reason: "this process may not mount (no CAP_SYS_ADMIN)".to_owned() };
        }
        if userns::is_initial() {
            Self::Root
        } else if userns::id_count() > 1 {
            Self::UserNamespaceSubuid
        } else {
            Self::UserNamespaceSingle
        }
    }
}

/// One thing a tier needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is needed, a few words.
    pub name: &'static str,
    /// Whether it is there.
    pub outcome: Outcome,
}

/// How a [`Check`] ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Passed,
    /// It is not.
    Blocked {
        /// What was found.
        reason: String,
        /// What an administrator can do.
        hint: &'static str,
    },
}

/// What `wharf doctor` shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The tier a build started now would get.
    pub tier: Tier,
    /// What being root of the machine needs.
    pub root: Vec<Check>,
    /// What a user namespace needs at all.
    pub user_namespace: Vec<Check>,
    /// What more than one id in it needs.
    pub subuid: Vec<Check>,
}

/// Looks at the machine without changing anything. Must be called before the process starts its first thread, and
/// before [`super::enter_user_namespace_if_needed`]: it forks.
///
/// That a store's file system can hold an overlay is another question: see [`super::rehearse`].
pub fn probe() -> Report {
    let trial = userns::try_out();
    let root = vec![
        check("the right to mount", capability(CapabilitySet::SYS_ADMIN), "run as root, or unprivileged as below"),
        check(
            "the machine's own user namespace",
            if userns::is_initial() { Ok(()) } else { Err("this is a user namespace".to_owned()) },
            "nothing: device nodes of images cannot be made here, all else can",
        ),
    ];
    let user_namespace = user_namespace_checks(trial);
    let subuid = subuid_checks();
    let tier = match Tier::current() {
        Tier::None { .. } => match trial {
            Err(refusal) => Tier::None { reason: refusal.to_string() },
            Ok(()) if subuid.iter().all(|check| check.outcome == Outcome::Passed) => Tier::UserNamespaceSubuid,
            Ok(()) => Tier::UserNamespaceSingle,
        },
        privileged => privileged,
    };
    Report { tier, root, user_namespace, subuid }
}

fn user_namespace_checks(trial: Result<(), Refusal>) -> Vec<Check> {
    let sysctl = |name: &str, bad: &str| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(name)).unwrap_or_default();
        if value.trim() == bad { Err(format!("/proc/sys/{name} is {bad}")) } else { Ok(()) }
    };
    vec![
        check(
            "room for user namespaces",
            sysctl("user/max_user_namespaces", "0"),
            "sysctl -w user.max_user_namespaces=15000",
        ),
        check(
            "user namespaces for everybody",
            sysctl("kernel/unprivileged_userns_clone", "0"),
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        check(
            "no AppArmor restriction of user namespaces",
            sysctl("kernel/apparmor_restrict_unprivileged_userns", "1"),
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile with `userns,`",
        ),
        check("a user namespace that can mount", trial.map_err(|refusal| refusal.to_string()), trial_hint(trial)),
    ]
}

fn trial_hint(trial: Result<(), Refusal>) -> &'static str {
    match trial {
        Err(Refusal::Create(_)) if filtered() => {
            "a container's system call filter forbids it: seccomp=unconfined, or hostUsers: false in Kubernetes"
        }
        Err(Refusal::Create(_)) => "see the settings above",
        Err(Refusal::Map(_) | Refusal::Mount(_)) => "a security module such as AppArmor forbids it: see above",
        Err(Refusal::Fork(_)) => "the limit of processes is reached: ulimit -u",
        Ok(()) => "",
    }
}

fn filtered() -> bool {
    status("Seccomp") == Some(2)
}

fn subuid_checks() -> Vec<Check> {
    let uid = rustix::process::geteuid().as_raw();
    if userns::has_capability(CapabilitySet::SETUID | CapabilitySet::SETGID) {
        return vec![check("the right to use other ids", Ok(()), "")];
    }
    let program = |ids: Ids| match find(ids.program()) {
        None => Err(format!("{} is not installed", ids.program())),
        Some(path) if !privileged(&path) => Err(format!("{} has neither setuid nor capabilities", path.display())),
        Some(_) => Ok(()),
    };
    let range = |ids: Ids| match plan(ids, uid, 0) {
        None => Err(format!("{} has no range for user {uid}", ids.file())),
        Some(_) => Ok(()),
    };
    let new_privileges = match status("NoNewPrivs") {
        Some(1) => Err("no_new_privs is set".to_owned()),
        _ => Ok(()),
    };
    vec![
        check("newuidmap", program(Ids::Users), "install the package uidmap (shadow-utils)"),
        check("newgidmap", program(Ids::Groups), "install the package uidmap (shadow-utils)"),
        check("a range in /etc/subuid", range(Ids::Users), "usermod --add-subuids 100000-165535 USER"),
        check("a range in /etc/subgid", range(Ids::Groups), "usermod --add-subgids 100000-165535 USER"),
        check("setuid programs work", new_privileges, "allowPrivilegeEscalation: true in Kubernetes"),
    ]
}

fn privileged(program: &Path) -> bool {
    const SETUID: u32 = 0o4000;
    let setuid = fs::metadata(program).is_ok_and(|found| found.mode() & SETUID != 0 && found.uid() == 0);
    setuid || rustix::fs::getxattr(program, "security.capability", &mut [0_u8; 64][..]).is_ok()
}

fn capability(wanted: CapabilitySet) -> Result<(), String> {
    if userns::has_capability(wanted) {
        return Ok(());
    }
    Err(if rustix::process::geteuid().is_root() {
        "root here lacks CAP_SYS_ADMIN".to_owned()
    } else {
        format!("this is user {}", rustix::process::geteuid().as_raw())
    })
}

fn status(key: &str) -> Option<u32> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok())
}

fn check(name: &'static str, found: Result<(), String>, hint: &'static str) -> Check {
    let outcome = match found {
        Ok(()) => Outcome::Passed,
        Err(reason) => Outcome::Blocked { reason, hint },
    };
    Check { name, outcome }
}
