//! `kill -9` in the middle of a build: the store opens, nothing half-made is visible, and building again works.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use wharf_blobstore::embedded;
use wharf_builder::BuildEvent;

use crate::fixture::World;
use crate::show;

/// Set for the process that is killed: where its store and cache are.
const VICTIM: &str = "WHARF_TEST_VICTIM";

const DOCKERFILE: &str =
    "FROM shell\nRUN echo one > /one\nCOPY a /a\nARG LONG\nRUN echo begun; sleep $LONG; cat /one /a\n";

#[tokio::test]
async fn a_killed_build_can_be_done_again() {
    if let Some(room) = std::env::var_os(VICTIM) {
        return build_until_killed(Path::new(&room)).await;
    }
    let room = tempfile::tempdir().unwrap();
    let name = std::thread::current().name().unwrap().to_owned();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name, "--nocapture"])
        .env(VICTIM, room.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("the step has begun")), "it never came so far");
    victim.kill().unwrap();
    victim.wait().unwrap();

    let left = || fs::read_dir(room.path().join("world/cache/tmp")).unwrap().count();
    assert_eq!(left(), 2, "a room and its lock");
    let world = world(room.path());
    assert_eq!(known(&world).await, 2, "what was done is known");
    let mut request = world.request(DOCKERFILE);
    request.build_args.insert("LONG".into(), "0".into());
    let result = world.build_request(request).await;
    assert_eq!(crate::fixture::outcomes(&result)[..2], ["RUN echo one > /one: cached", "COPY a /a: cached"]);
    show::layers(&world.store, &result).await;
    drop(result);
    assert_eq!(left(), 0, "what the dead build left is gone");
}

/// How many results of steps are known.
async fn known(world: &World) -> usize {
    world.records().await.lines().filter(|line| line.starts_with("cache/")).count()
}

fn world(room: &Path) -> World {
    let mut world = World::with(&[("a", "x")]);
    world.store = embedded::open(&room.join("store")).unwrap();
    world.cache_dir = room.join("world/cache");
    world.bases.add_shell("shell");
    world
}

async fn build_until_killed(room: &Path) {
    let world = world(room);
    let mut request = world.request(DOCKERFILE);
    request.build_args.insert("LONG".into(), "1000".into());
    let told = async {
        while !world.events().iter().any(|event| matches!(event, BuildEvent::Output { line, .. } if line == "begun")) {
            tokio::task::yield_now().await;
        }
        // The steps before it are remembered while it runs.
        while known(&world).await < 2 {
            tokio::task::yield_now().await;
        }
        println!("the step has begun");
    };
    let (built, ()) = tokio::join!(world.try_build(request), told);
    panic!("nobody killed this: {built:?}");
}
