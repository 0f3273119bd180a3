//! The one thread of a process that writes records.
//!
//! Everyone who writes while a commit is being flushed waits for the same next commit: the thread takes all that has
//! come in, does it in one transaction, flushes once and answers everyone. So one writer alone pays one flush per
//! write, and a hundred writers share one. Several processes take turns by the database's own lock.

use std::thread;
use std::time::Duration;

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::database::{self, Failure};
use super::layout::Layout;
use crate::{Change, Error, Expect, Outcome, Result, Version, Write};

/// How many batches may wait; whoever comes then waits for his turn to wait.
const QUEUE: usize = 1024;
/// How much one transaction takes on, in batches and in bytes of values.
const GROUP: usize = 1024;
const GROUP_BYTES: usize = 8 << 20;
/// After so many changed records or bytes of values, the log is brought into the database.
const CHECKPOINT_ROWS: usize = 1000;
const CHECKPOINT_BYTES: usize = 4 << 20;
/// From this many pages on, the log is begun anew even if readers have to be waited for. 64 MiB.
const LONG_LOG: i64 = 16_384;

const DOING: &str = "write records";

/// A batch, and who waits for it.
pub(super) struct Request {
    batch: Vec<Write>,
    answer: oneshot::Sender<Result<Vec<Outcome>>>,
}

/// The thread, seen from outside. Dropping this waits until what has been sent is done.
#[derive(Debug)]
pub(super) struct Committer {
    requests: Option<mpsc::Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Committer {
    pub(super) fn begin(layout: &Layout) -> Result<Self> {
        let connection = database::open(layout)?;
        let (requests, queue) = mpsc::channel(QUEUE);
        let state = State { connection, layout: layout.clone(), rows: 0, bytes: 0 };
        let thread = thread::Builder::new().name("records".to_owned()).spawn(move || state.run(queue));
        let thread = thread.map_err(|error| Error::io("start the thread that writes records", error))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    pub(super) async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        let ended = || Error::Database { doing: DOING, problem: "the thread that does it has ended".to_owned() };
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        requests.send(Request { batch, answer }).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened, and whoever waited for it was told.
            let _ = thread.join();
        }
    }
}

struct State {
    connection: Connection,
    layout: Layout,
    /// Changed since the log was last brought into the database.
    rows: usize,
    bytes: usize,
}

/// Why a group of batches was not done.
enum Trouble {
    /// Nothing happened; one of the batches may be the reason.
    Refused(Failure),
    /// Perhaps nothing happened, and nothing would go better one by one.
    Failed(Failure),
}

impl State {
    fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        while let Some(first) = queue.blocking_recv() {
            let group = gather(first, &mut queue);
            let changed = self.serve(group);
            self.rows += changed.rows;
            self.bytes += changed.bytes;
            if self.rows >= CHECKPOINT_ROWS || self.bytes >= CHECKPOINT_BYTES {
                self.checkpoint();
            }
        }
    }

    /// Does the batches and answers them.
    fn serve(&mut self, group: Vec<Request>) -> Changed {
        match self.commit(group.iter().map(|request| request.batch.as_slice())) {
            Ok((outcomes, changed)) => {
                for (request, outcomes) in group.into_iter().zip(outcomes) {
                    // Nobody to answer is fine: it happened all the same.
                    let _ = request.answer.send(Ok(outcomes));
                }
                changed
            }
            // So that one batch that is too large for the disk does not fail its neighbours.
            Err(Trouble::Refused(_)) if group.len() > 1 => {
                group.into_iter().map(|request| self.serve(vec![request])).fold(Changed::default(), Changed::and)
            }
            Err(Trouble::Refused(failure) | Trouble::Failed(failure)) => {
                for request in group {
                    let _ = request.answer.send(Err(failure.while_doing(DOING)));
                }
                Changed::default()
            }
        }
    }

    /// One transaction, one flush.
    fn commit<'a>(
        &mut self,
        group: impl Iterator<Item = &'a [Write]>,
    ) -> Result<(Vec<Vec<Outcome>>, Changed), Trouble> {
        let layout = self.layout.clone();
        let refused = |error| Trouble::Refused(Failure::new(&error, &layout));
        let failed = |error| Trouble::Failed(Failure::new(&error, &layout));
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let (outcomes, changed) = apply(&transaction, group).map_err(refused)?;
        transaction.commit().map_err(failed)?;
        Ok((outcomes, changed))
    }

    /// Brings the log into the database, so that the log is written from its beginning again. When somebody else does
    /// so right now, or the disk is full, the next time will do: nothing depends on it but the log's length.
    fn checkpoint(&mut self) {
        self.rows = 0;
        self.bytes = 0;
        match self.checkpoint_as("PASSIVE") {
            Ok(pages) if pages >= LONG_LOG => self.begin_log_anew(),
            Ok(_) => {}
            Err(error) => self.complain(&error),
        }
    }

    /// Readers that overlap without end would let the log grow for ever, so they are waited for, within reason.
    fn begin_log_anew(&mut self) {
        let waited = self.connection.busy_timeout(Duration::from_millis(100));
        let outcome = waited.and_then(|()| self.checkpoint_as("RESTART"));
        if let Err(error) = outcome.and_then(|_| database::be_patient(&mut self.connection)) {
            self.complain(&error);
        }
    }

    /// How many pages the log has.
    fn checkpoint_as(&self, mode: &str) -> rusqlite::Result<i64> {
        self.connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))
    }

    fn complain(&self, error: &rusqlite::Error) {
        let failure = Failure::new(error, &self.layout);
        tracing::warn!(problem = failure.problem(), "the log of records could not be shortened");
    }
}

/// All that has come in, up to what one transaction should take on.
fn gather(first: Request, queue: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let mut bytes = value_bytes(&first.batch);
    let mut group = vec![first];
    while group.len() < GROUP && bytes < GROUP_BYTES {
        let Ok(next) = queue.try_recv() else { break };
        bytes += value_bytes(&next.batch);
        group.push(next);
    }
    group
}

fn value_bytes(batch: &[Write]) -> usize {
    batch
        .iter()
        .map(|write| match &write.change {
            Change::Put(value) => value.len(),
            Change::Delete | Change::Retire => 0,
        })
        .sum()
}

/// How much was written.
#[derive(Clone, Copy, Debug, Default)]
struct Changed {
    rows: usize,
    bytes: usize,
}

impl Changed {
    fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, bytes: self.bytes + other.bytes }
    }
}

/// Does every compare-and-swap of every batch inside a transaction.
fn apply<'a>(
    transaction: &Transaction<'_>,
    group: impl Iterator<Item = &'a [Write]>,
) -> rusqlite::Result<(Vec<Vec<Outcome>>, Changed)> {
    let mut swaps = Swaps::begin(transaction)?;
    let mut outcomes = Vec::new();
    for batch in group {
        outcomes.push(batch.iter().map(|write| swaps.swap(write)).collect::<rusqlite::Result<_>>()?);
    }
    let changed = swaps.changed;
    swaps.end()?;
    Ok((outcomes, changed))
}

/// The statements of a transaction, and the counter of versions while it runs.
struct Swaps<'a> {
    last_version: i64,
    changed: Changed,
    current: CachedStatement<'a>,
    put: CachedStatement<'a>,
    delete: CachedStatement<'a>,
    count: CachedStatement<'a>,
}

impl<'a> Swaps<'a> {
    fn begin(transaction: &'a Transaction<'_>) -> rusqlite::Result<Self> {
        let mut last = transaction.prepare_cached("SELECT last_version FROM counter")?;
        Ok(Self {
            last_version: last.query_row([], |row| row.get(0))?,
            changed: Changed::default(),
            current: transaction.prepare_cached("SELECT version FROM records WHERE key = ?1")?,
            put: transaction.prepare_cached(
                "INSERT INTO records (key, version, value) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET version = excluded.version, value = excluded.value",
            )?,
            delete: transaction.prepare_cached("DELETE FROM records WHERE key = ?1")?,
            count: transaction.prepare_cached("UPDATE counter SET last_version = ?1")?,
        })
    }

    fn swap(&mut self, write: &Write) -> rusqlite::Result<Outcome> {
        let key = write.key.as_str();
        let current: Option<i64> = self.current.query_row([key], |row| row.get(0)).optional()?;
        let as_expected = match (&write.expect, current) {
            (Expect::Absent, None) => true,
            (Expect::Version(expected), Some(current)) => expected.0 == current.to_string(),
            (Expect::Absent, Some(_)) | (Expect::Version(_), None) => false,
        };
        if !as_expected {
            return Ok(Outcome::Conflict);
        }
        self.last_version += 1;
        self.changed.rows += 1;
        match &write.change {
            Change::Put(value) => {
                self.changed.bytes += value.len();
                self.put.execute((key, self.last_version, value.as_ref()))?;
            }
            Change::Delete | Change::Retire => {
                self.delete.execute([key])?;
            }
        }
        Ok(Outcome::Done(Version(self.last_version.to_string())))
    }

    fn end(mut self) -> rusqlite::Result<()> {
        if self.changed.rows > 0 {
            self.count.execute([self.last_version])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

    use tempfile::TempDir;

    use super::super::database::Purpose;
    use super::super::open_engines;
    use super::*;
    use crate::{RecordKey, Records as _};

    /// In memory where there is such a place: flushes take their time on a disk.
    fn store() -> (TempDir, Layout) {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let layout = Layout::open(directory.path()).unwrap();
        (directory, layout)
    }

    fn put(key: &str, bytes: usize) -> Vec<Write> {
        let change = Change::Put(vec![1; bytes].into());
        vec![Write { key: RecordKey::new(key), expect: Expect::Absent, change }]
    }

    #[test]
    fn a_batch_that_does_not_fit_does_not_fail_its_neighbours() {
        let (_directory, layout) = store();
        let connection = database::open(&layout).unwrap();
        connection.query_row("PRAGMA max_page_count = 50", [], |_| Ok(())).unwrap();
        let mut state = State { connection, layout: layout.clone(), rows: 0, bytes: 0 };
        let batches = [put("before", 10), put("too/large", 1 << 20), put("after", 10)];
        let (group, answers): (Vec<_>, Vec<_>) = batches
            .into_iter()
            .map(|batch| {
                let (answer, answered) = oneshot::channel();
                (Request { batch, answer }, answered)
            })
            .unzip();
        state.serve(group);
        let answers: Vec<_> = answers.into_iter().map(|answer| answer.blocking_recv().unwrap()).collect();
        assert!(matches!(answers[0].as_deref(), Ok([Outcome::Done(_)])));
        assert!(matches!(answers[1], Err(Error::Full { .. })));
        assert!(matches!(answers[2].as_deref(), Ok([Outcome::Done(_)])));
    }

    #[tokio::test]
    async fn writes_that_come_in_together_share_a_flush() {
        let (_directory, layout) = store();
        let committer = Arc::new(Committer::begin(&layout).unwrap());
        let other = database::connect(&layout.database(), Purpose::Write).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let write = |number: u32| {
            let committer = Arc::clone(&committer);
            tokio::spawn(async move { committer.write(put(&format!("key/{number}"), 10)).await.unwrap() })
        };
        let waiting = || QUEUE - committer.requests.as_ref().unwrap().capacity();
        let mut writes = vec![write(0)];
        tokio::task::yield_now().await;
        // The thread has one and waits for the database; the others wait for the thread.
        while waiting() > 0 {
            tokio::task::yield_now().await;
        }
        writes.extend((1..50).map(write));
        while waiting() < 49 {
            tokio::task::yield_now().await;
        }
        other.execute_batch("COMMIT").unwrap();
        for write in writes {
            assert!(matches!(write.await.unwrap()[..], [Outcome::Done(_)]));
        }
        let pages: i64 = other.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(1)).unwrap();
        assert!(pages < 50, "{pages} pages were written, more than fifty records in a few commits need");
    }

    #[tokio::test]
    async fn closing_waits_for_what_was_sent_even_when_its_sender_does_not() {
        let (_directory, layout) = store();
        let (_, records) = open_engines(layout.root()).unwrap();
        let other = database::connect(&layout.database(), Purpose::Write).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        {
            let mut write = std::pin::pin!(records.write(put("key", 10)));
            assert!(futures_util::poll!(&mut write).is_pending());
        }
        other.execute_batch("COMMIT").unwrap();
        drop((other, records));
        let (_, records) = open_engines(layout.root()).unwrap();
        assert!(records.get(&RecordKey::new("key")).await.unwrap().is_some());
        assert!(!layout.root().join("records.sqlite-journal").exists());
    }

    #[tokio::test]
    async fn the_log_stays_short_while_there_are_readers_all_the_time() {
        let (_directory, layout) = store();
        let (_, records) = open_engines(layout.root()).unwrap();
        // Two readers, each of which only ends when the other has begun again: hardly ever is there nobody.
        let begun = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
        let stop = Arc::new(AtomicBool::new(false));
        let readers = [0, 1].map(|number| {
            let connection = database::connect(&layout.database(), Purpose::Read).unwrap();
            let (begun, stop) = (Arc::clone(&begun), Arc::clone(&stop));
            thread::spawn(move || {
                while !stop.load(SeqCst) {
                    let others = begun[1 - number].load(SeqCst);
                    connection.execute_batch("BEGIN; SELECT last_version FROM counter").unwrap();
                    begun[number].fetch_add(1, SeqCst);
                    while begun[1 - number].load(SeqCst) == others && !stop.load(SeqCst) {
                        thread::yield_now();
                    }
                    connection.execute_batch("COMMIT").unwrap();
                }
            })
        });
        for number in 0..300 {
            let batch = (0..50).flat_map(|part| put(&format!("{number}/{part}"), 10_000)).collect();
            records.write(batch).await.unwrap();
        }
        stop.store(true, SeqCst);
        for reader in readers {
            reader.join().unwrap();
        }
        let log = fs::metadata(layout.root().join("records.sqlite-wal")).unwrap().len();
        assert!(log < 80 << 20, "150 MB were written, and the log has {log} bytes");
    }

    #[test]
    fn a_log_that_grew_long_is_begun_anew_when_its_readers_have_ended() {
        let (_directory, layout) = store();
        let connection = database::open(&layout).unwrap();
        let mut state = State { connection, layout: layout.clone(), rows: 0, bytes: 0 };
        let reader = database::connect(&layout.database(), Purpose::Read).unwrap();
        let write = |state: &mut State, key: &str| {
            state.commit([put(key, 100_000).as_slice()].into_iter()).ok().unwrap();
        };
        write(&mut state, "a");
        reader.execute_batch("BEGIN; SELECT last_version FROM counter").unwrap();
        let short = state.checkpoint_as("PASSIVE").unwrap();
        state.begin_log_anew();
        write(&mut state, "b");
        assert!(state.checkpoint_as("PASSIVE").unwrap() > short, "the reader still reads from the log");
        reader.execute_batch("COMMIT").unwrap();
        state.begin_log_anew();
        write(&mut state, "c");
        assert!(state.checkpoint_as("PASSIVE").unwrap() <= short);
    }

    #[tokio::test]
    async fn damage_is_told_with_what_to_do() {
        let (_directory, layout) = store();
        let (_, records) = open_engines(layout.root()).unwrap();
        for number in 0..20 {
            records.write(put(&format!("key/{number}"), 900)).await.unwrap();
        }
        drop(records);
        let mut bytes = fs::read(layout.database()).unwrap();
        bytes[4096..].fill(0x55);
        fs::write(layout.database(), bytes).unwrap();
        let (_, records) = open_engines(layout.root()).unwrap();
        let error = records.get(&RecordKey::new("key/7")).await.unwrap_err();
        assert!(matches!(&error, Error::Unusable { reason, .. } if reason.contains("backup")), "{error}");
        let error = records.write(put("new", 10)).await.unwrap_err();
        assert!(matches!(&error, Error::Unusable { reason, .. } if reason.contains("backup")), "{error}");
    }
}
