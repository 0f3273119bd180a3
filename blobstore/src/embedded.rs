//! The default engine: files and one database in one directory, for one machine, with no setup.
//!
//! Any number of processes may have one store open at once. What was acknowledged survives kill -9 and power loss, as
//! far as the disk keeps its word about flushes. The directory must be on a local file system: the database shares memory
//! between processes, which network file systems do not offer.
//!
//! # Layout
//!
//! ```text
//! wharf-store.json                          format and version; written last, so a store without it was never used
//! objects/<2 hex>/<epoch>                   finished objects, read-only; <2 hex> are the first of the epoch's digits
//! partial/<epoch>.<branch>.<length>         unfinished objects that can be taken up again: see `unfinished.rs`
//! records.sqlite, -wal, -shm                every record: see `database.rs`
//! ```
//!
//! All 256 directories of `objects` are there from the beginning, so that making an object durable never means making
//! a directory durable first. Opening looks at the marker and at the database's header, whatever the store's size.
//!
//! A full disk fails writes with [`Error::Full`](crate::Error::Full) and loses nothing; objects leave some room, so that
//! the records which free space can still be written.
//!
//! This module knows nothing of digests, and of records only that they have keys and values.

mod blocking;
mod commit;
mod database;
mod directory;
mod early;
mod housekeeping;
mod layout;
mod objects;
mod read;
mod records;
mod room;
mod snapshot;
mod unfinished;
mod write;

use std::path::Path;

pub use objects::EmbeddedObjects;
pub use records::EmbeddedRecords;
pub use snapshot::back_up;

use crate::{Result, Store};

/// Opens the store in this directory, which is created if it is missing. An existing directory must be a store or empty.
pub fn open(path: &Path) -> Result<Store> {
    let (objects, records) = open_engines(path)?;
    Ok(Store::new(objects, records))
}

/// [`open`], for whoever needs what only this engine offers.
pub fn open_engines(path: &Path) -> Result<(EmbeddedObjects, EmbeddedRecords)> {
    let layout = layout::Layout::open(path)?;
    let records = EmbeddedRecords::open(&layout)?;
    Ok((EmbeddedObjects::new(layout), records))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{Error, Expect, RecordKey, RecordsExt as _};

    #[tokio::test]
    async fn what_was_stored_is_there_when_the_store_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/on/the/way");
        let key = RecordKey::new("a/b");
        let blob = {
            let store = open(&path).unwrap();
            store.records.put_json(key.clone(), Expect::Absent, &"value").await.unwrap();
            store.blobs().put("bytes".into()).await.unwrap()
        };
        let store = open(&path).unwrap();
        assert_eq!(store.records.get_json::<String>(&key).await.unwrap().unwrap().0, "value");
        assert_eq!(store.blobs().get(&blob.digest, 100).await.unwrap().unwrap(), "bytes");
        assert_eq!(fs::read(store.blobs().local_path(&blob).unwrap()).unwrap(), b"bytes");
    }

    #[test]
    fn many_may_create_one_store_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| open(&path).unwrap());
            }
        });
        open(&path).unwrap();
    }

    fn reason(path: &Path) -> String {
        match open(path).unwrap_err() {
            Error::Unusable { reason, .. } => reason,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn somebody_elses_directory_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("thesis.tex"), "").unwrap();
        assert!(reason(directory.path()).contains("choose an empty directory"));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was put there");
    }

    #[test]
    fn a_creation_that_was_interrupted_is_completed() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        fs::remove_file(directory.path().join("wharf-store.json")).unwrap();
        fs::remove_dir(directory.path().join("objects/7f")).unwrap();
        fs::create_dir(directory.path().join("lost+found")).unwrap();
        open(directory.path()).unwrap();
        assert!(directory.path().join("objects/7f").exists());
    }

    #[test]
    fn a_store_of_a_newer_version_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let marker = directory.path().join("wharf-store.json");
        fs::write(&marker, r#"{"format":"wharf-store","version":2}"#).unwrap();
        assert!(reason(directory.path()).contains("newer version"));
        fs::write(&marker, "{").unwrap();
        assert!(reason(directory.path()).contains("damaged"));
        fs::write(&marker, r#"{"format":"wharf-cache","version":1}"#).unwrap();
        assert!(reason(directory.path()).contains("wharf-cache"));
    }

    #[test]
    fn a_damaged_or_missing_database_is_not_replaced_by_an_empty_one() {
        let directory = tempfile::tempdir().unwrap();
        drop(open(directory.path()).unwrap());
        let database = directory.path().join("records.sqlite");
        fs::write(&database, [7; 8192]).unwrap();
        assert!(reason(directory.path()).contains("damaged"));
        fs::remove_file(&database).unwrap();
        assert!(reason(directory.path()).contains("missing"));
        assert!(!database.exists());
        rusqlite::Connection::open(&database).unwrap().execute_batch("CREATE TABLE other (a)").unwrap();
        assert!(reason(directory.path()).contains("not a database of Wharf's"));
    }
}
