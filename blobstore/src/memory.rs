//! Both engines in memory, for tests and for stores that need not outlive the process.

use std::collections::{BTreeMap, HashMap};
use std::ops::{Bound, Range};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::{
    ByteStream, Change, Checkpoint, Clock, Entry, Error, Expect, Generation, ObjectKey, ObjectWriter, Objects, Outcome,
    Record, RecordKey, Records, Result, SystemClock, Unfinished, Version, Write,
};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects in a map.
#[derive(Clone, Debug)]
pub struct MemoryObjects {
    inner: Arc<Mutex<Shelves>>,
    clock: Arc<dyn Clock>,
}

impl Default for MemoryObjects {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }
}

#[derive(Debug, Default)]
struct Shelves {
    finished: BTreeMap<ObjectKey, Bytes>,
    unfinished: BTreeMap<ObjectKey, Checkpointed>,
    last_checkpoint: u64,
}

/// An unfinished object.
#[derive(Debug)]
struct Checkpointed {
    /// What each checkpoint covers. Earlier ones are kept too: whoever goes on from one must not change what a later one
    /// covers.
    checkpoints: HashMap<Checkpoint, Vec<Bytes>>,
    touched: SystemTime,
}

impl Checkpointed {
    fn longest(&self) -> usize {
        self.checkpoints.values().map(|pieces| pieces.iter().map(Bytes::len).sum()).max().unwrap_or(0)
    }
}

struct MemoryWriter {
    objects: MemoryObjects,
    key: ObjectKey,
    pieces: Vec<Bytes>,
    /// It has been checkpointed, so it can be abandoned, or finished by another writer.
    known: bool,
}

impl MemoryWriter {
    fn still_there(&self, shelves: &Shelves) -> Result<()> {
        if self.known && !shelves.unfinished.contains_key(&self.key) { Err(Error::UploadLost) } else { Ok(()) }
    }
}

impl MemoryObjects {
    /// No objects, and unfinished ones are stamped by this clock.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Arc::default(), clock }
    }

    /// How many bytes finished and unfinished objects hold; tests look at it to see that nothing is left behind.
    pub fn total_size(&self) -> usize {
        let shelves = lock(&self.inner);
        shelves.finished.values().map(Bytes::len).sum::<usize>()
            + shelves.unfinished.values().map(Checkpointed::longest).sum::<usize>()
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(MemoryWriter { objects: self.clone(), key, pieces: Vec::new(), known: false }))
    }

    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>> {
        let shelves = lock(&self.inner);
        let unfinished = shelves.unfinished.get(&key).ok_or(Error::UploadLost)?;
        let pieces = unfinished.checkpoints.get(checkpoint).cloned().ok_or(Error::UploadLost)?;
        Ok(Box::new(MemoryWriter { objects: self.clone(), key, pieces, known: true }))
    }

    async fn abandon(&self, key: ObjectKey) -> Result<()> {
        lock(&self.inner).unfinished.remove(&key);
        Ok(())
    }

    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>> {
        let shelves = lock(&self.inner);
        let untouched = shelves.unfinished.iter().filter(|(_, it)| it.touched < before);
        Ok(untouched.map(|(key, it)| Unfinished { key: *key, bytes: it.longest() as u64 }).collect())
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>> {
        Ok(lock(&self.inner).finished.get(&key).map(|bytes| bytes.len() as u64))
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
        let Some(bytes) = lock(&self.inner).finished.get(&key).cloned() else { return Ok(None) };
        let slice = usize::try_from(range.start)
            .ok()
            .zip(usize::try_from(range.end).ok())
            .filter(|(start, end)| start <= end && *end <= bytes.len())
            .map(|(start, end)| bytes.slice(start..end))
            .ok_or_else(|| {
                let problem = std::io::Error::new(std::io::ErrorKind::InvalidInput, "range outside of the object");
                Error::io(format!("read object {key}"), problem)
            })?;
        let pieces: Vec<_> = slice.chunks(1 << 20).map(|piece| Ok(slice.slice_ref(piece))).collect();
        Ok(Some(futures_util::stream::iter(pieces).boxed()))
    }

    async fn delete(&self, key: ObjectKey) -> Result<()> {
        lock(&self.inner).finished.remove(&key);
        Ok(())
    }

    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(lock(&self.inner).finished.range((start, Bound::Unbounded)).take(limit).map(|(key, _)| *key).collect())
    }

    fn local_path(&self, _key: ObjectKey) -> Option<PathBuf> {
        None
    }
}

#[async_trait]
impl ObjectWriter for MemoryWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.pieces.push(bytes);
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let mut shelves = lock(&self.objects.inner);
        self.still_there(&shelves)?;
        shelves.last_checkpoint += 1;
        let checkpoint = Checkpoint(shelves.last_checkpoint.to_string());
        let touched = self.objects.clock.now();
        let fresh = || Checkpointed { checkpoints: HashMap::new(), touched };
        let unfinished = shelves.unfinished.entry(self.key).or_insert_with(fresh);
        unfinished.checkpoints.insert(checkpoint.clone(), self.pieces.clone());
        unfinished.touched = touched;
        self.known = true;
        Ok(checkpoint)
    }

    async fn finish(self: Box<Self>) -> Result<()> {
        let mut shelves = lock(&self.objects.inner);
        self.still_there(&shelves)?;
        shelves.unfinished.remove(&self.key);
        shelves.finished.insert(self.key, self.pieces.concat().into());
        Ok(())
    }
}

/// Records in a map.
#[derive(Clone, Debug, Default)]
pub struct MemoryRecords {
    inner: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    rows: BTreeMap<String, (Bytes, u64)>,
    // One counter for all keys: no key ever sees a version twice, not even after a delete.
    last_version: u64,
}

fn record((value, version): &(Bytes, u64)) -> Record {
    Record { value: value.clone(), version: Version(version.to_string()) }
}

#[async_trait]
impl Records for MemoryRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(lock(&self.inner).rows.get(key.as_str()).map(record))
    }

    async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>> {
        let table = lock(&self.inner);
        Ok(keys.iter().map(|key| table.rows.get(key.as_str()).map(record)).collect())
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        let start = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let table = lock(&self.inner);
        let rows = table.rows.range::<str, _>((start, Bound::Unbounded));
        Ok(rows
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, row)| Entry { key: RecordKey::new(key.clone()), record: record(row) })
            .collect())
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        let mut table = lock(&self.inner);
        Ok(batch.into_iter().map(|write| table.swap(write)).collect())
    }

    fn generation(&self) -> Option<Generation> {
        Some(Generation(lock(&self.inner).last_version))
    }
}

impl Table {
    fn swap(&mut self, write: Write) -> Outcome {
        let current = self.rows.get(write.key.as_str()).map(|(_, version)| version.to_string());
        let as_expected = match (&write.expect, current) {
            (Expect::Absent, None) => true,
            (Expect::Version(expected), Some(current)) => expected.0 == current,
            (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
        };
        if !as_expected {
            return Outcome::Conflict;
        }
        self.last_version += 1;
        match write.change {
            Change::Put(value) => {
                self.rows.insert(write.key.as_str().to_owned(), (value, self.last_version));
            }
            Change::Delete | Change::Retire => {
                self.rows.remove(write.key.as_str());
            }
        }
        Outcome::Done(Version(self.last_version.to_string()))
    }
}
