//! `--ulimit` and `--shm-size`: what steps may use up.

use wharf_builder::sandbox::{GroupLimits, Limits, Resource, Rlimit, Tier};

use crate::fixture::{World, outcomes};
use crate::show;

const TEXT: &str = "FROM shell\nRUN ulimit -Sn > /out && ulimit -Hn >> /out && ulimit -Sc >> /out && stat -f -c '%S %b' /dev/shm >> /out\n";

/// What the step saw, and whether it ran.
async fn seen(world: &World, limits: Limits) -> (Vec<String>, Vec<String>) {
    let mut request = world.request(TEXT);
    request.limits = limits;
    let result = world.build_request(request).await;
    show::tree(&world.store, &result).await;
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    let text = std::fs::read_to_string(directory.path().join("out")).unwrap();
    (text.lines().map(str::to_owned).collect(), outcomes(&result))
}

#[tokio::test]
async fn steps_run_within_their_limits() {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    let (plain, _) = seen(&world, Limits::default()).await;
    let blocks = |bytes: u64| format!("4096 {}", bytes / 4096);
    assert_eq!(plain[3], blocks(64 << 20));
    let limit = |resource, soft, hard| Rlimit { resource, soft: Some(soft), hard: Some(hard) };
    let limits = || Limits {
        rlimits: vec![limit(Resource::Nofile, 60, 70), limit(Resource::Core, 0, 0)],
        shared_memory: Some(5 << 20),
        ..Limits::default()
    };
    let (limited, ran) = seen(&world, limits()).await;
    assert_eq!(limited, ["60", "70", "0", &blocks(5 << 20)]);
    assert!(ran[0].ends_with(": ran"), "other limits may give another result: {ran:?}");
    let (_, again) = seen(&world, limits()).await;
    assert!(again[0].ends_with(": cached"), "{again:?}");
    let (same, before) = seen(&world, Limits::default()).await;
    assert_eq!(same, plain);
    assert!(before[0].ends_with(": cached"), "{before:?}");
}

#[tokio::test]
async fn a_limit_that_cannot_be_set_is_said() {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    let mut request = world.request(TEXT);
    // More files than any kernel lets a process have.
    request.limits.rlimits = vec![Rlimit { resource: Resource::Nofile, soft: None, hard: None }];
    let message = world.failure_of(request).await;
    assert!(message.contains("nofile"), "{message}");
}

/// A world with a shell, if steps can be run here and this process may make control groups; a step with one says so best.
async fn world_with_groups() -> Option<World> {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return None;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    let mut request = world.request("FROM shell\nRUN :");
    request.limits.group.memory = Some(1 << 30);
    match world.try_build(request).await {
        Ok(_) => Some(world),
        Err(error) => {
            println!("skipped: {error}");
            None
        }
    }
}

#[tokio::test]
async fn a_step_that_needs_more_memory_than_it_is_given_fails_and_says_so() {
    let Some(world) = world_with_groups().await else { return };
    let request = |text: &str| {
        let mut request = world.request(text);
        request.limits.group = GroupLimits { memory: Some(32 << 20), ..GroupLimits::default() };
        request
    };
    world.build_request(request("FROM shell\nRUN dd if=/dev/zero of=/dev/null bs=8M count=1")).await;
    let shell =
        world.failure_of(request("FROM shell\nRUN dd if=/dev/zero of=/dev/null bs=100M count=1; exit $?")).await;
    assert!(shell.contains("137") && shell.contains("33554432 bytes of memory (--memory)"), "{shell}");
    let dd = r#"FROM shell\nRUN ["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]"#.replace("\\n", "\n");
    let alone = world.failure_of(request(&dd)).await;
    assert!(alone.contains("33554432 bytes of memory that it was given"), "{alone}");
}

#[tokio::test]
async fn a_step_runs_on_the_processors_it_is_given() {
    let Some(world) = world_with_groups().await else { return };
    let mut request = world.request("FROM shell\nRUN cat /proc/self/status > /out");
    request.limits.group =
        GroupLimits { cpus: Some("0".to_owned()), cpu_quota: Some(50_000), ..GroupLimits::default() };
    let result = world.build_request(request).await;
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    let text = std::fs::read_to_string(directory.path().join("out")).unwrap();
    let list = text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    assert_eq!(list.map(str::trim), Some("0"), "{text}");
}
