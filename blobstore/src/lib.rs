//! Everything durable in Wharf, in two kinds and nothing else:
//!
//! 1. **Objects**: immutable bytes under a fresh key ([`Objects`]); [`BlobStore`] names them by digest.
//! 2. **Records**: small values with a version, written only by compare-and-swap ([`Records`]).
//!
//! Engines implement these two traits (memory for tests, [`embedded`] for one machine, [`s3`] for many); every protocol above them is
//! written once. This crate knows no HTTP, no manifests and no tags.
//!
//! # Key space
//!
//! Who owns a prefix decides what its values are; owners document theirs. Repository names contain slashes, so what
//! belongs to a repository starts with `_`, with which no name component can start.
//!
//! ```text
//! objects  <epoch>                            bytes of one upload; never rewritten, never copied
//! blobs/<alg>:<hex>                           blob.rs: live | condemned | deleting, epoch, size, epochs still to delete,
//!                                             uploads about to finish
//! candidates/blobs/<id>                       blob.rs: a blob that an upload is about to bring; collectors look at it
//! candidates/manifests/<id>                   registry: a manifest whose references are about to come or to go
//! gc/lease                                    registry: which process collects
//! quarantine/<key>                            registry: a damaged record as it was, taken out of use by a check
//! refs/<alg>:<hex>/<holder>                   registry: who needs this content; the holder is fresh per push attempt
//! repos/<name>/_manifests/<alg>:<hex>         registry: pending | live | condemned (holder), media type, the exact bytes,
//!                                             pushed at/by, last asked for at
//! repos/<name>/_blobs/<alg>:<hex>             registry: this repository may read this blob, last confirmed at
//! repos/<name>/_tags/<tag>                    registry: current descriptor, version number, history (newest first, gone or not)
//! repos/<name>/_referrers/<subject>/<digest>  registry: a manifest that has <subject>
//! uploads/<id>                                registry: an upload session, resumable on any replica
//! catalog/<name>                              registry: flat, so that listing repositories is one ordered scan
//! cache/<key>                                 builder: a build step's result
//! ```

pub mod azure;
pub mod backup;
mod blob;
mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embedded;
mod error;
mod key;
pub mod memory;
mod object;
mod record;
pub mod s3;

use std::sync::Arc;

pub use blob::{
    Arriving, Blob, BlobState, BlobStore, BlobUpload, BlobView, CANDIDATES, Candidate, Current, OwnUpload, RESTAMP,
    UploadState, view_entry,
};
pub use clock::{Clock, Ids, RandomIds, SystemClock};
pub use error::{Error, Result};
pub use key::{ObjectKey, RecordKey};
pub use object::{ByteStream, Checkpoint, ObjectWriter, Objects, Unfinished};
pub use record::{
    Change, Entry, Expect, Generation, Outcome, Record, Records, RecordsExt, Version, Write, decode, encode,
};

/// A store: the two engines, and the clock and source of fresh ids that the protocols above them use.
///
/// Cloning is cheap; clones share everything.
#[derive(Clone, Debug)]
pub struct Store {
    /// Bytes.
    pub objects: Arc<dyn Objects>,
    /// Records.
    pub records: Arc<dyn Records>,
    /// The time, for whoever stamps records.
    pub clock: Arc<dyn Clock>,
    /// Fresh ids: epochs, holders, upload sessions.
    pub ids: Arc<dyn Ids>,
}

impl Store {
    /// A store over these engines, with the system's clock and randomness.
    pub fn new(objects: impl Objects, records: impl Records) -> Self {
        Self {
            objects: Arc::new(objects),
            records: Arc::new(records),
            clock: Arc::new(SystemClock),
            ids: Arc::new(RandomIds),
        }
    }

    /// An empty store in memory.
    pub fn memory() -> Self {
        Self::new(memory::MemoryObjects::default(), memory::MemoryRecords::default())
    }

    /// The content-addressed view.
    pub fn blobs(&self) -> BlobStore {
        BlobStore::new(self.clone())
    }
}
