//! What happens during a copy, for whoever renders progress.

use std::sync::Arc;

use wharf_spec::{Descriptor, Digest, Platform, Tag};

use super::Origin;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferEvent {
    /// What is to be copied is known: this many manifests, blobs and bytes, before anything that is already there is
    /// taken off.
    Planned {
        /// Manifests and indexes.
        manifests: usize,
        /// Different blobs.
        blobs: usize,
        /// Their size together.
        bytes: u64,
    },
    /// A blob's bytes begin to flow.
    BlobStarted(Descriptor),
    /// More of a blob has passed.
    BlobProgress {
        /// Which.
        digest: Digest,
        /// Bytes so far; goes back to a smaller number when a retry starts over.
        done: u64,
    },
    /// The destination had the blob.
    BlobExists(Descriptor),
    /// The destination took the blob from another of its repositories.
    BlobMounted {
        /// Which.
        descriptor: Descriptor,
        /// From where.
        from: Origin,
    },
    /// The blob may not be distributed and stays where its `urls` say.
    BlobSkipped(Descriptor),
    /// A blob is stored.
    BlobDone(Descriptor),
    /// The destination had the manifest with everything it needs.
    ManifestExists(Descriptor),
    /// A manifest is stored, and the tag, if any, points at it.
    ManifestDone {
        /// Which.
        descriptor: Descriptor,
        /// The tag.
        tag: Option<Tag>,
    },
    /// A platform of the index was left out, as asked.
    PlatformSkipped(Platform),
}

/// Takes events. Called from several tasks at once; must not block.
pub type Events = Arc<dyn Fn(TransferEvent) + Send + Sync>;

/// For callers who do not care.
pub fn ignore_events() -> Events {
    Arc::new(|_| {})
}
