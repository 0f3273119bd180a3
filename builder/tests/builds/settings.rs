//! `BUILDKIT_…`: build arguments that say something about the build itself.

use wharf_builder::sandbox::Tier;

use crate::fixture::{World, outcomes};

async fn world() -> Option<World> {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return None;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    Some(world)
}

/// What `/out` holds after a build with this argument, and what became of its steps.
async fn out(world: &World, text: &str, argument: Option<(&str, &str)>) -> (String, Vec<String>) {
    let mut request = world.request(text);
    request.build_args.extend(argument.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let result = world.build_request(request).await;
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    (std::fs::read_to_string(directory.path().join("out")).unwrap(), outcomes(&result))
}

#[tokio::test]
async fn steps_run_on_a_host_of_that_name() {
    let Some(world) = world().await else { return };
    let text = "FROM shell\nRUN uname -n > /out && head -n1 /etc/hosts >> /out\n";
    let name = "BUILDKIT_SANDBOX_HOSTNAME";
    let plain = out(&world, text, None).await;
    let (said, ran) = out(&world, text, Some((name, "ci-7.example"))).await;
    assert_eq!(said, "ci-7.example\n127.0.0.1\tlocalhost ci-7.example\n");
    assert!(ran[0].ends_with(": ran"), "{ran:?}");
    let (same, known) = out(&world, text, None).await;
    assert_eq!(same, plain.0);
    assert!(known[0].ends_with(": cached"), "{known:?}");
}

#[tokio::test]
async fn caches_of_another_namespace_are_others() {
    let Some(world) = world().await else { return };
    let text = |step: &str| {
        format!("FROM shell\nRUN --mount=type=cache,target=/c echo {step} >> /c/log && cat /c/log > /out\n")
    };
    let name = "BUILDKIT_CACHE_MOUNT_NS";
    assert_eq!(out(&world, &text("1"), None).await.0, "1\n");
    assert_eq!(out(&world, &text("2"), Some((name, "team"))).await.0, "2\n");
    assert_eq!(out(&world, &text("3"), Some((name, "team"))).await.0, "2\n3\n");
    assert_eq!(out(&world, &text("4"), Some((name, "../team"))).await.0, "2\n3\n4\n", "it cannot lead out of itself");
    assert_eq!(out(&world, &text("5"), None).await.0, "1\n5\n");
}

#[tokio::test]
async fn an_image_can_be_a_cache_by_argument() {
    let world = World::with(&[("a", "x")]);
    let mut request = world.request("FROM scratch\nCOPY a /a\n");
    let plain = world.build_request(request.clone()).await;
    request.build_args.insert("BUILDKIT_INLINE_CACHE".to_owned(), "1".to_owned());
    let result = world.build_request(request).await;
    assert_ne!(plain.image.digest(), result.image.digest());
}

#[tokio::test]
async fn files_in_other_languages_are_refused() {
    let world = World::new();
    let message = world.failure("# syntax=r2d4/mockerfile:1\nFROM scratch\n").await;
    assert!(message.contains("the language `r2d4/mockerfile:1` is not known"), "{message}");
    assert!(message.contains("Dockerfile:1:10"), "{message}");
    world.build("# syntax=docker/dockerfile:1.7-labs\nFROM scratch\n").await;
}

#[tokio::test]
async fn proxies_reach_steps_and_no_key() {
    let Some(world) = world().await else { return };
    let text = "FROM shell\nRUN echo $HTTP_PROXY $http_proxy > /out\n";
    let (said, _) = out(&world, text, Some(("HTTP_PROXY", "http://one.example"))).await;
    assert_eq!(said, "http://one.example http://one.example\n");
    let (same, known) = out(&world, text, Some(("http_proxy", "http://two.example"))).await;
    assert_eq!(same, said);
    assert!(known[0].ends_with(": cached"), "{known:?}");
    let declared = "FROM shell\nARG HTTP_PROXY\nRUN echo $HTTP_PROXY > /out\n";
    assert_eq!(out(&world, declared, Some(("HTTP_PROXY", "http://one.example"))).await.0, "http://one.example\n");
    assert_eq!(out(&world, declared, Some(("HTTP_PROXY", "http://two.example"))).await.0, "http://two.example\n");
}
