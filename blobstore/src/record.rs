//! The trait for records.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Error, RecordKey, Result};

/// A record's version: opaque text that no two states of one key ever share, not even after a delete.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The value.
    pub value: Bytes,
    /// The version to expect when writing.
    pub version: Version,
}

/// A record in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: RecordKey,
    /// The record.
    pub record: Record,
}

/// What must be true for a write to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no record.
    Absent,
    /// The record is at this version.
    Version(Version),
}

/// What a write does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Sets the value.
    Put(Bytes),
    /// Removes the record.
    Delete,
    /// Removes the record, whose key carries an id that was made for it: nobody ever creates it again. Where a deleted
    /// record must leave something behind, lest a late write be lost under it, this one need not for long.
    Retire,
}

/// One compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Which record.
    pub key: RecordKey,
    /// What it must be.
    pub expect: Expect,
    /// What it becomes.
    pub change: Change,
}

/// How a compare-and-swap went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done and durable; for a put, the new version.
    Done(Version),
    /// The record was not what was expected; nothing happened.
    Conflict,
}

/// A mark of a moment between two writes: while it stays the same, so does every record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(pub u64);

/// Small values under keys, written only by compare-and-swap.
///
/// Reads see every write that was acknowledged before they began, from any process that has the store open. An
/// acknowledged write survives kill -9 and power loss. A write that failed with an error may or may not have happened.
#[async_trait]
pub trait Records: Debug + Send + Sync + 'static {
    /// Reads one record.
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>>;

    /// Reads several records, in the order asked; not one snapshot.
    async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>>;

    /// Records whose key starts with `prefix`, in ascending order of keys by bytes, `limit` at most, with keys greater
    /// than `after` (a key text that need not exist and may lie outside the prefix).
    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>>;

    /// Does several compare-and-swaps, each on its own: one may conflict while its neighbours happen. When this
    /// returns, every one that is `Done` is durable. Keys in one batch are distinct.
    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>>;

    /// The generation the records are at, where the engine can tell in less time than reading a record takes. What was
    /// read after it was asked for is still so as long as asking again gives the same, whichever process writes.
    fn generation(&self) -> Option<Generation> {
        None
    }
}

/// Calls every owner of records makes, on top of [`Records`].
#[async_trait]
pub trait RecordsExt: Records {
    /// Does one compare-and-swap.
    async fn swap(&self, key: RecordKey, expect: Expect, change: Change) -> Result<Outcome> {
        let outcomes = self.write(vec![Write { key: key.clone(), expect, change }]).await?;
        outcomes
            .into_iter()
            .next()
            .ok_or_else(|| Error::CorruptRecord { key: key.to_string(), problem: "write was not answered".to_owned() })
    }

    /// Reads a record that holds JSON.
    async fn get_json<T: DeserializeOwned + Send>(&self, key: &RecordKey) -> Result<Option<(T, Version)>> {
        match self.get(key).await? {
            Some(record) => Ok(Some((decode(key, &record.value)?, record.version))),
            None => Ok(None),
        }
    }

    /// Writes a record as JSON.
    async fn put_json<T: Serialize + Sync>(&self, key: RecordKey, expect: Expect, value: &T) -> Result<Outcome> {
        let value = encode(value);
        self.swap(key, expect, Change::Put(value)).await
    }
}

impl<R: Records + ?Sized> RecordsExt for R {}

/// A value as JSON bytes.
pub fn encode<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).expect("records are plain data").into()
}

/// A value from JSON bytes.
pub fn decode<T: DeserializeOwned>(key: &RecordKey, value: &[u8]) -> Result<T> {
    serde_json::from_slice(value)
        .map_err(|error| Error::CorruptRecord { key: key.to_string(), problem: error.to_string() })
}
