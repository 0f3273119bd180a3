//! Stages: which are built, from what, and with which platform and arguments.

use crate::fixture::{World, outcomes};
use crate::show;

#[tokio::test]
async fn only_what_the_target_needs_is_looked_at() {
    let world = World::with(&[("a", "x")]);
    let text = "FROM not.there/at-all AS unused\nRUN exit 1\nFROM scratch AS one\nCOPY a /one\n\
                FROM scratch AS two\nCOPY --from=one /one /two\nFROM unused AS last\n";
    for (target, expect) in [("one", 1), ("two", 2), ("1", 1), ("TWO", 2)] {
        let mut request = world.request(text);
        request.target = Some(target.into());
        assert_eq!(outcomes(&world.build_request(request).await).len(), expect, "{target}");
    }
    assert!(world.failure(text).await.contains("not.there/at-all"));
}

#[tokio::test]
async fn triggers_of_an_image_run_first_and_once() {
    let mut world = World::with(&[("a", "x")]);
    world.bases.add("parent", &[], |config| {
        config.config.on_build = vec!["ENV FROM_PARENT=1".into(), "COPY a /triggered".into()];
    });
    let result = world.build("FROM parent AS child\nENV SEEN=$FROM_PARENT\nFROM child\nENV LAST=1").await;
    assert_eq!(result.config.config.env[1..], ["FROM_PARENT=1", "SEEN=1", "LAST=1"]);
    assert!(result.config.config.on_build.is_empty());
    assert_eq!(outcomes(&result), ["ONBUILD COPY a /triggered: ran"]);
}

#[tokio::test]
async fn triggers_may_name_stages_and_images() {
    let mut world = World::new();
    let data = tempfile::tempdir().unwrap();
    crate::support::image::write(data.path(), "f", "data");
    world.bases.add("data", &[data.path()], |_| {});
    world.bases.add("parent", &[], |config| config.config.on_build = vec!["COPY --from=data /f /g".into()]);
    let result = world.build("FROM parent").await;
    assert_eq!(show::files(&show::tree(&world.store, &result).await).len(), 1);
}

#[tokio::test]
async fn the_base_s_history_and_configuration_are_kept() {
    let mut world = World::new();
    world.bases.add("base", &[], |config| {
        config.created = Some("2001-01-01T00:00:00Z".into());
        config.author = Some("somebody".into());
        config.config.env = vec!["A=1".into()];
        config.config.cmd = Some(vec!["x".into()]);
        config.config.extra.insert("Hostname".into(), "kept".into());
        config.history.push(wharf_spec::History {
            created: Some("2000-02-03T04:05:06Z".into()),
            empty_layer: Some(true),
            ..wharf_spec::History::default()
        });
    });
    let result = world.build("FROM base\nENTRYPOINT [\"y\"]\nENV B=2").await;
    let config = &result.config;
    assert_eq!(config.author.as_deref(), Some("somebody"));
    assert_eq!(config.config.env, ["A=1", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "B=2"]);
    assert_eq!(config.config.cmd, None, "the base's arguments were for the base's program");
    assert_eq!(config.config.extra["Hostname"], "kept");
    // Nothing with a time of its own happened since.
    assert_eq!(config.created.as_deref(), Some("2000-02-03T04:05:06Z"));
    assert_eq!(config.history.len(), 3);
}

#[tokio::test]
async fn platforms_are_arguments_and_the_image_says_what_it_is_for() {
    let world = World::new();
    let mut request = world.request(
        "FROM --platform=$BUILDPLATFORM scratch\nARG TARGETPLATFORM\nARG TARGETARCH BUILDOS\n\
         ENV T=$TARGETPLATFORM A=$TARGETARCH B=$BUILDOS N=$TARGETOS",
    );
    request.platform = "linux/arm64".parse().unwrap();
    let result = world.build_request(request).await;
    assert_eq!(result.config.config.env[1..], ["T=linux/arm64", "A=arm64", "B=linux", "N="]);
    assert_eq!(result.config.architecture, "arm64");
}

#[tokio::test]
async fn one_job_is_enough() {
    let mut world = World::with(&[("a", "x")]);
    world.jobs = 1;
    world.bases.add_shell("shell");
    let text = "FROM shell AS one\nRUN echo 1 > /f\nFROM shell AS two\nRUN --mount=from=one,target=/one cat /one/f > /g\n\
                FROM shell\nCOPY --from=two /g /g\nCOPY --from=one /f /f\nRUN --mount=from=two,source=/g,target=/h cat /h /f";
    assert_eq!(outcomes(&world.build(text).await).len(), 5);
}
