//! What outputs can say: names without tags, other media types, directories and tars of one platform or several.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use serde_json::Value;

use crate::support::Desk;
use crate::support::server::Server;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("context/hello.txt", "hello\n");
    desk.write("context/Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY hello.txt /d/$TARGETARCH\n");
    desk
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// Paths of a tar with what they hold, and how old they are.
fn entries(bytes: &[u8]) -> BTreeMap<String, (String, u64)> {
    let mut archive = tar::Archive::new(bytes);
    let read = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().trim_end_matches('/').to_owned();
        let (mut text, time) = (String::new(), entry.header().mtime().expect("a time"));
        entry.read_to_string(&mut text).expect("text");
        (path, (text, time))
    };
    archive.entries().expect("a tar").map(read).collect()
}

const BOTH: [&str; 3] = ["build", "--platform", "linux/amd64,linux/arm64"];

#[test]
fn a_tar_holds_a_directory_for_each_platform() {
    let desk = desk();
    let told = "--provenance=true";
    desk.good(&[&BOTH[..], &[told, "-o", "type=tar,dest=out.tar", "context"]].concat());
    let found = entries(&fs::read(desk.path("out.tar")).expect("a tar"));
    let paths: Vec<_> = found.keys().map(String::as_str).collect();
    let expected = ["", "/d", "/d/ARCH", "/provenance.json"];
    let of = |arch: &str| expected.map(|path| format!("linux_{arch}{}", path.replace("ARCH", arch)));
    assert_eq!(paths, [of("amd64"), of("arm64")].concat());
    assert_eq!(found["linux_arm64/d/arm64"].0, "hello\n");
    let statement = json(&found["linux_arm64/provenance.json"].0);
    assert_eq!(statement["subject"][0]["name"], "d/arm64", "it is about the files");
    let hello = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    assert_eq!(statement["subject"][0]["digest"]["sha256"], hello);
    // Together, where they do not meet.
    let together = "type=tar,dest=one.tar,platform-split=false,attestation-prefix=about-";
    desk.good(&[&BOTH[..], &[told, "-o", together, "context"]].concat());
    let found = entries(&fs::read(desk.path("one.tar")).expect("a tar"));
    let paths: Vec<_> = found.keys().map(String::as_str).collect();
    let expected =
        ["about-provenance.linux_amd64.json", "about-provenance.linux_arm64.json", "d", "d/amd64", "d/arm64"];
    assert_eq!(paths, expected);
}

#[test]
fn directories_are_split_merged_and_cleaned() {
    let desk = desk();
    desk.good(&["build", "--platform=linux/arm64", "-o", "type=local,dest=split,platform-split=true", "context"]);
    assert!(desk.path("split/linux_arm64/d/arm64").is_file());
    desk.good(&[&BOTH[..], &["-o", "type=local,dest=merged,platform-split=false", "context"]].concat());
    assert!(desk.path("merged/d/arm64").is_file() && desk.path("merged/d/amd64").is_file());
    desk.write("same/Dockerfile", "FROM scratch\nCOPY <<x /same\nx\n");
    let clash = desk.bad(&[&BOTH[..], &["-o", "type=local,dest=clash,platform-split=false", "same"]].concat());
    assert!(clash.contains("linux/amd64 and linux/arm64 both have a file same"), "{clash}");
    assert!(clash.contains("platform-split=true"), "{clash}");
    desk.write("merged/old", "x");
    desk.write("merged/deep/old", "x");
    std::os::unix::fs::symlink(desk.path("context"), desk.path("merged/link")).expect("a link");
    desk.good(&["build", "--platform=linux/arm64", "-o", "type=local,dest=merged", "context"]);
    assert!(desk.path("merged/old").exists(), "what is there stays");
    let clean = "type=local,dest=merged,mode=delete";
    desk.good(&["build", "--platform=linux/arm64", "--provenance=true", "-o", clean, "context"]);
    let mut left: Vec<_> = fs::read_dir(desk.path("merged")).expect("a directory").collect();
    left.sort_by_key(|entry| entry.as_ref().expect("an entry").file_name());
    let left: Vec<_> = left.into_iter().map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left, ["d", "provenance.json"]);
    assert!(!desk.path("merged/d/amd64").exists());
    assert!(desk.path("context/hello.txt").exists(), "a link is not followed");
    let root = desk.bad(&["build", "-o", "type=local,dest=/,mode=delete", "context"]);
    assert!(root.contains("would be deleted"), "{root}");
}

#[test]
fn files_are_as_old_as_the_image() {
    let desk = desk();
    let epoch = "--build-arg=SOURCE_DATE_EPOCH=1000000000";
    desk.good(&["build", epoch, "--provenance=true", "-o", "out", "-o", "type=tar,dest=out.tar", "context"]);
    for path in ["out/d", "out/d/amd64", "out/provenance.json"] {
        let modified = fs::metadata(desk.path(path)).and_then(|data| data.modified()).expect("a time");
        let since = modified.duration_since(std::time::UNIX_EPOCH).expect("later");
        assert_eq!(since.as_secs(), 1_000_000_000, "{path}");
    }
    let found = entries(&fs::read(desk.path("out.tar")).expect("a tar"));
    assert!(found.len() == 3 && found.values().all(|(_, time)| *time == 1_000_000_000), "{found:?}");
}

#[test]
fn an_image_is_pushed_by_digest_alone() {
    let desk = desk();
    let elsewhere = Desk::new();
    let server = Server::start(&elsewhere);
    let name = server.name("team/app");
    let output = format!("type=image,name={name},push-by-digest=true,push=true,name-canonical=true");
    let digest = desk.good(&["build", "-o", &output, "--metadata-file=meta.json", "context"]).trim().to_owned();
    let user = Desk::new();
    user.good(&["pull", &format!("{name}@{digest}"), "app"]);
    user.bad(&["pull", &name, "other"]);
    let told = json(&fs::read_to_string(desk.path("meta.json")).expect("a file"));
    assert_eq!(told["image.name"], format!("{name}@{digest}"));
    // Nothing of it in the store here: neither a name nor a repository.
    let unstored = Desk::new();
    unstored.write("context/Dockerfile", "FROM scratch\nCOPY <<x /y\nz\nx\n");
    let output = format!("type=registry,name={name}:2,store=false");
    unstored.good(&["build", "-o", &output, "context"]);
    unstored.bad(&["inspect", &format!("127.0.0.1/{name}:2")]);
    assert!(!unstored.good(&["images"]).contains("team/app"));
    user.good(&["pull", &format!("{name}:2"), "two"]);
    for (output, words) in [
        (format!("type=image,name={name}:1,push-by-digest=true"), "cannot be pushed by digest"),
        ("type=image,push-by-digest=true".to_owned(), "push-by-digest needs a name"),
    ] {
        let said = desk.bad(&["build", "-o", &output, "context"]);
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn an_image_without_a_name_can_be_kept() {
    let desk = desk();
    let output = "type=image,dangling-name-prefix=loose/parts";
    let digest = desk.good(&["build", "-o", output, "context"]).trim().to_owned();
    assert!(desk.good(&["inspect", "--raw", &format!("loose/parts@{digest}")]).contains("layers"));
    desk.bad(&["inspect", "loose/parts"]);
    let named = format!("{output},name=app:1,dangling-name-empty-only=true");
    desk.write("context/hello.txt", "other\n");
    let digest = desk.good(&["build", "-o", &named, "context"]).trim().to_owned();
    desk.bad(&["inspect", &format!("loose/parts@{digest}")]);
    desk.good(&["inspect", "app:1"]);
}

#[test]
fn media_types_can_be_docker_s() {
    let desk = desk();
    desk.good(&["build", "-o", "type=image,name=old,oci-mediatypes=false", "context"]);
    let manifest = json(&desk.good(&["inspect", "--raw", "old"]));
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    desk.good(&[&BOTH[..], &["-o", "type=image,name=both,compatibility-version=20", "context"]].concat());
    let list = json(&desk.good(&["inspect", "--raw", "both"]));
    assert_eq!(list["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(list["manifests"][0]["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    for (more, words) in [
        ("--provenance=true", "attestations have only OCI's types"),
        ("--annotation=a=b", "annotations have only OCI's types"),
        ("--compression=zstd", "layers in zstd have only OCI's types"),
    ] {
        let said = desk.bad(&["build", more, "-o", "type=image,name=x,oci-mediatypes=false", "context"]);
        assert!(said.contains(words), "{said}");
    }
    let differ = ["-o", "type=image,name=x,oci-mediatypes=false", "-o", "type=oci,dest=x.tar,oci-mediatypes=true"];
    let said = desk.bad(&[&["build"], &differ[..], &["context"]].concat());
    assert!(said.contains("two outputs want different oci-mediatypes"), "{said}");
}

#[test]
fn attestations_can_name_their_image() {
    let desk = desk();
    desk.good(&["build", "--provenance=true", "-o", "type=image,name=app,oci-artifact=true", "context"]);
    let index = json(&desk.good(&["inspect", "--raw", "app"]));
    let about = index["manifests"][1]["digest"].as_str().expect("text");
    let manifest = json(&desk.good(&["inspect", "--raw", &format!("app@{about}")]));
    assert_eq!(manifest["artifactType"], "application/vnd.docker.attestation.manifest.v1+json");
    assert_eq!(manifest["subject"]["digest"], index["manifests"][0]["digest"]);
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.oci.empty.v1+json");
    // It goes wherever the image goes.
    desk.good(&["copy", "app", "oci:layout"]);
    desk.good(&["fsck"]);
}

#[test]
fn layers_of_the_base_are_compressed_anew_when_asked() {
    let desk = desk();
    desk.good(&["build", "-t", "base", "context"]);
    desk.write("child/Dockerfile", "FROM base\nCOPY <<x /y\nz\nx\n");
    let types = |name: &str| {
        let manifest = json(&desk.good(&["inspect", "--raw", name]));
        let layers = manifest["layers"].as_array().expect("a list").clone();
        layers.iter().map(|layer| layer["mediaType"].as_str().expect("text").to_owned()).collect::<Vec<_>>()
    };
    let (gzip, zstd) = ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd");
    desk.good(&["build", "-o", "type=image,name=mixed,compression=zstd", "child"]);
    assert_eq!(types("mixed"), [gzip, zstd]);
    desk.good(&["build", "-o", "type=image,name=all,compression=zstd,force-compression=true", "child"]);
    assert_eq!(types("all"), [zstd, zstd]);
    let diff_ids = |name: &str| json(&desk.good(&["inspect", "--image-config", name]))["rootfs"].clone();
    assert_eq!(diff_ids("all"), diff_ids("mixed"), "the files are the same");
    desk.write("grandchild/Dockerfile", "FROM all\nCOPY --from=all /d /e\n");
    desk.good(&["build", "-o", "out", "grandchild"]);
    assert_eq!(fs::read_to_string(desk.path("out/e/amd64")).expect("a file"), "hello\n");
    desk.good(&["fsck"]);
}

/// A generator whose program is Wharf itself: it copies what it is shown to where statements go.
fn generator(desk: &Desk) {
    desk.write(
        "scanner/Dockerfile",
        format!(
            "{}COPY <<x /src/Dockerfile\nFROM scratch\nCOPY --from=core bom.json /sbom.spdx.json\nx\n\
             ENTRYPOINT [\"/wharf\", \"--store\", \"/tmp/store\", \"--progress=quiet\", \"build\", \
             \"--build-context\", \"core=/run/src/core/sbom\", \"-o\", \"/run/out\", \"/src\"]\n",
            crate::BASE
        ),
    );
    desk.good(&["build", "-t", "team/scanner:1", "scanner"]);
}

#[test]
fn a_bill_of_materials_lies_beside_the_image() {
    if !crate::run_works("a_bill_of_materials_lies_beside_the_image") {
        return;
    }
    let desk = Desk::new();
    generator(&desk);
    let bom = r#"{"predicateType":"https://spdx.dev/Document","predicate":{"spdxVersion":"SPDX-2.3","name":"all of it",
        "files":[{"fileName":"/bom.json"}]}}"#;
    desk.write("context/bom.json", bom);
    desk.write("context/Dockerfile", "FROM scratch\nCOPY bom.json /\n");
    let sbom = "--sbom=generator=team/scanner:1";
    desk.good(&["build", "-t", "app:1", sbom, "--provenance=true", "-o", "out", "context"]);
    let index = json(&desk.good(&["inspect", "--raw", "app:1"]));
    assert_eq!(index["manifests"][1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    let about = index["manifests"][1]["digest"].as_str().expect("text");
    let manifest = json(&desk.good(&["inspect", "--raw", &format!("app@{about}")]));
    let kind = |layer: usize| manifest["layers"][layer]["annotations"]["in-toto.io/predicate-type"].clone();
    assert_eq!(kind(0), "https://spdx.dev/Document");
    assert_eq!(kind(1), "https://slsa.dev/provenance/v1");
    desk.good(&["copy", "app:1", "oci:layout"]);
    let hex = manifest["layers"][0]["digest"].as_str().expect("text").trim_start_matches("sha256:").to_owned();
    let told = json(&fs::read_to_string(desk.path("layout/blobs/sha256").join(hex)).expect("a blob"));
    assert_eq!(told["predicate"]["name"], "all of it");
    let shown = json(&desk.good(&[
        "inspect",
        "--raw",
        &format!("app@{}", index["manifests"][0]["digest"].as_str().expect("text")),
    ]));
    let layer = shown["layers"][0]["digest"].as_str().expect("text");
    assert_eq!(told["predicate"]["files"][0]["comment"], format!("layerID: {layer}"));
    assert_eq!(told["subject"][0]["name"], "pkg:docker/app@1?platform=linux%2Famd64");
    let image = index["manifests"][0]["digest"].as_str().expect("text").trim_start_matches("sha256:").to_owned();
    assert_eq!(told["subject"][0]["digest"]["sha256"], image.as_str());
    let beside = json(&fs::read_to_string(desk.path("out/sbom.spdx.json")).expect("a file"));
    assert_eq!(beside["subject"][0]["name"], "bom.json");
    assert!(desk.path("out/provenance.json").is_file());
    // Without one the image is alone.
    desk.good(&["build", "-t", "plain", "--attest=type=sbom,generator=team/scanner:1,disabled=true", "context"]);
    assert!(json(&desk.good(&["inspect", "--raw", "plain"]))["config"].is_object());
}

#[test]
fn a_generator_that_cannot_be_had_is_said() {
    let desk = desk();
    let said =
        desk.bad(&["build", "--sbom=generator=127.0.0.1:1/scanner", "--insecure-registry=127.0.0.1:1", "context"]);
    assert!(said.contains("the generator of bills of materials cannot be had"), "{said}");
    assert!(said.contains("wharf pull 127.0.0.1:1/scanner"), "{said}");
}
