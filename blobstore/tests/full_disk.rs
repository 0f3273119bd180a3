//! A full disk fails writes and loses nothing, and once space is free again everything goes on.
//!
//! The disk is a small file system in memory, which only root can mount; otherwise the test says that it was skipped.

use std::fs;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;
use wharf_blobstore::{
    Change, Error, Expect, ObjectKey, ObjectWriter, Objects, Outcome, RecordKey, RecordsExt as _, Result, embedded,
};

/// A disk of 24 MiB.
struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        match rustix::mount::mount("none", directory.path(), "tmpfs", MountFlags::empty(), c"size=24m") {
            Ok(()) => Some(Self { directory }),
            Err(error) => {
                eprintln!("skipped: a small disk cannot be mounted ({error})");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(self.directory.path(), UnmountFlags::DETACH).unwrap();
    }
}

const MIB: usize = 1 << 20;

fn key(number: u8) -> ObjectKey {
    ObjectKey::new([number; 16])
}

fn bytes(number: u8) -> Bytes {
    vec![number; MIB].into()
}

async fn store(objects: &dyn Objects, number: u8) -> Result<()> {
    let mut writer = objects.create(key(number)).await?;
    writer.write(bytes(number)).await?;
    writer.finish().await
}

/// Stores objects until no more fit. How many did.
async fn fill(objects: &dyn Objects) -> u8 {
    for number in 0..24 {
        match store(objects, number).await {
            Ok(()) => {}
            Err(Error::Full { .. }) => return number,
            Err(other) => panic!("{other}"),
        }
    }
    panic!("more fitted than there was room for");
}

async fn assert_there(objects: &dyn Objects, numbers: std::ops::Range<u8>) {
    assert_eq!(objects.list(None, 100).await.unwrap(), numbers.clone().map(key).collect::<Vec<_>>());
    for number in numbers {
        let found: BytesMut =
            objects.read(key(number), 0..MIB as u64).await.unwrap().unwrap().try_collect().await.unwrap();
        assert!(found == bytes(number), "object {number}");
    }
}

#[tokio::test]
async fn objects_that_do_not_fit_leave_nothing_and_records_can_still_be_written() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (objects, records) = embedded::open_engines(disk.path()).unwrap();
    let stored = fill(&objects).await;
    assert!(stored >= 18, "only {stored} MiB fitted");
    assert_there(&objects, 0..stored).await;
    assert_eq!(objects.unfinished(wharf_blobstore::conformance::far_future()).await.unwrap(), []);
    drop((objects, records));

    // A store that is full can be opened, and what frees space can be written.
    let (objects, records) = embedded::open_engines(disk.path()).unwrap();
    for number in 0..100 {
        let record = RecordKey::new(format!("condemned/{number}"));
        assert_ne!(records.put_json(record, Expect::Absent, &"gone").await.unwrap(), Outcome::Conflict);
    }
    assert!(matches!(store(&objects, 99).await, Err(Error::Full { .. })));
    for number in stored - 3..stored {
        objects.delete(key(number)).await.unwrap();
    }
    store(&objects, stored - 3).await.unwrap();
    assert_there(&objects, 0..stored - 2).await;
}

#[tokio::test]
async fn an_upload_that_ran_out_of_space_goes_on_from_its_checkpoint() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (objects, _) = embedded::open_engines(disk.path()).unwrap();
    let mut upload = objects.create(key(200)).await.unwrap();
    upload.write(bytes(1)).await.unwrap();
    let checkpoint = upload.checkpoint().await.unwrap();
    let stored = fill(&objects).await;

    let until_full = async |upload: &mut Box<dyn ObjectWriter>| loop {
        if let Err(error) = upload.write(bytes(2)).await {
            return error;
        }
    };
    let error = until_full(&mut upload).await;
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(upload.checkpoint().await.is_err(), "what could not be written cannot be checkpointed");
    drop(upload);

    for number in 0..stored {
        objects.delete(key(number)).await.unwrap();
    }
    let mut upload = objects.resume(key(200), &checkpoint).await.unwrap();
    upload.write(bytes(3)).await.unwrap();
    upload.finish().await.unwrap();
    let found: BytesMut =
        objects.read(key(200), 0..2 * MIB as u64).await.unwrap().unwrap().try_collect().await.unwrap();
    assert!(found == [bytes(1), bytes(3)].concat());
}

#[tokio::test]
async fn records_that_do_not_fit_fail_and_harm_no_other() {
    let Some(disk) = SmallDisk::mount() else { return };
    let (_, records) = embedded::open_engines(disk.path()).unwrap();
    let record = |number: u32| RecordKey::new(format!("record/{number:04}"));
    let mut versions = Vec::new();
    // Somebody else takes the rest of the disk, so records meet its very end.
    fs::write(disk.path().join("ballast"), vec![1; 12 * MIB]).unwrap();
    let error = loop {
        let number = u32::try_from(versions.len()).unwrap();
        let change = Change::Put(vec![7; 100_000 + versions.len()].into());
        match records.swap(record(number), Expect::Absent, change).await {
            Ok(Outcome::Done(version)) => versions.push(version),
            Ok(Outcome::Conflict) => panic!("conflict"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    assert!(versions.len() > 10, "only {} fitted", versions.len());
    assert_all_there(&records, &versions).await;

    fs::remove_file(disk.path().join("ballast")).unwrap();
    let number = u32::try_from(versions.len()).unwrap();
    match records.swap(record(number), Expect::Absent, Change::Put(vec![7; 100_000 + versions.len()].into())).await {
        Ok(Outcome::Done(version)) => versions.push(version),
        other => panic!("{other:?}"),
    }
    drop(records);
    let (_, records) = embedded::open_engines(disk.path()).unwrap();
    assert_all_there(&records, &versions).await;
}

async fn assert_all_there(records: &embedded::EmbeddedRecords, versions: &[wharf_blobstore::Version]) {
    use wharf_blobstore::Records as _;
    let entries = records.list("record/", None, usize::MAX).await.unwrap();
    assert_eq!(entries.len(), versions.len());
    for (number, (entry, version)) in entries.iter().zip(versions).enumerate() {
        assert!(entry.record.version == *version && entry.record.value.len() == 100_000 + number, "{}", entry.key);
    }
}
