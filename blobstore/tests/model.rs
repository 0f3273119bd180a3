//! Whatever is done in whatever order, the embedded engine answers as the memory engine does.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseResult};
use wharf_blobstore::memory::{MemoryObjects, MemoryRecords};
use wharf_blobstore::{
    Change, Checkpoint, Error, Expect, ObjectKey, ObjectWriter, Objects, Outcome, RecordKey, Records, Result, Version,
    Write, embedded,
};

/// Something to do with objects. An [`Index`] chooses among what there is when its turn comes.
#[derive(Clone, Debug)]
enum Step {
    Create,
    Write(Index, usize),
    Checkpoint(Index),
    Drop(Index),
    Resume(Index),
    Finish(Index),
    Abandon(Index),
    Delete(Index),
    Read(Index, Index, Index),
    List(Index, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let index = any::<Index>;
    let length = prop_oneof![3 => 0_usize..100, 1 => 200_000_usize..600_000];
    let step = prop_oneof![
        2 => Just(Step::Create),
        6 => (index(), length).prop_map(|(which, length)| Step::Write(which, length)),
        4 => index().prop_map(Step::Checkpoint),
        2 => index().prop_map(Step::Drop),
        5 => index().prop_map(Step::Resume),
        4 => index().prop_map(Step::Finish),
        1 => index().prop_map(Step::Abandon),
        1 => index().prop_map(Step::Delete),
        2 => (index(), index(), index()).prop_map(|(which, from, to)| Step::Read(which, from, to)),
        1 => (index(), 0_usize..5).prop_map(|(after, limit)| Step::List(after, limit)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// One engine in the middle of a sequence. Both go through the same, so their vectors have the same lengths.
struct Shelf {
    objects: Arc<dyn Objects>,
    keys: Vec<ObjectKey>,
    writers: Vec<(ObjectKey, Box<dyn ObjectWriter>)>,
    checkpoints: Vec<(ObjectKey, Checkpoint)>,
    written: u8,
}

/// What the caller is told.
#[derive(Debug, PartialEq)]
enum Answer {
    Nothing,
    Done,
    Lost,
    Failed,
    Bytes(Option<Bytes>),
    Keys(Vec<ObjectKey>),
}

fn answer<T>(result: Result<T>, done: impl FnOnce(T) -> Answer) -> Answer {
    match result {
        Ok(value) => done(value),
        Err(Error::UploadLost) => Answer::Lost,
        Err(_) => Answer::Failed,
    }
}

/// Takes one out, unless there is none.
fn take<T>(from: &mut Vec<T>, which: Index) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(which.index(from.len())))
}

fn choose<T: Clone>(from: &[T], which: Index) -> Option<T> {
    (!from.is_empty()).then(|| which.get(from).clone())
}

impl Shelf {
    fn new(objects: impl Objects) -> Self {
        let objects = Arc::new(objects);
        Self { objects, keys: Vec::new(), writers: Vec::new(), checkpoints: Vec::new(), written: 0 }
    }

    async fn act(&mut self, step: &Step) -> Answer {
        match *step {
            Step::Create => {
                let number = u8::try_from(self.keys.len()).unwrap();
                let key = ObjectKey::new([number.wrapping_mul(101); 16]);
                self.keys.push(key);
                let created = self.objects.create(key).await;
                self.keep(key, created)
            }
            Step::Resume(which) => {
                let Some((key, checkpoint)) = choose(&self.checkpoints, which) else { return Answer::Nothing };
                let resumed = self.objects.resume(key, &checkpoint).await;
                self.keep(key, resumed)
            }
            Step::Write(which, length) => self.write(which, length).await,
            Step::Checkpoint(which) => self.checkpoint(which).await,
            Step::Drop(which) => match take(&mut self.writers, which) {
                Some(_) => Answer::Done,
                None => Answer::Nothing,
            },
            Step::Finish(which) => match take(&mut self.writers, which) {
                Some((_, writer)) => answer(writer.finish().await, |()| Answer::Done),
                None => Answer::Nothing,
            },
            Step::Abandon(which) => {
                let Some((key, _)) = choose(&self.checkpoints, which) else { return Answer::Nothing };
                answer(self.objects.abandon(key).await, |()| Answer::Done)
            }
            Step::Delete(which) => {
                let Some(key) = choose(&self.keys, which) else { return Answer::Nothing };
                answer(self.objects.delete(key).await, |()| Answer::Done)
            }
            Step::Read(which, from, to) => self.read(which, from, to).await,
            Step::List(after, limit) => answer(self.objects.list(choose(&self.keys, after), limit).await, Answer::Keys),
        }
    }

    fn keep(&mut self, key: ObjectKey, writer: Result<Box<dyn ObjectWriter>>) -> Answer {
        answer(writer, |writer| {
            self.writers.push((key, writer));
            Answer::Done
        })
    }

    async fn write(&mut self, which: Index, length: usize) -> Answer {
        let Some((key, mut writer)) = take(&mut self.writers, which) else { return Answer::Nothing };
        self.written = self.written.wrapping_add(1);
        let bytes = vec![self.written; length].into();
        let written = writer.write(bytes).await;
        self.keep(key, written.map(|()| writer))
    }

    async fn checkpoint(&mut self, which: Index) -> Answer {
        let Some((key, mut writer)) = take(&mut self.writers, which) else { return Answer::Nothing };
        let checkpoint = writer.checkpoint().await;
        if let Ok(checkpoint) = &checkpoint {
            self.checkpoints.push((key, checkpoint.clone()));
        }
        self.keep(key, checkpoint.map(|_| writer))
    }

    async fn read(&self, which: Index, from: Index, to: Index) -> Answer {
        let Some(key) = choose(&self.keys, which) else { return Answer::Nothing };
        let Some(size) = self.objects.size(key).await.unwrap() else { return Answer::Bytes(None) };
        // Now and then a little outside.
        let end = usize::try_from(size).unwrap() + 2;
        let range = from.index(end) as u64..to.index(end) as u64;
        let stream = match self.objects.read(key, range).await {
            Ok(stream) => stream.unwrap(),
            Err(_) => return Answer::Failed,
        };
        let bytes: Result<BytesMut> = stream.try_collect().await;
        answer(bytes, |bytes| Answer::Bytes(Some(bytes.freeze())))
    }
}

/// A compare-and-swap: key, whether the record is expected to be absent, which version otherwise, and the value.
type Swap = (usize, bool, Index, Option<u8>);

#[derive(Clone, Debug)]
enum Call {
    Write(Vec<Swap>),
    Get(Vec<usize>),
    List(usize, Option<usize>, usize),
}

const KEYS: [&str; 8] = ["a", "a-", "a/b", "a/b/c", "a/é", "a0", "b", "é"];
const PREFIXES: [&str; 7] = ["", "a", "a/", "a/b", "é", "c", "a/b/"];

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let swap = (0..KEYS.len(), any::<bool>(), any::<Index>(), any::<Option<u8>>());
    let call = prop_oneof![
        4 => proptest::collection::vec(swap, 0..5).prop_map(Call::Write),
        2 => proptest::collection::vec(0..KEYS.len(), 0..40).prop_map(Call::Get),
        2 => (0..PREFIXES.len(), proptest::option::of(0..KEYS.len()), 0_usize..50)
            .prop_map(|(prefix, after, limit)| Call::List(prefix, after, limit)),
    ];
    proptest::collection::vec(call, 1..60)
}

/// One engine in the middle of a sequence of calls, with every version it ever gave.
struct Table {
    records: Arc<dyn Records>,
    versions: Vec<Version>,
}

impl Table {
    fn new(records: impl Records) -> Self {
        Self { records: Arc::new(records), versions: Vec::new() }
    }

    /// What the caller is told, with each version as its place in the order they were given in.
    async fn act(&mut self, call: &Call) -> Vec<(String, Option<Bytes>, Option<usize>)> {
        let place = |versions: &[Version], version: &Version| versions.iter().position(|given| given == version);
        match call {
            Call::Write(swaps) => {
                let mut batch: Vec<Write> = swaps.iter().map(|swap| self.write(swap)).collect();
                batch.sort_by(|one, other| one.key.cmp(&other.key));
                batch.dedup_by(|one, other| one.key == other.key);
                let keys: Vec<_> = batch.iter().map(|write| write.key.to_string()).collect();
                let outcomes = self.records.write(batch).await.unwrap();
                let told = keys.into_iter().zip(outcomes).map(|(key, outcome)| match outcome {
                    Outcome::Done(version) => {
                        self.versions.push(version);
                        (key, None, Some(self.versions.len()))
                    }
                    Outcome::Conflict => (key, None, None),
                });
                told.collect()
            }
            Call::Get(keys) => {
                let keys: Vec<_> = keys.iter().map(|key| RecordKey::new(KEYS[*key])).collect();
                let found = self.records.get_many(&keys).await.unwrap();
                let told = keys.into_iter().zip(found).map(|(key, record)| match record {
                    Some(record) => (key.to_string(), Some(record.value), place(&self.versions, &record.version)),
                    None => (key.to_string(), None, None),
                });
                told.collect()
            }
            Call::List(prefix, after, limit) => {
                let entries = self.records.list(PREFIXES[*prefix], after.map(|key| KEYS[key]), *limit).await.unwrap();
                let told = entries.into_iter().map(|entry| {
                    let version = place(&self.versions, &entry.record.version);
                    (entry.key.to_string(), Some(entry.record.value), version)
                });
                told.collect()
            }
        }
    }

    fn write(&self, &(key, absent, version, value): &Swap) -> Write {
        // Mostly one of the latest versions, which are the ones that can be right.
        let latest = &self.versions[self.versions.len().saturating_sub(6)..];
        let expect = match choose(latest, version) {
            Some(version) if !absent => Expect::Version(version),
            Some(_) | None => Expect::Absent,
        };
        let change = value.map_or(Change::Delete, |value| Change::Put(Bytes::copy_from_slice(&[value])));
        Write { key: RecordKey::new(KEYS[key]), expect, change }
    }
}

/// In memory where there is such a place: this is about answers, and the disk would only make it slow.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

async fn compare_objects(steps: Vec<Step>) -> TestCaseResult {
    let directory = directory();
    let (embedded, _) = embedded::open_engines(directory.path()).unwrap();
    let (mut model, mut real) = (Shelf::new(MemoryObjects::default()), Shelf::new(embedded));
    for step in steps {
        let (expected, found) = (model.act(&step).await, real.act(&step).await);
        prop_assert!(expected == found, "{step:?}");
    }
    Ok(())
}

async fn compare_records(calls: Vec<Call>) -> TestCaseResult {
    let directory = directory();
    let (_, embedded) = embedded::open_engines(directory.path()).unwrap();
    let (mut model, mut real) = (Table::new(MemoryRecords::default()), Table::new(embedded));
    for call in calls {
        prop_assert_eq!(model.act(&call).await, real.act(&call).await, "{:?}", call);
    }
    Ok(())
}

proptest! {
    #![proptest_config(Config { cases: 256, failure_persistence: None, ..Config::default() })]

    #[test]
    fn objects_answer_as_the_memory_engine_does(steps in steps()) {
        runtime().block_on(compare_objects(steps))?;
    }

    #[test]
    fn records_answer_as_the_memory_engine_does(calls in calls()) {
        runtime().block_on(compare_records(calls))?;
    }
}
