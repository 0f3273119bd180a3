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
//! A commit that finds the blob condemned or deleting makes it live again with **its own** fresh bytes, so a late delete
//! of the old epoch can never hit them; the old epoch is kept in the record until its bytes are deleted. While
//! condemned, the bytes can still be read; but whoever is about to rely on the blob (`HEAD`, mount, manifest `PUT`)
//! must be told that it is unknown, so that the client uploads it again.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use wharf_spec::{Algorithm, Digest, DigestMismatch, Hasher, HasherState};

use crate::{
    ByteStream, Checkpoint, Error, Expect, ObjectKey, ObjectWriter, Outcome, RecordKey, RecordsExt as _, Result, Store,
};

/// How often a compare-and-swap is tried before the caller is told that others keep getting in between.
const ATTEMPTS: usize = 64;

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

/// The value of `blobs/<digest>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct BlobRecord {
    state: BlobState,
    epoch: ObjectKey,
    size: u64,
    /// Epochs whose bytes are still to be deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stale: Vec<ObjectKey>,
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
            let blob = Blob { digest: *digest, size: found.size, epoch: found.epoch, state: found.state };
            Ok((found.state != BlobState::Deleting).then_some(blob))
        };
        digests.iter().zip(&keys).zip(records).map(decode).collect()
    }

    /// Reads `range` of a blob. The bytes are as they were verified at commit; they are not hashed again.
    pub async fn read(&self, blob: &Blob, range: Range<u64>) -> Result<ByteStream> {
        self.store.objects.read(blob.epoch, range).await?.ok_or_else(|| Error::Corrupt {
            digest: blob.digest,
            problem: "its bytes are missing; push it again".to_owned(),
        })
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
        Ok(BlobUpload { store: self.clone(), epoch, writer, hasher: Hasher::new(algorithm), algorithm, size: 0 })
    }

    /// Goes on with an upload from its state, in this process or another.
    pub async fn resume(&self, state: &UploadState) -> Result<BlobUpload> {
        let hasher = Hasher::restore(&state.hasher).ok_or(Error::UploadLost)?;
        let writer = self.store.objects.resume(state.epoch, &state.checkpoint).await?;
        let UploadState { epoch, size, algorithm, .. } = *state;
        Ok(BlobUpload { store: self.clone(), epoch, writer, hasher, algorithm: algorithm.into(), size })
    }

    /// Forgets an upload and its bytes.
    pub async fn abandon(&self, state: &UploadState) -> Result<()> {
        self.store.objects.abandon(state.epoch, &state.checkpoint).await
    }

    /// Makes finished bytes the blob's: `gone | condemned | deleting -> live(epoch)`; already live, our copy is dropped.
    async fn commit(&self, digest: Digest, epoch: ObjectKey, size: u64) -> Result<Blob> {
        let key = blob_key(&digest);
        for _ in 0..ATTEMPTS {
            let found = self.store.records.get_json::<BlobRecord>(&key).await?;
            let (expect, stale) = match found {
                Some((BlobRecord { state: BlobState::Live, epoch: live, size, .. }, _)) => {
                    if live != epoch {
                        self.store.objects.delete(epoch).await?;
                    }
                    return Ok(Blob { digest, size, epoch: live, state: BlobState::Live });
                }
                Some((old, version)) => {
                    let stale = old.stale.into_iter().chain([old.epoch]).collect();
                    (Expect::Version(version), stale)
                }
                None => (Expect::Absent, Vec::new()),
            };
            let record = BlobRecord { state: BlobState::Live, epoch, size, stale };
            match self.store.records.put_json(key.clone(), expect, &record).await? {
                Outcome::Done(_) => return Ok(Blob { digest, size, epoch, state: BlobState::Live }),
                Outcome::Conflict => {}
            }
        }
        Err(Error::Contended { key: key.to_string() })
    }
}

/// An upload under way: bytes are hashed while they arrive and written once.
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
        self.hasher.update(&bytes);
        self.size += bytes.len() as u64;
        self.writer.write(bytes).await
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
        let Self { store, epoch, writer, hasher, algorithm, size } = self;
        let hashed = hasher.finish();
        if let Some(expected) = expected.filter(|expected| expected.algorithm() == algorithm)
            && expected != hashed
        {
            // Not finished, so dropping the writer leaves nothing; a checkpoint is the session's to abandon.
            return Err(DigestMismatch { expected, actual: hashed }.into());
        }
        writer.finish().await?;
        let digest = match expected {
            Some(other) if other.algorithm() != algorithm => store.verify_finished(other, epoch, size).await?,
            Some(_) | None => hashed,
        };
        store.commit(digest, epoch, size).await
    }
}

impl BlobStore {
    /// The promised digest uses another algorithm than the upload was begun with: the finished bytes are read again.
    async fn verify_finished(&self, expected: Digest, epoch: ObjectKey, size: u64) -> Result<Digest> {
        let mut hasher = Hasher::new(expected.algorithm());
        let mut bytes = self.store.objects.read(epoch, 0..size).await?.ok_or(Error::UploadLost)?;
        while let Some(piece) = bytes.try_next().await? {
            hasher.update(&piece);
        }
        let actual = hasher.finish();
        if actual == expected {
            return Ok(actual);
        }
        self.store.objects.delete(epoch).await?;
        Err(DigestMismatch { expected, actual }.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Change;

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
        let (store, _) = store();
        let blobs = store.blobs();
        let old = blobs.put(Bytes::from_static(b"phoenix")).await.unwrap();
        let key = blob_key(&old.digest);
        for state in [BlobState::Condemned, BlobState::Deleting] {
            let (mut record, version) = store.records.get_json::<BlobRecord>(&key).await.unwrap().unwrap();
            record.state = state;
            let change = Change::Put(crate::encode(&record));
            store.records.swap(key.clone(), Expect::Version(version), change).await.unwrap();
            let found = blobs.find(&old.digest).await.unwrap();
            assert_eq!(found.map(|blob| blob.is_live()), (state == BlobState::Condemned).then_some(false));
            let new = blobs.put(Bytes::from_static(b"phoenix")).await.unwrap();
            assert_ne!(new.epoch, record.epoch, "never the old bytes: a late delete may still hit them");
            let (now, _) = store.records.get_json::<BlobRecord>(&key).await.unwrap().unwrap();
            assert!(now.stale.contains(&record.epoch), "the old bytes are not forgotten");
            assert_eq!(text(&blobs, &old.digest).await, "phoenix");
        }
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
