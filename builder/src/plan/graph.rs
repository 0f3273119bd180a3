//! What a plan is made of: stages in the order in which they can be solved, each a root and the steps on top of it.
//!
//! Everything is expanded and resolved; executing a plan never looks at the Dockerfile again, but for messages.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use wharf_spec::{Digest, History, ImageConfig, Platform};

use crate::base::BaseImage;
use crate::dockerfile::Span;
use crate::dockerfile::mount::CacheSharing;
use crate::event::{StepId, StepInfo};
use crate::git::GitSource;
use crate::sandbox::{Network, Security};

/// A stage of a [`Plan`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct StageId(pub(crate) usize);

/// A directory that files are copied from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ContextId(pub(crate) usize);

/// What has to be done for one target.
pub(crate) struct Plan {
    /// Only what the target needs; every stage comes after those it uses.
    pub(crate) stages: Vec<PlannedStage>,
    /// The stage that becomes the image.
    pub(crate) target: StageId,
    /// The stage that looks at the image.
    pub(crate) scan: Option<Scan>,
    /// Directories that steps read.
    pub(crate) contexts: Vec<PlannedContext>,
    /// All steps as the user sees them, by [`StepId`].
    pub(crate) steps: Vec<StepInfo>,
}

/// A stage that writes bills of materials.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    /// Which.
    pub(crate) stage: StageId,
    /// The generator's name, for messages.
    pub(crate) generator: String,
}

/// A directory and what is hidden in it.
#[derive(Clone, Debug)]
pub(crate) struct PlannedContext {
    /// The name it was given; `context` for the main one.
    pub(crate) name: String,
    /// Where it is.
    pub(crate) place: ContextPlace,
    /// Ignore rules that replace the directory's own.
    pub(crate) ignore: Option<String>,
}

/// Where a context's files are.
#[derive(Clone, Debug)]
pub(crate) enum ContextPlace {
    /// In a directory.
    Directory(PathBuf),
    /// In a repository, which is checked out when a step needs it.
    Repository {
        /// Which, and what of it.
        source: GitSource,
        /// Whether `.git` is one of its files.
        keep_git_dir: bool,
    },
}

/// One stage: what it starts from and what is done on top.
pub(crate) struct PlannedStage {
    /// Its name in messages.
    pub(crate) name: String,
    /// What it starts from.
    pub(crate) root: Root,
    /// What it runs on.
    pub(crate) platform: Platform,
    /// Steps that each make one layer.
    pub(crate) steps: Vec<Step>,
    /// Configuration once all steps are done, without layers, history and times.
    pub(crate) config: ImageConfig,
    /// The whole history, the root's included.
    pub(crate) history: Vec<PastStep>,
}

/// What a stage starts from.
#[derive(Clone)]
pub(crate) enum Root {
    /// Nothing.
    Scratch,
    /// An image.
    Image(Arc<BaseImage>),
    /// Another stage.
    Stage(StageId),
}

/// An entry of the history to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PastStep {
    /// From the base image, as it stands there.
    Base(History),
    /// A step that makes a layer.
    Layer(String),
    /// A step that changes the configuration only.
    Empty(String),
}

/// One step.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its number in [`Plan::steps`].
    pub(crate) id: StepId,
    /// Where to point when it fails.
    pub(crate) span: Span,
    /// What to do.
    pub(crate) work: Work,
    /// Whether a remembered result may be used.
    pub(crate) memory: Memory,
}

/// Whether a step's remembered result may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// Yes.
    Used,
    /// No: it runs whatever is known (`--no-cache`).
    Ignored,
}

/// What a step does.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// Runs a process.
    Run(Box<Run>),
    /// Copies files.
    Copy(Box<Copy>),
    /// Makes a directory and what is missing above it.
    MakeDirectory(MakeDirectory),
}

/// `WORKDIR`.
#[derive(Clone, Debug)]
pub(crate) struct MakeDirectory {
    /// Absolute and clean.
    pub(crate) path: String,
    /// Owner of what is made, as `USER` wrote it; empty for root.
    pub(crate) user: String,
}

/// Where files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FileSource {
    /// A directory of the machine.
    Context(ContextId),
    /// The result of a stage; an image is a stage without steps.
    Stage(StageId),
}

/// `RUN`.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// Program and arguments, the shell included.
    pub(crate) args: Vec<String>,
    /// Environment in order, arguments included.
    pub(crate) env: Vec<(String, String)>,
    /// Proxy settings that are neither part of the key nor of the history.
    pub(crate) proxies: Vec<(String, String)>,
    /// Absolute.
    pub(crate) cwd: String,
    /// As `USER` wrote it.
    pub(crate) user: String,
    /// In the order written.
    pub(crate) mounts: Vec<RunMount>,
    /// `/dev/pipes/<name>` for a heredoc that begins with `#!`.
    pub(crate) script: Option<Script>,
    /// Which network.
    pub(crate) network: Network,
    /// How confined.
    pub(crate) security: Security,
}

/// A heredoc that is executed as a file.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    /// Its name in `/dev/pipes`.
    pub(crate) name: String,
    /// Its text.
    pub(crate) content: String,
}

/// `RUN --mount`.
#[derive(Clone, Debug)]
pub(crate) struct RunMount {
    /// Where to point when it fails.
    pub(crate) span: Span,
    /// Absolute; absent for a secret that is only an environment variable.
    pub(crate) target: Option<String>,
    /// What is mounted.
    pub(crate) kind: RunMountKind,
}

/// What a [`RunMount`] shows.
#[derive(Clone, Debug)]
pub(crate) enum RunMountKind {
    /// Files.
    Bind {
        /// Whose.
        source: FileSource,
        /// Below its root.
        path: String,
        /// What becomes of writes.
        access: BindAccess,
    },
    /// A directory kept between builds.
    Cache(Cache),
    /// An empty directory in memory.
    Tmpfs {
        /// In bytes.
        size: Option<u64>,
    },
    /// A secret.
    Secret(SecretUse),
    /// The socket of an SSH agent.
    Agent(AgentUse),
}

/// What becomes of writes to a bind mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindAccess {
    /// They fail.
    ReadOnly,
    /// They are dropped afterwards.
    Discarded,
}

/// `RUN --mount=type=cache`.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Which cache.
    pub(crate) id: String,
    /// What a second user of it does.
    pub(crate) sharing: CacheSharing,
    /// Its first content, and the path in there.
    pub(crate) seed: Option<(FileSource, String)>,
    /// Whether it can be written to.
    pub(crate) access: crate::sandbox::Access,
    /// Of a new directory.
    pub(crate) mode: u32,
    /// Of a new directory.
    pub(crate) uid: u32,
    /// Of a new directory.
    pub(crate) gid: u32,
}

/// `RUN --mount=type=secret`.
#[derive(Clone, Debug)]
pub(crate) struct SecretUse {
    /// Which secret.
    pub(crate) id: String,
    /// The environment variable that gets it.
    pub(crate) env: Option<String>,
    /// Of the file.
    pub(crate) mode: u32,
    /// Of the file.
    pub(crate) uid: u32,
    /// Of the file.
    pub(crate) gid: u32,
}

/// `RUN --mount=type=ssh`.
#[derive(Clone, Debug)]
pub(crate) struct AgentUse {
    /// Which agent.
    pub(crate) id: String,
    /// Of the socket.
    pub(crate) mode: u32,
    /// Of the socket.
    pub(crate) uid: u32,
    /// Of the socket.
    pub(crate) gid: u32,
}

/// `COPY` and `ADD`.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// Where paths are looked up; `None` when nothing but inline files and URLs is copied.
    pub(crate) source: Option<FileSource>,
    /// What is copied, in order.
    pub(crate) items: Vec<Item>,
    /// Absolute; a trailing slash means a directory.
    pub(crate) destination: Destination,
    /// `--chown`, to be resolved in the destination's files.
    pub(crate) owner: Option<String>,
    /// `--chmod`.
    pub(crate) mode: Option<Chmod>,
    /// `--exclude`, in order.
    pub(crate) exclude: Vec<String>,
    /// Whether local archives are extracted.
    pub(crate) archives: Archives,
    /// Whether the source's directories are kept.
    pub(crate) parents: Parents,
    /// Whether lower layers decide where things go.
    pub(crate) link: Link,
}

/// Where copied files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// Absolute and clean, `/` for the root.
    pub(crate) path: String,
    /// Whether it was written as a directory.
    pub(crate) form: DestinationForm,
}

/// How a destination was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DestinationForm {
    /// With a trailing slash, or `.`: files go into it.
    Directory,
    /// Without: a file if a file is copied and no directory is there.
    Open,
}

/// Whether archives are extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Archives {
    /// They are copied like any file.
    Kept,
    /// They are extracted into the destination.
    Extracted,
}

/// `--parents`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parents {
    /// Only the last component of a source matters.
    Dropped,
    /// A source's directories are made below the destination.
    Kept,
}

/// `--link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// The destination is looked up in the stage.
    Merged,
    /// The layer is made as if the stage were empty.
    Independent,
}

/// One thing to copy.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A path or pattern in the source.
    Path {
        /// As written, expanded.
        pattern: String,
        /// Where it is written.
        span: Span,
    },
    /// A file from the Dockerfile.
    Inline {
        /// Its name.
        name: String,
        /// Its text.
        content: String,
    },
    /// A file from a URL.
    Url {
        /// `http:` or `https:`.
        url: String,
        /// What it must hash to.
        checksum: Option<Digest>,
        /// Whether it is extracted.
        archives: Archives,
        /// Where it is written.
        span: Span,
    },
}

/// `--chmod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// These bits.
    Octal(u32),
    /// A change of the bits there are.
    Symbolic(super::chmod::Symbolic),
}

/// A duration as Go prints it: `1m30s`.
pub(super) fn go_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    let fraction = |value: u128, unit: u128, name: &str| {
        let (whole, rest) = (value / unit, value % unit);
        let width = unit.ilog10() as usize;
        let decimals = format!("{rest:0width$}");
        let decimals = decimals.trim_end_matches('0');
        if rest == 0 { format!("{whole}{name}") } else { format!("{whole}.{decimals}{name}") }
    };
    match nanos {
        0..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fraction(nanos, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(nanos, 1_000_000, "ms"),
        _ => {
            let minutes = nanos / 60_000_000_000;
            let seconds = fraction(nanos % 60_000_000_000, 1_000_000_000, "s");
            match (minutes / 60, minutes % 60) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_go_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (1_000_000, "1ms"),
            (1_500_000_000, "1.5s"),
            (5_000_000_000, "5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_400_500_000_000, "1h30m0.5s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }
}
