//! A published manifest as a check of the store sees it: its bytes, and every record that should stand because of it.

use wharf_blobstore::{Entry, Error as StoreError, RecordKey, Result as StoreResult};
use wharf_spec::{Descriptor, Digest, RawManifest};

use super::content::{Needs, needs};
use super::keys;
use super::manifests::{Header, Holder, State};

/// A published manifest, and what it needs.
pub(crate) struct Inventory {
    pub(crate) manifest: RawManifest,
    holder: Holder,
    needs: Needs,
}

/// Something a manifest needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Needed {
    pub(crate) digest: Digest,
    pub(crate) may_be_blob: bool,
    pub(crate) may_be_manifest: bool,
    /// It need not be in the store at all.
    pub(crate) may_be_elsewhere: bool,
}

impl Inventory {
    /// Reads a manifest's record, and hashes its bytes. `None` while it is on its way.
    pub(crate) fn read(entry: &Entry) -> StoreResult<Option<Self>> {
        let corrupt = |problem: String| StoreError::CorruptRecord { key: entry.key.to_string(), problem };
        let (header, bytes) = Header::decode(&entry.key, &entry.record.value)?;
        match header.state {
            State::Live | State::Condemned => {}
            State::Pending => return Ok(None),
        }
        let digest: Digest = entry.key.name().parse().map_err(|_| corrupt("its key is no digest's".to_owned()))?;
        digest.verify(&bytes).map_err(|mismatch| corrupt(mismatch.to_string()))?;
        let manifest = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm())
            .map_err(|error| corrupt(error.to_string()))?;
        Ok(Some(Self { needs: needs(&manifest), manifest, holder: header.holder }))
    }

    pub(crate) fn needs(&self) -> Vec<Needed> {
        let needed = |(digest, need): (&Digest, &super::content::Need)| need.as_needed(*digest);
        self.needs.iter().map(needed).collect()
    }

    /// The key of the manifest's reference to something it needs.
    pub(crate) fn reference(&self, digest: &Digest) -> RecordKey {
        keys::reference(digest, self.holder)
    }
}

/// How a manifest stands in the list of its subject.
pub(crate) fn referrer_of(manifest: &RawManifest) -> Descriptor {
    Descriptor {
        artifact_type: manifest.artifact_type().cloned(),
        annotations: manifest.annotations().clone(),
        ..manifest.descriptor()
    }
}
