//! Versions of tags: what a tag pointed at, since when, by whom and why. Not part of the OCI specifications.

use serde::{Deserialize, Serialize};

use crate::{Descriptor, Digest, RepositoryName, Tag};

/// One version of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagVersion {
    /// Its number; the first is 1, and it only grows.
    pub version: u64,
    /// What the tag pointed at; nothing when it was deleted.
    pub descriptor: Option<Descriptor>,
    /// Seconds since 1970.
    pub at: u64,
    /// Who did it.
    pub by: String,
    /// What was done.
    pub how: How,
    /// The version that was brought back, for a rollback and a restore.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Whether the manifest was deleted on purpose since: this version cannot be brought back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gone: bool,
}

impl TagVersion {
    /// The version whose content this is: its own, or the one that was brought back.
    pub fn origin(&self) -> u64 {
        self.from.unwrap_or(self.version)
    }

    /// What it points at, if that can still be had.
    pub fn kept(&self) -> Option<&Descriptor> {
        self.descriptor.as_ref().filter(|_| !self.gone)
    }
}

/// What made a version of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// A manifest was pushed.
    Push,
    /// An earlier version was brought back.
    Rollback,
    /// The tag was deleted.
    Delete,
    /// The tag was brought back after it had been deleted.
    Restore,
    /// A retention rule deleted the tag.
    Retention,
    /// A repair of the store took the tag away from a manifest that is not there.
    Fsck,
}

impl How {
    /// The word for it, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Rollback => "rollback",
            Self::Delete => "delete",
            Self::Restore => "restore",
            Self::Retention => "retention",
            Self::Fsck => "fsck",
        }
    }
}

/// Where a rollback goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// To what the tag pointed at before. Again and again leads further and further back.
    OneBack,
    /// To the version with this number.
    Version(u64),
    /// To the newest version that pointed at this manifest.
    Digest(Digest),
}

/// A tag with its history, as `/api/v1/` tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagHistory {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag.
    pub tag: Tag,
    /// Number of the newest version.
    pub version: u64,
    /// What the tag points at; nothing when it is deleted.
    pub current: Option<Descriptor>,
    /// The versions remembered, newest first.
    pub history: Vec<TagVersion>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Records are written with these words, and programs read them.
    #[test]
    fn a_version_reads_as_it_was_written_before_there_were_rollbacks() {
        let old = r#"{"version":3,"descriptor":null,"at":7,"by":"ann","how":"delete"}"#;
        let version: TagVersion = serde_json::from_str(old).unwrap();
        assert_eq!((version.from, version.gone, version.origin()), (None, false, 3));
        assert_eq!(serde_json::to_string(&version).unwrap(), old);
        for how in [How::Push, How::Rollback, How::Delete, How::Restore, How::Retention, How::Fsck] {
            assert_eq!(serde_json::to_string(&how).unwrap(), format!("\"{}\"", how.as_str()));
        }
    }
}
