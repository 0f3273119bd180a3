//! What a collector frees, and what it leaves alone.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use wharf_blobstore::memory::{MemoryObjects, MemoryRecords};
use wharf_blobstore::{
    Change, Clock, Entry, Expect, ObjectKey, Objects as _, Outcome, Record, RecordKey, Records, RecordsExt as _, Store,
    Write,
};
use wharf_spec::{Descriptor, Digest, MediaType, RawManifest, RepositoryName, Tag};

use super::*;
use crate::repo::Error;
use crate::repo::tests::{index, manifest};

/// A clock that a test sets.
#[derive(Debug, Default)]
struct TestClock(Mutex<Duration>);

impl Clock for TestClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000) + *self.0.lock().unwrap()
    }
}

/// A store in memory, with what a test looks at.
struct Place {
    repositories: Repositories,
    objects: MemoryObjects,
    clock: Arc<TestClock>,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Place {
    fn new() -> Self {
        Self::over(MemoryRecords::default())
    }

    fn over(records: impl Records + 'static) -> Self {
        let (objects, clock) = (MemoryObjects::default(), Arc::<TestClock>::default());
        let store = Store { clock: clock.clone(), ..Store::new(objects.clone(), records) };
        Self { repositories: Repositories::new(store), objects, clock }
    }

    fn later(&self, by: Duration) {
        *self.clock.0.lock().unwrap() += by;
    }

    async fn collect(&self, policy: Policy) -> Report {
        Collector::new(self.repositories.clone(), policy).run(&mut |_| {}).await.unwrap()
    }

    /// A day later.
    async fn collect_all(&self) -> Report {
        self.later(DAY);
        self.collect(Policy::default()).await
    }

    async fn upload(&self, name: &RepositoryName, text: &str) -> Descriptor {
        let digest = Digest::sha256(text.as_bytes());
        let body = Bytes::copy_from_slice(text.as_bytes()).into();
        self.repositories.put_blob(name, digest, body).await.unwrap();
        Descriptor::new(MediaType::OCI_LAYER, digest, text.len() as u64)
    }

    async fn push(&self, name: &RepositoryName, text: &str, tag: &str) -> RawManifest {
        let (config, layer) = (self.upload(name, "{}").await, self.upload(name, text).await);
        let image = image(config, vec![layer]);
        self.repositories.put_manifest(name, &image, &[tag.parse::<Tag>().unwrap()], "ann").await.unwrap();
        image
    }

    /// As far as a push comes that is killed before its acknowledgement: everything but the last step.
    async fn push_and_die(&self, name: &RepositoryName, text: &str, tag: &str) {
        let image = self.push(name, text, tag).await;
        let key = RecordKey::new(format!("repos/{name}/_manifests/{}", image.digest()));
        let records = &self.repositories.store().records;
        let record = records.get(&key).await.unwrap().unwrap();
        let pending = String::from_utf8(record.value.to_vec()).unwrap().replacen(r#""live""#, r#""pending""#, 1);
        records.swap(key, Expect::Version(record.version), Change::Put(pending.into())).await.unwrap();
    }

    async fn keys(&self, prefix: &str) -> Vec<String> {
        let entries = self.repositories.store().records.list(prefix, None, 10_000).await.unwrap();
        entries.into_iter().map(|entry| entry.key.as_str().to_owned()).collect()
    }
}

fn app() -> RepositoryName {
    "team/app".parse().unwrap()
}

fn image(config: Descriptor, layers: Vec<Descriptor>) -> RawManifest {
    RawManifest::from_manifest(manifest(config, layers))
}

#[tokio::test]
async fn what_a_deleted_manifest_alone_needed_goes_and_nothing_else() {
    let (place, name) = (Place::new(), app());
    let (old, new) = (place.push(&name, "old", "1").await, place.push(&name, "newer", "2").await);
    let report = place.collect_all().await;
    assert_eq!((report.blobs, report.waiting), (0, 0), "everything is needed");
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new(), "and need not be looked at again");
    place.repositories.delete_manifest(&name, &old.digest(), "ann").await.unwrap();
    let report = place.collect(Policy::default()).await;
    assert_eq!((report.blobs, report.bytes), (1, 3), "the configuration is shared");
    assert_eq!(place.objects.total_size(), "newer{}".len());
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
    let gone = format!("repos/team/app/_blobs/{}", Digest::sha256(b"old"));
    assert!(!place.keys("repos/").await.contains(&gone), "the link went with the blob");
    place.repositories.manifest(&name, &new.digest()).await.unwrap();
    assert!(place.repositories.blob(&name, &Digest::sha256(b"newer")).await.unwrap().is_live());
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_changes_nothing() {
    let (place, name) = (Place::new(), app());
    let old = place.push(&name, "old", "1").await;
    place.repositories.delete_manifest(&name, &old.digest(), "ann").await.unwrap();
    place.later(DAY);
    let before = place.keys("").await;
    let dry = place.collect(Policy { mode: Mode::DryRun, ..Policy::default() }).await;
    assert_eq!(place.keys("").await, before);
    assert_eq!((dry.blobs, dry.bytes), (2, 5));
    let real = place.collect(Policy::default()).await;
    assert_eq!((real.blobs, real.bytes), (2, 5));
    assert_eq!(place.objects.total_size(), 0);
}

#[tokio::test]
async fn what_was_lately_uploaded_or_asked_for_stays() {
    let (place, name) = (Place::new(), app());
    let layer = place.upload(&name, "layer").await;
    let report = place.collect(Policy::default()).await;
    assert_eq!((report.blobs, report.waiting), (0, 1));
    place.later(DAY / 2);
    // A client asks whether it is there, and will push a manifest later.
    place.repositories.link_blob(&name, &layer.digest).await.unwrap();
    place.later(DAY / 2);
    assert_eq!(place.collect(Policy::default()).await.blobs, 0);
    place.later(DAY / 4);
    // A build finds it in its cache, twice.
    let blobs = place.repositories.store().blobs();
    assert!(blobs.rely_on(&[layer.digest, layer.digest]).await.unwrap());
    place.later(DAY / 2);
    assert_eq!(place.collect(Policy::default()).await.blobs, 0);
    assert_eq!(place.collect_all().await.blobs, 1);
    assert!(!blobs.rely_on(&[layer.digest]).await.unwrap());
    assert!(blobs.rely_on(&[]).await.unwrap());
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
    assert!(matches!(place.repositories.blob(&name, &layer.digest).await, Err(Error::UnknownBlob { .. })));
}

#[tokio::test]
async fn an_upload_that_died_before_its_record_leaves_no_bytes_for_ever() {
    let place = Place::new();
    let epoch = ObjectKey::new([9; 16]);
    let digest = Digest::sha256(b"dead");
    // As far as an upload comes that is killed between finishing its object and committing.
    let record = format!(r#"{{"arriving":[{{"epoch":"{epoch}","at":1000000000}}]}}"#);
    let candidate = format!(r#"{{"digest":"{digest}","at":1000000000}}"#);
    for (key, value) in [(format!("blobs/{digest}"), record), (format!("candidates/blobs/{epoch}"), candidate)] {
        let records = &place.repositories.store().records;
        records.swap(RecordKey::new(key), Expect::Absent, Change::Put(value.into())).await.unwrap();
    }
    let mut writer = place.objects.create(epoch).await.unwrap();
    writer.write(Bytes::from_static(b"dead")).await.unwrap();
    writer.finish().await.unwrap();
    let report = place.collect(Policy::default()).await;
    assert_eq!((report.objects, report.waiting), (0, 1), "it may still be alive");
    let report = place.collect_all().await;
    assert_eq!((report.blobs, report.objects, report.bytes, report.attempts), (0, 1, 4, 1));
    assert_eq!((place.objects.total_size(), place.keys("").await), (0, Vec::new()));
}

#[tokio::test]
async fn a_push_that_died_holds_nothing_for_ever() {
    let (place, name) = (Place::new(), app());
    place.push_and_die(&name, "layer", "1").await;
    assert_eq!(place.keys("refs/").await.len(), 2);
    let report = place.collect(Policy::default()).await;
    assert_eq!((report.blobs, report.attempts), (0, 0), "it may still be alive");
    let report = place.collect_all().await;
    assert_eq!((report.blobs, report.attempts), (2, 1));
    assert_eq!(place.keys("refs/").await, Vec::<String>::new());
    assert_eq!(place.keys("repos/team/app/_manifests/").await, Vec::<String>::new());
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
}

/// Records that are mostly read and written at once, and sometimes after everybody else.
#[derive(Debug)]
struct Late {
    below: MemoryRecords,
    dice: Mutex<u64>,
}

impl Late {
    async fn wait(&self) {
        let dice = {
            let mut dice = self.dice.lock().unwrap();
            *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (*dice >> 57).saturating_sub(100)
        };
        for _ in 0..dice {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait::async_trait]
impl Records for Late {
    async fn get(&self, key: &RecordKey) -> wharf_blobstore::Result<Option<Record>> {
        self.wait().await;
        self.below.get(key).await
    }

    async fn get_many(&self, keys: &[RecordKey]) -> wharf_blobstore::Result<Vec<Option<Record>>> {
        self.wait().await;
        self.below.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> wharf_blobstore::Result<Vec<Entry>> {
        self.wait().await;
        self.below.list(prefix, after, limit).await
    }

    async fn write(&self, batch: Vec<Write>) -> wharf_blobstore::Result<Vec<Outcome>> {
        self.wait().await;
        self.below.write(batch).await
    }
}

#[tokio::test]
async fn one_run_is_enough_however_what_is_looked_at_at_once_meets() {
    for seed in 0..50 {
        let (place, name) = (Place::over(Late { below: MemoryRecords::default(), dice: Mutex::new(seed) }), app());
        for number in 0..10 {
            place.push_and_die(&name, &format!("layer {number}"), &number.to_string()).await;
        }
        place.later(DAY);
        let dry = place.collect(Policy { mode: Mode::DryRun, ..Policy::default() }).await;
        let report = place.collect(Policy::default()).await;
        assert_eq!((dry.blobs, dry.bytes), (11, report.bytes), "seed {seed}: nothing is counted twice");
        assert_eq!((report.blobs, report.attempts, report.waiting), (11, 10, 0), "seed {seed}: {report:?}");
        assert_eq!(place.keys("refs/").await, Vec::<String>::new());
        assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
        assert_eq!(place.objects.total_size(), 0);
    }
}

#[tokio::test]
async fn what_an_index_needs_cannot_be_deleted_before_it() {
    let (place, name) = (Place::new(), app());
    let child = place.push(&name, "child", "child").await;
    let list = index(vec![child.descriptor()]);
    place.repositories.put_manifest(&name, &list, &[], "ann").await.unwrap();
    let refused = place.repositories.delete_manifest(&name, &child.digest(), "ann").await.unwrap_err();
    assert!(matches!(refused, Error::InUse { needed_by, .. } if needed_by == list.digest()), "{refused}");
    let tag = "child".parse().unwrap();
    assert!(place.repositories.resolve(&name, &tag).await.unwrap().is_some(), "its tag stays, too");
    let blob = Digest::sha256(b"child");
    let refused = place.repositories.delete_blob(&name, &blob).await.unwrap_err();
    assert!(matches!(refused, Error::InUse { needed_by, .. } if needed_by == child.digest()), "{refused}");
    place.repositories.blob(&name, &blob).await.unwrap();
    place.repositories.delete_manifest(&name, &list.digest(), "ann").await.unwrap();
    place.repositories.delete_manifest(&name, &child.digest(), "ann").await.unwrap();
    place.repositories.delete_blob(&name, &blob).await.unwrap();
    assert_eq!(place.collect_all().await.blobs, 2);
    assert_eq!(place.keys("refs/").await, Vec::<String>::new());
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_delete_that_died_is_undone_and_one_that_goes_on_after_that_begins_again() {
    let (place, name) = (Place::new(), app());
    let image = place.push(&name, "layer", "1").await;
    place.collect_all().await;
    let key = RecordKey::new(format!("repos/{name}/_manifests/{}", image.digest()));
    let records = place.repositories.store().records.clone();
    let record = records.get(&key).await.unwrap().unwrap();
    let text = String::from_utf8(record.value.to_vec()).unwrap();
    let holder = place.keys("refs/").await[0].rsplit('/').next().unwrap().to_owned();
    let condemned = text.replacen(r#""live""#, r#""condemned""#, 1);
    records.swap(key.clone(), Expect::Version(record.version), Change::Put(condemned.into())).await.unwrap();
    let candidate = format!(
        r#"{{"record":"{key}","holder":"{holder}","why":"delete","at":{},"needs":[]}}"#,
        place.repositories.now()
    );
    let candidate_key = RecordKey::new("candidates/manifests/x");
    records.swap(candidate_key, Expect::Absent, Change::Put(candidate.into())).await.unwrap();
    // Nobody acknowledged that it is gone, so it is there.
    place.repositories.manifest(&name, &image.digest()).await.unwrap();
    assert_eq!(place.collect(Policy::default()).await.waiting, 1);
    let version = records.get(&key).await.unwrap().unwrap().version;
    assert_eq!(place.collect_all().await.attempts, 1);
    let now = records.get(&key).await.unwrap().unwrap();
    assert!(now.version != version && now.value.starts_with(br#"{"state":"live""#));
    assert_eq!(place.keys("candidates/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_holder_of_an_unknown_kind_is_believed() {
    let (place, name) = (Place::new(), app());
    let layer = place.upload(&name, "layer").await;
    let key = RecordKey::new(format!("refs/{}/{}", layer.digest, ObjectKey::new([1; 16])));
    let owner = Change::Put(Bytes::from_static(b"cache/something"));
    place.repositories.store().records.swap(key, Expect::Absent, owner).await.unwrap();
    assert_eq!(place.collect_all().await.blobs, 0);
    assert!(place.repositories.blob(&name, &layer.digest).await.unwrap().is_live());
}

#[tokio::test]
async fn one_server_at_a_time_collects_and_a_dead_one_is_not_waited_for_for_ever() {
    let place = Place::new();
    let (first, second) = (Lease::new(place.repositories.clone()), Lease::new(place.repositories.clone()));
    let term = Duration::from_secs(60);
    assert!(first.take(term).await.unwrap());
    assert!(first.take(term).await.unwrap(), "it may renew");
    assert!(!second.take(term).await.unwrap());
    second.release().await.unwrap();
    assert!(!second.take(term).await.unwrap(), "only the holder gives it back");
    first.release().await.unwrap();
    assert!(second.take(term).await.unwrap());
    place.later(term);
    assert!(first.take(term).await.unwrap());
}
