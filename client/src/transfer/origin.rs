//! Where an image is, for messages and for deciding whether a blob can be mounted instead of copied.

use std::fmt;
use std::path::PathBuf;

use wharf_spec::{Digest, Reference, RegistryHost, RepositoryName, Tag};

/// A place that holds images.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A repository of a remote registry.
    Registry {
        /// As the reference wrote it (`docker.io`, not the machine that answers for it).
        host: RegistryHost,
        /// The repository.
        repository: RepositoryName,
    },
    /// A repository of the local store.
    Store {
        /// The repository.
        repository: RepositoryName,
    },
    /// A layout directory or an archive file.
    File(PathBuf),
    /// A place that keeps bytes by name, as its owner knows it.
    Place(String),
    /// A stream that has no name: standard input or output.
    Stream,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registry { host, repository } => write!(f, "{host}/{repository}"),
            Self::Store { repository } => write!(f, "{repository} in the local store"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Place(place) => f.write_str(place),
            Self::Stream => f.write_str("the stream"),
        }
    }
}

/// Which manifest of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Whatever the tag points at now.
    Tag(Tag),
    /// Exactly this one.
    Digest(Digest),
}

impl From<&Reference> for Target {
    /// The digest when there is one, else the tag, else `latest`.
    fn from(reference: &Reference) -> Self {
        match (reference.digest, &reference.tag) {
            (Some(digest), _) => Self::Digest(digest),
            (None, Some(tag)) => Self::Tag(tag.clone()),
            (None, None) => Self::Tag(Tag::latest()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}
