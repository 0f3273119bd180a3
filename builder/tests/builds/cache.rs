//! The step cache: what is a hit, what is not, and what happens when bytes are gone.

use std::fs;

use wharf_blobstore::{BlobStore, Change, Expect, RecordKey, RecordsExt as _};
use wharf_builder::CacheUse;

use crate::fixture::{World, outcomes, settle_times};
use crate::show;

const TWO_STAGES: &str = "FROM shell AS build\nCOPY src /src\nRUN cat /src/a > /out\n\
                          FROM shell\nCOPY --from=build /out /app\nRUN cat /app";

fn world() -> World {
    let mut world = World::with(&[("src/a", "one"), ("src/b", "two")]);
    world.bases.add_shell("shell");
    world
}

fn all(outcome: &str, count: usize) -> Vec<String> {
    vec![outcome.to_owned(); count]
}

fn kinds(result: &wharf_builder::BuildResult) -> Vec<String> {
    outcomes(result).into_iter().map(|line| line.rsplit(": ").next().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn the_second_build_runs_nothing_and_gives_the_same_image() {
    let world = world();
    let first = world.build(TWO_STAGES).await;
    assert_eq!(kinds(&first), all("ran", 4));
    let second = world.build(TWO_STAGES).await;
    assert_eq!(kinds(&second), all("cached", 4));
    assert_eq!(first.image.digest(), second.image.digest());
    // Nor does it on another machine that shares the store.
    let elsewhere = world.elsewhere();
    let third = elsewhere.build(TWO_STAGES).await;
    assert_eq!(kinds(&third), all("cached", 4));
    assert_eq!(first.image.digest(), third.image.digest());
    assert!(fs::read_dir(elsewhere.cache_dir.join("snapshots")).unwrap().next().is_none(), "nothing unpacked");
}

#[tokio::test]
async fn times_do_not_count_and_contents_and_modes_do() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = world();
    world.build(TWO_STAGES).await;
    let file = world.context.path().join("src/b");
    fs::File::options().write(true).open(&file).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(kinds(&world.build(TWO_STAGES).await), all("cached", 4), "touched");

    // What the second stage takes is what it was, so it is not built again.
    fs::write(&file, "changed").unwrap();
    assert_eq!(kinds(&world.build(TWO_STAGES).await), ["ran", "ran", "cached", "cached"]);

    fs::write(world.context.path().join("src/a"), "also changed").unwrap();
    assert_eq!(kinds(&world.build(TWO_STAGES).await), all("ran", 4));

    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(kinds(&world.build(TWO_STAGES).await)[..2], ["ran", "ran"]);

    // A file that nobody copies is nobody's business.
    world.write("elsewhere", "x");
    assert_eq!(kinds(&world.build(TWO_STAGES).await), all("cached", 4));
}

#[tokio::test]
async fn the_directory_a_source_is_in_does_not_count_but_its_name_does() {
    let world = World::with(&[("old/f", "x")]);
    assert_eq!(kinds(&world.build("FROM scratch\nCOPY old/f /d/").await), ["ran"]);
    fs::rename(world.context.path().join("old"), world.context.path().join("new")).unwrap();
    assert_eq!(kinds(&world.build("FROM scratch\nCOPY new/f /d/").await), ["cached"]);
    fs::rename(world.context.path().join("new/f"), world.context.path().join("new/g")).unwrap();
    settle_times(world.context.path());
    assert_eq!(kinds(&world.build("FROM scratch\nCOPY new/g /d/").await), ["ran"]);
}

#[tokio::test]
async fn arguments_count_for_every_run_after_them() {
    let world = world();
    let text = "FROM shell\nRUN echo a\nARG V\nRUN echo b\nARG HTTP_PROXY_LIKE=x";
    let build = |value: &str| {
        let mut request = world.request(text);
        request.build_args.insert("V".into(), value.into());
        request.build_args.insert("HTTP_PROXY".into(), format!("http://{value}.example"));
        request
    };
    world.build_request(build("1")).await;
    assert_eq!(kinds(&world.build_request(build("1")).await), ["cached", "cached"]);
    assert_eq!(kinds(&world.build_request(build("2")).await), ["cached", "ran"], "proxies do not count");
}

#[tokio::test]
async fn no_cache_runs_everything_and_remembers_it() {
    let world = world();
    world.build(TWO_STAGES).await;
    let mut request = world.request(TWO_STAGES);
    request.cache = CacheUse::Nothing;
    assert_eq!(kinds(&world.build_request(request.clone()).await), all("ran", 4));
    assert_eq!(kinds(&world.build(TWO_STAGES).await), all("cached", 4));
    request.cache = CacheUse::Except(vec!["build".into()]);
    assert_eq!(kinds(&world.build_request(request).await), ["ran", "ran", "cached", "cached"]);
}

#[tokio::test]
async fn equal_steps_of_two_stages_run_once() {
    let world = world();
    let text = "FROM shell AS a\nRUN echo same > /f\nFROM shell AS b\nRUN echo same > /f\n\
                FROM scratch\nCOPY --from=a /f /a\nCOPY --from=b /f /b";
    let kinds = kinds(&world.build(text).await);
    assert_eq!(kinds.iter().filter(|kind| *kind == "ran").count(), 3, "{kinds:?}");
}

/// Makes a collector's decision about a blob that nobody refers to.
async fn condemn(blobs: &BlobStore, world: &World, digest: &wharf_spec::Digest) {
    assert!(blobs.find(digest).await.unwrap().is_some());
    let key = RecordKey::new(format!("blobs/{digest}"));
    let record = world.store.records.get(&key).await.unwrap().unwrap();
    let text = String::from_utf8(record.value.to_vec()).unwrap().replace("live", "condemned");
    let change = Change::Put(text.into());
    world.store.records.swap(key, Expect::Version(record.version), change).await.unwrap();
}

#[tokio::test]
async fn a_result_whose_blob_is_gone_is_made_again_when_it_is_needed() {
    let world = world();
    let first = world.build(TWO_STAGES).await;
    // A layer of the final image: its step runs again.
    let layer = first.image.blobs()[2].digest;
    condemn(&world.store.blobs(), &world, &layer).await;
    let again = world.build(TWO_STAGES).await;
    assert_eq!(kinds(&again), ["cached", "cached", "ran", "cached"]);
    assert!(world.store.blobs().find(&layer).await.unwrap().unwrap().is_live());
    assert_eq!(first.image.digest(), again.image.digest());
    show::layers(&world.store, &again).await;
}

#[tokio::test]
async fn a_stage_whose_files_nobody_needs_any_more_is_not_made_again() {
    let world = world();
    world.build(TWO_STAGES).await;
    let mut request = world.request(TWO_STAGES);
    request.target = Some("build".into());
    let build = world.build_request(request).await;
    for layer in &build.image.blobs()[2..] {
        condemn(&world.store.blobs(), &world, &layer.digest).await;
    }
    assert_eq!(kinds(&world.build(TWO_STAGES).await), all("cached", 4));
    // But when the copy has to be made again, so does what it copies from.
    let changed = TWO_STAGES.replace("/out /app", "/out /app2").replace("cat /app", "cat /app2");
    assert_eq!(kinds(&world.build(&changed).await), all("ran", 4));
}

#[tokio::test]
async fn base_layers_are_fetched_when_somebody_needs_them() {
    let world = world();
    let mut request = world.request("FROM shell\nENV A=b\nUSER 1");
    request.base_layers = wharf_builder::BaseLayers::Leave;
    world.build_request(request.clone()).await;
    assert_eq!(world.bases.fetched(), 0);
    request.base_layers = wharf_builder::BaseLayers::Fetch;
    let result = world.build_request(request).await;
    assert_eq!(world.bases.fetched(), 1);
    show::layers(&world.store, &result).await;
}

#[tokio::test]
async fn an_interrupted_build_leaves_nothing_half_made() {
    let world = world();
    let snapshots = world.cache_dir.join("snapshots");
    // What a killed builder leaves: a room nobody holds a lock on.
    let room = world.cache_dir.join("tmp/0123");
    fs::create_dir_all(room.join("0-unpack/usr")).unwrap();
    fs::write(room.with_extension("lock"), "").unwrap();
    world.build(TWO_STAGES).await;
    assert!(!room.exists());
    assert!(fs::read_dir(snapshots).unwrap().all(|entry| entry.unwrap().path().read_dir().is_ok()));
}
