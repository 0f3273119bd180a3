//! A blob's life as a collector drives it: each step is one compare-and-swap on the blob's record, made against what was
//! seen of it, so any collector may take over from any other at any point. Whether a blob is still needed is not known
//! here.
//!
//! The order that keeps this safe is the caller's: look for references only *after* the record was seen condemned, and
//! doom it at the version that was seen.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use wharf_spec::Digest;

use super::record::{Arriving, BlobRecord, Current};
use super::{BlobState, BlobStore, blob_key};
use crate::{Change, Entry, Expect, ObjectKey, Outcome, RecordKey, RecordsExt as _, Result, Version, Write};

/// Blobs that a collector should look at are named by records under this prefix, one for each upload.
pub const CANDIDATES: &str = "candidates/blobs/";

/// The value of `candidates/blobs/<id>`: an upload is about to finish, and nobody may ever need what it brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The blob.
    pub digest: Digest,
    /// When it was written, seconds since 1970.
    pub at: u64,
    /// The object that the upload writes. Without one, the candidate's id is its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectKey>,
}

/// A blob's record as it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobView {
    /// The blob.
    pub digest: Digest,
    /// Its bytes, unless it is gone.
    pub current: Option<Current>,
    /// Objects whose bytes are still to be deleted.
    pub stale: Vec<ObjectKey>,
    /// Uploads that are about to finish, or died before they did.
    pub arriving: Vec<Arriving>,
    version: Version,
}

impl BlobView {
    /// Whether the record names this object.
    pub fn names(&self, epoch: ObjectKey) -> bool {
        let current = self.current.is_some_and(|current| current.epoch == epoch);
        current || self.stale.contains(&epoch) || self.arriving.iter().any(|arriving| arriving.epoch == epoch)
    }

    fn record(&self) -> BlobRecord {
        BlobRecord { current: self.current, stale: self.stale.clone(), arriving: self.arriving.clone() }
    }
}

impl BlobStore {
    /// The write that makes `digest` a candidate for the sake of the upload `epoch`; under a key of its own each time, for
    /// candidates are retired.
    pub(super) fn candidate(&self, digest: Digest, epoch: ObjectKey) -> Write {
        let id = ObjectKey::new(self.store.ids.fresh());
        let value = crate::encode(&Candidate { digest, at: self.now(), object: Some(epoch) });
        let key = RecordKey::new(format!("{CANDIDATES}{id}"));
        Write { key, expect: Expect::Absent, change: Change::Put(value) }
    }

    /// Makes a blob a candidate, for whoever has found that it may be garbage.
    pub async fn nominate(&self, digest: Digest) -> Result<()> {
        let write = self.candidate(digest, ObjectKey::new(self.store.ids.fresh()));
        self.store.records.write(vec![write]).await.map(|_| ())
    }

    /// A blob's record as it is now. `None` when there is none: the blob is gone, and so are its bytes.
    pub async fn view(&self, digest: &Digest) -> Result<Option<BlobView>> {
        let key = blob_key(digest);
        let Some(record) = self.store.records.get(&key).await? else { return Ok(None) };
        view_of(*digest, &key, &record.value, record.version).map(Some)
    }

    /// `live -> condemned`. `false` when the record was not as seen; so for every step below.
    pub async fn condemn(&self, seen: &BlobView) -> Result<bool> {
        self.step(seen, BlobState::Live, BlobState::Condemned).await
    }

    /// `condemned -> live`: it is needed after all.
    pub async fn spare(&self, seen: &BlobView) -> Result<bool> {
        self.step(seen, BlobState::Condemned, BlobState::Live).await
    }

    /// `condemned -> deleting`, the point of no return.
    pub async fn doom(&self, seen: &BlobView) -> Result<bool> {
        self.step(seen, BlobState::Condemned, BlobState::Deleting).await
    }

    /// Writes the record again as it is, so that whoever decided by what he saw of it before must look again.
    pub async fn affirm(&self, seen: &BlobView) -> Result<bool> {
        self.swap(seen, seen.record()).await
    }

    async fn step(&self, seen: &BlobView, from: BlobState, to: BlobState) -> Result<bool> {
        let Some(current) = seen.current.filter(|current| current.state == from) else { return Ok(false) };
        let record = BlobRecord { current: Some(Current { state: to, ..current }), ..seen.record() };
        self.swap(seen, record).await
    }

    /// An upload that was about to finish loses the right to: its commit will fail, and its bytes are to be deleted.
    pub async fn void(&self, seen: &BlobView, epoch: ObjectKey) -> Result<bool> {
        let mut record = seen.record();
        if !record.take_arriving(epoch) {
            return Ok(false);
        }
        record.stale.push(epoch);
        self.swap(seen, record).await
    }

    /// Objects whose bytes nobody can need any more.
    pub fn doomed_objects(seen: &BlobView) -> Vec<ObjectKey> {
        let deleting = seen.current.filter(|current| current.state == BlobState::Deleting);
        seen.stale.iter().copied().chain(deleting.map(|current| current.epoch)).collect()
    }

    /// Deletes those objects' bytes, and then forgets them.
    pub async fn sweep(&self, seen: &BlobView) -> Result<bool> {
        for object in Self::doomed_objects(seen) {
            self.store.objects.delete(object).await?;
        }
        let current = seen.current.filter(|current| current.state != BlobState::Deleting);
        self.swap(seen, BlobRecord { current, stale: Vec::new(), ..seen.record() }).await
    }

    async fn swap(&self, seen: &BlobView, record: BlobRecord) -> Result<bool> {
        let change = if record.is_empty() { Change::Delete } else { Change::Put(crate::encode(&record)) };
        let expect = Expect::Version(seen.version.clone());
        let outcome = self.store.records.swap(blob_key(&seen.digest), expect, change).await?;
        Ok(outcome != Outcome::Conflict)
    }
}

/// A record of a listing of `blobs/`; `None` when its key is no digest's.
pub fn view_entry(entry: &Entry) -> Result<Option<BlobView>> {
    let Ok(digest) = entry.key.name().parse() else { return Ok(None) };
    view_of(digest, &entry.key, &entry.record.value, entry.record.version.clone()).map(Some)
}

fn view_of(digest: Digest, key: &RecordKey, value: &Bytes, version: Version) -> Result<BlobView> {
    let BlobRecord { current, stale, arriving } = crate::decode(key, value)?;
    Ok(BlobView { digest, current, stale, arriving, version })
}
