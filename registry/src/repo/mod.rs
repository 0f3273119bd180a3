//! Repositories over a [`Store`]: manifests, tags with history, blobs, uploads, referrers. No HTTP types here.
//!
//! [`Repositories`] is a cheap handle; everybody who publishes (the server, `wharf build`, `wharf pull`) goes through
//! it, and several may do so on one store at once: every change is a compare-and-swap.

mod blobs;
pub(crate) mod candidates;
mod catalog;
mod content;
mod error;
pub(crate) mod holders;
pub(crate) mod keys;
mod local;
mod manifests;
mod referrers;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;

use std::time::{Duration, UNIX_EPOCH};

use wharf_blobstore::{BlobStore, Store};

pub use error::{Error, Result};
pub use local::LocalRepository;
pub use manifests::{ManifestList, Pushed, StoredManifest};
pub use referrers::ReferrerPage;
pub use tags::{How, TagRecord, TagVersion};
pub use uploads::{ChunkRange, PieceStream, SessionId, SessionStatus};

/// How often a compare-and-swap is tried before the caller is told that others keep getting in between.
const ATTEMPTS: usize = 64;

/// All repositories of a store.
#[derive(Clone, Debug)]
pub struct Repositories {
    store: Store,
    pub(crate) blobs: BlobStore,
}

impl Repositories {
    /// The repositories of `store`.
    pub fn new(store: Store) -> Self {
        Self { blobs: store.blobs(), store }
    }

    /// The store below.
    pub fn store(&self) -> &Store {
        &self.store
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
