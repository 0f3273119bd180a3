//! Why a process could not be run, or did not end by itself.
//!
//! The helper sends these over its socket, so every variant is plain data. A non-zero exit is not among them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What went wrong, as far as it changes what the caller or the user does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SandboxError {
    /// The kernel refused one step of making the sandbox.
    #[error("cannot {step}{}: {errno}", On(subject))]
    Setup {
        /// Which step.
        step: Step,
        /// The path or name it was about; may be empty.
        subject: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// No such program in the image.
    #[error("{program} not found in the image")]
    ProgramNotFound {
        /// As the caller named it.
        program: String,
        /// The `PATH` that was searched, if it was.
        searched: Option<String>,
    },
    /// The program is there, but what interprets it is not: its `#!` line or its dynamic linker.
    #[error("{program} is in the image, but the interpreter it needs is not")]
    InterpreterNotFound {
        /// The path that was executed.
        program: String,
    },
    /// The program is there and cannot be executed.
    #[error("{program} cannot be executed: {errno}")]
    ProgramNotExecutable {
        /// The path that was executed.
        program: String,
        /// `EACCES` for missing permission, `ENOEXEC` for a foreign format.
        errno: Errno,
    },
    /// The image's `/etc/passwd` lacks the user.
    #[error("user {user} not found in the image's /etc/passwd")]
    UserNotFound {
        /// The name.
        user: String,
    },
    /// The image's `/etc/group` lacks the group.
    #[error("group {group} not found in the image's /etc/group")]
    GroupNotFound {
        /// The name.
        group: String,
    },
    /// The id exists in the image but not in the builder's user namespace.
    #[error("user id {uid}, group id {gid} cannot be used: the builder may only use ids it was given")]
    IdNotMapped {
        /// The user id.
        uid: u32,
        /// The group id.
        gid: u32,
    },
    /// A signal nobody here sent ended the process.
    #[error("killed by signal {signal}{}", if *out_of_memory { ": the machine ran out of memory" } else { "" })]
    Killed {
        /// The signal's number.
        signal: i32,
        /// The kernel killed something for lack of memory meanwhile.
        out_of_memory: bool,
    },
    /// The step as a whole used more memory than it was given, and the kernel killed the process.
    #[error("killed: it needed more than the {limit} bytes of memory that it was given")]
    MemoryExceeded {
        /// The limit in bytes.
        limit: u64,
    },
    /// The caller's time limit passed; everything was killed.
    #[error("killed after {after:?}: the time limit")]
    TimedOut {
        /// The limit.
        after: Duration,
    },
    /// The caller cancelled; everything was killed.
    #[error("cancelled")]
    Cancelled,
    /// A host path or argument cannot be handed to the helper.
    #[error("the sandbox cannot be described: {reason}")]
    Unrepresentable {
        /// What the encoder said.
        reason: String,
    },
    /// The helper process ended without saying what happened.
    #[error("the sandbox helper ended without a report")]
    HelperVanished,
}

impl SandboxError {
    /// What the user can do about it, if anything is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Setup { step, errno, .. } => step.hint(*errno).map(str::to_owned),
            Self::ProgramNotFound { program, searched: None } if program == "/bin/sh" => Some(
                "an image FROM scratch has no shell: use the JSON form, RUN [\"/program\"], or another base".to_owned(),
            ),
            Self::ProgramNotFound { searched: Some(path), .. } => Some(format!("PATH is {path}")),
            Self::InterpreterNotFound { .. } => Some(
                "check its #! line; a dynamically linked program needs its loader (glibc and musl differ)".to_owned(),
            ),
            Self::ProgramNotExecutable { errno, .. } if errno.0 == libc::ENOEXEC => {
                Some("was it built for another processor? a script needs a #! line".to_owned())
            }
            Self::ProgramNotExecutable { errno, .. } if errno.0 == libc::EACCES => {
                Some("RUN chmod +x, or COPY --chmod=755".to_owned())
            }
            Self::IdNotMapped { .. } => {
                Some("an administrator can give you more ids in /etc/subuid and /etc/subgid".to_owned())
            }
            Self::MemoryExceeded { .. } => Some("give it more with --memory".to_owned()),
            Self::TimedOut { .. } => Some("give it more with --timeout".to_owned()),
            Self::Killed { out_of_memory: true, .. } => Some("run fewer steps or jobs at once".to_owned()),
            Self::ProgramNotFound { .. }
            | Self::ProgramNotExecutable { .. }
            | Self::UserNotFound { .. }
            | Self::GroupNotFound { .. }
            | Self::Killed { .. }
            | Self::Cancelled
            | Self::Unrepresentable { .. }
            | Self::HelperVanished => None,
        }
    }
}

/// A kernel error number that prints as its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno(pub i32);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        std::io::Error::from_raw_os_error(self.0).fmt(f)
    }
}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// The kernel's number behind an error of std's, which makes few errors of its own.
pub(super) fn errno(error: &std::io::Error) -> rustix::io::Errno {
    rustix::io::Errno::from_io_error(error).unwrap_or(rustix::io::Errno::IO)
}

/// One step of making the sandbox, as a verb phrase after "cannot".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Starting the helper process.
    StartHelper,
    /// `unshare(2)`.
    CreateNamespaces,
    /// Configuring the network namespace.
    ConfigureNetwork,
    /// Preparing the work directory.
    PrepareWork,
    /// Mounting the image.
    MountOverlay,
    /// Making a mount point that the image lacks.
    MakeMountPoint,
    /// Mounting `/proc`.
    MountProc,
    /// Mounting `/sys`.
    MountSys,
    /// Filling `/dev`.
    MountDev,
    /// Hiding kernel files.
    MaskPaths,
    /// One of the caller's mounts.
    Mount,
    /// Reading the image's user database.
    ReadUsers,
    /// Making the image the root directory.
    ChangeRoot,
    /// Creating or entering the working directory.
    EnterDirectory,
    /// Forking.
    Fork,
    /// `setrlimit(2)`.
    LimitResources,
    /// Making the step's control group.
    LimitGroup,
    /// Dropping capabilities.
    DropCapabilities,
    /// Loading the system call filter.
    FilterSystemCalls,
    /// `setresuid(2)` and its kin.
    ChangeUser,
}

impl Step {
    fn hint(self, errno: Errno) -> Option<&'static str> {
        let denied = matches!(errno.0, libc::EPERM | libc::EACCES);
        if errno.0 == libc::ENOSYS {
            return Some("the kernel is older than Linux 5.12, or a container's filter hides its system calls");
        }
        match self {
            Self::CreateNamespaces if denied => Some("`wharf doctor` tells what forbids it"),
            Self::CreateNamespaces if errno.0 == libc::ENOSPC => Some("raise the sysctls user.max_*_namespaces"),
            Self::MountProc if denied => {
                Some("this container hides part of /proc: run it with unmasked /proc (systempaths=unconfined)")
            }
            Self::MountOverlay if errno.0 == libc::EINVAL => {
                Some("the store is probably on an overlay itself (a container's own root): put it on a volume")
            }
            Self::MountOverlay if errno.0 == libc::ENODEV => Some("the kernel has no overlay file system"),
            Self::LimitGroup if errno.0 == libc::EOPNOTSUPP => Some("this kernel, or this container, has it nowhere"),
            Self::LimitGroup if denied || matches!(errno.0, libc::EROFS | libc::EBUSY | libc::ENOENT) => Some(
                "build as root, or where control groups were handed to you: systemd-run --user --scope -p Delegate=yes wharf \
                 build …",
            ),
            Self::ChangeRoot if errno.0 == libc::EINVAL => Some("this machine runs from an initramfs"),
            Self::StartHelper
            | Self::CreateNamespaces
            | Self::ConfigureNetwork
            | Self::PrepareWork
            | Self::MountOverlay
            | Self::MakeMountPoint
            | Self::MountProc
            | Self::MountSys
            | Self::MountDev
            | Self::MaskPaths
            | Self::Mount
            | Self::ReadUsers
            | Self::ChangeRoot
            | Self::EnterDirectory
            | Self::Fork
            | Self::LimitResources
            | Self::LimitGroup
            | Self::DropCapabilities
            | Self::FilterSystemCalls
            | Self::ChangeUser => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartHelper => "start the sandbox helper",
            Self::CreateNamespaces => "create namespaces",
            Self::ConfigureNetwork => "configure the network namespace",
            Self::PrepareWork => "prepare the work directory",
            Self::MountOverlay => "mount the image",
            Self::MakeMountPoint => "make a mount point",
            Self::MountProc => "mount /proc",
            Self::MountSys => "mount /sys",
            Self::MountDev => "fill /dev",
            Self::MaskPaths => "hide kernel files",
            Self::Mount => "mount",
            Self::ReadUsers => "read the image's users",
            Self::ChangeRoot => "change the root directory",
            Self::EnterDirectory => "enter the working directory",
            Self::Fork => "start a process",
            Self::LimitResources => "limit resources",
            Self::LimitGroup => "limit the step by a control group: set",
            Self::DropCapabilities => "drop capabilities",
            Self::FilterSystemCalls => "load the system call filter",
            Self::ChangeUser => "change the user",
        })
    }
}

/// Turns a kernel error into a [`SandboxError::Setup`] that names its step.
pub(super) trait At<T> {
    fn at(self, step: Step, subject: impl fmt::Display) -> Result<T, SandboxError>;
}

impl<T, E: Into<Errno>> At<T> for Result<T, E> {
    fn at(self, step: Step, subject: impl fmt::Display) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::Setup { step, subject: subject.to_string(), errno: error.into() })
    }
}

/// " <subject>", or nothing.
struct On<'a>(&'a str);

impl fmt::Display for On<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_the_step_its_subject_and_the_reason() {
        let error = Err::<(), _>(rustix::io::Errno::PERM).at(Step::Mount, "/run/x").unwrap_err();
        assert_eq!(error.to_string(), "cannot mount /run/x: Operation not permitted (os error 1)");
        let error = Err::<(), _>(rustix::io::Errno::PERM).at(Step::CreateNamespaces, "").unwrap_err();
        assert_eq!(error.to_string(), "cannot create namespaces: Operation not permitted (os error 1)");
        assert!(error.hint().is_some_and(|hint| hint.contains("wharf doctor")));
    }

    #[test]
    fn a_missing_shell_explains_from_scratch() {
        let error = SandboxError::ProgramNotFound { program: "/bin/sh".to_owned(), searched: None };
        assert_eq!(error.to_string(), "/bin/sh not found in the image");
        assert!(error.hint().is_some_and(|hint| hint.contains("FROM scratch")));
    }
}
