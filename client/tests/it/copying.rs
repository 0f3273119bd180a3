//! `copy`, between places in memory.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use wharf_client::transfer::{
    BlobBody, ByteStream, CopyOptions, Error, Events, ImageSink, ImageSource, MemoryRepository, Origin, Platforms,
    Result, Target, TransferEvent, copy, ignore_events,
};
use wharf_spec::{Descriptor, Digest, ManifestView, RawManifest, Tag};

use crate::images::{add_image, add_index, add_referrer, index_of, noise, repository, tag};

/// Writes down what it is asked, in order.
struct Recorder {
    inner: MemoryRepository,
    log: Mutex<Vec<String>>,
}

impl Recorder {
    fn new() -> Self {
        Self { inner: repository("to"), log: Mutex::default() }
    }

    fn note(&self, text: String) {
        self.log.lock().unwrap().push(text);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

#[async_trait]
impl ImageSink for Recorder {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        self.inner.has_blob(descriptor).await
    }
    async fn mount(&self, descriptor: &Descriptor, origin: &Origin) -> Result<bool> {
        self.inner.mount(descriptor, origin).await
    }
    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        self.inner.put_blob(descriptor, body).await?;
        self.note(format!("blob {}", descriptor.digest));
        Ok(())
    }
    async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        self.inner.has_manifest(digest).await
    }
    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.inner.put_manifest(manifest, tag).await?;
        let tag = tag.map(|tag| format!(" as {tag}")).unwrap_or_default();
        self.note(format!("manifest {}{tag}", manifest.digest()));
        Ok(())
    }
    fn destination(&self) -> Origin {
        self.inner.destination()
    }
}

fn options() -> CopyOptions {
    CopyOptions::default()
}

#[tokio::test]
async fn an_index_arrives_with_everything_children_first_and_the_tag_last() {
    let from = repository("from");
    let index = add_index(&from, &["amd64", "arm64"], &tag("v1"));
    let to = Recorder::new();
    // The sink refuses a manifest whose parts are missing, so success means that the order was right.
    let report =
        copy((&from, &Target::Tag(tag("v1"))), (&to, Some(&tag("v2"))), &options(), &ignore_events()).await.unwrap();
    assert_eq!(report.root, index.descriptor());
    assert_eq!((report.manifests, report.copied, report.existing), (3, 5, 0), "a shared layer is moved once");
    assert_eq!(to.log().last().unwrap(), &format!("manifest {} as v2", index.digest()));
    assert_eq!(to.log().len(), 8);
    assert_eq!(to.inner.tagged(&tag("v2")), Some(index.digest()));

    let report =
        copy((&from, &Target::Tag(tag("v1"))), (&to, Some(&tag("v3"))), &options(), &ignore_events()).await.unwrap();
    assert_eq!((report.manifests, report.copied), (0, 0), "what is there is not moved again");
    assert_eq!(to.log().len(), 9, "but the new tag is set");
    assert_eq!(to.inner.tagged(&tag("v3")), Some(index.digest()));
}

#[tokio::test]
async fn one_platform_is_an_image_and_several_are_a_smaller_index() {
    let from = repository("from");
    let index = add_index(&from, &["amd64", "arm64", "riscv64"], &tag("v1"));
    let pick = |platforms: &[&str]| {
        let chosen = platforms.iter().map(|name| name.parse().unwrap()).collect();
        CopyOptions { platforms: Platforms::Only(chosen), ..options() }
    };
    let target = Target::Tag(tag("v1"));

    let to = repository("to");
    let report = copy((&from, &target), (&to, Some(&tag("one"))), &pick(&["arm64"]), &ignore_events()).await.unwrap();
    assert_eq!(report.source, index.descriptor());
    assert_eq!(report.root.digest, index.children()[1].digest);
    assert_eq!((report.manifests, report.copied), (1, 3));

    let report =
        copy((&from, &target), (&to, Some(&tag("two"))), &pick(&["riscv64", "amd64"]), &ignore_events()).await.unwrap();
    let two = to.manifest(&Target::Tag(tag("two"))).await.unwrap();
    let ManifestView::Index(two) = two.view() else { panic!("not an index") };
    let platforms: Vec<_> = two.manifests.iter().map(|entry| entry.platform.clone().unwrap().to_string()).collect();
    assert_eq!(platforms, ["linux/amd64", "linux/riscv64"], "in the old order");
    assert_ne!(report.root.digest, index.digest());

    let error = copy((&from, &target), (&to, None), &pick(&["s390x"]), &ignore_events()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "from in the local store has no image for linux/s390x; it has linux/amd64, linux/arm64, linux/riscv64"
    );
}

#[tokio::test]
async fn what_refers_to_an_image_comes_along_when_asked() {
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 100)], Some(&tag("v1")));
    let signature = add_referrer(&from, &image, "signed");
    let about_signature = add_referrer(&from, &signature, "timestamped");
    for referrers in [false, true] {
        let to = Recorder::new();
        let options = CopyOptions { referrers, ..options() };
        copy((&from, &Target::Tag(tag("v1"))), (&to, Some(&tag("v1"))), &options, &ignore_events()).await.unwrap();
        for manifest in [&signature, &about_signature] {
            assert_eq!(to.has_manifest(&manifest.digest()).await.unwrap(), referrers);
        }
        assert!(to.log().last().unwrap().ends_with("as v1"), "whoever sees the tag finds the signature");
    }
}

#[tokio::test]
async fn events_tell_what_happens() {
    let from = repository("from");
    let layer = noise(1, 5000);
    let image = add_image(&from, std::slice::from_ref(&layer), Some(&tag("v1")));
    let to = repository("to");
    let config = image.blobs()[0].clone();
    to.add_blob(config.media_type.as_str(), from.blob_bytes(&config.digest).unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let events: Events = {
        let seen = seen.clone();
        Arc::new(move |event| seen.lock().unwrap().push(event))
    };
    copy((&from, &Target::Tag(tag("v1"))), (&to, Some(&tag("v1"))), &options(), &events).await.unwrap();
    let seen = seen.lock().unwrap();
    let layer_descriptor = image.blobs()[1].clone();
    for expected in [
        TransferEvent::Planned { manifests: 1, blobs: 2, bytes: config.size + 5000 },
        TransferEvent::BlobStarted(layer_descriptor.clone()),
        TransferEvent::BlobProgress { digest: layer_descriptor.digest, done: 5000 },
        TransferEvent::BlobDone(layer_descriptor),
        TransferEvent::BlobExists(config),
        TransferEvent::ManifestDone { descriptor: image.descriptor(), tag: Some(tag("v1")) },
    ] {
        assert!(seen.contains(&expected), "{expected:?} is missing in {seen:?}");
    }
}

/// Gives other bytes than it promised.
struct Liar(MemoryRepository, Bytes);

#[async_trait]
impl ImageSource for Liar {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        self.0.manifest(target).await
    }
    async fn blob(&self, _: &Descriptor) -> Result<ByteStream> {
        self.1.open(0).await
    }
    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.0.referrers(digest).await
    }
    fn origin(&self) -> Origin {
        self.0.origin()
    }
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_nothing_is_tagged() {
    let from = repository("from");
    let layer = noise(1, 100);
    let image = add_image(&from, std::slice::from_ref(&layer), Some(&tag("v1")));
    for lie in [noise(2, 100), noise(1, 99), noise(1, 101)] {
        let to = repository("to");
        let config = image.blobs()[0].digest;
        to.add_blob("", from.blob_bytes(&config).unwrap());
        let liar = Liar(from.clone(), lie.into());
        let error = copy((&liar, &Target::Tag(tag("v1"))), (&to, Some(&tag("v1"))), &options(), &ignore_events())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::WrongBytes { .. } | Error::WrongSize { .. }), "{error}");
        assert_eq!(to.blob_bytes(&Digest::sha256(&layer)), None);
        assert_eq!(to.tagged(&tag("v1")), None);
    }
}

#[tokio::test]
async fn hostile_shapes_end() {
    let from = repository("from");
    let mut inner = add_image(&from, &[noise(1, 10)], None).descriptor();
    for _ in 0..12 {
        let index = RawManifest::from_index(index_of(vec![inner.clone()]));
        inner = from.add_manifest(index, Some(&tag("deep")));
    }
    let to = repository("to");
    let error = copy((&from, &Target::Tag(tag("deep"))), (&to, None), &options(), &ignore_events()).await.unwrap_err();
    assert!(matches!(error, Error::TooDeep { .. }), "{error}");

    let missing = Descriptor::new(inner.media_type.as_str(), Digest::sha256(b"nowhere"), 5);
    from.add_manifest(RawManifest::from_index(index_of(vec![missing])), Some(&tag("hole")));
    let error = copy((&from, &Target::Tag(tag("hole"))), (&to, None), &options(), &ignore_events()).await.unwrap_err();
    assert!(matches!(error, Error::ManifestNotFound { .. }), "{error}");
}

#[tokio::test]
async fn layers_that_may_not_be_passed_on_stay_where_they_are() {
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 10)], None);
    let mut manifest = crate::images::manifest_of(image.blobs()[0].clone(), Vec::new());
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut layer = Descriptor::new(foreign, Digest::sha256(b"elsewhere"), 9);
    layer.urls = vec!["https://vendor.example/layer".into()];
    manifest.layers.push(layer);
    from.add_manifest(RawManifest::from_manifest(manifest), Some(&tag("windows")));
    let to = repository("to");
    let report = copy((&from, &Target::Tag(tag("windows"))), (&to, Some(&tag("w"))), &options(), &ignore_events())
        .await
        .unwrap();
    assert_eq!((report.copied, report.manifests), (1, 1));
}
