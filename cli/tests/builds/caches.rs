//! `--cache-to` and `--cache-from`: what one machine did, another one finds done, whatever place lies between them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::support::fixture::layer;
use crate::support::server::Server;
use crate::support::{Desk, Finished};
use crate::{BASE, run_works};

#[path = "../../../client/tests/fakes/mod.rs"]
mod fakes;

use fakes::{Fake, GHA_TOKEN, Kind};

const TWO_STAGES: &str =
    "FROM scratch AS build\nCOPY src /src\nFROM scratch\nWORKDIR /app\nCOPY --from=build /src/a /app/\n";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("context/src/a", "one\n");
    desk.write("context/src/b", "two\n");
    desk.write("context/Dockerfile", TWO_STAGES);
    desk
}

/// A build with variables of the environment.
fn build(desk: &Desk, variables: &[(&str, &str)], arguments: &[&str]) -> Finished {
    let mut command: Command = desk.command(&[&["--progress=json", "build"], arguments, &["context"]].concat());
    command.envs(variables.iter().copied());
    desk.run_with(command, "")
}

/// How each step of a build ended, where its place begins so. What is sent afterwards has numbers of its own.
fn ends_of(finished: &Finished, place: &str) -> Vec<String> {
    assert_eq!(finished.code, Some(0), "{finished}");
    let (mut labels, mut ends) = (BTreeMap::new(), Vec::new());
    for event in finished.stderr.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let task = event["task"].as_u64();
        if let Some(label) = event["label"].as_str() {
            labels.insert(task, label.to_owned());
        }
        if event["event"] == "done" && labels.get(&task).is_some_and(|label| label.starts_with(place)) {
            ends.push(event["how"].as_str().unwrap_or_default().to_owned());
        }
    }
    ends
}

fn ends(finished: &Finished) -> Vec<String> {
    ends_of(finished, "[")
}

/// Builds on one machine, and again on another that has nothing but the cache: the same image, and no step is done.
fn shared(to: &str, from: &str, variables: &[(&str, &str)]) -> (Desk, Desk) {
    let dated = "--build-arg=SOURCE_DATE_EPOCH=1700000000";
    let here = desk();
    let first = build(&here, variables, &["--cache-to", to, dated]);
    assert!(ends(&first).iter().all(|how| how == "DONE"), "{first}");
    let there = desk();
    let second = build(&there, variables, &["--cache-from", from, "-o", "out", dated]);
    let how = ends(&second);
    assert!(how.len() >= 2 && how.iter().all(|how| how == "CACHED"), "{how:?} {second}");
    assert_eq!(first.stdout, second.stdout, "the same image");
    assert_eq!(std::fs::read_to_string(there.path("out/app/a")).expect("a file"), "one\n");
    // And what changed is done on top of what is known.
    there.write("context/Dockerfile", format!("{TWO_STAGES}COPY src/b /\n"));
    let third = build(&there, variables, &["--no-cache-filter", "none", "--cache-from", from, dated]);
    assert_eq!(ends(&third).iter().filter(|how| *how == "DONE").count(), 1, "{third}");
    (here, there)
}

fn s3(fake: &Fake) -> String {
    let url = &fake.url;
    format!("type=s3,bucket=cache,endpoint_url={url},access_key_id=ann,secret_access_key=hush,prefix=team/,name=app")
}

#[test]
fn a_registry_lies_between_two_machines() {
    let store = Desk::new();
    let server = Server::start(&store);
    let name = server.name("team/cache");
    let options = "mode=max,image-manifest=true,oci-mediatypes=true,compression=zstd,registry.insecure=true";
    shared(&format!("type=registry,ref={name},{options}"), &name, &[]);
}

#[test]
fn a_directory_lies_between_two_machines() {
    let place = Desk::new();
    let path = place.text("a,cache");
    let (here, _) = shared(&format!("type=local,\"dest={path}\""), &format!("Type=local,\"SRC={path}\""), &[]);
    // What this build did not use goes, and what it used stays, though its bytes are nowhere else.
    let blobs = || std::fs::read_dir(place.path("a,cache/blobs/sha256")).expect("a directory").count();
    let before = blobs();
    here.write("context/src/a", "another\n");
    build(&here, &[], &["--cache-to", &format!("type=local,\"dest={path}\"")]);
    assert!(blobs() > before);
    here.write("context/src/a", "one\n");
    let dated = "--build-arg=SOURCE_DATE_EPOCH=1700000000";
    build(&here, &[], &["--cache-to", &format!("type=local,\"dest={path}\",reset=true"), dated]);
    assert_eq!(blobs(), before);
    let other = desk();
    let again = build(&other, &[], &["--cache-from", &format!("type=local,\"src={path}\""), dated]);
    assert!(ends(&again).iter().all(|how| how == "CACHED"), "{again}");
}

#[test]
fn an_image_in_a_layout_lists_its_own_steps() {
    let place = Desk::new();
    let path = place.text("layout");
    let dated = "--build-arg=SOURCE_DATE_EPOCH=1700000000";
    let here = desk();
    let first = build(&here, &[], &["--cache-to", "type=inline", "-t", "app:1", dated]);
    assert_eq!(first.code, Some(0), "{first}");
    here.good(&["copy", "app:1", &format!("oci:{path}:v1")]);
    for chosen in ["tag=v1".to_owned(), format!("digest={}", first.stdout.trim())] {
        let there = desk();
        let second = build(&there, &[], &["--cache-from", &format!("type=local,src={path},{chosen}"), dated]);
        // An image knows the steps of its last stage.
        assert_eq!(ends_of(&second, "[stage-1"), ["CACHED", "CACHED"], "{second}");
    }
}

#[test]
fn a_bucket_lies_between_two_machines() {
    let fake = Fake::start(Kind::S3);
    let (here, _) = shared(&s3(&fake), &s3(&fake), &[]);
    let names = fake.names();
    let (entries, blobs): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| name.starts_with("team/manifests/app/step-"));
    assert!(!entries.is_empty() && blobs.iter().all(|name| name.starts_with("team/blobs/sha256:")), "{names:?}");
    // What is there is not sent again.
    fake.requests();
    build(&here, &[], &["--cache-to", &s3(&fake), "--build-arg=SOURCE_DATE_EPOCH=1700000000"]);
    assert!(fake.requests().iter().all(|line| !line.starts_with("PUT ")));
    // What somebody removed is sent again, and looked for in vain meanwhile.
    fake.lose("blobs/");
    let there = desk();
    let dated = "--build-arg=SOURCE_DATE_EPOCH=1700000000";
    let without = build(&there, &[], &["--cache-from", &s3(&fake), dated]);
    assert!(ends(&without).iter().all(|how| how == "DONE"), "{without}");
    build(&here, &[], &["--cache-to", &s3(&fake), dated]);
    assert_eq!(fake.names(), names);
}

#[test]
fn the_environment_says_where_a_bucket_is() {
    let fake = Fake::start(Kind::S3);
    let told = [
        ("AWS_BUCKET", "cache"),
        ("AWS_REGION", "eu-north-1"),
        ("AWS_ENDPOINT_URL", &fake.url),
        ("AWS_ACCESS_KEY_ID", "ann"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];
    shared("type=s3", "type=s3,name=wharf", &told);
}

#[test]
fn a_container_lies_between_two_machines() {
    let fake = Fake::start(Kind::Azure);
    let place =
        format!("type=azblob,name=app,account_url={}/ann,account_name=ann,secret_access_key=aHVzaA==", fake.url);
    shared(&place, &place, &[]);
    assert!(fake.names().iter().any(|name| name.starts_with("wharf-cache/manifests/app/step-")), "{:?}", fake.names());
}

#[test]
fn the_cache_of_github_actions_lies_between_two_machines() {
    for version in ["1", "2"] {
        let fake = Fake::start(Kind::Gha);
        let job = [
            ("ACTIONS_RUNTIME_TOKEN", GHA_TOKEN),
            ("ACTIONS_RESULTS_URL", &fake.url),
            ("ACTIONS_CACHE_SERVICE_V2", "True"),
            ("WHARF_LOG", "trace"),
        ];
        let place = format!("type=gha,scope=main,version={version}");
        shared(&place, &place, &job);
        assert!(fake.names().iter().any(|name| name.starts_with("wharf-main-step-")), "{:?}", fake.names());
        let elsewhere = desk();
        let other = build(&elsewhere, &job, &["--cache-from", &format!("type=gha,scope=other,version={version}")]);
        assert!(ends(&other).iter().all(|how| how == "DONE"), "{other}");
        for said in [&other.stdout, &other.stderr] {
            assert!(!said.contains("nobody-may-see"), "{said}");
        }
    }
    // Elsewhere it is no cache, and no error either.
    let laptop = desk();
    let finished = build(&laptop, &[], &["--cache-from", "type=gha", "--cache-to", "type=gha,mode=max"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("this is no job of GitHub Actions"), "{finished}");
}

#[test]
fn cache_mounts_travel_through_a_bucket_and_an_entry_that_changes_is_found() {
    if !run_works("cache_mounts_travel_through_a_bucket_and_an_entry_that_changes_is_found") {
        return;
    }
    let (bucket, service) = (Fake::start(Kind::S3), Fake::start(Kind::Gha));
    let job = [("ACTIONS_RUNTIME_TOKEN", GHA_TOKEN), ("ACTIONS_RESULTS_URL", &service.url)];
    for place in [s3(&bucket), "type=gha".to_owned()] {
        let shared = format!("{place},mounts=true");
        let step = |arguments: &str| {
            let mount = "--mount=type=cache,target=/c --mount=type=bind,target=/x";
            format!("{BASE}ENV WHARF_STORE=/c/store\nRUN {mount} [\"/wharf\", {arguments}]\n")
        };
        // Each machine adds an image to the store in the cache mount, and finds those of the machines before it.
        for (machine, step) in [
            (1, step("\"import\", \"/x/one.tar\", \"one:1\"")),
            (2, step("\"tag\", \"one:1\", \"two:1\"")),
            (3, step("\"tag\", \"two:1\", \"three:1\"")),
        ] {
            let desk = Desk::new();
            desk.write("context/one.tar", layer("motd", b"hello\n"));
            desk.write("context/Dockerfile", step);
            let finished = build(&desk, &job, &["--cache-from", &shared, "--cache-to", &shared]);
            assert_eq!(finished.code, Some(0), "{machine}: {finished}");
        }
    }
}

#[test]
fn a_cache_that_fails_is_a_warning_to_readers_and_an_error_to_writers_unless_it_may_be_ignored() {
    let fake = Fake::start(Kind::S3);
    let place = s3(&fake).replace("=hush", "=hush-hush").replace("access_key_id=ann", "access_key_id=bob");
    let desk = desk();
    let read = build(&desk, &[], &["--cache-from", &place]);
    assert!(ends(&read).iter().all(|how| how == "DONE"), "{read}");
    assert_eq!(read.stderr.matches("warning: the cache").count(), 1, "{read}");
    let written = build(&desk, &[], &["--cache-to", &place]);
    assert_eq!(written.code, Some(1), "{written}");
    assert!(written.stderr.contains("could not write the cache s3://cache/"), "{written}");
    assert!(written.stderr.contains("ignore-error=true"), "{written}");
    let ignored = build(&desk, &[], &["--cache-to", &format!("{place},ignore-error=true")]);
    assert_eq!(ignored.code, Some(0), "{ignored}");
    assert!(ignored.stderr.contains("warning: could not write the cache s3://cache/"), "{ignored}");
    for finished in [read, written, ignored] {
        assert!(!finished.stderr.contains("hush"), "{finished}");
    }
}

#[test]
fn flags_that_mean_nothing_are_refused() {
    let desk = desk();
    for (flag, value, hint) in [
        ("--cache-to", "type=s3,bukcet=x", "did you mean `bucket`?"),
        ("--cache-to", "type=azblob,name=x", "account_url"),
        ("--cache-to", "type=gcs,bucket=x", "there is no type gcs"),
        ("--cache-from", "type=s3", "AWS_BUCKET"),
        ("--cache-from", "type=local", "src"),
    ] {
        let finished = build(&desk, &[], &[flag, value]);
        assert_eq!(finished.code, Some(125), "{finished}");
        assert!(finished.stderr.contains(hint), "{finished}");
    }
}
