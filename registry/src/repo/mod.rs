//! Repositories over a [`Store`]: manifests, tags with history, blobs, uploads, referrers. No HTTP types here.
//!
//! [`Repositories`] is a cheap handle; everybody who publishes (the server, `wharf build`, `wharf pull`) goes through
//! it, and several may do so on one store at once: every change is a compare-and-swap.

mod blobs;
mod catalog;
mod content;
mod error;
mod keys;
mod local;
mod manifests;
mod referrers;
mod tags;
#[cfg(test)]
mod tests;
mod uploads;

use std::time::{Duration, UNIX_EPOCH};

use wharf_blobstore::{BlobStore, Store};

pub use content::foreign_layers;
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
    blobs: BlobStore,
    least_chunk: u64,
}

impl Repositories {
    /// The repositories of `store`.
    pub fn new(store: Store) -> Self {
        Self { blobs: store.blobs(), store, least_chunk: 0 }
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

    /// Seconds since 1970, by the store's clock.
    fn now(&self) -> u64 {
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
