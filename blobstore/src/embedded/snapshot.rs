//! All records as they are at one moment, while others go on writing: one read transaction, which the write-ahead log
//! lets stand beside any number of writes.

use std::io::Write;
use std::path::Path;

use super::database::{self, Failure, Purpose};
use super::layout::Layout;
use crate::backup::{BackupError, BackupWriter};

/// Writes the records of the store in this directory, all of one moment, and returns how many, and what they were
/// written to. Blocks until all are written.
pub fn back_up<W: Write>(path: &Path, out: W) -> Result<(u64, W), BackupError> {
    let layout = Layout::open(path)?;
    let mut writer = BackupWriter::begin(out)?;
    let failed =
        |error: rusqlite::Error| BackupError::Store(Failure::new(&error, &layout).while_doing("read the records"));
    let mut connection = database::connect(&layout.database(), Purpose::Read).map_err(failed)?;
    let moment = connection.transaction().map_err(failed)?;
    {
        let mut statement = moment.prepare("SELECT key, value FROM records ORDER BY key").map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |column| row.get_ref(column).map_err(failed);
            let key = text("key")?.as_str().map_err(|error| failed(error.into()))?;
            let value = text("value")?.as_blob().map_err(|error| failed(error.into()))?;
            writer.add(key, value)?;
        }
    }
    Ok(writer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::{restore, verify};
    use crate::embedded::open;
    use crate::{Change, Expect, RecordKey, RecordsExt as _};

    #[tokio::test]
    async fn a_backup_is_of_one_moment_while_others_write() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(&directory.path().join("store")).unwrap();
        // Two records that always change together, one write after the other: never differing by more than one.
        let (first, last) = (RecordKey::new("a"), RecordKey::new("z"));
        for key in [&first, &last] {
            store.records.put_json(key.clone(), Expect::Absent, &0_u64).await.unwrap();
        }
        let writing = {
            let (store, first, last) = (store.clone(), first.clone(), last.clone());
            tokio::spawn(async move {
                for number in 1..200_u64 {
                    for key in [&first, &last] {
                        let version = store.records.get(key).await.unwrap().unwrap().version;
                        let value = Change::Put(crate::encode(&number));
                        store.records.swap(key.clone(), Expect::Version(version), value).await.unwrap();
                    }
                }
            })
        };
        for _ in 0..20 {
            let path = directory.path().join("store");
            let backup = tokio::task::spawn_blocking(move || back_up(&path, Vec::new()).unwrap());
            let (count, bytes) = backup.await.unwrap();
            assert_eq!((count, verify(&*bytes).unwrap()), (2, 2));
            let copy = crate::memory::MemoryRecords::default();
            restore(&copy, &*bytes).await.unwrap();
            let (first, _) = copy.get_json::<u64>(&first).await.unwrap().unwrap();
            let (last, _) = copy.get_json::<u64>(&last).await.unwrap().unwrap();
            assert!(first == last || first == last + 1, "{first} {last}");
        }
        writing.await.unwrap();
    }
}
