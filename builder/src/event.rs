//! What happens during a build, for whoever renders progress. The builder itself prints nothing.

use std::sync::Arc;
use std::time::Duration;

use wharf_spec::Digest;

use crate::dockerfile::{Diagnostic, Span};

/// One step of a plan, numbered from 0 in the order in which the plan lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub usize);

/// A step as the user sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepInfo {
    /// Its number in the plan.
    pub id: StepId,
    /// Its stage's name, or number when it has none.
    pub stage: String,
    /// Which step of its stage, from 1.
    pub number: usize,
    /// How many steps its stage has.
    pub of: usize,
    /// The instruction as one line: `RUN make`.
    pub text: String,
    /// Where it stands in the Dockerfile.
    pub span: Span,
}

/// A layer that a step made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeLayer {
    /// The blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// Whether it is a layer of the image that is built; others belong to stages that only lend files.
    pub in_image: bool,
}

/// Which of a process's two streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Whether a step's result was known, and why not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheVerdict {
    /// It was.
    Hit,
    /// It was not; every reason that is known.
    Miss(Vec<MissReason>),
}

/// Why a step's result was not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// This instruction of this project was not done here before.
    First,
    /// Remembered results were not to be used.
    Refused,
    /// It was known, but its layer is gone from the store.
    Gone,
    /// It was done with the same inputs, but the result is not remembered any more.
    Forgotten,
    /// What it builds on is another than last time.
    Below,
    /// One of its other inputs changed.
    Input {
        /// Which, for people.
        name: String,
    },
    /// Files it reads changed: their content, mode, owner or attributes. Each list names the first few.
    Files {
        /// How many in all.
        count: usize,
        /// Those that are not what they were.
        changed: Vec<String>,
        /// Those that were not there.
        added: Vec<String>,
        /// Those that are not there any more.
        removed: Vec<String>,
    },
}

/// One thing that happened. Steps that the target does not need have no events at all.
#[derive(Clone, Debug)]
pub enum BuildEvent {
    /// Everything that may have to be done is known.
    Planned(Vec<StepInfo>),
    /// Something in the Dockerfile works, but is probably not meant.
    Warning(Diagnostic),
    /// Another build is doing this step; this one waits for its result.
    Waiting(StepId),
    /// A step began to do work.
    Started(StepId),
    /// A line a `RUN` printed, without its line break.
    Output {
        /// Which step.
        step: StepId,
        /// Where it printed it.
        stream: Stream,
        /// The line; bytes that are no UTF-8 are replaced.
        line: String,
    },
    /// A base layer is being fetched.
    Fetching {
        /// The step that needs it; `None` when it is needed only for publishing.
        step: Option<StepId>,
        /// The layer.
        digest: Digest,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Why a step's result was known or not; only when the request asks for it.
    Explained {
        /// Which step.
        step: StepId,
        /// What was found.
        verdict: CacheVerdict,
    },
    /// A step's result was known.
    Cached(StepId),
    /// A step has done its work.
    Done {
        /// Which step.
        step: StepId,
        /// From start to end.
        took: Duration,
    },
    /// A layer that a step made is in the store. The next step may run already.
    Stored(MadeLayer),
    /// A step failed; the build is about to end.
    Failed {
        /// Which step.
        step: StepId,
        /// From start to end.
        took: Duration,
    },
    /// A step under way was stopped, because another failed or the whole build is to end.
    Cancelled(StepId),
}

/// Takes events. Called from several tasks at once; must not block.
pub type Events = Arc<dyn Fn(BuildEvent) + Send + Sync>;

/// For callers who do not care.
pub fn ignore_events() -> Events {
    Arc::new(|_| {})
}
