//! Building again: why something was done again, what of the last result is used for it, and that none of it shows.

use std::fs;

use tokio::task::yield_now;
use wharf_builder::{BuildError, BuildEvent, CacheVerdict, MissReason, Together};
use wharf_spec::Digest;

use crate::fixture::{World, outcomes, settle_times};
use crate::show;

const TEXT: &str = "FROM shell\nARG V=1\nCOPY . /src\nRUN cat /src/a > /out";

fn world() -> World {
    let mut world = World::with(&[("a", "one"), ("b", "two"), ("c/d", "three")]);
    world.bases.add_shell("shell");
    world
}

async fn verdicts(world: &World, argument: &str) -> Vec<CacheVerdict> {
    let mut request = world.request(TEXT);
    request.explain_cache = true;
    request.build_args.insert("V".into(), argument.into());
    world.build_request(request).await;
    let verdict = |event: BuildEvent| match event {
        BuildEvent::Explained { verdict, .. } => Some(verdict),
        _ => None,
    };
    world.events().into_iter().filter_map(verdict).collect()
}

fn miss(reasons: impl IntoIterator<Item = MissReason>) -> CacheVerdict {
    CacheVerdict::Miss(reasons.into_iter().collect())
}

#[tokio::test]
async fn every_miss_says_which_input_changed() {
    let world = world();
    assert_eq!(verdicts(&world, "1").await, [miss([MissReason::First]), miss([MissReason::First])]);
    assert_eq!(verdicts(&world, "1").await, [CacheVerdict::Hit, CacheVerdict::Hit]);

    let variable = MissReason::Input { name: "the variable V".into() };
    assert_eq!(verdicts(&world, "2").await, [CacheVerdict::Hit, miss([variable])]);

    world.write("b", "changed");
    world.write("c/new", "x");
    fs::remove_file(world.context.path().join("a")).unwrap();
    world.write("a", "also changed");
    fs::remove_file(world.context.path().join("c/d")).unwrap();
    let files = MissReason::Files {
        count: 4,
        changed: vec!["a".into(), "b".into()],
        added: vec!["c/new".into()],
        removed: vec!["c/d".into()],
    };
    assert_eq!(verdicts(&world, "2").await, [miss([files]), miss([MissReason::Below])]);

    let mut request = world.request(TEXT);
    (request.explain_cache, request.cache) = (true, wharf_builder::CacheUse::Nothing);
    world.build_request(request).await;
    let refused = |event: &BuildEvent| matches!(event, BuildEvent::Explained { verdict: CacheVerdict::Miss(why), .. } if *why == [MissReason::Refused]);
    assert_eq!(world.events().iter().filter(|event| refused(event)).count(), 2);
}

#[tokio::test]
async fn nobody_is_told_who_did_not_ask() {
    let world = world();
    world.build(TEXT).await;
    assert!(!world.events().iter().any(|event| matches!(event, BuildEvent::Explained { .. })));
}

/// Two hundred files of 20 kB that compress somewhat.
fn many() -> World {
    let mut world = World::new();
    // In the world's own room, which goes away with it.
    let place = world.cache_dir.with_file_name("store");
    fs::create_dir(&place).unwrap();
    world.store = wharf_blobstore::embedded::open(&place).unwrap();
    for number in 0..200_u32 {
        let words = (0..4000_u32).map(|at| (at.wrapping_mul(number + 7) % 997).to_string());
        let text = words.collect::<Vec<_>>().join(" ");
        fs::write(world.context.path().join(format!("{number:03}")), text).unwrap();
    }
    settle_times(world.context.path());
    world
}

#[tokio::test]
async fn an_edit_gives_what_a_fresh_build_of_the_same_gives() {
    let text = "FROM scratch\nCOPY . /app";
    let mut world = many();
    let first = world.build(text).await;
    for (name, content) in [("000", "shorter"), ("100", "another"), ("199", "the last")] {
        world.write(name, content);
        let edited = world.build(text).await;
        assert_eq!(outcomes(&edited), ["COPY . /app: ran"]);
        assert_ne!(first.image.digest(), edited.image.digest());
        show::layers(&world.store, &edited).await;
        let mut fresh = world.elsewhere();
        fresh.store = wharf_blobstore::Store::memory();
        assert_eq!(fresh.build(text).await.image.blobs()[1].digest, edited.image.blobs()[1].digest, "{name}");
    }
    // Without the blob the frames lie in, they are made.
    world.store = wharf_blobstore::Store::memory();
    world.write("000", "different again");
    show::layers(&world.store, &world.build(text).await).await;
}

#[tokio::test]
async fn a_time_stamp_for_everything_makes_the_same_image_of_the_same_files() {
    let mut digests = Vec::new();
    for (jobs, age) in [(1, 0), (8, 86_400), (2, 1)] {
        let mut world = world().elsewhere();
        world.store = wharf_blobstore::Store::memory();
        world.jobs = jobs;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 - age);
        for name in ["a", "b", "c/d"] {
            let file = fs::File::options().write(true).open(world.context.path().join(name)).unwrap();
            file.set_modified(time).unwrap();
        }
        let mut request = world.request("FROM shell AS x\nRUN cat /usr/bin/sh > /x\nFROM shell\nCOPY . /src\nRUN cat /src/a > /out\nCOPY --from=x /x /x");
        request.source_date_epoch = Some(1_600_000_000);
        digests.push(world.build_request(request).await.image.digest());
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

/// A step that goes on until it is told to end, and counts how often it did.
const SLOW: &str = "FROM shell\nRUN --mount=type=cache,id=w,target=/w echo begun; until [ -e /w/go ]; do :; done; echo done >> /w/log; echo x > /x";

/// A build beside another, in a process of its own for all that it knows.
fn beside(world: &World) -> World {
    let mut other = World::new();
    (other.store, other.cache_dir, other.bases) = (world.store.clone(), world.cache_dir.clone(), world.bases.clone());
    other
}

async fn until(world: &World, wanted: impl Fn(&BuildEvent) -> bool) {
    while !world.events().iter().any(&wanted) {
        yield_now().await;
    }
}

#[tokio::test]
async fn of_two_builds_that_come_to_the_same_step_one_does_it() {
    let first = world();
    let (second, third) = (beside(&first), beside(&first));
    let cache = first.cache_dir.join("mounts").join(Digest::sha256(b"w").hex()).join("0/data");
    let begun = async {
        until(&first, |event| matches!(event, BuildEvent::Output { .. })).await;
        let (cancelled, ()) = tokio::join!(third.try_build(third.request(SLOW)), async {
            until(&third, |event| matches!(event, BuildEvent::Waiting(_))).await;
            third.cancel.cancel();
        });
        assert!(matches!(cancelled, Err(BuildError::Cancelled)), "{cancelled:?}");
        let (result, ()) = tokio::join!(second.build(SLOW), async {
            until(&second, |event| matches!(event, BuildEvent::Waiting(_))).await;
            fs::write(cache.join("go"), "").unwrap();
        });
        result
    };
    let (one, other) = tokio::join!(first.build(SLOW), begun);
    assert_eq!(one.image.digest(), other.image.digest());
    assert!(outcomes(&one)[0].ends_with(": ran") && outcomes(&other)[0].ends_with(": cached"));
    assert_eq!(fs::read_to_string(cache.join("log")).unwrap(), "done\n");
    assert_eq!(fs::read_dir(first.cache_dir.join("turns")).unwrap().count(), 0);
}

/// A step that fails when another is under way.
const ALONE: &str = "mkdir /w/alone || exit 9; n=0; while [ $n -lt 20000 ]; do n=$((n+1)); done; rmdir /w/alone";

#[tokio::test]
async fn builds_that_know_of_each_other_do_no_more_at_once_than_one_and_fetch_a_layer_once() {
    let mut first = world();
    first.together = Some(Together::new(1));
    let mut second = beside(&first);
    second.together.clone_from(&first.together);
    let text = |name: &str| {
        let run = format!("RUN --mount=type=cache,id=w,target=/w {ALONE}");
        format!(
            "FROM shell AS a\n{run}; echo {name}1 > /x\nFROM shell\n{run}; echo {name}2 > /x\nCOPY --from=a /x /y\n"
        )
    };
    let (one, other) = (text("one"), text("other"));
    let (one, other) = tokio::join!(first.build(&one), second.build(&other));
    assert_ne!(one.image.digest(), other.image.digest());
    assert_eq!(first.bases.fetched(), 1, "the base has one layer");
}
