//! Repositories over a [`Store`]: manifests, tags with history, blobs, uploads, referrers. No HTTP types here.
//!
//! [`Repositories`] is a cheap handle; everybody who publishes (the server, `wharf build`, `wharf pull`) goes through
//! it, and several may do so on one store at once: every change is a compare-and-swap.

mod blobs;
pub(crate) mod candidates;
mod catalog;
mod content;
mod delta;
mod error;
mod expired;
pub(crate) mod holders;
mod intake;
mod inventory;
pub(crate) mod keys;
mod local;
mod manifests;
mod mending;
mod pattern;
mod policy;
mod precondition;
mod referrers;
mod retention;
mod tags;
#[cfg(test)]
pub(crate) mod tests;
mod untagged;
mod uploads;
mod versions;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use wharf_blobstore::{BlobStore, Store};

pub use content::foreign_layers;
pub use error::{Error, Result};
pub use expired::Expired;
pub use intake::Arriving;
pub(crate) use inventory::{Inventory, Needed, referrer_of};
pub use local::LocalRepository;
pub use manifests::{ManifestList, Pushed, StoredManifest};
pub(crate) use mending::WayBack;
pub use pattern::Pattern;
pub use policy::{Action, Policy, Rule};
pub use precondition::{Expected, Precondition};
pub use referrers::ReferrerPage;
pub use retention::{Removal, Removed, Report, Retention};
pub(crate) use uploads::read_session;
pub use uploads::{ChunkRange, SessionId, SessionStatus};
pub use versions::{NoWayBack, TagRecord};
pub use wharf_spec::{Earlier, How, TagVersion};

/// How often a compare-and-swap is tried before the caller is told that others keep getting in between.
const ATTEMPTS: usize = 64;

/// All repositories of a store.
#[derive(Clone, Debug)]
pub struct Repositories {
    store: Store,
    pub(crate) blobs: BlobStore,
    policy: Arc<Policy>,
    least_chunk: u64,
}

impl Repositories {
    /// The repositories of `store`.
    pub fn new(store: Store) -> Self {
        Self { blobs: store.blobs(), store, policy: Arc::default(), least_chunk: 0 }
    }

    /// The same with these settings.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy: Arc::new(policy), ..self }
    }

    /// The same, with uploads in chunks of `length` bytes at least, the last one excepted: every chunk is made durable,
    /// and tiny ones cost as much as large ones.
    #[must_use]
    pub fn with_least_chunk(self, length: u64) -> Self {
        Self { least_chunk: length, ..self }
    }

    /// The least length of a chunk; 0 when any will do.
    pub fn least_chunk(&self) -> u64 {
        self.least_chunk
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How tags are treated.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Seconds since 1970, by the store's clock.
    pub(crate) fn now(&self) -> u64 {
        self.store.clock.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }
}

/// Lets others finish before the next try: at once at first, then longer and longer.
async fn step_back(attempt: usize) {
    if attempt < 3 {
        tokio::task::yield_now().await;
    } else {
        tokio::time::sleep(Duration::from_millis(attempt as u64)).await;
    }
}
