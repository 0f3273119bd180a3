//! Moving everything from elsewhere, and keeping what is here: migrate, backup, restore.

use std::path::Path;

use serde_json::{Value, json};
use wharf_spec::Digest;

use crate::support::fixture::{Image, layer, layout, multi_platform};
use crate::support::server::Server;
use crate::support::{Desk, Finished};

fn ok(finished: Finished) -> Finished {
    assert_eq!(finished.code, Some(0), "{finished}");
    finished
}

/// What a store has: names with digests.
fn images(desk: &Desk) -> Vec<(String, String)> {
    let listed: Value = serde_json::from_str(&desk.good(&["images", "--json"])).expect("JSON");
    let text = |row: &Value, field: &str| row[field].as_str().expect("text").to_owned();
    let row = |row: &Value| (format!("{}:{}", text(row, "repository"), text(row, "tag")), text(row, "digest"));
    listed.as_array().expect("a list").iter().map(row).collect()
}

#[test]
fn a_registry_moves_with_all_its_repositories() {
    let old = Desk::new();
    layout(&old, "one", &[layer("one", b"one")]);
    multi_platform(&old, "both");
    for (from, to) in [("oci:one", "team/app:1"), ("oci:one", "team/app:2"), ("oci:both", "other:latest")] {
        old.good(&["copy", "-q", from, to]);
    }
    let server = Server::start(&old);
    let new = Desk::new();
    let first = ok(new.run(&["migrate", &server.address.to_string()]));
    assert_eq!(images(&new), images(&old));
    assert!(first.stdout.starts_with("other: 1 images, 4 blobs copied"), "{first}");
    assert!(first.stderr.contains("2 repositories: 3 images"), "{first}");
    let again = new.good(&["migrate", &server.address.to_string()]);
    assert!(again.lines().all(|line| line.contains(" 0 blobs copied")), "{again}");
    let history: Value = serde_json::from_str(&new.good(&["history", "team/app:1", "--format", "json"])).expect("JSON");
    assert_eq!(history["version"], 1, "telling it twice is no new version");

    // From one registry to another, and only some of it.
    let third = Desk::new();
    let to = Server::start(&third);
    let (from, to) = (server.address.to_string(), to.address.to_string());
    new.good(&["migrate", &from, &to, "--repository", "team/*", "--jobs", "2"]);
    assert_eq!(images(&third).len(), 2);
    new.good(&["migrate", &from, &to, "--repository", "other"]);
    assert_eq!(images(&third), images(&old));
}

/// Puts an image of a layout into the storage of a Distribution registry, as that one would.
fn distribute(desk: &Desk, storage: &str, layout: &str, (name, tag): (&str, Option<&str>), image: &Image) {
    let root = format!("{storage}/docker/registry/v2");
    let place = |digest: &str| {
        let hex = digest.trim_start_matches("sha256:");
        format!("{root}/blobs/sha256/{}/{hex}/data", &hex[..2])
    };
    for digest in image.layers.iter().chain([&image.config, &image.digest]) {
        let bytes = std::fs::read(desk.path(&format!("{layout}/blobs/{}", digest.replace(':', "/")))).expect("a blob");
        desk.write(&place(digest), bytes);
    }
    link(desk, &root, (name, tag), &image.digest);
}

fn link(desk: &Desk, root: &str, (name, tag): (&str, Option<&str>), digest: &str) {
    let manifests = format!("{root}/repositories/{name}/_manifests");
    desk.write(&format!("{manifests}/revisions/{}/link", digest.replace(':', "/")), digest);
    if let Some(tag) = tag {
        desk.write(&format!("{manifests}/tags/{tag}/current/link"), digest);
    }
}

#[test]
fn the_storage_of_another_registry_is_read_as_it_lies() {
    let desk = Desk::new();
    let one = layout(&desk, "one", &[layer("one", b"one")]);
    let two = layout(&desk, "two", &[layer("two", b"two")]);
    distribute(&desk, "storage", "one", ("team/app", Some("1")), &one);
    distribute(&desk, "storage", "two", ("team/app", Some("2")), &two);
    distribute(&desk, "storage", "two", ("two", Some("latest")), &two);
    // A signature without a tag.
    let descriptor = |digest: &str, size: usize, kind: &str| json!({"mediaType": kind, "digest": digest, "size": size});
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let config_size =
        std::fs::metadata(desk.path(&format!("one/blobs/{}", one.config.replace(':', "/")))).expect("one");
    let size = usize::try_from(config_size.len()).expect("small");
    let signature = serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": manifest_type, "artifactType": "application/x.signature",
        "config": descriptor(&one.config, size, "application/vnd.oci.image.config.v1+json"), "layers": [],
        "subject": descriptor(&one.digest, one.manifest.len(), manifest_type),
    }));
    let signature = signature.expect("plain data");
    let digest = Digest::sha256(&signature).to_string();
    let hex = digest.trim_start_matches("sha256:");
    let root = "storage/docker/registry/v2";
    desk.write(&format!("{root}/blobs/sha256/{}/{hex}/data", &hex[..2]), &signature);
    link(&desk, root, ("team/app", None), &digest);

    desk.good(&["migrate", "distribution:storage"]);
    let expected = [("team/app:1", &one), ("team/app:2", &two), ("two:latest", &two)];
    let expected: Vec<_> = expected.map(|(name, image)| (name.to_owned(), image.digest.clone())).into();
    assert_eq!(images(&desk), expected);
    assert_eq!(desk.good(&["inspect", "--raw", &format!("team/app@{digest}")]).as_bytes(), signature);
    let again = desk.good(&["migrate", &format!("distribution:{root}")]);
    assert!(again.lines().all(|line| line.contains(" 0 blobs copied")), "{again}");
}

#[test]
fn what_cannot_be_moved_is_said_and_the_rest_goes_on() {
    let desk = Desk::new();
    let one = layout(&desk, "one", &[layer("one", b"one")]);
    let two = layout(&desk, "two", &[layer("two", b"two")]);
    distribute(&desk, "storage", "one", ("app", Some("1")), &one);
    distribute(&desk, "storage", "two", ("app", Some("2")), &two);
    let hex = one.layers[0].trim_start_matches("sha256:");
    let broken = format!("storage/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let good = std::fs::read(desk.path(&broken)).expect("a layer");
    desk.write(&broken, vec![b'x'; good.len()]);
    let finished = desk.run(&["migrate", "distribution:storage"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("could not move app:1") && finished.stdout.contains("1 failed"), "{finished}");
    assert_eq!(images(&desk), [("app:2".to_owned(), two.digest)]);
    // Mended, the same command moves what was missing.
    desk.write(&broken, good);
    let mended = desk.good(&["migrate", "distribution:storage"]);
    assert!(mended.starts_with("app: 2 images, ") && !mended.contains("failed"), "{mended}");
    assert_eq!(images(&desk).len(), 2);
    for nothing in ["distribution:nowhere", "oci:nowhere", "oci:docker"] {
        assert_eq!(desk.run(&["migrate", nothing]).code, Some(1), "{nothing}");
    }
}

#[test]
fn layouts_move_under_the_names_of_their_directories() {
    let desk = Desk::new();
    let one = layout(&desk, "zot/team/app", &[layer("one", b"one")]);
    let two = layout(&desk, "zot/base", &[layer("two", b"two")]);
    desk.good(&["migrate", "oci:zot"]);
    assert_eq!(images(&desk), [("base:1".to_owned(), two.digest), ("team/app:1".to_owned(), one.digest)]);
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a directory");
    for entry in std::fs::read_dir(from).expect("a directory").flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_files(&path, &target);
        } else {
            std::fs::copy(&path, &target).expect("a copy");
        }
    }
}

#[test]
fn a_store_comes_back_from_its_records_and_its_objects() {
    let desk = Desk::new();
    for text in ["one", "two"] {
        layout(&desk, text, &[layer(text, text.as_bytes())]);
        desk.good(&["copy", "-q", &format!("oci:{text}"), "team/app:stable"]);
    }
    let _server = Server::start(&desk);
    let backup = ok(desk.run(&["backup", "records.wharf"]));
    assert!(backup.stderr.contains("the bytes of images are not among them"), "{backup}");
    desk.good(&["restore", "--store", "back", "records.wharf"]);
    copy_files(&desk.path("store/objects"), &desk.path("back/objects"));
    let both = |arguments: &[&str]| {
        let there: Vec<_> = arguments.iter().copied().chain(["--store", "back"]).collect();
        (desk.good(arguments), desk.good(&there))
    };
    for arguments in [vec!["images", "--json"], vec!["history", "team/app:stable", "--format", "json"]] {
        let (here, back) = both(&arguments);
        assert_eq!(here, back);
    }
    desk.good(&["rollback", "team/app:stable", "--store", "back"]);
    desk.good(&["copy", "-q", "team/app:stable", "oci:out", "--store", "back"]);

    let said = desk.bad(&["restore", "records.wharf"]);
    assert!(said.contains("the store is not empty"), "{said}");
    let mut bytes = std::fs::read(desk.path("records.wharf")).expect("the backup");
    bytes.truncate(bytes.len() - 1);
    desk.write("short.wharf", bytes);
    let said = desk.bad(&["restore", "--store", "other", "short.wharf"]);
    assert!(said.contains("it is cut off") && !desk.path("other").exists(), "{said}");
}
