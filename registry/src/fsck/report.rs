//! What a check found.

use serde::Serialize;

/// What was looked at, and what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Records read.
    pub records: u64,
    /// Blobs read and hashed.
    pub blobs: u64,
    /// Bytes read and hashed.
    pub bytes: u64,
    /// Manifests hashed, and compared with what they need.
    pub manifests: u64,
    /// What is wrong, in the order it was found.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is wrong (any more).
    pub fn is_in_order(&self) -> bool {
        self.findings.iter().all(|finding| finding.fate.is_in_order())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind of thing.
    pub kind: Kind,
    /// The record's key, or the object's.
    pub place: String,
    /// What is wrong, for people.
    pub problem: String,
    /// What was done about it.
    pub fate: Fate,
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A record does not read.
    DamagedRecord,
    /// A blob's bytes are missing, or not those of its digest.
    DamagedBlob,
    /// A manifest's bytes are not those of its digest.
    DamagedManifest,
    /// A manifest needs something that is not there.
    MissingContent,
    /// A tag points at a manifest that is not there.
    DanglingTag,
    /// A manifest has no reference to what it needs, so that a collector would take it.
    MissingReference,
    /// A reference whose holder is gone.
    DeadReference,
    /// A repository may not read what its manifest needs.
    MissingLink,
    /// A manifest is not listed with what it is about.
    MissingReferrer,
    /// A manifest that is gone is listed with what it was about.
    DeadReferrer,
    /// A repository is not in the catalogue.
    MissingCatalogEntry,
    /// A blob that nobody needs, and that no collector would look at.
    MissingCandidate,
    /// An object that no record knows.
    UnexplainedObject,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Nothing: only looked at. `--repair` does something about it.
    Found,
    /// Nothing: it only takes room, and does no harm. `--repair` removes it.
    Harmless,
    /// It is in order again.
    Repaired,
    /// It is out of use and kept: what it was about can be pushed again.
    Quarantined,
    /// It cannot be repaired from what is in the store, or cannot be explained: it is left as it is.
    Left,
}

impl Fate {
    /// Whether nothing needs to be done (any more).
    pub fn is_in_order(self) -> bool {
        match self {
            Self::Repaired | Self::Harmless => true,
            Self::Found | Self::Quarantined | Self::Left => false,
        }
    }
}
