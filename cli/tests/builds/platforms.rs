//! Images for several platforms, and what is attested about images.

use std::fs;

use serde_json::Value;

use crate::run_works;
use crate::support::Desk;
use crate::support::server::Server;

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("context/hello.txt", "hello\n");
    desk.write(
        "context/Dockerfile",
        "FROM --platform=$BUILDPLATFORM scratch AS shared\nCOPY hello.txt /\n\
         FROM scratch\nARG TARGETARCH\nARG TOKEN\nCOPY --from=shared /hello.txt /$TARGETARCH\n",
    );
    desk
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

fn index(desk: &Desk, name: &str) -> Vec<Value> {
    let manifest = json(&desk.good(&["inspect", "--raw", name]));
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.index.v1+json");
    manifest["manifests"].as_array().expect("a list").clone()
}

#[test]
fn one_build_makes_an_image_for_each_platform() {
    let desk = desk();
    let elsewhere = Desk::new();
    let server = Server::start(&elsewhere);
    let name = server.name("team/app:1");
    let build =
        ["--progress=plain", "build", "-t", &name, "--push", "--platform", "linux/amd64,linux/arm/v7", "context"];
    let finished = desk.run(&build);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("[linux/amd64 stage-1 1/1] COPY"), "{finished}");
    assert!(finished.stderr.contains("[linux/arm/v7 stage-1 1/1] COPY"), "{finished}");
    // What does not depend on the platform is built once.
    assert_eq!(finished.stderr.matches("CACHED").count(), 1, "{finished}");
    let user = Desk::new();
    let pulled = user.good(&["pull", &name, "app"]);
    assert_eq!(pulled, format!("app@{}", finished.stdout), "the digest that is printed is the index's");
    let listed = index(&user, "app");
    let platforms: Vec<_> = listed.iter().map(|one| one["platform"]["architecture"].as_str().expect("text")).collect();
    assert_eq!(platforms, ["amd64", "arm"]);
    assert_eq!(listed[1]["platform"]["variant"], "v7");
    for (platform, architecture) in [("linux/amd64", "amd64"), ("linux/arm/v7", "arm")] {
        let config = json(&user.good(&["inspect", "--image-config", "--platform", platform, "app"]));
        assert_eq!(config["architecture"], architecture);
    }
    let again = desk.good(&["build", "--platform=linux/amd64", "--platform=linux/arm/v7", "context"]);
    assert_eq!(again, finished.stdout, "the same once more");
}

#[test]
fn files_of_several_platforms_are_in_directories() {
    let desk = desk();
    desk.good(&["build", "--platform", "linux/amd64,linux/arm64", "-o", "out", "--provenance=true", "context"]);
    for (directory, file) in [("linux_amd64", "amd64"), ("linux_arm64", "arm64")] {
        assert_eq!(fs::read_to_string(desk.path("out").join(directory).join(file)).expect("a file"), "hello\n");
        let told = fs::read_to_string(desk.path("out").join(directory).join("provenance.json")).expect("a file");
        assert_eq!(json(&told)["predicateType"], "https://slsa.dev/provenance/v1");
    }
    let both = ["build", "--platform", "linux/amd64,linux/arm64"];
    let refused = desk.run(&[&both[..], &["--load", "context"]].concat());
    assert_eq!(refused.code, Some(125), "{refused}");
    assert!(refused.stderr.contains("--load takes an image for one platform"), "{refused}");
}

#[test]
fn annotations_have_their_places() {
    let desk = desk();
    let annotations =
        ["--annotation=a=1", "--annotation=index:b=2", "--annotation=manifest-descriptor[linux/arm64]:c=3"];
    let build =
        [&["build", "-t", "app", "--platform=linux/amd64,linux/arm64"], &annotations[..], &["context"]].concat();
    desk.good(&build);
    let whole = json(&desk.good(&["inspect", "--raw", "app"]));
    assert_eq!(whole["annotations"]["b"], "2");
    assert_eq!(whole["manifests"][0]["annotations"], Value::Null);
    assert_eq!(whole["manifests"][1]["annotations"]["c"], "3");
    let child = whole["manifests"][0]["digest"].as_str().expect("text").to_owned();
    assert_eq!(json(&desk.good(&["inspect", "--raw", &format!("app@{child}")]))["annotations"]["a"], "1");
    let refused = desk.run(&["build", "--annotation", "index:b=2", "context"]);
    assert_eq!(refused.code, Some(125), "{refused}");
    desk.good(&[
        "build",
        "-t",
        "one",
        "--build-arg",
        "BUILDKIT_MULTI_PLATFORM=1",
        "--annotation",
        "index:b=2",
        "context",
    ]);
    assert_eq!(index(&desk, "one").len(), 1);
}

#[test]
fn outputs_can_name_and_push() {
    let desk = desk();
    let elsewhere = Desk::new();
    let server = Server::start(&elsewhere);
    let name = server.name("team/app:2");
    let output = format!("type=image,name={name},push=true,compression=zstd,annotation.k=v");
    desk.good(&["build", "-o", &output, "context"]);
    let manifest = json(&Desk::new().good(&["inspect", "--raw", &name]));
    assert_eq!(manifest["annotations"]["k"], "v");
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+zstd");
    let refused = desk.run(&["build", "-o", "type=registry,name=local", "context"]);
    assert_eq!(refused.code, Some(125), "{refused}");
}

/// The attestation in the index at `name`, and the image it is about.
fn statement(desk: &Desk, name: &str) -> (Value, Value) {
    let listed = index(desk, name);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(listed[1]["platform"]["os"], "unknown");
    assert_eq!(listed[1]["annotations"]["vnd.docker.reference.type"], "attestation-manifest");
    assert_eq!(listed[1]["annotations"]["vnd.docker.reference.digest"], listed[0]["digest"]);
    desk.good(&["copy", name, &format!("oci:{}", desk.text("layout"))]);
    let blob = |digest: &Value| {
        let hex = digest.as_str().expect("text").trim_start_matches("sha256:").to_owned();
        json(&fs::read_to_string(desk.path("layout/blobs/sha256").join(hex)).expect("a blob"))
    };
    let manifest = blob(&listed[1]["digest"]);
    let layer = &manifest["layers"][0];
    assert_eq!(layer["mediaType"], "application/vnd.in-toto+json");
    let told = blob(&layer["digest"]);
    assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], told["predicateType"]);
    (told, listed[0].clone())
}

#[test]
fn provenance_says_how_an_image_was_made() {
    let desk = desk();
    desk.write("token", "hunter2");
    let build = |how: &str| {
        let line = ["build", "-t", "team/app:1", how, "--build-arg=TOKEN=told", "--secret=id=key,src=token", "context"];
        desk.good(&line);
        statement(&desk, "team/app:1")
    };
    let (told, image) = build("--provenance=mode=min");
    let digest = image["digest"].as_str().expect("text").trim_start_matches("sha256:");
    assert_eq!(told["subject"][0]["digest"]["sha256"], digest);
    assert_eq!(told["subject"][0]["name"], "pkg:docker/team/app@1?platform=linux%2Famd64");
    assert_eq!(told["predicateType"], "https://slsa.dev/provenance/v1");
    assert!(told["predicate"]["runDetails"]["metadata"]["startedOn"].is_string(), "{told}");
    assert!(!told.to_string().contains("told") && !told.to_string().contains("FROM scratch"), "{told}");
    let (told, _) = build("--attest=type=provenance,mode=max,builder-id=https://ci.example/1");
    let parameters = &told["predicate"]["buildDefinition"]["externalParameters"];
    assert_eq!(parameters["request"]["args"]["TOKEN"], "told");
    assert_eq!(parameters["request"]["secrets"][0], "key");
    assert_eq!(told["predicate"]["runDetails"]["builder"]["id"], "https://ci.example/1");
    assert!(parameters["dockerfile"].as_str().expect("text").contains("FROM scratch"));
    assert!(!told.to_string().contains("hunter2"), "{told}");
    // In the words of before, with the user's own claim.
    let (told, _) = build("--provenance=version=v0.2,mode=max,reproducible=true");
    assert_eq!(told["predicateType"], "https://slsa.dev/provenance/v0.2");
    assert_eq!(told["predicate"]["invocation"]["parameters"]["args"]["TOKEN"], "told");
    assert_eq!(told["predicate"]["invocation"]["configSource"]["entryPoint"], "Dockerfile");
    assert_eq!(told["predicate"]["metadata"]["reproducible"], true);
    assert!(!told.to_string().contains("hunter2"), "{told}");
    // As a file beside others it has a name, or is not there.
    desk.good(&["build", "-o", "named", "--provenance=filename=how.json", "context"]);
    desk.good(&["build", "-o", "without", "--provenance=inline-only=true", "context"]);
    let files = |directory: &str| std::fs::read_dir(desk.path(directory)).expect("a directory").count();
    assert!(desk.path("named/how.json").is_file());
    assert_eq!(files("named"), files("without") + 1);
    // Of a base, its digest; and what wants no provenance is a plain image.
    let base = json(&desk.good(&["inspect", "--raw", "team/app:1"]))["manifests"][0]["digest"].clone();
    desk.write("child/Dockerfile", "FROM team/app:1\nLABEL a=b\n");
    desk.good(&["build", "-t", "child", "--provenance=true", "child"]);
    let (told, _) = statement(&desk, "child");
    let used = &told["predicate"]["buildDefinition"]["resolvedDependencies"][0];
    assert_eq!(format!("sha256:{}", used["digest"]["sha256"].as_str().expect("text")), base.as_str().expect("text"));
    desk.good(&["build", "-t", "plain", "--provenance=false", "--sbom=false", "child"]);
    assert!(json(&desk.good(&["inspect", "--raw", "plain"]))["config"].is_object());
}

#[test]
fn a_program_for_another_machine_is_said_to_be_one() {
    if !run_works("a_program_for_another_machine_is_said_to_be_one") {
        return;
    }
    let desk = Desk::new();
    // The head of a program for a processor that nobody emulates.
    let mut head = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0".to_vec();
    head.extend([0x12, 0x34]);
    head.resize(120, 0);
    desk.write("context/program", &head);
    desk.write("context/Dockerfile", "FROM scratch\nCOPY --chmod=755 program /\nRUN [\"/program\"]\n");
    let failed = desk.run(&["build", "--platform", "linux/s390x", "context"]);
    assert_eq!(failed.code, Some(1), "{failed}");
    assert!(failed.stderr.contains("linux/s390x") && failed.stderr.contains("binfmt"), "{failed}");
}
