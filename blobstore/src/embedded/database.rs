//! The database of records: how it is opened, what is in it, and what its errors mean.
//!
//! One table, ordered by key as bytes, and one counter from which every version comes, so that no key ever sees a
//! version twice, not even after a delete. The write-ahead log is flushed with every commit (`synchronous=FULL`), and a
//! commit is visible to readers only after that.

use std::path::Path;
use std::thread;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _, TransactionBehavior, ffi};

use super::layout::Layout;
use crate::{Error, Result};

/// "Whrf", so that tools can tell whose database it is.
const APPLICATION: i32 = 0x5768_7266;
const SCHEMA_VERSION: i32 = 1;
const SCHEMA: &str = "
    CREATE TABLE records (key TEXT PRIMARY KEY, version INTEGER NOT NULL, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE counter (last_version INTEGER NOT NULL) STRICT;
    INSERT INTO counter VALUES (0);
";

/// How long somebody else's write is waited for, in attempts of a millisecond each.
const PATIENCE: i32 = 30_000;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Read,
    Write,
}

/// Creates the database, or completes one whose creation was interrupted.
pub(super) fn create(layout: &Layout) -> Result<()> {
    let path = layout.database();
    let created = || -> rusqlite::Result<()> {
        let mut connection = connect_with(&path, OpenFlags::SQLITE_OPEN_CREATE)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let exists = transaction.query_row("SELECT 1 FROM sqlite_schema", [], |_| Ok(())).optional()?.is_some();
        if !exists {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        }
        transaction.commit()
    };
    created().map_err(|error| Failure::new(&error, layout).while_doing("create the database of records"))
}

/// The connection of a process that writes, to a database that is ours and that we understand.
pub(super) fn open(layout: &Layout) -> Result<Connection> {
    let opened = || -> rusqlite::Result<(Connection, i32, i32, String)> {
        let connection = connect(&layout.database(), Purpose::Write)?;
        let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let journal = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
        Ok((connection, application, version, journal))
    };
    let (connection, application, version, journal) =
        opened().map_err(|error| Failure::new(&error, layout).while_doing("open the database of records"))?;
    if application != APPLICATION {
        return Err(layout.unusable("records.sqlite is not a database of Wharf's; restore it from a backup".to_owned()));
    }
    if version > SCHEMA_VERSION {
        let reason = format!(
            "records.sqlite was written by a newer version of Wharf (schema {version}, and this one knows up to \
             {SCHEMA_VERSION}); use that version or a later one"
        );
        return Err(layout.unusable(reason));
    }
    if journal != "wal" {
        let reason = "its file system cannot share memory between processes, which the database needs; \
                      use a local disk"
            .to_owned();
        return Err(layout.unusable(reason));
    }
    Ok(connection)
}

/// A connection to a database that exists.
pub(super) fn connect(path: &Path, purpose: Purpose) -> rusqlite::Result<Connection> {
    let connection = connect_with(path, OpenFlags::empty())?;
    match purpose {
        // Not opened as read-only: readers too take part in the memory that connections share.
        Purpose::Read => connection.pragma_update(None, "query_only", true)?,
        Purpose::Write => {
            connection.pragma_update(None, "synchronous", "full")?;
            // In KiB. Pages that a group of writes changes are kept until its commit.
            connection.pragma_update(None, "cache_size", -16_384)?;
            // The committing thread decides when: see `commit.rs`.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        }
    }
    Ok(connection)
}

fn connect_with(path: &Path, more: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | more;
    let mut connection = Connection::open_with_flags(path, flags)?;
    be_patient(&mut connection)?;
    Ok(connection)
}

/// Makes a connection wait for others. The database's own way sleeps for a tenth of a second between attempts; another
/// process's commit takes a hundredth of that.
#[expect(clippy::disallowed_methods, reason = "no event tells that another process has let go of the database")]
pub(super) fn be_patient(connection: &mut Connection) -> rusqlite::Result<()> {
    connection.busy_handler(Some(|attempts| {
        thread::sleep(Duration::from_millis(1));
        attempts < PATIENCE
    }))
}

/// An error of the database, as several callers can be told of it.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The extended code, where the error came from the database and not from our use of it.
    code: Option<ffi::Error>,
    problem: String,
    path: String,
}

impl Failure {
    pub(super) fn new(error: &rusqlite::Error, layout: &Layout) -> Self {
        let path = layout.root().display().to_string();
        Self { code: error.sqlite_error().copied(), problem: error.to_string(), path }
    }

    pub(super) fn problem(&self) -> &str {
        &self.problem
    }

    /// The decision a caller can take.
    pub(super) fn while_doing(&self, doing: &'static str) -> Error {
        let unusable = |reason| Error::Unusable { path: self.path.clone(), reason };
        match self.code.map(|error| (error.code, error.extended_code)) {
            // The shared memory beside the database could not grow.
            Some((ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE)) => Error::Full { doing: doing.to_owned() },
            Some((ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _)) => unusable(format!(
                "records.sqlite is damaged ({}); stop whoever uses the store and restore records.sqlite from a backup, \
                 or save what is left with `sqlite3 records.sqlite .recover`",
                self.problem
            )),
            Some((ErrorCode::CannotOpen, _)) if !Path::new(&self.path).join(super::layout::DATABASE).exists() => {
                unusable("records.sqlite is missing; restore it from a backup".to_owned())
            }
            Some((ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen, _)) => unusable(format!(
                "records.sqlite cannot be opened for writing ({}); check who owns the directory and its files",
                self.problem
            )),
            Some(_) | None => Error::Database { doing, problem: self.problem.clone() },
        }
    }
}
