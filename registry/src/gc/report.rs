//! What a run did.

use serde::Serialize;
use wharf_spec::Digest;

/// What a run did; in a dry run, what it would have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Candidates looked at.
    pub candidates: u64,
    /// Of these, those that are to be looked at again: what they are about is too young, or others are changing it.
    pub waiting: u64,
    /// Blobs deleted.
    pub blobs: u64,
    /// Objects deleted that were of no blob any more, or never were.
    pub objects: u64,
    /// Bytes of all that was deleted: blobs, objects, uploads.
    pub bytes: u64,
    /// References removed whose holder had died.
    pub references: u64,
    /// Pushes and deletes given up that had died.
    pub attempts: u64,
    /// Uploads forgotten that nobody continued, or that had died.
    pub uploads: u64,
}

/// Something a run did just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A candidate was looked at: how many so far, and how many bytes were freed by then.
    Looked {
        /// Candidates so far.
        candidates: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// A blob was deleted, or would be.
    Freed {
        /// The blob.
        digest: Digest,
        /// Its length.
        bytes: u64,
    },
}
