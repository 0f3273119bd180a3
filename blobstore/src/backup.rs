//! Records in a file, to be put back into an empty store of any engine. Bytes of objects are not in it: they are files
//! or objects of their own, and copied as such.
//!
//! ```text
//! "wharf-records 1\n"
//! for each record: length of key, length of value (u32, big-endian), key, value
//! 0, 0 (u32), SHA-256 of everything before it
//! ```
//!
//! A file that was cut off or changed is told by its end and refused before anything is written.

use std::io::{self, Read, Write};

use bytes::Bytes;
use wharf_spec::{Algorithm, Hasher};

use crate::{Change, Error, Expect, Outcome, RecordKey, Records, Write as RecordWrite};

const MAGIC: &[u8] = b"wharf-records 1\n";

/// Nothing written here is longer; what says so is damaged.
const MAX_KEY: u32 = 64 << 10;
const MAX_VALUE: u32 = 256 << 20;

/// Records written at once.
const BATCH: usize = 500;

/// Uploads under way are not kept: their bytes are in nobody's copy of the objects.
const UPLOADS: &str = "uploads/";

/// Why records could not be written to a file or read from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file could not be read or written.
    #[error("the backup could not be read or written")]
    Io(#[from] io::Error),
    /// The file is no backup, or not a whole one.
    #[error("this is no whole backup of records: {problem}")]
    Damaged {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Records are put into an empty store only: what is there is never overwritten.
    #[error("the store is not empty: it has records already")]
    NotEmpty,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Writes a backup.
pub struct BackupWriter<W> {
    out: W,
    hasher: Hasher,
    count: u64,
}

impl<W: Write> BackupWriter<W> {
    /// Begins one.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writer = Self { out, hasher: Hasher::new(Algorithm::Sha256), count: 0 };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.out.write_all(bytes)
    }

    /// Adds a record.
    pub fn add(&mut self, key: &str, value: &[u8]) -> io::Result<()> {
        if key.starts_with(UPLOADS) {
            return Ok(());
        }
        let length = |length: usize| u32::try_from(length).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
        self.put(&length(key.len())?.to_be_bytes())?;
        self.put(&length(value.len())?.to_be_bytes())?;
        self.put(key.as_bytes())?;
        self.put(value)?;
        self.count += 1;
        Ok(())
    }

    /// Ends it; how many records are in it, and what they were written to.
    pub fn finish(mut self) -> io::Result<(u64, W)> {
        self.put(&[0; 8])?;
        let digest = self.hasher.finish();
        self.out.write_all(digest.as_bytes())?;
        self.out.flush()?;
        Ok((self.count, self.out))
    }
}

/// Reads a backup, record by record.
struct BackupReader<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> BackupReader<R> {
    fn begin(from: R) -> Result<Self, BackupError> {
        let mut reader = Self { from, hasher: Hasher::new(Algorithm::Sha256) };
        let magic =
            reader.take(MAGIC.len()).map_err(|_| BackupError::Damaged { problem: "it does not begin as one" })?;
        if magic == MAGIC { Ok(reader) } else { Err(BackupError::Damaged { problem: "it does not begin as one" }) }
    }

    fn take(&mut self, length: usize) -> Result<Vec<u8>, BackupError> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        (&mut self.from).take(limit).read_to_end(&mut bytes)?;
        if bytes.len() < length {
            return Err(BackupError::Damaged { problem: "it is cut off" });
        }
        self.hasher.update(&bytes);
        Ok(bytes)
    }

    fn number(&mut self) -> Result<u32, BackupError> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// The next record; `None` at the end, when everything before it is as it was written.
    fn next(&mut self) -> Result<Option<(RecordKey, Bytes)>, BackupError> {
        let (key, value) = (self.number()?, self.number()?);
        if key == 0 {
            let expected = std::mem::replace(&mut self.hasher, Hasher::new(Algorithm::Sha256)).finish();
            let said = self.take(expected.as_bytes().len())?;
            let whole = said == expected.as_bytes() && self.from.read(&mut [0])? == 0;
            return if whole { Ok(None) } else { Err(BackupError::Damaged { problem: "it has been changed" }) };
        }
        if key > MAX_KEY || value > MAX_VALUE {
            return Err(BackupError::Damaged { problem: "it has been changed" });
        }
        let (key, value) = (self.take(key as usize)?, self.take(value as usize)?);
        let key = String::from_utf8(key).map_err(|_| BackupError::Damaged { problem: "it has been changed" })?;
        if key.ends_with('/') {
            return Err(BackupError::Damaged { problem: "it has been changed" });
        }
        Ok(Some((RecordKey::new(key), value.into())))
    }
}

/// Reads a backup to its end; how many records it has.
pub fn verify(from: impl Read) -> Result<u64, BackupError> {
    let (mut reader, mut count) = (BackupReader::begin(from)?, 0);
    while reader.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// Puts the records of a backup into an empty store; how many. Whoever cares calls [`verify`] first: a damaged file is
/// noticed here only when its beginning has been written.
pub async fn restore(records: &dyn Records, from: impl Read + Send) -> Result<u64, BackupError> {
    if !records.list("", None, 1).await?.is_empty() {
        return Err(BackupError::NotEmpty);
    }
    let (mut reader, mut count) = (BackupReader::begin(from)?, 0);
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some((key, value)) = reader.next()?
        {
            batch.push(RecordWrite { key, expect: Expect::Absent, change: Change::Put(value) });
        }
        let (length, last) = (batch.len(), batch.len() < BATCH);
        if length > 0 && records.write(batch).await?.contains(&Outcome::Conflict) {
            return Err(BackupError::NotEmpty);
        }
        count += length as u64;
        if last {
            return Ok(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RecordsExt as _;
    use crate::memory::MemoryRecords;

    fn written(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = BackupWriter::begin(Vec::new()).unwrap();
        for (key, value) in records {
            writer.add(key, value).unwrap();
        }
        writer.finish().unwrap().1
    }

    #[tokio::test]
    async fn what_was_written_is_put_back() {
        let many: Vec<(String, Vec<u8>)> = (0..1200_u32).map(|n| (format!("k/{n}"), vec![7; n as usize])).collect();
        let mut all: Vec<(&str, &[u8])> = many.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        all.push(("uploads/1", b"under way"));
        let file = written(&all);
        assert_eq!(verify(&*file).unwrap(), 1200);
        let records = MemoryRecords::default();
        assert_eq!(restore(&records, &*file).await.unwrap(), 1200);
        for (key, value) in &many {
            let found = records.get(&RecordKey::new(key.as_str())).await.unwrap().unwrap();
            assert_eq!(found.value, *value, "{key}");
        }
        assert!(records.get(&RecordKey::new("uploads/1")).await.unwrap().is_none());
        assert!(matches!(restore(&records, &*file).await, Err(BackupError::NotEmpty)));
    }

    #[tokio::test]
    async fn nothing_is_put_over_what_is_there() {
        let records = MemoryRecords::default();
        records.put_json(RecordKey::new("x"), Expect::Absent, &1).await.unwrap();
        assert!(matches!(restore(&records, &*written(&[("y", b"2")])).await, Err(BackupError::NotEmpty)));
        assert!(records.get(&RecordKey::new("y")).await.unwrap().is_none());
    }

    #[test]
    fn any_change_of_the_file_is_noticed() {
        let file = written(&[("a", b"first"), ("b/c", b"second")]);
        assert!(verify(&*file).is_ok());
        for end in 0..file.len() {
            assert!(verify(&file[..end]).is_err(), "cut at {end}");
        }
        for at in 0..file.len() {
            let mut changed = file.clone();
            changed[at] ^= 1;
            assert!(verify(&*changed).is_err(), "changed at {at}");
        }
        assert!(verify(&*[file, vec![0]].concat()).is_err(), "something after its end");
    }
}
