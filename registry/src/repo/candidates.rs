//! What tells a collector where to look: a record for each manifest whose references are about to come or to go. It is
//! written before they do, and stands until a collector has seen that nothing is left to do, whoever dies in between.

use serde::{Deserialize, Serialize};
use wharf_blobstore::{Change, Expect, ObjectKey, RecordKey, Write, encode};
use wharf_spec::{Digest, RawManifest, RepositoryName};

use super::content::Needs;
use super::manifests::Holder;
use super::{Repositories, keys};

/// The value of `candidates/manifests/<id>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Candidate {
    /// The key of the manifest's record.
    pub(crate) record: RecordKey,
    /// The attempt that took, or is about to take, the references.
    pub(crate) holder: Holder,
    /// What is about to happen to the manifest.
    pub(crate) why: Why,
    /// When it was written, seconds since 1970.
    pub(crate) at: u64,
    /// What the manifest needs.
    pub(crate) needs: Vec<Digest>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Digest>,
}

/// What is about to happen to a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Why {
    /// It is being pushed.
    Push,
    /// It is being deleted.
    Delete,
}

impl Repositories {
    /// The write that makes a manifest a candidate.
    pub(super) fn candidate(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &Needs,
        (holder, why): (Holder, Why),
    ) -> Write {
        let candidate = Candidate {
            record: keys::manifest(name, &manifest.digest()),
            holder,
            why,
            at: self.now(),
            needs: needs.keys().copied().collect(),
            subject: manifest.subject().map(|subject| subject.digest),
        };
        let key = keys::candidate(ObjectKey::new(self.store.ids.fresh()));
        Write { key, expect: Expect::Absent, change: Change::Put(encode(&candidate)) }
    }
}
