//! What came out of a build.

use std::time::Duration;

use wharf_spec::{Descriptor, ImageConfig, RawManifest};

use crate::dockerfile::Diagnostic;
use crate::event::StepInfo;

/// An image whose configuration and new layers are live blobs of the store; it is not yet published or tagged.
#[derive(Clone, Debug)]
pub struct BuildResult {
    /// The manifest. Publishing it makes the image visible.
    pub image: RawManifest,
    /// The configuration, as it stands in the store.
    pub config: ImageConfig,
    /// What became of each step, in the plan's order; steps that were not needed are missing.
    pub steps: Vec<StepReport>,
    /// What works, but is probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// The step.
    pub step: StepInfo,
    /// How it went.
    pub outcome: StepOutcome,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Its result was known.
    Cached,
    /// It ran.
    Ran {
        /// The layer it made, unless it changed no file system.
        layer: Option<Descriptor>,
        /// How long it took.
        took: Duration,
    },
}
