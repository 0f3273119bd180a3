//! Builds that fail for reasons that no file of the corpus can hold.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::fixture::World;

#[tokio::test]
async fn an_unreadable_file_matters_only_to_who_needs_it() {
    if crate::support::is_root() {
        crate::skip!("root may read everything");
    }
    let world = World::with(&[("open", "x"), ("d/closed", "x")]);
    let closed = world.context.path().join("d/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
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
