//! Repositories over a store in memory: what every module promises, and what is left behind.

mod blobs;
mod histories;
mod manifests;
mod mending;
mod policy;
mod referrers;
mod tags;
mod uploads;

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use wharf_blobstore::memory::{MemoryObjects, MemoryRecords};
use wharf_blobstore::{Clock, Entry, Outcome, Record, RecordKey, Records, Result as StoreResult, Store, Write};
use wharf_spec::{Descriptor, Digest, Index, Manifest, MediaType, RawManifest, RepositoryName, Tag};

use super::{Arriving, Repositories};

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

fn repositories() -> Repositories {
    Repositories::new(Store::memory())
}

/// A body that comes in these pieces.
fn body(pieces: &[&'static str]) -> Arriving {
    Arriving::new(arriving(pieces))
}

/// A body whose sender goes away after these pieces.
fn torn(pieces: &[&'static str]) -> Arriving {
    let end = futures_util::stream::iter([Err(std::io::ErrorKind::UnexpectedEof.into())]);
    Arriving::new(arriving(pieces).chain(end))
}

fn arriving(pieces: &[&'static str]) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let pieces: Vec<_> = pieces.iter().map(|piece| Ok(Bytes::from_static(piece.as_bytes()))).collect();
    futures_util::stream::iter(pieces)
}

/// Uploads a blob and describes it.
async fn upload(repositories: &Repositories, name: &RepositoryName, text: &'static str) -> Descriptor {
    let digest = Digest::sha256(text.as_bytes());
    repositories.put_blob(name, digest, body(&[text])).await.unwrap();
    Descriptor::new(MediaType::OCI_LAYER, digest, text.len() as u64)
}

pub(crate) fn manifest(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: [].into(),
    }
}

pub(crate) fn index(manifests: Vec<Descriptor>) -> RawManifest {
    RawManifest::from_index(Index {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: [].into(),
    })
}

/// A small image whose blobs are there.
async fn image(repositories: &Repositories, name: &RepositoryName, text: &'static str) -> RawManifest {
    let config = upload(repositories, name, "{}").await;
    let layer = upload(repositories, name, text).await;
    RawManifest::from_manifest(manifest(config, vec![layer]))
}

async fn keys(repositories: &Repositories, prefix: &str) -> Vec<String> {
    let entries = repositories.store().records.list(prefix, None, 10_000).await.unwrap();
    entries.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
}

/// A clock that a test sets.
#[derive(Debug, Default)]
struct TestClock(Mutex<Duration>);

impl TestClock {
    fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) + *self.0.lock().unwrap()
    }
}

/// What a request to the records did, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    Read(String),
    Write(Write),
}

/// Records that remember the calls made, and let a test step in before a batch is written.
struct Watched {
    below: MemoryRecords,
    calls: std::sync::Arc<Mutex<Vec<Call>>>,
    before_write: Box<Meddler>,
}

/// Given the batch that is about to be written, what somebody else writes just before it.
type Meddler = dyn Fn(&[Write]) -> Vec<Write> + Send + Sync;

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl Watched {
    /// A store over such records, and the calls. `before_write` says what somebody else does just before each batch.
    fn store(
        before_write: impl Fn(&[Write]) -> Vec<Write> + Send + Sync + 'static,
    ) -> (Store, std::sync::Arc<Mutex<Vec<Call>>>) {
        let calls = std::sync::Arc::<Mutex<Vec<Call>>>::default();
        let before_write = Box::new(before_write);
        let watched = Self { below: MemoryRecords::default(), calls: calls.clone(), before_write };
        (Store::new(MemoryObjects::default(), watched), calls)
    }

    fn note(&self, call: Call) {
        self.calls.lock().unwrap().push(call);
    }
}

#[async_trait]
impl Records for Watched {
    async fn get(&self, key: &RecordKey) -> StoreResult<Option<Record>> {
        self.note(Call::Read(key.to_string()));
        self.below.get(key).await
    }

    async fn get_many(&self, keys: &[RecordKey]) -> StoreResult<Vec<Option<Record>>> {
        for key in keys {
            self.note(Call::Read(key.to_string()));
        }
        self.below.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> StoreResult<Vec<Entry>> {
        self.note(Call::Read(prefix.to_owned()));
        self.below.list(prefix, after, limit).await
    }

    async fn write(&self, batch: Vec<Write>) -> StoreResult<Vec<Outcome>> {
        let theirs = (self.before_write)(&batch);
        for mut write in theirs {
            // Somebody else has read the record a moment ago.
            if let Some(record) = self.below.get(&write.key).await? {
                write.expect = wharf_blobstore::Expect::Version(record.version);
            }
            self.below.write(vec![write]).await?;
        }
        for write in &batch {
            self.note(Call::Write(write.clone()));
        }
        self.below.write(batch).await
    }
}
