//! `RUN --mount=type=ssh`: what a step sees of an agent.

use std::os::unix::net::UnixListener;

use wharf_builder::sandbox::Tier;

use crate::fixture::World;
use crate::show;

/// What `/out` holds after these instructions, with an agent that was given as `default` and one as `deploy`.
async fn out(dockerfile: &str) -> Option<String> {
    let world = world()?;
    let room = tempfile::tempdir().unwrap();
    let socket = room.path().join("agent");
    let _agent = UnixListener::bind(&socket).unwrap();
    let mut request = world.request(dockerfile);
    request.ssh.insert("default".to_owned(), socket.clone());
    request.ssh.insert("deploy".to_owned(), socket);
    let result = world.build_request(request).await;
    let tree = show::tree(&world.store, &result).await;
    let leftovers: Vec<String> =
        show::files(&tree).into_iter().filter(|line| line.contains("buildkit") || line.contains("/s ")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    Some(std::fs::read_to_string(directory.path().join("out")).unwrap())
}

fn world() -> Option<World> {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return None;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    Some(world)
}

#[tokio::test]
async fn the_socket_is_where_and_what_it_is_said_to_be() {
    let text =
        "FROM shell\nRUN --mount=type=ssh stat -c '%F %a %u:%g' $SSH_AUTH_SOCK > /out && echo $SSH_AUTH_SOCK >> /out\n";
    let Some(found) = out(text).await else { return };
    assert_eq!(found, "socket 600 0:0\n/run/buildkit/ssh_agent.0\n");
    let text = "FROM shell\nUSER 7\nRUN --mount=type=ssh,id=deploy,target=/s,required,mode=0660,uid=7,gid=8 \
                stat -c '%a %u:%g' /s > /tmp/out\nUSER 0\nRUN cat /tmp/out > /out\n";
    assert_eq!(out(text).await.unwrap(), "660 7:8\n");
    let two = "FROM shell\nRUN --mount=type=ssh --mount=type=ssh,id=deploy stat -c %n /run/buildkit/* > /out\n";
    assert_eq!(out(two).await.unwrap(), "/run/buildkit/ssh_agent.0\n/run/buildkit/ssh_agent.1\n");
}

#[tokio::test]
async fn an_agent_that_was_not_given_is_left_out_or_missed() {
    let Some(world) = world() else { return };
    world.build("FROM shell\nRUN --mount=type=ssh [ -z \"$SSH_AUTH_SOCK\" ]\n").await;
    let message = world.failure("FROM shell\nRUN --mount=type=ssh,required true\n").await;
    assert!(message.contains("SSH agent `default` is required") && message.contains("--ssh default"), "{message}");
}
