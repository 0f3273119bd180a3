//! What can go wrong between the wire and the store, in the registry's words.

use wharf_blobstore::Error as StoreError;
use wharf_spec::{Digest, ManifestError, RepositoryName, Tag};

use super::versions::NoWayBack;

/// A result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the registry refuses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody has pushed to this repository.
    #[error("repository {0} is not known here: nobody has pushed to it")]
    UnknownRepository(RepositoryName),
    /// No such manifest, or no such tag.
    #[error("{repository} has no manifest {reference}")]
    UnknownManifest {
        /// The repository asked.
        repository: RepositoryName,
        /// The tag or digest asked for.
        reference: String,
    },
    /// No such blob in this repository.
    #[error("{repository} has no blob {digest}")]
    UnknownBlob {
        /// The repository asked.
        repository: RepositoryName,
        /// The digest asked for.
        digest: Digest,
    },
    /// A manifest names content that is not there (any more): push that first, then the manifest again.
    #[error("the manifest names content that {repository} does not have: push it first")]
    Missing {
        /// The repository pushed to.
        repository: RepositoryName,
        /// What is missing.
        digests: Vec<Digest>,
    },
    /// Something cannot be deleted while a manifest needs it: delete that first.
    #[error("{repository} needs {digest} for its manifest {needed_by}: delete that first")]
    InUse {
        /// The repository asked.
        repository: RepositoryName,
        /// What was to be deleted.
        digest: Digest,
        /// The manifest that needs it.
        needed_by: Digest,
    },
    /// A manifest gives another length than the content has: clients would refuse to pull it.
    #[error("the manifest says that {digest} has {said} bytes, it has {actual}")]
    WrongSize {
        /// The content.
        digest: Digest,
        /// What the manifest says.
        said: u64,
        /// What is stored.
        actual: u64,
    },
    /// Not a manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The manifest was sent to a digest that is not its own.
    #[error("the manifest's digest is {actual}, not {expected}")]
    ManifestDigest {
        /// The digest in the path.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// No such upload, or not of this repository: begin a new one.
    #[error("there is no such upload: it was finished, cancelled or has expired; begin a new one")]
    UnknownUpload,
    /// A chunk that does not begin where the last one ended.
    #[error("the upload stands at {offset} bytes, the chunk begins at {start}")]
    OutOfOrder {
        /// Bytes the upload has.
        offset: u64,
        /// Where the chunk begins.
        start: u64,
    },
    /// A chunk whose body is not as long as its range says.
    #[error("the chunk's range promises {promised} bytes, its body had {received}")]
    ChunkLength {
        /// Length of the range.
        promised: u64,
        /// Bytes that came.
        received: u64,
    },
    /// A chunk after one that was too short to have one after it.
    #[error(
        "chunks before the last must have {least} bytes at least (OCI-Chunk-Min-Length), the one before this had {length}"
    )]
    ShortChunk {
        /// The least length.
        least: u64,
        /// Length of the chunk before.
        length: u64,
    },
    /// Two requests write one upload at the same time.
    #[error("another request is writing this upload")]
    UploadBusy,
    /// The client stopped sending. What had arrived is kept.
    #[error("the request's body ended early")]
    Truncated,
    /// What came as a delta is none.
    #[error("the request's body is no delta of its base: {0}")]
    Delta(String),
    /// The tag is not what the caller thinks it is: look again, then decide.
    #[error("tag {tag} has been changed: {}", standing(*version, digest.as_ref()))]
    TagMoved {
        /// The tag.
        tag: Tag,
        /// Its newest version; 0 when there never was one.
        version: u64,
        /// What it points at.
        digest: Option<Digest>,
    },
    /// A rule says that the tag never moves.
    #[error("tag {tag} of {repository} is immutable: it is {digest} and stays so; push under another tag")]
    Immutable {
        /// The repository.
        repository: RepositoryName,
        /// The tag.
        tag: Tag,
        /// What it points at.
        digest: Digest,
    },
    /// There is nothing to bring back.
    #[error("tag {tag} cannot be brought back: {problem}")]
    NoWayBack {
        /// The tag.
        tag: Tag,
        /// Why.
        problem: NoWayBack,
    },
    /// Tags were changed by somebody else all the time.
    #[error("tag {0} is being changed by others again and again; try again")]
    TagContended(Tag),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where a tag stands, in words.
fn standing(version: u64, digest: Option<&Digest>) -> String {
    match digest {
        Some(digest) => format!("it is at version {version} now, {digest}"),
        None if version == 0 => "there is no such tag".to_owned(),
        None => format!("it was deleted, by version {version}"),
    }
}
