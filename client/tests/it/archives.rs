//! Archives: what is written, what is read, and what hostile ones cannot do.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;

use serde_json::{Value, json};
use wharf_client::archive::{Archive, ArchiveWriter};
use wharf_client::transfer::{CopyOptions, Error, ImageSource, MemoryRepository, Target, copy, ignore_events};
use wharf_spec::{Compression, Digest, MediaKind, Reference};

use crate::images::{add_image, add_index, add_referrer, noise, repository, tag};

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

async fn write_all(path: &Path, from: &MemoryRepository, names: &[&str]) {
    let archive = ArchiveWriter::create(path).await.unwrap();
    for name in names {
        let name = reference(name);
        let tag = name.tag.clone().unwrap();
        let image = archive.image(Some(name));
        let options = CopyOptions { referrers: true, jobs: 1, ..CopyOptions::default() };
        copy((from, &Target::Tag(tag.clone())), (&image, Some(&tag)), &options, &ignore_events()).await.unwrap();
    }
    archive.finish().await.unwrap();
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(fs::File::open(path).unwrap());
    let read = |entry: std::io::Result<tar::Entry<'_, fs::File>>| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    };
    archive.entries().unwrap().map(read).collect()
}

async fn copy_out(archive: &Archive, name: &str) -> wharf_client::transfer::Result<MemoryRepository> {
    let to = repository("to");
    let options = CopyOptions { referrers: true, ..CopyOptions::default() };
    copy((archive, &Target::Tag(tag(name))), (&to, Some(&tag(name))), &options, &ignore_events()).await?;
    Ok(to)
}

#[tokio::test]
async fn what_is_written_can_be_read_by_oci_tools_and_by_docker() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("images.tar");
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 700_000), noise(2, 512)], Some(&tag("v1")));
    let index = add_index(&from, &["s390x", "arm64"], &tag("v2"));
    let signature = add_referrer(&from, &image, "signed");
    write_all(&path, &from, &["docker.io/library/app:v1", "h.example/app:v2"]).await;

    let files = files(&path);
    let json = |name: &str| serde_json::from_slice::<Value>(&files[name]).unwrap();
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    let docker = json("manifest.json");
    let [config, bottom, top] = [0, 1, 2].map(|at| blob(&image.blobs()[at].digest));
    assert_eq!(docker[0], json!({ "Config": config, "RepoTags": ["app:v1"], "Layers": [bottom, top] }));
    assert_eq!(docker[1]["RepoTags"], json!(["h.example/app:v2"]));
    assert_eq!(docker.as_array().unwrap().len(), 2, "a signature is no image");
    assert_eq!(json("repositories")["app"]["v1"], json!(image.blobs()[2].digest.hex()));
    for (name, bytes) in &files {
        if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
            assert_eq!(Digest::sha256(bytes).hex(), hex);
        }
    }

    let archive = Archive::open(&path, dir.path()).await.unwrap();
    let names: Vec<_> = archive.images().iter().filter_map(wharf_client::layout::NamedImage::reference).collect();
    assert_eq!(names, [reference("docker.io/library/app:v1"), reference("h.example/app:v2")]);
    let back = copy_out(&archive, "v1").await.unwrap();
    assert_eq!(back.tagged(&tag("v1")), Some(image.digest()));
    assert!(back.manifest(&Target::Digest(signature.digest())).await.is_ok());
    assert_eq!(copy_out(&archive, "v2").await.unwrap().tagged(&tag("v2")), Some(index.digest()));
}

#[tokio::test]
async fn the_same_image_makes_the_same_archive() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    add_image(&from, &[noise(1, 1000), noise(2, 2000)], Some(&tag("v1")));
    for name in ["a.tar", "b.tar"] {
        write_all(&dir.path().join(name), &from, &["app:v1"]).await;
    }
    assert_eq!(fs::read(dir.path().join("a.tar")).unwrap(), fs::read(dir.path().join("b.tar")).unwrap());
}

#[tokio::test]
async fn an_archive_travels_through_a_stream_and_gzip() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 100_000)], Some(&tag("v1")));
    let (near, mut far) = tokio::io::duplex(1 << 12);
    let writing = async {
        let archive = ArchiveWriter::to_stream(near).await.unwrap();
        let target = archive.image(None);
        let (options, events) = (CopyOptions::default(), ignore_events());
        copy((&from, &Target::Tag(tag("v1"))), (&target, Some(&tag("v1"))), &options, &events).await.unwrap();
        archive.finish().await.unwrap();
    };
    let mut bytes = Vec::new();
    let ((), read) = tokio::join!(writing, tokio::io::AsyncReadExt::read_to_end(&mut far, &mut bytes));
    read.unwrap();
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&bytes).unwrap();
    let packed = packed.finish().unwrap();
    for bytes in [bytes, packed] {
        let archive = Archive::from_stream(bytes.as_slice(), dir.path()).await.unwrap();
        let back = copy_out(&archive, "v1").await.unwrap();
        assert_eq!(back.tagged(&tag("v1")), Some(image.digest()));
        let path = dir.path().join("file");
        fs::write(&path, &bytes).unwrap();
        let archive = Archive::open(&path, dir.path()).await.unwrap();
        assert_eq!(copy_out(&archive, "v1").await.unwrap().tagged(&tag("v1")), Some(image.digest()));
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "temporary files are gone");
}

#[tokio::test]
async fn an_archive_that_failed_half_way_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 1000)], Some(&tag("v1")));
    let archive = ArchiveWriter::create(&dir.path().join("x.tar")).await.unwrap();
    let target = archive.image(None);
    let wrong = bytes::Bytes::from(noise(2, 1000));
    let put = wharf_client::transfer::ImageSink::put_blob(&target, image.blobs()[1], &wrong).await;
    assert!(matches!(put, Err(Error::WrongBytes { .. })), "{put:?}");
    assert!(matches!(archive.finish().await, Err(Error::Abandoned(_))));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A tar with these files; a value that begins with `->` is a symbolic link.
fn tar_with(path: &Path, entries: &[(&str, &[u8])]) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o644);
        // Written by hand: the crate refuses names that lead out.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        if let Some(target) = bytes.strip_prefix(b"->") {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target);
            header.set_cksum();
            builder.append(&header, &[][..]).unwrap();
        } else {
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
    }
    builder.finish().unwrap();
}

fn docker_config(layers: &[&[u8]]) -> Vec<u8> {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::sha256(layer)).collect();
    json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids } })
        .to_string()
        .into_bytes()
}

#[tokio::test]
async fn what_docker_saved_before_it_knew_layouts_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker.tar");
    let layer = noise(1, 3000);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&layer).unwrap();
    let packed = packed.finish().unwrap();
    let config = docker_config(&[&layer, &layer, &layer]);
    let manifest = json!([{
        "Config": "abc.json", "RepoTags": ["team/app:1", "team/app:2"], "Layers": ["a/layer.tar", "b/layer.tar", "c/layer.tar"]
    }]);
    tar_with(
        &path,
        &[
            ("a/layer.tar", &layer),
            ("b/layer.tar", b"->../a/layer.tar"),
            ("c/layer.tar", &packed),
            ("abc.json", &config),
            ("manifest.json", manifest.to_string().as_bytes()),
        ],
    );
    let archive = Archive::open(&path, dir.path()).await.unwrap();
    let names: Vec<_> = archive.images().into_iter().filter_map(|image| image.name).collect();
    assert_eq!(names, ["team/app:1", "team/app:2"]);
    let back = copy_out(&archive, "2").await.unwrap();
    let manifest = back.manifest(&Target::Tag(tag("2"))).await.unwrap();
    let kinds: Vec<_> = manifest.blobs().iter().map(|blob| blob.media_type.kind()).collect();
    let (plain, gzip) = (MediaKind::Layer(Compression::Uncompressed), MediaKind::Layer(Compression::Gzip));
    assert_eq!(kinds, [MediaKind::Config, plain, plain, gzip], "a layer stays packed as it came");
    assert_eq!(back.blob_bytes(&Digest::sha256(&config)).unwrap(), config);
    assert_eq!(copy_out(&archive, "latest").await.unwrap().tagged(&tag("latest")), Some(manifest.digest()));
}

#[tokio::test]
async fn hostile_archives_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hostile.tar");
    let layer = noise(1, 100);
    let config = docker_config(&[&layer]);
    let listing = |config: &str, layer: &str| {
        json!([{ "Config": config, "RepoTags": null, "Layers": [layer] }]).to_string().into_bytes()
    };
    let wrong = noise(2, 100);
    for (entries, reason) in [
        (vec![("manifest.json", listing("c", "../../etc/passwd")), ("c", config.clone())], "../../etc/passwd"),
        (vec![("manifest.json", listing("/etc/passwd", "l")), ("l", layer.clone())], "/etc/passwd"),
        (
            vec![("manifest.json", listing("c", "l")), ("c", config.clone()), ("l", b"->../../etc/passwd".to_vec())],
            "l, which manifest.json names, is not in it",
        ),
        (
            vec![
                ("manifest.json", listing("c", "a")),
                ("c", config.clone()),
                ("a", b"->b".to_vec()),
                ("b", b"->a".to_vec()),
            ],
            "a, which manifest.json names",
        ),
        (vec![("manifest.json", listing("c", "l")), ("c", config.clone()), ("l", wrong)], "its configuration says"),
        (
            vec![("manifest.json", listing("c", "l")), ("c", b"no".to_vec()), ("l", layer.clone())],
            "no valid image configuration",
        ),
        (vec![("../manifest.json", listing("c", "l")), ("c", config.clone())], "neither index.json nor manifest.json"),
        (vec![("manifest.json", b"{".to_vec())], "manifest.json in it"),
        (vec![("index.json", b"[]".to_vec())], "index.json in it"),
    ] {
        let entries: Vec<(&str, &[u8])> = entries.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
        tar_with(&path, &entries);
        let error = Archive::open(&path, dir.path()).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error} does not say {reason}");
        assert!(error.contains("hostile.tar"), "{error}");
    }
}

#[tokio::test]
async fn a_cut_archive_and_a_missing_blob_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 10_000)], Some(&tag("v1")));
    write_all(&path, &from, &["app:v1"]).await;
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = Archive::open(&path, dir.path()).await.unwrap_err().to_string();
    assert!(error.contains("in the middle of blobs/sha256/") || error.contains("no valid tar"), "{error}");

    let kept: Vec<(String, Vec<u8>)> = {
        fs::write(&path, &whole).unwrap();
        files(&path)
            .into_iter()
            .filter(|(name, _)| !name.contains(&image.blobs()[1].digest.hex()) && !name.ends_with('/'))
            .collect()
    };
    // Names of this length need the crate's own way to write them.
    let mut builder = tar::Builder::new(fs::File::create(&path).unwrap());
    for (name, bytes) in &kept {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        builder.append_data(&mut header, name, bytes.as_slice()).unwrap();
    }
    builder.finish().unwrap();
    let archive = Archive::open(&path, dir.path()).await.unwrap();
    let error = copy_out(&archive, "v1").await.unwrap_err();
    assert!(matches!(error, Error::BlobNotFound { .. }), "{error}");
}
