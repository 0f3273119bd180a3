//! What can go wrong below: every variant is a decision a caller can take.

use std::io;

use wharf_spec::{Digest, DigestMismatch};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No space left. Nothing was lost and nothing half-written is visible; free some space and try again.
    #[error("the store is full: no space left to {doing}")]
    Full {
        /// What was being done.
        doing: String,
    },
    /// Uploaded content does not have the digest that was promised. Nothing became visible.
    #[error(transparent)]
    Mismatch(Box<DigestMismatch>),
    /// Stored bytes are not what their record says. Push the content again, or run a check of the store.
    #[error("stored content of {digest} is damaged: {problem}")]
    Corrupt {
        /// The content's digest.
        digest: Digest,
        /// What is wrong with it.
        problem: String,
    },
    /// A record does not read as what its key says it is.
    #[error("record {key} is damaged: {problem}")]
    CorruptRecord {
        /// The record's key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An upload that is to be taken up again is not where its state says.
    #[error("the upload's bytes are gone or shorter than its state says")]
    UploadLost,
    /// Somebody else kept writing the same record; trying again later will do.
    #[error("the record {key} is being written by others again and again")]
    Contended {
        /// The record's key.
        key: String,
    },
    /// The storage service did not answer, or failed, for as long as was waited. Trying again later will do; what was
    /// being written may have been written.
    #[error("could not {doing}: the storage service does not answer as it should: {problem}")]
    Unavailable {
        /// What was being done.
        doing: String,
        /// What happened last.
        problem: String,
    },
    /// The storage service refuses: credentials, permissions, or a bucket that is not there. Trying again is no use.
    #[error("could not {doing}: {problem}")]
    Refused {
        /// What was being done.
        doing: String,
        /// The service's words, and what to do.
        problem: String,
    },
    /// Written by a newer version, or not a store.
    #[error("{path} cannot be used as a store: {reason}")]
    Unusable {
        /// Where.
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The disk or the operating system failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's words.
        source: io::Error,
    },
    /// The database failed.
    #[error("could not {doing}: {problem}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// The database's words.
        problem: String,
    },
}

impl From<DigestMismatch> for Error {
    fn from(mismatch: DigestMismatch) -> Self {
        // Boxed, so that every other result of this crate stays small.
        Self::Mismatch(Box::new(mismatch))
    }
}

impl Error {
    /// An I/O error while `doing` something; a full disk becomes [`Error::Full`].
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full { doing: doing.into() },
            _ => Self::Io { doing: doing.into(), source },
        }
    }
}

/// The innermost error: the outer ones say the same with other words around it.
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}
