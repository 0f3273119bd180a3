//! Places that keep bytes by name and know nothing of images: a bucket, a container, the cache of a CI service.
//!
//! A [`FlatPlace`] has three methods; [`FlatRepository`] makes a repository of any of them, as a source and a sink of
//! copies. There are no references and no garbage collection: whoever owns the place removes what is old, and what was
//! there may be gone.
//!
//! | place | is |
//! |---|---|
//! | [`FlatMemory`] | for tests |
//! | [`S3Place`] | a bucket |
//! | [`AzurePlace`] | a container of Azure Blob Storage |
//! | [`GhaPlace`] | the cache of GitHub Actions |

mod azure;
mod gha;
mod memory;
mod repository;
mod s3;

use std::fmt;

use async_trait::async_trait;
use wharf_spec::{Digest, Tag};

use crate::transfer::{BlobBody, ByteStream, Result};

pub use azure::AzurePlace;
pub use gha::{GhaConfig, GhaError, GhaPlace, GhaVersion};
pub use memory::FlatMemory;
pub use repository::FlatRepository;
pub use s3::S3Place;

/// What something is called at a flat place.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FlatName {
    /// Bytes that have this digest: whoever writes them writes the same.
    Blob(Digest),
    /// A manifest under a name: the last one that was written counts.
    Entry(Tag),
}

impl fmt::Display for FlatName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Entry(tag) => write!(f, "entry {tag}"),
        }
    }
}

/// A place that keeps bytes by name.
///
/// What is written is there whole or not at all, and there for every read that begins afterwards. Bytes are not checked:
/// whoever reads them does that.
#[async_trait]
pub trait FlatPlace: fmt::Debug + Send + Sync {
    /// Whether something is there under this name; where the place knows lengths, of this one.
    async fn has(&self, name: &FlatName, size: u64) -> Result<bool>;

    /// What is there; `None` when there is nothing.
    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>>;

    /// Puts `size` bytes there. A blob that is there stays; an entry is replaced.
    async fn write(&self, name: &FlatName, size: u64, body: &dyn BlobBody) -> Result<()>;

    /// Where this is, as the user knows it.
    fn place(&self) -> String;
}

/// How names are written where slashes make directories: `blobs/DIGEST`, and `ENTRIES/TAG` for one or more `ENTRIES`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What the paths of blobs start with.
    pub blobs: String,
    /// What the paths of entries start with: all are written, and read in this order.
    pub entries: Vec<String>,
}

impl Paths {
    fn of(&self, name: &FlatName) -> Vec<String> {
        match name {
            FlatName::Blob(digest) => vec![format!("{}{digest}", self.blobs)],
            FlatName::Entry(tag) => self.entries.iter().map(|entries| format!("{entries}{tag}")).collect(),
        }
    }
}
