//! A store whose every call waits for its turn: a scheduler decides which process takes the next step, and which dies.

use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use wharf_blobstore::{
    ByteStream, Change, Checkpoint, Entry, Expect, ObjectKey, ObjectWriter, Objects, Outcome, Record, RecordKey,
    Records, Result, Store, Unfinished, Write,
};

/// What a process tells the scheduler.
pub enum Message {
    /// It is about to take a step, and waits.
    Ready(usize, oneshot::Sender<()>),
    /// One has ended.
    Ended,
}

/// Where a process waits before each step.
#[derive(Clone, Debug)]
struct Gate {
    process: usize,
    scheduler: mpsc::UnboundedSender<Message>,
}

impl Gate {
    async fn pass(&self) {
        let (go, told) = oneshot::channel();
        self.scheduler.send(Message::Ready(self.process, go)).expect("the scheduler outlives its processes");
        // A process that is never told has died.
        if told.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Whether the writes of a batch are one step, as in a database, or one after another, as in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Batches {
    Whole,
    Split,
}

/// What was retired, by all processes of a run. An engine may delete what lies under such a key at any later moment,
/// whatever it is then; so nobody may ever create it again.
#[derive(Clone, Debug, Default)]
pub struct Retired(Arc<Mutex<HashSet<RecordKey>>>);

impl Retired {
    fn look_at(&self, write: &Write) {
        let creates = write.expect == Expect::Absent && matches!(write.change, Change::Put(_));
        let retired = self.0.lock().expect("no panic");
        assert!(!creates || !retired.contains(&write.key), "{} was retired, and is created again", write.key);
    }

    fn note(&self, write: &Write, outcome: &Outcome) {
        if write.change == Change::Retire && *outcome != Outcome::Conflict {
            self.0.lock().expect("no panic").insert(write.key.clone());
        }
    }
}

/// The same store for one process, whose steps the scheduler orders.
pub fn stepped(
    store: &Store,
    retired: &Retired,
    process: usize,
    scheduler: mpsc::UnboundedSender<Message>,
    batches: Batches,
) -> Store {
    let gate = Gate { process, scheduler };
    let records =
        SteppedRecords { below: Arc::clone(&store.records), retired: retired.clone(), gate: gate.clone(), batches };
    Store {
        objects: Arc::new(SteppedObjects { below: Arc::clone(&store.objects), gate }),
        records: Arc::new(records),
        ..store.clone()
    }
}

#[derive(Debug)]
struct SteppedRecords {
    below: Arc<dyn Records>,
    retired: Retired,
    gate: Gate,
    batches: Batches,
}

#[async_trait]
impl Records for SteppedRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.gate.pass().await;
        self.below.get(key).await
    }

    async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>> {
        if self.batches == Batches::Whole {
            self.gate.pass().await;
            return self.below.get_many(keys).await;
        }
        let mut found = Vec::new();
        for key in keys {
            found.push(self.get(key).await?);
        }
        Ok(found)
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        self.gate.pass().await;
        self.below.list(prefix, after, limit).await
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        if self.batches == Batches::Whole {
            self.gate.pass().await;
            return self.write_now(batch).await;
        }
        let mut outcomes = Vec::new();
        for write in batch {
            self.gate.pass().await;
            outcomes.extend(self.write_now(vec![write]).await?);
        }
        Ok(outcomes)
    }
}

impl SteppedRecords {
    async fn write_now(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        for write in &batch {
            self.retired.look_at(write);
        }
        let outcomes = self.below.write(batch.clone()).await?;
        for (write, outcome) in batch.iter().zip(&outcomes) {
            self.retired.note(write, outcome);
        }
        Ok(outcomes)
    }
}

#[derive(Debug)]
struct SteppedObjects {
    below: Arc<dyn Objects>,
    gate: Gate,
}

struct SteppedWriter {
    below: Box<dyn ObjectWriter>,
    gate: Gate,
}

#[async_trait]
impl Objects for SteppedObjects {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>> {
        let below = self.below.create(key).await?;
        Ok(Box::new(SteppedWriter { below, gate: self.gate.clone() }))
    }

    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>> {
        let below = self.below.resume(key, checkpoint).await?;
        Ok(Box::new(SteppedWriter { below, gate: self.gate.clone() }))
    }

    async fn abandon(&self, key: ObjectKey) -> Result<()> {
        self.gate.pass().await;
        self.below.abandon(key).await
    }

    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>> {
        self.gate.pass().await;
        self.below.unfinished(before).await
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>> {
        self.below.size(key).await
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
        self.gate.pass().await;
        self.below.read(key, range).await
    }

    async fn delete(&self, key: ObjectKey) -> Result<()> {
        self.gate.pass().await;
        self.below.delete(key).await
    }

    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
        self.gate.pass().await;
        self.below.list(after, limit).await
    }

    fn local_path(&self, key: ObjectKey) -> Option<PathBuf> {
        self.below.local_path(key)
    }
}

#[async_trait]
impl ObjectWriter for SteppedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.below.write(bytes).await
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.gate.pass().await;
        self.below.checkpoint().await
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        self.gate.pass().await;
        self.below.finish().await
    }
}

#[test]
#[should_panic(expected = "was retired, and is created again")]
fn who_creates_a_retired_record_again_is_found() {
    let retired = Retired::default();
    let key = RecordKey::new("candidates/blobs/one");
    let write = |change| Write { key: key.clone(), expect: Expect::Absent, change };
    retired.look_at(&write(Change::Put(Bytes::new())));
    let gone = write(Change::Retire);
    retired.note(&gone, &Outcome::Done(wharf_blobstore::Version("1".to_owned())));
    retired.look_at(&write(Change::Put(Bytes::new())));
}
