//! Records in the database.
//!
//! Reading one record takes microseconds, mostly from memory, so it is done right where it is asked for: handing it to
//! another thread and back would cost more than the read. Only what may read much goes to a thread that may block.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::blocking::blocking;
use super::commit::Committer;
use super::database::{self, Failure, Purpose};
use super::layout::Layout;
use crate::{Entry, Generation, Outcome, Record, RecordKey, Records, Result, Version, Write};

/// Up to so many records are read right away.
const FEW: usize = 32;
/// Connections that are kept for the next reader.
const IDLE: usize = 8;

/// Records in a database. Cloning is cheap; clones share everything.
#[derive(Clone, Debug)]
pub struct EmbeddedRecords {
    // Before the readers, so that they are there until the last write is done.
    committer: Arc<Committer>,
    readers: Arc<Readers>,
    /// Tells whether anybody has written. What it says compares only with what the same connection said.
    watcher: Arc<Mutex<Connection>>,
}

impl EmbeddedRecords {
    pub(super) fn open(layout: &Layout) -> Result<Self> {
        let readers = Arc::new(Readers { layout: layout.clone(), idle: Mutex::default() });
        let committer = Arc::new(Committer::begin(layout)?);
        let watcher = database::connect(&layout.database(), Purpose::Read)
            .map_err(|error| Failure::new(&error, layout).while_doing("watch the records"))?;
        Ok(Self { committer, readers, watcher: Arc::new(Mutex::new(watcher)) })
    }
}

#[async_trait]
impl Records for EmbeddedRecords {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        self.readers.read(|connection| get(connection, key))
    }

    async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>> {
        if keys.len() <= FEW {
            return self.readers.read(|connection| get_many(connection, keys));
        }
        let (readers, keys) = (Arc::clone(&self.readers), keys.to_vec());
        blocking(move || readers.read(|connection| get_many(connection, &keys))).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        if limit <= FEW {
            return self.readers.read(|connection| list(connection, prefix, after, limit));
        }
        let readers = Arc::clone(&self.readers);
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        blocking(move || readers.read(|connection| list(connection, &prefix, after.as_deref(), limit))).await
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        self.committer.write(batch).await
    }

    fn generation(&self) -> Option<Generation> {
        // Held for a microsecond or two. A database that cannot be asked cannot be read either, and reading says why.
        let watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = watcher.prepare_cached("PRAGMA data_version").ok()?;
        let version: i64 = statement.query_row([], |row| row.get(0)).ok()?;
        Some(Generation(version.cast_unsigned()))
    }
}

/// Connections for reading: as many as are reading at once, of which a few are kept.
#[derive(Debug)]
struct Readers {
    layout: Layout,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    /// Reads on a connection that nobody else uses meanwhile. Blocks, if only for microseconds in most cases.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => Ok(connection),
            None => database::connect(&self.layout.database(), Purpose::Read),
        };
        let read = connection.and_then(|connection| {
            let read = work(&connection)?;
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < IDLE {
                idle.push(connection);
            }
            Ok(read)
        });
        read.map_err(|error| Failure::new(&error, &self.layout).while_doing("read records"))
    }
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let version: i64 = row.get("version")?;
    let value: Vec<u8> = row.get("value")?;
    Ok(Record { value: Bytes::from(value), version: Version(version.to_string()) })
}

fn get(connection: &Connection, key: &RecordKey) -> rusqlite::Result<Option<Record>> {
    let mut statement = connection.prepare_cached("SELECT version, value FROM records WHERE key = ?1")?;
    statement.query_row([key.as_str()], record).optional()
}

fn get_many(connection: &Connection, keys: &[RecordKey]) -> rusqlite::Result<Vec<Option<Record>>> {
    keys.iter().map(|key| get(connection, key)).collect()
}

fn list(connection: &Connection, prefix: &str, after: Option<&str>, limit: usize) -> rusqlite::Result<Vec<Entry>> {
    let (text, start) = match after {
        Some(after) if after >= prefix => {
            ("SELECT key, version, value FROM records WHERE key > ?1 ORDER BY key", after)
        }
        Some(_) | None => ("SELECT key, version, value FROM records WHERE key >= ?1 ORDER BY key", prefix),
    };
    let mut statement = connection.prepare_cached(text)?;
    let mut rows = statement.query([start])?;
    let mut entries = Vec::new();
    // Rows are read as they are asked for, so stopping early costs nothing.
    while entries.len() < limit {
        let Some(row) = rows.next()? else { break };
        let key = row.get_ref("key")?.as_str()?;
        if !key.starts_with(prefix) {
            break;
        }
        entries.push(Entry { key: RecordKey::new(key), record: record(row)? });
    }
    Ok(entries)
}
