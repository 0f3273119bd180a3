//! Builds that fail for reasons that no file of the corpus can hold.

use crate::fixture::World;

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
