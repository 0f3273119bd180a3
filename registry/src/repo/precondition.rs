//! What a caller thinks a tag is, so that two who change it at once do not undo each other's work unseen.

use wharf_spec::{Digest, Tag};

use super::versions::TagRecord;
use super::{Error, Result};

/// What must be true of a tag for a change to happen. Looked at in the same compare-and-swap as the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    #[default]
    None,
    /// There must be no such tag; a deleted one is none.
    Absent,
    /// It must be there, whatever it points at.
    Present,
    /// It must be one of these.
    Is(Vec<Expected>),
}

/// What a tag is thought to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It points at this manifest.
    Digest(Digest),
    /// Its newest version has this number: nothing at all has happened to it since.
    Version(u64),
}

impl Precondition {
    pub(super) fn check(&self, tag: &Tag, record: &TagRecord) -> Result<()> {
        let holds = match self {
            Self::None => true,
            Self::Absent => record.current.is_none(),
            Self::Present => record.current.is_some(),
            Self::Is(expected) => expected.iter().any(|expected| match expected {
                Expected::Digest(digest) => record.points_at(digest),
                Expected::Version(version) => record.version == *version,
            }),
        };
        if holds {
            return Ok(());
        }
        let digest = record.current.as_ref().map(|current| current.digest);
        Err(Error::TagMoved { tag: tag.clone(), version: record.version, digest })
    }
}
