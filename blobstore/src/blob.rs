//! Blobs: objects named by the digest of their bytes.
//!
//! A blob's record is `live(epoch)`, `condemned(epoch)`, `deleting(epoch)` or gone; the epoch is the key of the object
//! that holds the bytes. Every change is one compare-and-swap:
//!
//! ```text
//!            commit                    collector finds no reference
//!   gone ------------> live(e) ------------------------------------> condemned(e)
//!    ^                  ^  ^        a reference turned up after all       |  |
//!    |                  |  +----------------------------------------------+  | still none: point of no return
//!    |                  |            commit: a fresh epoch e'                v
//!    +------------------+---------------------------------------------- deleting(e)
//!      bytes of e deleted
//! ```
//!
//! Before an upload's object is finished it is entered in the record as *arriving*, and a candidate for collectors is
//! written; only an upload that still stands there can become the blob's. So an object whose upload died between
//! finishing and the record is found, and a collector that gives an upload up takes its right to commit first.
//!
//! A commit that finds the blob condemned or deleting makes it live again with **its own** fresh bytes, so a late delete
//! of the old epoch can never hit them; the old epoch is kept in the record until its bytes are deleted. While
//! condemned, the bytes can still be read; but whoever is about to rely on the blob (`HEAD`, mount, manifest `PUT`)
//! must be told that it is unknown, so that the client uploads it again.

mod collect;
mod own;
mod record;
mod reliance;

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use wharf_spec::{Algorithm, Digest, DigestMismatch, Hasher, HasherState};

pub use collect::{BlobView, CANDIDATES, Candidate, view_entry};
pub use own::OwnUpload;
use record::BlobRecord;
pub use record::{Arriving, Current};

use crate::{
    ByteStream, Change, Checkpoint, Error, Expect, ObjectKey, ObjectWriter, Outcome, RecordKey, RecordsExt as _,
    Result, Store, Write, encode,
};

/// How often a compare-and-swap is tried before the caller is told that others keep getting in between.
const ATTEMPTS: usize = 64;

/// That somebody is about to rely on a blob is noted only when the last such note is older than this, in seconds: hot base
/// layers must not become hot records.
pub const RESTAMP: u64 = 3600;

/// Where a blob stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BlobState {
    /// Can be read and relied on.
    Live,
    /// Can be read, but not relied on: a collector has found no reference and is looking again.
    Condemned,
    /// Its bytes are being deleted.
    Deleting,
}

/// A readable blob: what is needed to read it without asking again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// The object that holds it.
    pub epoch: ObjectKey,
    /// [`BlobState::Live`] or [`BlobState::Condemned`].
    pub state: BlobState,
}

impl Blob {
    /// Whether new content may rely on it.
    pub fn is_live(&self) -> bool {
        self.state == BlobState::Live
    }
}

/// The content-addressed view of a [`Store`].
#[derive(Clone, Debug)]
pub struct BlobStore {
    store: Store,
}

/// `blobs/<digest>`
fn blob_key(digest: &Digest) -> RecordKey {
    RecordKey::new(format!("blobs/{digest}"))
}

impl BlobStore {
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Looks a blob up. `None` when there is none that can be read.
    pub async fn find(&self, digest: &Digest) -> Result<Option<Blob>> {
        Ok(self.find_many(std::slice::from_ref(digest)).await?.into_iter().next().flatten())
    }

    /// Looks several blobs up, in the order asked.
    pub async fn find_many(&self, digests: &[Digest]) -> Result<Vec<Option<Blob>>> {
        let keys: Vec<_> = digests.iter().map(blob_key).collect();
        let records = self.store.records.get_many(&keys).await?;
        let decode = |((digest, key), record): ((&Digest, &RecordKey), Option<crate::Record>)| {
            let Some(record) = record else { return Ok(None) };
            let found: BlobRecord = crate::decode(key, &record.value)?;
            let readable = found.current.filter(|current| current.state != BlobState::Deleting);
            Ok(readable.map(|Current { state, epoch, size, .. }| Blob { digest: *digest, size, epoch, state }))
        };
        digests.iter().zip(&keys).zip(records).map(decode).collect()
    }

    /// Reads `range` of a blob. The bytes are as they were verified at commit; they are not hashed again.
    pub async fn read(&self, blob: &Blob, range: Range<u64>) -> Result<ByteStream> {
        if let Some(bytes) = self.store.objects.read(blob.epoch, range.clone()).await? {
            return Ok(bytes);
        }
        // Since it was looked up, a collector may have condemned it and a push may have brought it back: elsewhere.
        if let Some(now) = self.find(&blob.digest).await?.filter(|now| now.epoch != blob.epoch)
            && let Some(bytes) = self.store.objects.read(now.epoch, range).await?
        {
            return Ok(bytes);
        }
        Err(Error::Corrupt { digest: blob.digest, problem: "its bytes are missing; push it again".to_owned() })
    }

    /// The write that notes that somebody is about to rely on a blob; none when that was noted lately, or there is no
    /// blob to rely on. A conflict means that the blob is changing just now: look again before relying on it.
    pub async fn note_use(&self, digest: &Digest) -> Result<Option<Write>> {
        let (key, now) = (blob_key(digest), self.now());
        let Some((mut record, version)) = self.store.records.get_json::<BlobRecord>(&key).await? else {
            return Ok(None);
        };
        match &mut record.current {
            Some(current) if current.state == BlobState::Live && now.saturating_sub(current.used_at) >= RESTAMP => {
                current.used_at = now;
            }
            Some(_) | None => return Ok(None),
        }
        Ok(Some(Write { key, expect: Expect::Version(version), change: Change::Put(encode(&record)) }))
    }

    /// Seconds since 1970, by the store's clock.
    fn now(&self) -> u64 {
        self.store.clock.now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
    }

    /// An address under which anybody may read a blob for a while, where the engine has such; see [`crate::Objects::url`].
    pub async fn url(&self, blob: &Blob, valid: Duration) -> Result<Option<String>> {
        self.store.objects.url(blob.epoch, valid).await
    }

    /// The file that holds a blob, where the engine keeps files.
    pub fn local_path(&self, blob: &Blob) -> Option<PathBuf> {
        self.store.objects.local_path(blob.epoch)
    }

    /// Reads a whole small blob and checks its digest. `None` when there is none; blobs over `limit` bytes are refused.
    pub async fn get(&self, digest: &Digest, limit: u64) -> Result<Option<Bytes>> {
        let Some(blob) = self.find(digest).await? else { return Ok(None) };
        if blob.size > limit {
            let problem = format!("{} bytes where at most {limit} make sense", blob.size);
            return Err(Error::Corrupt { digest: *digest, problem });
        }
        let bytes: BytesMut = self.read(&blob, 0..blob.size).await?.try_collect().await?;
        match digest.verify(&bytes) {
            Ok(()) => Ok(Some(bytes.freeze())),
            Err(mismatch) => Err(Error::Corrupt { digest: *digest, problem: mismatch.to_string() }),
        }
    }

    /// Stores a small blob whole.
    pub async fn put(&self, bytes: Bytes) -> Result<Blob> {
        let digest = Digest::sha256(&bytes);
        if let Some(blob) = self.find(&digest).await?.filter(Blob::is_live) {
            return Ok(blob);
        }
        let mut upload = self.upload(Algorithm::Sha256).await?;
        upload.write(bytes).await?;
        upload.commit(Some(digest)).await
    }

    /// Begins an upload. Dropped before its first checkpoint, it leaves nothing behind.
    pub async fn upload(&self, algorithm: Algorithm) -> Result<BlobUpload> {
        let epoch = ObjectKey::new(self.store.ids.fresh());
        let writer = self.store.objects.create(epoch).await?;
        let (store, hasher) = (self.clone(), Hasher::new(algorithm));
        Ok(BlobUpload { store, epoch, writer, hasher, algorithm, size: 0 })
    }

    /// Goes on with an upload from its state, in this process or another.
    pub async fn resume(&self, state: &UploadState) -> Result<BlobUpload> {
        let hasher = Hasher::restore(&state.hasher).ok_or(Error::UploadLost)?;
        let writer = self.store.objects.resume(state.epoch, &state.checkpoint).await?;
        let UploadState { epoch, size, algorithm, .. } = *state;
        let store = self.clone();
        Ok(BlobUpload { store, epoch, writer, hasher, algorithm: algorithm.into(), size })
    }

    /// Forgets an upload and its bytes.
    pub async fn abandon(&self, state: &UploadState) -> Result<()> {
        self.store.objects.abandon(state.epoch).await
    }

    /// Enters an upload that is about to finish in the blob's record, and makes the blob a candidate for collectors.
    /// Nothing of this is undone when the upload dies: that is what it is for.
    async fn announce(&self, digest: Digest, epoch: ObjectKey) -> Result<()> {
        let key = blob_key(&digest);
        for _ in 0..ATTEMPTS {
            let (mut record, expect) = match self.store.records.get_json::<BlobRecord>(&key).await? {
                Some((record, version)) => (record, Expect::Version(version)),
                None => (BlobRecord::default(), Expect::Absent),
            };
            record.arriving.push(Arriving { epoch, at: self.now() });
            let enter = Write { key: key.clone(), expect, change: Change::Put(encode(&record)) };
            let outcomes = self.store.records.write(vec![enter, self.candidate(digest, epoch)]).await?;
            if matches!(outcomes.first(), Some(Outcome::Done(_))) {
                return Ok(());
            }
        }
        Err(Error::Contended { key: key.to_string() })
    }

    /// Makes finished bytes the blob's: `gone | condemned | deleting -> live(epoch)`; already live, our copy is dropped.
    /// [`Error::UploadLost`] when a collector gave this upload up meanwhile.
    async fn commit(&self, digest: Digest, epoch: ObjectKey, size: u64) -> Result<Blob> {
        let key = blob_key(&digest);
        for _ in 0..ATTEMPTS {
            let found = self.store.records.get_json::<BlobRecord>(&key).await?;
            let entered = found.filter(|(record, _)| record.arriving.iter().any(|it| it.epoch == epoch));
            let Some((mut record, version)) = entered else {
                // Whoever gave it up may have looked for its bytes before they were there.
                self.store.objects.delete(epoch).await?;
                return Err(Error::UploadLost);
            };
            record.take_arriving(epoch);
            let blob = match record.current {
                Some(Current { state: BlobState::Live, epoch: live, size, .. }) => {
                    // First its bytes: while it stands in the record, somebody will see to them.
                    self.store.objects.delete(epoch).await?;
                    Blob { digest, size, epoch: live, state: BlobState::Live }
                }
                Some(Current { state: BlobState::Condemned | BlobState::Deleting, .. }) | None => {
                    record.stale.extend(record.current.map(|old| old.epoch));
                    record.current = Some(Current { state: BlobState::Live, epoch, size, used_at: self.now() });
                    Blob { digest, size, epoch, state: BlobState::Live }
                }
            };
            match self.store.records.put_json(key.clone(), Expect::Version(version), &record).await? {
                Outcome::Done(_) => return Ok(blob),
                // Our bytes are gone by then: somebody else's blob, live a moment ago, is the only one there is.
                Outcome::Conflict if blob.epoch != epoch => return Ok(blob),
                Outcome::Conflict => {}
            }
        }
        Err(Error::Contended { key: key.to_string() })
    }
}

/// An upload under way: bytes are hashed while they arrive, by whoever brings them, and written once. It holds what its writer
/// holds.
pub struct BlobUpload {
    store: BlobStore,
    epoch: ObjectKey,
    writer: Box<dyn ObjectWriter>,
    hasher: Hasher,
    algorithm: Algorithm,
    size: u64,
}

/// What is needed to go on with an upload elsewhere; a record's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadState {
    /// The object the bytes go to.
    pub epoch: ObjectKey,
    /// Bytes that are durable.
    pub size: u64,
    checkpoint: Checkpoint,
    hasher: HasherState,
    algorithm: AlgorithmName,
}

/// [`Algorithm`] as it stands in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AlgorithmName {
    Sha256,
    Sha512,
}

impl From<AlgorithmName> for Algorithm {
    fn from(name: AlgorithmName) -> Self {
        match name {
            AlgorithmName::Sha256 => Self::Sha256,
            AlgorithmName::Sha512 => Self::Sha512,
        }
    }
}

impl From<Algorithm> for AlgorithmName {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256,
            Algorithm::Sha512 => Self::Sha512,
        }
    }
}

impl BlobUpload {
    /// Bytes taken in so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes in the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.hasher.update(&bytes);
        self.writer.write(bytes).await
    }

    /// Has the disk begin with the bytes as they come: see [`ObjectWriter::flush_early`].
    pub fn flush_early(&mut self) {
        self.writer.flush_early();
    }

    /// Makes what was taken in durable, and says how to go on from here.
    pub async fn checkpoint(&mut self) -> Result<UploadState> {
        Ok(UploadState {
            epoch: self.epoch,
            size: self.size,
            checkpoint: self.writer.checkpoint().await?,
            hasher: self.hasher.save(),
            algorithm: self.algorithm.into(),
        })
    }

    /// Ends the upload: the bytes are durable, then verified, then visible. With no `expected` digest, the blob is named
    /// by the algorithm the upload was begun with.
    pub async fn commit(self, expected: Option<Digest>) -> Result<Blob> {
        let Self { store, epoch, writer, hasher, algorithm, size, .. } = self;
        let hashed = hasher.finish();
        if let Some(expected) = expected.filter(|expected| expected.algorithm() == algorithm)
            && expected != hashed
        {
            // Not finished, so dropping the writer leaves nothing; a checkpoint is the session's to abandon.
            return Err(DigestMismatch { expected, actual: hashed }.into());
        }
        let digest = expected.unwrap_or(hashed);
        let verified = digest.algorithm() == algorithm;
        if verified && let Some(blob) = store.find(&digest).await?.filter(Blob::is_live) {
            // Nothing was finished, so dropping the writer leaves nothing; a checkpoint is the session's to abandon.
            return Ok(blob);
        }
        store.announce(digest, epoch).await?;
        writer.finish().await?;
        if !verified {
            store.verify_finished(digest, epoch, size).await?;
        }
        store.commit(digest, epoch, size).await
    }
}

impl BlobStore {
    /// The promised digest uses another algorithm than the upload was begun with: the finished bytes are read again.
    async fn verify_finished(&self, expected: Digest, epoch: ObjectKey, size: u64) -> Result<()> {
        let mut hasher = Hasher::new(expected.algorithm());
        let mut bytes = self.store.objects.read(epoch, 0..size).await?.ok_or(Error::UploadLost)?;
        while let Some(piece) = bytes.try_next().await? {
            hasher.update(&piece);
        }
        let actual = hasher.finish();
        if actual == expected {
            return Ok(());
        }
        self.store.objects.delete(epoch).await?;
        Err(DigestMismatch { expected, actual }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (Store, crate::memory::MemoryObjects) {
        let objects = crate::memory::MemoryObjects::default();
        (Store::new(objects.clone(), crate::memory::MemoryRecords::default()), objects)
    }

    async fn text(blobs: &BlobStore, digest: &Digest) -> String {
        String::from_utf8(blobs.get(digest, 1 << 20).await.unwrap().unwrap().to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_blob_is_visible_only_after_it_was_verified() {
        let (store, objects) = store();
        let blobs = store.blobs();
        for (promised, algorithm) in [
            (Digest::sha256(b"other"), Algorithm::Sha256),
            (Digest::of(Algorithm::Sha512, b"other"), Algorithm::Sha256),
        ] {
            let mut upload = blobs.upload(algorithm).await.unwrap();
            upload.write(Bytes::from_static(b"hello")).await.unwrap();
            let error = upload.commit(Some(promised)).await.unwrap_err();
            assert!(matches!(error, Error::Mismatch(_)), "{error}");
            assert_eq!(blobs.find(&Digest::sha256(b"hello")).await.unwrap(), None);
            assert_eq!(objects.total_size(), 0, "nothing is left behind");
        }
    }

    #[tokio::test]
    async fn two_uploads_of_one_digest_both_succeed_and_one_copy_stays() {
        let (store, objects) = store();
        let blobs = store.blobs();
        let mut first = blobs.upload(Algorithm::Sha256).await.unwrap();
        let mut second = blobs.upload(Algorithm::Sha256).await.unwrap();
        first.write(Bytes::from_static(b"same")).await.unwrap();
        second.write(Bytes::from_static(b"same")).await.unwrap();
        let digest = Digest::sha256(b"same");
        assert_eq!(first.commit(Some(digest)).await.unwrap(), second.commit(Some(digest)).await.unwrap());
        assert_eq!(objects.total_size(), 4);
        assert_eq!(text(&blobs, &digest).await, "same");
    }

    #[tokio::test]
    async fn a_condemned_blob_is_readable_and_pushing_it_again_gives_it_fresh_bytes() {
        let (store, objects) = store();
        let blobs = store.blobs();
        let old = blobs.put(Bytes::from_static(b"phoenix")).await.unwrap();
        let view = async || blobs.view(&old.digest).await.unwrap().unwrap();
        for state in [BlobState::Condemned, BlobState::Deleting] {
            let before = view().await.current.unwrap().epoch;
            assert!(blobs.condemn(&view().await).await.unwrap());
            if state == BlobState::Deleting {
                assert!(blobs.doom(&view().await).await.unwrap());
            }
            let found = blobs.find(&old.digest).await.unwrap();
            assert_eq!(found.map(|blob| blob.is_live()), (state == BlobState::Condemned).then_some(false));
            let new = blobs.put(Bytes::from_static(b"phoenix")).await.unwrap();
            assert_ne!(new.epoch, before, "never the old bytes: a late delete may still hit them");
            assert!(view().await.stale.contains(&before), "the old bytes are not forgotten");
            assert_eq!(text(&blobs, &old.digest).await, "phoenix");
        }
        assert!(blobs.sweep(&view().await).await.unwrap());
        assert_eq!(objects.total_size(), 7, "old bytes are deleted, the blob's are not");
        assert_eq!(text(&blobs, &old.digest).await, "phoenix");
    }

    #[tokio::test]
    async fn a_step_against_what_is_no_longer_so_does_nothing() {
        let (store, _) = store();
        let blobs = store.blobs();
        let blob = blobs.put(Bytes::from_static(b"blob")).await.unwrap();
        let live = blobs.view(&blob.digest).await.unwrap().unwrap();
        assert!(blobs.condemn(&live).await.unwrap());
        assert!(!blobs.condemn(&live).await.unwrap(), "somebody was faster");
        let condemned = blobs.view(&blob.digest).await.unwrap().unwrap();
        assert!(blobs.spare(&condemned).await.unwrap());
        assert!(!blobs.doom(&condemned).await.unwrap(), "it was spared");
        assert!(blobs.find(&blob.digest).await.unwrap().unwrap().is_live());
    }

    #[tokio::test]
    async fn an_upload_that_a_collector_gave_up_cannot_commit() {
        let (store, objects) = store();
        let blobs = store.blobs();
        let digest = Digest::sha256(b"late");
        let epoch = ObjectKey::new([5; 16]);
        blobs.announce(digest, epoch).await.unwrap();
        let mut writer = store.objects.create(epoch).await.unwrap();
        writer.write(Bytes::from_static(b"late")).await.unwrap();
        writer.finish().await.unwrap();
        let candidates = store.records.list(CANDIDATES, None, 10).await.unwrap();
        assert_eq!(candidates.len(), 1, "who dies here is found");

        let seen = blobs.view(&digest).await.unwrap().unwrap();
        assert!(blobs.void(&seen, epoch).await.unwrap());
        let seen = blobs.view(&digest).await.unwrap().unwrap();
        assert!(blobs.sweep(&seen).await.unwrap());
        assert_eq!(blobs.view(&digest).await.unwrap(), None);
        assert_eq!(objects.total_size(), 0);
        assert!(matches!(blobs.commit(digest, epoch, 4).await, Err(Error::UploadLost)));
        assert_eq!(blobs.find(&digest).await.unwrap(), None);
    }

    #[tokio::test]
    async fn bytes_that_moved_while_somebody_was_about_to_read_them_are_found_where_they_are() {
        let (store, _) = store();
        let blobs = store.blobs();
        let old = blobs.put(Bytes::from_static(b"moved")).await.unwrap();
        let view = async || blobs.view(&old.digest).await.unwrap().unwrap();
        assert!(blobs.condemn(&view().await).await.unwrap());
        blobs.put(Bytes::from_static(b"moved")).await.unwrap();
        assert!(blobs.sweep(&view().await).await.unwrap());
        let bytes: BytesMut = blobs.read(&old, 0..5).await.unwrap().try_collect().await.unwrap();
        assert_eq!(&bytes[..], b"moved");
    }

    #[test]
    fn a_record_says_all_of_where_a_blob_stands_or_nothing() {
        let key = RecordKey::new("blobs/x");
        let epoch = "0".repeat(32);
        let whole = format!(r#"{{"state":"live","epoch":"{epoch}","size":3}}"#);
        assert!(crate::decode::<BlobRecord>(&key, whole.as_bytes()).unwrap().current.is_some());
        let half = format!(r#"{{"state":"live","epoch":"{epoch}"}}"#);
        assert!(matches!(crate::decode::<BlobRecord>(&key, half.as_bytes()), Err(Error::CorruptRecord { .. })));
    }

    #[tokio::test]
    async fn own_bytes_are_a_blob_like_any_other() {
        let (store, objects) = store();
        let blobs = store.blobs();
        drop(blobs.own_upload().await.unwrap());
        let mut upload = blobs.own_upload().await.unwrap();
        upload.write(Bytes::from_static(b"made ")).await.unwrap();
        upload.write(Bytes::from_static(b"here")).await.unwrap();
        let digest = Digest::sha256(b"made here");
        let blob = upload.commit(digest).await.unwrap();
        assert_eq!((blob.size, text(&blobs, &digest).await.as_str()), (9, "made here"));
        assert_eq!(objects.total_size(), 9);
    }

    #[tokio::test]
    async fn an_upload_goes_on_from_its_state() {
        let (store, _) = store();
        let blobs = store.blobs();
        let mut upload = blobs.upload(Algorithm::Sha256).await.unwrap();
        upload.write(Bytes::from_static(b"one ")).await.unwrap();
        let state = upload.checkpoint().await.unwrap();
        upload.write(Bytes::from_static(b"lost")).await.unwrap();
        drop(upload);
        let state: UploadState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let mut upload = blobs.resume(&state).await.unwrap();
        assert_eq!(upload.size(), 4);
        upload.write(Bytes::from_static(b"two")).await.unwrap();
        let blob = upload.commit(Some(Digest::sha256(b"one two"))).await.unwrap();
        assert_eq!(text(&blobs, &blob.digest).await, "one two");
    }
}
