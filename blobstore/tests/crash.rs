//! kill -9 at any moment loses nothing that was acknowledged, and leaves nothing half-written to be seen.
//!
//! The test starts itself again as a child that writes as fast as it can, and says what was acknowledged. After a
//! number of acknowledgements the child is killed, and the store is opened and looked at.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use wharf_blobstore::embedded::{self, EmbeddedObjects};
use wharf_blobstore::{
    Change, Checkpoint, Expect, ObjectKey, Objects, Outcome, RandomIds, RecordKey, Records as _, RecordsExt as _,
};

/// Set for the child: the store's directory.
const CHILD: &str = "WHARF_TEST_CRASH_CHILD";
const THIS_TEST: &str = "killed_at_any_moment_a_store_loses_nothing";

/// Acknowledgements after which the child is killed, round by round, on one and the same store.
const ROUNDS: [usize; 10] = [1, 2, 3, 7, 12, 20, 33, 50, 80, 130];

#[test]
fn killed_at_any_moment_a_store_loses_nothing() {
    if let Some(directory) = env::var_os(CHILD) {
        write_until_killed(Path::new(&directory));
    }
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for (round, count) in ROUNDS.into_iter().enumerate() {
        let mut victim = Writer::start(directory.path());
        // Every other time, another process has the store open and goes on writing.
        let mut witness = (round % 2 == 1).then(|| Writer::start(directory.path()));
        victim.read(count, &mut acknowledged);
        victim.kill(&mut acknowledged);
        if let Some(witness) = &mut witness {
            witness.read(count, &mut acknowledged);
        }
        if let Some(witness) = witness {
            witness.kill(&mut acknowledged);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(acknowledged.verify(directory.path()));
    }
}

/// The child, seen from its parent.
struct Writer {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Writer {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([THIS_TEST, "--exact", "--nocapture"])
            .env(CHILD, directory)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, lines }
    }

    fn read(&mut self, count: usize, acknowledged: &mut Acknowledged) {
        for _ in 0..count {
            let line = self.lines.next().expect("the child writes until it is killed").unwrap();
            acknowledged.take(&line);
        }
    }

    /// Kills the child where it stands. What it said before that counts too, except for a line that it did not end.
    fn kill(mut self, acknowledged: &mut Acknowledged) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        for line in self.lines {
            acknowledged.take(&line.unwrap());
        }
    }
}

/// Everything the children said.
#[derive(Default)]
struct Acknowledged {
    objects: Vec<ObjectKey>,
    deleted: Vec<ObjectKey>,
    checkpoints: BTreeMap<ObjectKey, (Checkpoint, usize)>,
    records: Vec<RecordKey>,
    counter: u64,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["object", key, "end"] => self.objects.push(key.parse().unwrap()),
            ["deleted", key, "end"] => self.deleted.push(key.parse().unwrap()),
            ["checkpoint", key, text, length, "end"] => {
                let checkpoint = (Checkpoint(text.to_owned()), length.parse().unwrap());
                self.checkpoints.insert(key.parse().unwrap(), checkpoint);
            }
            ["record", key, "end"] => self.records.push(RecordKey::new(key)),
            ["counter", value, "end"] => self.counter = self.counter.max(value.parse().unwrap()),
            // A line that the child was killed in, or a panic of the child, after which it says nothing more.
            _ => assert!(!line.contains("panicked"), "the child: {line}"),
        }
    }

    async fn verify(&mut self, directory: &Path) {
        let (objects, records) = embedded::open_engines(directory).unwrap();
        let listed = objects.list(None, usize::MAX).await.unwrap();
        for key in &listed {
            assert!(read(&objects, *key).await == content(*key), "{key} is visible and not complete");
        }
        for key in self.objects.iter().filter(|key| !self.deleted.contains(key)) {
            // A delete may have happened and not been acknowledged; children delete only what has this mark.
            assert!(listed.binary_search(key).is_ok() || is_deleted_later(*key), "{key} was acknowledged and is lost");
        }
        for key in &self.deleted {
            assert!(listed.binary_search(key).is_err(), "{key} was deleted and came back");
        }
        for (key, (checkpoint, length)) in std::mem::take(&mut self.checkpoints) {
            // Finished and gone again is deleted, whether that was acknowledged or not.
            if listed.binary_search(&key).is_err() && !self.objects.contains(&key) {
                self.go_on(&objects, key, &checkpoint, length).await;
            }
        }
        // What was not gone on with was checkpointed and not acknowledged. Nothing lies there that nobody can list.
        for left in objects.unfinished(wharf_blobstore::conformance::far_future()).await.unwrap() {
            objects.abandon(left.key).await.unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.join("partial")).unwrap().count(), 0);

        let found = records.get_many(&self.records).await.unwrap();
        for (key, record) in self.records.iter().zip(found) {
            assert!(record.is_some_and(|record| record.value == value(key)), "{key} was acknowledged and is lost");
        }
        for entry in records.list("record/", None, usize::MAX).await.unwrap() {
            assert!(entry.record.value == value(&entry.key), "{} is visible and not complete", entry.key);
        }
        let counter = records.get_json::<u64>(&RecordKey::new("counter")).await.unwrap().map_or(0, |(count, _)| count);
        assert!(counter >= self.counter, "{} was acknowledged, and there is {counter}", self.counter);
    }

    async fn go_on(&mut self, objects: &EmbeddedObjects, key: ObjectKey, checkpoint: &Checkpoint, length: usize) {
        let mut writer = objects.resume(key, checkpoint).await.unwrap();
        writer.write(content(key).slice(length..)).await.unwrap();
        writer.finish().await.unwrap();
        assert!(read(objects, key).await == content(key), "{key} went on from its checkpoint with other bytes");
        self.objects.push(key);
    }
}

async fn read(objects: &EmbeddedObjects, key: ObjectKey) -> Bytes {
    let size = objects.size(key).await.unwrap().unwrap();
    let bytes: BytesMut = objects.read(key, 0..size).await.unwrap().unwrap().try_collect().await.unwrap();
    bytes.freeze()
}

/// What is stored follows from the key, so that whoever finds it can tell whether it is complete.
fn content(key: ObjectKey) -> Bytes {
    let length = usize::from(u16::from_be_bytes([key.bits()[14], key.bits()[15]])) * 12;
    let mut bytes = BytesMut::with_capacity(length + 16);
    for block in 0..=length as u128 / 16 {
        bytes.extend_from_slice(&(u128::from_be_bytes(key.bits()) ^ block).to_be_bytes());
    }
    bytes.freeze().slice(..length)
}

fn is_deleted_later(key: ObjectKey) -> bool {
    key.bits()[13] < 64
}

fn value(key: &RecordKey) -> Bytes {
    key.as_str().as_bytes().repeat(20).into()
}

/// The child: four tasks that write objects and records, and say so. Only ends by being killed.
fn write_until_killed(directory: &Path) -> ! {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (objects, records) = embedded::open_engines(directory).unwrap();
        let writers = (0..4).map(|_| tokio::spawn(write_objects_and_records(objects.clone(), records.clone())));
        for writer in writers.collect::<Vec<_>>() {
            writer.await.unwrap();
        }
    });
    unreachable!("writers only stop by being killed");
}

fn say(line: &str) {
    // One call, so that lines of several tasks do not mix.
    std::io::stderr().write_all(format!("{line} end\n").as_bytes()).unwrap();
}

async fn write_objects_and_records(objects: EmbeddedObjects, records: embedded::EmbeddedRecords) {
    use wharf_blobstore::Ids as _;
    loop {
        let key = ObjectKey::new(RandomIds.fresh());
        let bytes = content(key);
        let mut writer = objects.create(key).await.unwrap();
        let middle = bytes.len() / 2;
        writer.write(bytes.slice(..middle)).await.unwrap();
        if key.bits()[12] < 128 {
            let checkpoint = writer.checkpoint().await.unwrap();
            say(&format!("checkpoint {key} {} {middle}", checkpoint.0));
        }
        writer.write(bytes.slice(middle..)).await.unwrap();
        writer.finish().await.unwrap();
        say(&format!("object {key}"));

        let record = RecordKey::new(format!("record/{key}"));
        let change = Change::Put(value(&record));
        assert_ne!(records.swap(record.clone(), Expect::Absent, change).await.unwrap(), Outcome::Conflict);
        say(&format!("record {record}"));

        count(&records).await;
        if is_deleted_later(key) {
            objects.delete(key).await.unwrap();
            say(&format!("deleted {key}"));
        }
    }
}

async fn count(records: &embedded::EmbeddedRecords) {
    let counter = RecordKey::new("counter");
    let (count, expect) = match records.get_json::<u64>(&counter).await.unwrap() {
        Some((count, version)) => (count + 1, Expect::Version(version)),
        None => (1, Expect::Absent),
    };
    if records.put_json(counter, expect, &count).await.unwrap() != Outcome::Conflict {
        say(&format!("counter {count}"));
    }
}
