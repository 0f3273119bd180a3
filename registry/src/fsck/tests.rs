//! Each thing that can be wrong is found, repaired where it can be, and not found again.

use bytes::Bytes;
use wharf_blobstore::Expect;
use wharf_blobstore::embedded::EmbeddedObjects;
use wharf_blobstore::{Objects as _, embedded};
use wharf_spec::{Descriptor, RawManifest};
use wharf_spec::{Manifest, MediaType, RepositoryName, Tag};

use super::*;
use crate::gc::{Collector, Policy};

struct Place {
    repositories: Repositories,
    objects: EmbeddedObjects,
    _directory: tempfile::TempDir,
}

fn app() -> RepositoryName {
    "team/app".parse().unwrap()
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (objects, records) = embedded::open_engines(directory.path()).unwrap();
        let repositories = Repositories::new(Store::new(objects.clone(), records));
        Self { repositories, objects, _directory: directory }
    }

    async fn upload(&self, text: &'static str) -> Descriptor {
        let digest = Digest::sha256(text.as_bytes());
        let body = Bytes::from_static(text.as_bytes()).into();
        self.repositories.put_blob(&app(), digest, body).await.unwrap();
        Descriptor::new(MediaType::OCI_LAYER, digest, text.len() as u64)
    }

    /// An image about another, or about nothing.
    async fn push(&self, text: &'static str, subject: Option<Descriptor>) -> RawManifest {
        let (config, layers) = (self.upload("{}").await, vec![self.upload(text).await]);
        let manifest = RawManifest::from_manifest(Manifest {
            schema_version: 2,
            media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
            artifact_type: None,
            config,
            layers,
            subject,
            annotations: [].into(),
        });
        let tag: Tag = text.parse().unwrap();
        self.repositories.put_manifest(&app(), &manifest, &[tag], "ann").await.unwrap();
        manifest
    }

    async fn check(&self, mode: Mode) -> Vec<(Kind, Fate)> {
        let report = check(&self.repositories, mode, &mut |_| {}).await.unwrap();
        report.findings.iter().map(|finding| (finding.kind, finding.fate)).collect()
    }

    async fn remove(&self, key: &RecordKey) {
        let records = &self.repositories.store().records;
        let version = records.get(key).await.unwrap().unwrap_or_else(|| panic!("{key}")).version;
        records.swap(key.clone(), Expect::Version(version), Change::Delete).await.unwrap();
    }

    async fn overwrite(&self, key: &RecordKey, value: impl Into<Bytes>) {
        let records = &self.repositories.store().records;
        let expect = records.get(key).await.unwrap().map_or(Expect::Absent, |found| Expect::Version(found.version));
        records.swap(key.clone(), expect, Change::Put(value.into())).await.unwrap();
    }

    async fn keys(&self, prefix: &str) -> Vec<RecordKey> {
        let entries = self.repositories.store().records.list(prefix, None, 1000).await.unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }

    /// Looked at, it is `found`; repaired, this becomes of it; then all is well.
    async fn is_repaired(&self, expected: &[Kind]) {
        self.is_repaired_from(expected, Fate::Found).await;
    }

    async fn is_repaired_from(&self, expected: &[Kind], seen: Fate) {
        let fates = |fate: Fate| expected.iter().map(|kind| (*kind, fate)).collect::<Vec<_>>();
        assert_eq!(self.check(Mode::Look).await, fates(seen));
        assert_eq!(self.check(Mode::Repair).await, fates(Fate::Repaired));
        assert_eq!(self.check(Mode::Look).await, []);
    }
}

#[tokio::test]
async fn a_store_in_order_has_no_findings() {
    let place = Place::new();
    let image = place.push("one", None).await;
    place.push("two", Some(image.descriptor())).await;
    let report = check(&place.repositories, Mode::Look, &mut |_| {}).await.unwrap();
    assert_eq!((report.findings.len(), report.blobs, report.bytes, report.manifests), (0, 3, 8, 2));
    assert!(report.is_in_order());
}

#[tokio::test]
async fn what_follows_from_the_rest_is_built_anew() {
    let place = Place::new();
    let image = place.push("one", None).await;
    let about = place.push("two", Some(image.descriptor())).await;
    // So that nothing is a candidate.
    let policy = Policy { grace: std::time::Duration::ZERO, ..Policy::default() };
    Collector::new(place.repositories.clone(), policy).run(&mut |_| {}).await.unwrap();

    let layer = Digest::sha256(b"one");
    place.remove(&place.keys(&format!("refs/{layer}/")).await[0]).await;
    place.is_repaired(&[Kind::MissingCandidate, Kind::MissingReference]).await;
    place.remove(&crate::repo::keys::blob_link(&app(), &layer)).await;
    place.is_repaired(&[Kind::MissingLink]).await;
    place.remove(&crate::repo::keys::referrer(&app(), &image.digest(), &about.digest())).await;
    place.is_repaired(&[Kind::MissingReferrer]).await;
    place.remove(&crate::repo::keys::catalog(&app())).await;
    place.is_repaired(&[Kind::MissingCatalogEntry]).await;
    let nobody = RecordKey::new(format!("refs/{layer}/{}", ObjectKey::new([3; 16])));
    place.overwrite(&nobody, format!("repos/team/app/_manifests/{}", image.digest())).await;
    place.is_repaired_from(&[Kind::DeadReference], Fate::Harmless).await;
    let gone = crate::repo::keys::referrer(&app(), &image.digest(), &layer);
    place.overwrite(&gone, encode_descriptor(&image.descriptor())).await;
    place.is_repaired_from(&[Kind::DeadReferrer], Fate::Harmless).await;
    // After all of this, everything can still be pulled, and nothing is taken.
    let report = Collector::new(place.repositories.clone(), policy).run(&mut |_| {}).await.unwrap();
    assert_eq!(report.blobs, 0);
    place.repositories.manifest(&app(), &about.digest()).await.unwrap();
}

fn encode_descriptor(descriptor: &Descriptor) -> Bytes {
    wharf_blobstore::encode(descriptor)
}

#[tokio::test]
async fn damaged_bytes_are_put_aside_and_can_be_pushed_again() {
    let place = Place::new();
    let image = place.push("one", None).await;
    let layer = Digest::sha256(b"one");
    let blob = place.repositories.blob(&app(), &layer).await.unwrap();
    let path = place.objects.local_path(blob.epoch).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "two").unwrap();
    assert_eq!(place.check(Mode::Look).await, [(Kind::DamagedBlob, Fate::Found)]);
    let repaired = place.check(Mode::Repair).await;
    assert_eq!(repaired, [(Kind::DamagedBlob, Fate::Quarantined), (Kind::MissingContent, Fate::Left)]);
    assert_eq!(std::fs::read(&path).unwrap(), b"two", "kept, for whoever wants to know what happened");
    // Now the client is told that it is missing, so it pushes it again, and all is well.
    assert!(place.repositories.blob(&app(), &layer).await.is_err());
    place.upload("one").await;
    assert_eq!(place.check(Mode::Look).await, []);
    assert_eq!(place.push("one", None).await.digest(), image.digest());
}

#[tokio::test]
async fn missing_bytes_and_damaged_records_are_found() {
    let place = Place::new();
    let image = place.push("one", None).await;
    let blob = place.repositories.blob(&app(), &Digest::sha256(b"one")).await.unwrap();
    place.objects.delete(blob.epoch).await.unwrap();
    assert_eq!(place.check(Mode::Look).await, [(Kind::DamagedBlob, Fate::Found)]);
    place.check(Mode::Repair).await;
    place.upload("one").await;

    let record = crate::repo::keys::manifest(&app(), &image.digest());
    let value = place.repositories.store().records.get(&record).await.unwrap().unwrap().value;
    place.overwrite(&record, [&value[..value.len() - 1], b" "].concat()).await;
    let found = place.check(Mode::Repair).await;
    assert!(found.contains(&(Kind::DamagedManifest, Fate::Quarantined)), "{found:?}");
    assert!(found.contains(&(Kind::DanglingTag, Fate::Repaired)), "{found:?}");
    place.push("one", None).await;
    let left: Vec<_> = place.check(Mode::Repair).await;
    assert!(left.iter().all(|(_, fate)| *fate == Fate::Repaired), "{left:?}");
    assert_eq!(place.check(Mode::Look).await, []);

    for key in ["uploads/x", "candidates/blobs/x", "repos/team/app/_tags/x", "blobs/sha256:x"] {
        place.overwrite(&RecordKey::new(key), "{").await;
    }
    let found = place.check(Mode::Repair).await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(found.iter().all(|(kind, _)| *kind == Kind::DamagedRecord), "{found:?}");
}

#[tokio::test]
async fn what_cannot_be_explained_is_left_alone() {
    let place = Place::new();
    let key = ObjectKey::new([8; 16]);
    let mut writer = place.objects.create(key).await.unwrap();
    writer.write(Bytes::from_static(b"whose?")).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(place.check(Mode::Repair).await, [(Kind::UnexplainedObject, Fate::Left)]);
    assert_eq!(place.objects.size(key).await.unwrap(), Some(6));
}

/// The same steps on each engine that needs no service (for S3, see `testdata/s3/registry.sh`).
fn engines() -> [(&'static str, Repositories, Option<tempfile::TempDir>); 2] {
    let directory = tempfile::tempdir().unwrap();
    let embedded = embedded::open(directory.path()).unwrap();
    [("memory", Repositories::new(Store::memory()), None), ("embedded", Repositories::new(embedded), Some(directory))]
}

async fn push_to(repositories: &Repositories, text: &'static str, tag: &str) -> RawManifest {
    let upload = async |text: &'static str| {
        let digest = Digest::sha256(text.as_bytes());
        let body = Bytes::from_static(text.as_bytes()).into();
        repositories.put_blob(&app(), digest, body).await.unwrap();
        Descriptor::new(MediaType::OCI_LAYER, digest, text.len() as u64)
    };
    let manifest = RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config: upload("{}").await,
        layers: vec![upload(text).await],
        subject: None,
        annotations: [].into(),
    });
    repositories.put_manifest(&app(), &manifest, &[tag.parse().unwrap()], "ann").await.unwrap();
    manifest
}

async fn lose(repositories: &Repositories, key: &RecordKey) {
    let records = &repositories.store().records;
    let version = records.get(key).await.unwrap().unwrap_or_else(|| panic!("{key}")).version;
    records.swap(key.clone(), Expect::Version(version), Change::Delete).await.unwrap();
}

async fn findings(repositories: &Repositories, mode: Mode) -> Vec<Finding> {
    let report = check(repositories, mode, &mut |_| {}).await.unwrap();
    report.findings.into_iter().filter(|finding| finding.kind == Kind::DanglingTag).collect()
}

#[tokio::test]
async fn a_tag_whose_manifest_is_lost_goes_back_to_the_newest_version_that_is_whole() {
    for (engine, repositories, _directory) in engines() {
        let tag: Tag = "v1".parse().unwrap();
        let mut images = Vec::new();
        for text in ["one", "two", "three", "four"] {
            images.push(push_to(&repositories, text, "v1").await);
        }
        // The newest is lost, the one before has lost a layer.
        lose(&repositories, &crate::repo::keys::manifest(&app(), &images[3].digest())).await;
        lose(&repositories, &RecordKey::new(format!("blobs/{}", Digest::sha256(b"three")))).await;

        let before = repositories.history(&app(), &tag).await.unwrap();
        let [found] = &findings(&repositories, Mode::Look).await[..] else { panic!("{engine}") };
        assert_eq!(found.fate, Fate::Found, "{engine}");
        let said = format!("version 2 ({}) can be brought back", images[1].digest());
        assert!(found.problem.contains(&said), "{engine}: {}", found.problem);
        assert_eq!(repositories.history(&app(), &tag).await.unwrap(), before, "{engine}: a dry run changes nothing");

        let [done] = &findings(&repositories, Mode::Repair).await[..] else { panic!("{engine}") };
        assert_eq!(done.fate, Fate::Repaired, "{engine}");
        assert!(done.problem.contains("is back"), "{engine}: {}", done.problem);
        assert_eq!(repositories.manifest_by_tag(&app(), &tag).await.unwrap().digest, images[1].digest(), "{engine}");
        let after = repositories.history(&app(), &tag).await.unwrap();
        let newest = &after.history[0];
        assert_eq!((after.version, newest.from, newest.by.as_str()), (5, Some(2), "fsck"), "{engine}");
        assert_eq!(newest.how, crate::repo::How::Fsck, "{engine}");
        assert!(after.history[1].gone && !after.history[3].gone, "{engine}: {after:?}");
        assert_eq!(findings(&repositories, Mode::Look).await, [], "{engine}");
        // Pushed again, it is as it was.
        push_to(&repositories, "four", "v1").await;
        assert!(!repositories.history(&app(), &tag).await.unwrap().history[2].gone, "{engine}");
    }
}

#[tokio::test]
async fn a_tag_of_which_nothing_is_left_is_deleted_and_keeps_its_history() {
    for (engine, repositories, _directory) in engines() {
        let tag: Tag = "v1".parse().unwrap();
        for text in ["one", "two"] {
            let image = push_to(&repositories, text, "v1").await;
            lose(&repositories, &crate::repo::keys::manifest(&app(), &image.digest())).await;
        }
        let [found] = &findings(&repositories, Mode::Look).await[..] else { panic!("{engine}") };
        assert!(found.problem.contains("it would be deleted"), "{engine}: {}", found.problem);
        let [done] = &findings(&repositories, Mode::Repair).await[..] else { panic!("{engine}") };
        assert!(done.problem.contains("it is deleted; the history stays"), "{engine}: {}", done.problem);
        let after = repositories.history(&app(), &tag).await.unwrap();
        assert_eq!((after.current, after.version, after.history.len()), (None, 3, 3), "{engine}");
        assert_eq!(after.history[0].how, crate::repo::How::Fsck, "{engine}");
        assert_eq!(findings(&repositories, Mode::Look).await, [], "{engine}");
        // A tag that never moves can be mended, too: nobody chose what it points at.
        push_to(&repositories, "two", "v1").await;
        assert!(repositories.manifest_by_tag(&app(), &tag).await.is_ok(), "{engine}");
    }
}
