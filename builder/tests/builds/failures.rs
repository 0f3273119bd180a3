//! Builds that fail: the message, and a store that is as it was.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::fixture::World;

async fn check(world: &World, dockerfile: &str, expect: &str) {
    let before = world.records().await;
    let message = world.failure(dockerfile).await;
    assert_eq!(message.trim_end(), expect.trim_end(), "\n{message}");
    assert_eq!(world.records().await, before, "the store is as it was");
}

#[tokio::test]
async fn a_failing_run_shows_its_last_lines() {
    let mut world = World::new();
    world.bases.add_shell("shell");
    check(&world, "FROM shell\nRUN echo doing; echo broken >&2; exit 3\n", "").await;
}

#[tokio::test]
async fn a_missing_source_is_explained() {
    let world = World::with(&[("src/main.rs", "x"), ("secret.key", "x"), (".dockerignore", "*.key\n")]);
    check(&world, "FROM scratch\nCOPY src/mian.rs /\n", "").await;
    check(&world, "FROM scratch\nCOPY secret.key /\n", "").await;
    check(&world, "FROM scratch AS base\nFROM scratch\nCOPY --from=base /nothing /\n", "").await;
}

#[tokio::test]
async fn names_that_mean_nothing_are_explained() {
    let world = World::with(&[("a", "x")]);
    check(&world, "FROM scratch AS builder\nFROM scratch\nCOPY --from=bulider /x /\n", "").await;
    check(&world, "FROM scratch AS a\nCOPY --from=b /x /\nFROM scratch AS b\n", "").await;
    check(&world, "FROM ${NOTHING}\n", "").await;
    let mut request = world.request("FROM scratch AS release\n");
    request.target = Some("relaese".into());
    assert_eq!(world.failure_of(request).await, "");
}

#[tokio::test]
async fn what_cannot_be_put_where_it_should_go_is_explained() {
    let world = World::with(&[("a", "x"), ("d/b", "x")]);
    check(&world, "FROM scratch\nCOPY d /x\nCOPY a b /x\n", "").await;
    check(&world, "FROM scratch\nCOPY a /x\nCOPY d /x/\n", "").await;
    check(&world, "FROM scratch\nCOPY --chown=nobody a /x\n", "").await;
}

#[tokio::test]
async fn an_unreadable_file_matters_only_to_who_needs_it() {
    if crate::support::is_root() {
        crate::skip!("root may read everything");
    }
    let world = World::with(&[("open", "x"), ("d/closed", "x")]);
    let closed = world.context.path().join("d/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0)).unwrap();
    world.build("FROM scratch\nCOPY open /\n").await;
    assert!(world.failure("FROM scratch\nCOPY d /\n").await.contains("cannot read `d/closed`"));
    world.write(".dockerignore", "d/closed\n");
    world.build("FROM scratch\nCOPY d /\n").await;
}

#[tokio::test]
async fn a_damaged_base_layer_is_not_taken() {
    let mut world = World::new();
    let layer = tempfile::tempdir().unwrap();
    crate::support::image::write(layer.path(), "f", "data");
    world.bases.add("base", &[layer.path()], |_| {});
    world.bases.damage("base");
    let before = world.records().await;
    let message = world.failure("FROM base\nCOPY <<EOF /x\nEOF\n").await;
    assert!(message.contains("a layer of a base image could not be fetched"), "{message}");
    assert_eq!(world.records().await, before);
}

#[tokio::test]
async fn a_name_that_means_a_deletion_is_refused() {
    let world = World::with(&[("d/.wh.x", "x")]);
    check(&world, "FROM scratch\nCOPY d /\n", "").await;
}
