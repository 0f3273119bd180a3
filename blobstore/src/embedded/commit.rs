//! The one thread of a process that writes records.
//!
//! Everyone who writes while a commit is being flushed waits for the same next commit: the thread takes all that has
//! come in, does it in one transaction, flushes once and answers everyone. So one writer alone pays one flush per
//! write, and a hundred writers share one. Several processes take turns by the database's own lock.

use std::thread;

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
        if let Some(Err(panic)) = self.thread.take().map(thread::JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
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
            // Readers that overlap without end would let it grow for ever.
            Ok(pages) if pages >= LONG_LOG => {
                let waited = self.connection.busy_timeout(std::time::Duration::from_millis(100));
                let outcome = waited.and_then(|()| self.checkpoint_as("RESTART"));
                if let Err(error) = outcome.and_then(|_| database::be_patient(&mut self.connection)) {
                    self.complain(&error);
                }
            }
            Ok(_) => {}
            Err(error) => self.complain(&error),
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
            Change::Delete => 0,
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
            Change::Delete => {
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
