//! What came out of a build.

use std::fmt;
use std::time::Duration;

use wharf_spec::{ImageConfig, RawManifest};

use crate::attest::{Statement, UsedImage};
use crate::dockerfile::Diagnostic;
use crate::dockerfile::lint::Finding;
use crate::event::{MadeLayer, StepInfo};
use crate::shared::StepLayer;
use crate::solve::{Depot, Stack};

/// An image whose configuration and new layers are live blobs of the store; it is not yet published or tagged.
#[derive(Clone, Debug)]
pub struct BuildResult {
    /// The manifest. Publishing it makes the image visible.
    pub image: RawManifest,
    /// The configuration, as it stands in the store.
    pub config: ImageConfig,
    /// What became of each step, in the plan's order; steps that were not needed are missing.
    pub steps: Vec<StepReport>,
    /// What the steps made or had made before, for whoever shares it: the target's own first. A layer may not be in the store
    /// when nobody needed its bytes.
    pub made: Vec<StepLayer>,
    /// How many of them are the target's own.
    pub made_for_target: usize,
    /// The cache mounts that its steps wrote to, if they were to be exported.
    pub mounts: Vec<StepLayer>,
    /// The images it was made from, those files were copied from included.
    pub bases: Vec<UsedImage>,
    /// What a generator says about it: bills of materials. Those without subjects of their own have none yet.
    pub statements: Vec<Statement>,
    /// What stood for "now", in seconds since 1970.
    pub source_date_epoch: Option<i64>,
    /// What works, but is probably not meant.
    pub warnings: Vec<Diagnostic>,
    /// What the linter says about the stages that were needed.
    pub findings: Vec<Finding>,
    pub(crate) files: ResultFiles,
}

/// The result's layers, and how they are had.
#[derive(Clone)]
pub(crate) struct ResultFiles {
    pub(crate) depot: Depot,
    pub(crate) stack: Stack,
}

impl fmt::Debug for ResultFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResultFiles({} layers)", self.stack.layers().len())
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOutcome {
    /// Its result was known.
    Cached,
    /// It ran.
    Ran {
        /// The layer it made.
        layer: MadeLayer,
        /// How long it took.
        took: Duration,
    },
}
