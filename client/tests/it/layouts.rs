//! OCI layouts as directories.

use std::fs;

use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error, ImageSink, ImageSource, Target, copy, ignore_events};
use wharf_spec::{Descriptor, Digest};

use crate::images::{add_image, add_index, add_referrer, noise, repository, tag};

async fn move_image(
    from: &dyn ImageSource,
    name: &str,
    to: &dyn ImageSink,
) -> wharf_client::transfer::Result<wharf_client::transfer::CopyReport> {
    let options = CopyOptions { referrers: true, ..CopyOptions::default() };
    copy((from, &Target::Tag(tag(name))), (to, Some(&tag(name))), &options, &ignore_events()).await
}

#[tokio::test]
async fn an_image_goes_into_a_layout_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    let index = add_index(&from, &["amd64", "arm64"], &tag("v1"));
    let signature = add_referrer(&from, &index, "signed");
    let layout = LayoutDirectory::create(dir.path().join("new/layout")).unwrap();
    let report = move_image(&from, "v1", &layout).await.unwrap();
    assert_eq!((report.manifests, report.copied), (4, 7));
    assert_eq!(move_image(&from, "v1", &layout).await.unwrap().manifests, 0);

    let layout = LayoutDirectory::open(dir.path().join("new/layout")).unwrap();
    let names: Vec<_> = layout.images().unwrap().into_iter().map(|image| image.name).collect();
    assert!(names.contains(&Some("v1".into())), "{names:?}");
    let back = repository("back");
    let report = move_image(&layout, "v1", &back).await.unwrap();
    assert_eq!(report.root, index.descriptor());
    assert!(back.has_manifest(&signature.digest()).await.unwrap(), "what refers to it is found");
}

#[tokio::test]
async fn a_layout_with_a_damaged_part_takes_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 1000)], Some(&tag("v1")));
    let layout = LayoutDirectory::create(dir.path()).unwrap();
    move_image(&from, "v1", &layout).await.unwrap();
    let layer = dir.path().join("blobs/sha256").join(image.blobs()[1].digest.hex());
    fs::write(&layer, "short").unwrap();
    assert_eq!(move_image(&from, "v1", &layout).await.unwrap().copied, 1);
    assert_eq!(fs::read(&layer).unwrap(), noise(1, 1000));
}

#[tokio::test]
async fn a_hostile_layout_gives_nothing_that_was_not_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 1000)], Some(&tag("v1")));
    let layout = LayoutDirectory::create(dir.path()).unwrap();
    move_image(&from, "v1", &layout).await.unwrap();
    let blob = |digest: &Digest| dir.path().join("blobs/sha256").join(digest.hex());
    let layer = image.blobs()[1].digest;
    let to = repository("to");

    fs::remove_file(blob(&layer)).unwrap();
    let error = move_image(&layout, "v1", &to).await.unwrap_err();
    assert!(matches!(error, Error::BlobNotFound { digest, .. } if digest == layer), "{error}");

    for wrong in [noise(2, 1000), noise(1, 999), noise(1, 1001)] {
        fs::write(blob(&layer), wrong).unwrap();
        let error = move_image(&layout, "v1", &to).await.unwrap_err();
        assert!(matches!(error, Error::WrongBytes { .. } | Error::WrongSize { .. }), "{error}");
    }

    fs::remove_file(blob(&layer)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", blob(&layer)).unwrap();
    let error = move_image(&layout, "v1", &to).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. } | Error::WrongSize { .. }), "{error}");

    fs::write(blob(&image.digest()), "{}").unwrap();
    let error = move_image(&layout, "v1", &to).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");

    for index in
        ["{", r#"{"schemaVersion":2,"manifests":[{"mediaType":"x","digest":"sha256:../../etc/passwd","size":1}]}"#]
    {
        fs::write(dir.path().join("index.json"), index).unwrap();
        let error = move_image(&layout, "v1", &to).await.unwrap_err();
        assert!(matches!(error, Error::BadFile { .. }), "{error}");
    }
    assert_eq!(to.tagged(&tag("v1")), None);
}

#[tokio::test]
async fn a_blob_that_is_not_what_it_says_does_not_appear() {
    let dir = tempfile::tempdir().unwrap();
    let layout = LayoutDirectory::create(dir.path()).unwrap();
    let descriptor = Descriptor::new("text/plain", Digest::sha256(b"promised"), 8);
    let body = bytes::Bytes::from_static(b"provided");
    let error = layout.put_blob(&descriptor, &body).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    let left: Vec<_> = fs::read_dir(dir.path().join("blobs/sha256")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_that_is_no_layout_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let error = LayoutDirectory::open(dir.path()).unwrap_err().to_string();
    assert!(error.contains("oci-layout"), "{error}");
    fs::write(dir.path().join("oci-layout"), r#"{"imageLayoutVersion":"9.0.0"}"#).unwrap();
    assert!(matches!(LayoutDirectory::open(dir.path()), Err(Error::BadFile { .. })));
}
