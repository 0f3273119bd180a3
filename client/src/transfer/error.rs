//! Why an image could not be moved.

use std::path::PathBuf;

use wharf_spec::{Descriptor, Digest, DigestMismatch, ManifestError, Platform};

use super::{Origin, Target};

/// A result of moving images.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an image could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place has no such manifest.
    #[error("{origin} has no manifest {target}")]
    ManifestNotFound {
        /// Where it was looked for.
        origin: Origin,
        /// What was looked for.
        target: Target,
    },
    /// The place has no such blob.
    #[error("{origin} has no blob {digest}")]
    BlobNotFound {
        /// Where it was looked for.
        origin: Origin,
        /// What was looked for.
        digest: Digest,
    },
    /// The place gave bytes that are not what was asked for. Nothing of them was stored.
    #[error("{origin} gave the wrong bytes: {mismatch}")]
    WrongBytes {
        /// Who gave them.
        origin: Origin,
        /// What was expected and what came.
        mismatch: DigestMismatch,
    },
    /// The place gave too many or too few bytes. Nothing of them was stored.
    #[error("{origin} gave {actual} bytes of {digest}, which has {expected}")]
    WrongSize {
        /// Who gave them.
        origin: Origin,
        /// Of what.
        digest: Digest,
        /// What the descriptor says.
        expected: u64,
        /// What came, or how many had come when it was given up.
        actual: u64,
    },
    /// What was given as a manifest is none that can be handled.
    #[error("{origin} has a manifest {target} that cannot be used: {problem}")]
    BadManifest {
        /// Who gave it.
        origin: Origin,
        /// Which.
        target: Target,
        /// What is wrong with it.
        problem: ManifestError,
    },
    /// A manifest over [`super::MAX_MANIFEST`].
    #[error("{origin} has a manifest {target} of more than {limit} bytes", limit = super::MAX_MANIFEST)]
    HugeManifest {
        /// Who gave it.
        origin: Origin,
        /// Which.
        target: Target,
    },
    /// Indexes within indexes, deeper than anybody needs.
    #[error("{origin} nests indexes too deeply below {digest}")]
    TooDeep {
        /// Who gave it.
        origin: Origin,
        /// Where it was given up.
        digest: Digest,
    },
    /// More manifests behind one image than can be held at once.
    #[error("{origin} has more than {limit} bytes of manifests behind one image")]
    TooManyManifests {
        /// Who gave it.
        origin: Origin,
        /// How many bytes are held at most.
        limit: u64,
    },
    /// No image for the platform.
    #[error("{origin} has no image for {wanted}; it has {}", list_platforms(.offered))]
    NoSuchPlatform {
        /// Where it was looked for.
        origin: Origin,
        /// What was looked for.
        wanted: Platform,
        /// What is there.
        offered: Vec<Platform>,
    },
    /// A registry said no, or could not be reached.
    #[error(transparent)]
    Registry(#[from] crate::registry::Error),
    /// The local store failed.
    #[error(transparent)]
    Store(#[from] wharf_blobstore::Error),
    /// A file or directory could not be read or written.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// A layout or archive is not what it should be.
    #[error("{path}: {problem}", path = path.display())]
    BadFile {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A destination that already failed: what was written is incomplete and was thrown away.
    #[error("{0} was not written completely, because of an earlier error")]
    Abandoned(Origin),
    /// A place that is implemented elsewhere failed in its own way.
    #[error("{source}")]
    Place {
        /// Which.
        origin: Origin,
        /// Its own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn list_platforms(platforms: &[Platform]) -> String {
    if platforms.is_empty() {
        return "none that says its platform".to_owned();
    }
    platforms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Error {
    /// An I/O error while `doing` something.
    pub fn io(doing: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            _ => None,
        }
    }

    /// An error of a place that is implemented outside this crate.
    pub fn place(origin: Origin, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Place { origin, source: source.into() }
    }

    /// A blob that is not there.
    pub fn no_blob(origin: Origin, descriptor: &Descriptor) -> Self {
        Self::BlobNotFound { origin, digest: descriptor.digest }
    }
}
