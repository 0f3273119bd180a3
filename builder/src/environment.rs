//! What a build works with: handed in by the caller, so that the builder finds nothing by itself.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wharf_blobstore::Store;

use crate::base::BaseImages;
use crate::event::Events;
use crate::fetch::Fetch;
use crate::shared::StepCache;
use crate::solve::Together;
use crate::tap::Taps;

/// What a build works with. Cloning is cheap; clones share everything.
#[derive(Clone)]
pub struct BuildEnvironment {
    /// Receives layers and configurations as blobs, and the step cache as records under `cache/`.
    pub store: Store,
    /// Unpacked layers, file indexes and cache mounts; private to Wharf, safe to delete while no build runs.
    pub cache_dir: PathBuf,
    /// Finds base images.
    pub bases: Arc<dyn BaseImages>,
    /// Places that may know results which the store does not, in the order in which they are asked.
    pub caches: Vec<Arc<dyn StepCache>>,
    /// Gets what `ADD` names by URL.
    pub fetch: Arc<dyn Fetch>,
    /// Is told what happens.
    pub events: Events,
    /// Sees the image's layers while they are written.
    pub taps: Option<Taps>,
    /// Ends the build when cancelled; everything it started is killed.
    pub cancel: CancellationToken,
    /// How much is done at once, by this build and others that share it.
    pub together: Together,
}
