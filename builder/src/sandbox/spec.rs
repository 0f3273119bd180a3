//! What a `RUN` step asks of the sandbox: a root file system and one process in it.
//!
//! Plain data. It crosses a socket into the helper process as JSON, so that nothing of the builder's own
//! memory, environment or open files has to. Must not know how any of it is carried out.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The directories one overlay is made of, all on the host, all absolute.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RootFs {
    /// Unpacked layers, bottom first. None at all is `FROM scratch`. The same directory may appear twice, as
    /// the same layer may appear twice in an image.
    pub lowers: Vec<PathBuf>,
    /// Receives every change. If it is empty, the helper first gives it the mode, owner and times of the
    /// topmost lower's root (0755, root and now if there is none): they are what `/` shows.
    pub upper: PathBuf,
    /// A directory on the upper's file system, which may hold the upper itself. Everything the helper leaves here is
    /// rubbish: remove it once the upper was read.
    pub work: PathBuf,
    /// A directory on the upper's file system for what is the same in all sandboxes; several may use it at once.
    pub shared: PathBuf,
}

/// One process and what it sees. [`Process::new`] gives the defaults of a plain `RUN`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Process {
    /// The program and its arguments. A program without a slash is looked up in `PATH`, in the image.
    pub args: Vec<String>,
    /// The whole environment; the last of equal names wins. `PATH` and `HOME` are added if absent.
    pub env: Vec<(String, String)>,
    /// Absolute; created (0755, root) if the image lacks it.
    pub cwd: String,
    /// `""`, `user`, `user:group`, names or numbers, resolved in the image's own `/etc/passwd`, `/etc/group`.
    pub user: String,
    /// The UTS host name, which `/etc/hosts` also names.
    pub hostname: String,
    /// Which network the process is on.
    pub network: Network,
    /// How much the process may do.
    pub security: Security,
    /// Further mounts. Parents are mounted before their children whatever the order here.
    pub mounts: Vec<Mount>,
    /// Extra lines for `/etc/hosts`: a name and its address.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// What the process may use up.
    pub limits: Limits,
}

impl Process {
    /// A process as root in `/`, on the host's network, confined, with nothing mounted and nothing limited.
    pub fn new<S: Into<String>>(args: impl IntoIterator<Item = S>) -> Self {
        Self {
            args: args.into_iter().map(Into::into).collect(),
            env: Vec::new(),
            cwd: "/".to_owned(),
            user: String::new(),
            hostname: "wharf".to_owned(),
            network: Network::Default,
            security: Security::Sandbox,
            mounts: Vec::new(),
            extra_hosts: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// What the builder gives when nothing was asked: the host's network.
    Default,
    /// A network namespace with nothing but a loopback device.
    None,
    /// The host's network, asked for by name.
    Host,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// Fourteen capabilities, a system call filter, masked kernel files, no device but the harmless ones.
    Sandbox,
    /// Every capability and device the builder has, no filter. As good as root on the host.
    Insecure,
}

/// Something mounted over the image for this process only; never part of the layer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// Absolute, in the image. Symbolic links in it are followed as the process would see them.
    pub target: String,
    /// What appears there.
    pub kind: MountKind,
}

/// What a [`Mount`] shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum MountKind {
    /// A file, socket or directory of the host: `subpath` resolved inside `source`, never leaving it.
    Bind {
        /// Absolute host path.
        source: PathBuf,
        /// `""` for the source itself.
        subpath: String,
        /// Whether the process may change the host's copy.
        access: Access,
    },
    /// A stack of layers, bottom first, such as another stage; with `Writes::Discarded` also the way to
    /// mount a single directory that must not change.
    Layers {
        /// Unpacked layers, bottom first.
        lowers: Vec<PathBuf>,
        /// `""` for the root of the stack.
        subpath: String,
        /// What becomes of writes.
        writes: Writes,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// In bytes; the kernel's default (half of the memory) if absent.
        size: Option<u64>,
    },
    /// A small file whose bytes exist in memory only: a secret.
    File {
        /// The content.
        contents: Secret,
        /// Permission bits, such as `0o400`.
        mode: u32,
        /// Owner, as the process sees it.
        uid: u32,
        /// Group, as the process sees it.
        gid: u32,
    },
}

/// Whether a bind mount can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Writing fails with `EROFS`.
    ReadOnly,
    /// Writing changes the source: a cache.
    ReadWrite,
}

/// What becomes of writes into mounted layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Writes {
    /// They fail with `EROFS`.
    Refused,
    /// They are seen by this process and dropped with it.
    Discarded,
}

/// Bytes that no message and no log shows.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Takes the bytes in.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the process may use up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Wall-clock time from start to end.
    pub timeout: Option<Duration>,
    /// `--ulimit`: everything not named is inherited from the builder.
    pub rlimits: Vec<Rlimit>,
    /// `--shm-size`: the size of `/dev/shm` in bytes; 64 MiB where nothing is said.
    pub shared_memory: Option<u64>,
    /// What all processes of the step may use up together.
    pub group: GroupLimits,
}

/// Limits of a step as a whole. If there is one, the step gets a control group of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLimits {
    /// `--cgroup-parent`: the group below which the step's is made, from the hierarchy's root.
    pub parent: Option<String>,
    /// `--memory`, in bytes.
    pub memory: Option<u64>,
    /// `--memory-swap`: memory and swap together, in bytes; `Some(None)` is unlimited. Counts with `memory` only.
    pub memory_and_swap: Option<Option<u64>>,
    /// `--cpu-period`, in microseconds.
    pub cpu_period: Option<u64>,
    /// `--cpu-quota`: processor time in a period, in microseconds.
    pub cpu_quota: Option<u64>,
    /// `--cpu-shares`: relative to 1024, where processors are short.
    pub cpu_shares: Option<u64>,
    /// `--cpuset-cpus`, such as `0-3,7`.
    pub cpus: Option<String>,
    /// `--cpuset-mems`.
    pub memory_nodes: Option<String>,
}

/// One `--ulimit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Which resource.
    pub resource: Resource,
    /// `None` is unlimited.
    pub soft: Option<u64>,
    /// `None` is unlimited.
    pub hard: Option<u64>,
}

/// The resources of `setrlimit(2)` that `--ulimit` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `ulimit`, documented in setrlimit(2)")]
pub enum Resource {
    As,
    Core,
    Cpu,
    Data,
    Fsize,
    Locks,
    Memlock,
    Msgqueue,
    Nice,
    Nofile,
    Nproc,
    Rss,
    Rtprio,
    Rttime,
    Sigpending,
    Stack,
}

impl Resource {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::As,
        Self::Core,
        Self::Cpu,
        Self::Data,
        Self::Fsize,
        Self::Locks,
        Self::Memlock,
        Self::Msgqueue,
        Self::Nice,
        Self::Nofile,
        Self::Nproc,
        Self::Rss,
        Self::Rtprio,
        Self::Rttime,
        Self::Sigpending,
        Self::Stack,
    ];

    /// As `--ulimit` writes it.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// Everything the helper is told.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) rootfs: RootFs,
    pub(super) process: Process,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_its_bytes() {
        let mount = Mount {
            target: "/run/secrets/token".to_owned(),
            kind: MountKind::File { contents: Secret::new(b"hunter2".to_vec()), mode: 0o400, uid: 0, gid: 0 },
        };
        let shown = format!("{mount:?}");
        assert!(shown.contains("Secret(..)"), "{shown}");
        assert!(!shown.contains("104"), "no byte of it either: {shown}");
    }
}
