//! Builds of an ordinary user: run by root, the same test program is started again as `nobody`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use wharf_builder::sandbox::Tier;

use crate::fixture::{World, outcomes};
use crate::show;
use crate::support::{STAY, image, is_root};

const NOBODY: u32 = 65534;

/// How far down the test program goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Privileges {
    /// A user namespace of its own.
    Namespace,
    /// None at all.
    Nothing,
}

/// Runs the calling test again with fewer privileges, and tells it not to go on.
fn handed_down(privileges: Privileges) -> bool {
    let stays = std::env::var_os(STAY).is_some();
    if stays || (privileges == Privileges::Namespace && !is_root()) {
        return false;
    }
    let name = std::thread::current().name().unwrap().to_owned();
    let room = tempfile::tempdir().unwrap();
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &name, "--nocapture"]).env("TMPDIR", room.path());
    if is_root() {
        std::os::unix::fs::chown(room.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        again.uid(NOBODY).gid(NOBODY).env(image::READY, image::layer_of(NOBODY));
    }
    if privileges == Privileges::Nothing {
        again.env(STAY, "1");
    }
    let output = again.output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if said.starts_with("skipped: ") {
        println!("{said}");
    } else {
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    true
}

#[tokio::test]
async fn an_ordinary_user_builds_like_root() {
    if handed_down(Privileges::Namespace) {
        return;
    }
    let mut world = World::with(&[("a", "x")]);
    world.bases.add_shell("shell");
    let text = "FROM shell AS one\nCOPY a /a\nRUN rm -r /tmp && mkdir /tmp && cat /a > /tmp/b && rm /etc/group\n\
                FROM shell\nCOPY --from=one /tmp /t\nCOPY --chown=5:6 a /owned\nRUN cat /t/b";
    let result = world.build(text).await;
    let lines = show::files(&show::tree(&world.store, &result).await);
    assert!(lines.contains(&"/t/b 0644 0:0 file 1 2d711642b726".to_owned()), "{lines:?}");
    assert!(lines.contains(&"/owned 0644 5:6 file 1 2d711642b726".to_owned()), "{lines:?}");
    let again = world.build(text).await;
    assert!(outcomes(&again).iter().all(|outcome| outcome.ends_with(": cached")));
    assert_eq!(again.image.digest(), result.image.digest());
}

#[tokio::test]
async fn without_any_privileges_files_can_still_be_copied() {
    if handed_down(Privileges::Nothing) {
        return;
    }
    assert!(matches!(Tier::current(), Tier::None { .. }));
    let mut world = World::with(&[("a", "x")]);
    world.bases.add_shell("shell");
    let text = "FROM shell AS one\nCOPY --chown=1:2 a /etc/a\nFROM shell\nWORKDIR /w\nUSER app\nWORKDIR mine\n\
                COPY --from=one /etc /etc-of-one\nCOPY --chown=app a .";
    let result = world.build(text).await;
    let lines = show::files(&show::tree(&world.store, &result).await);
    assert!(lines.contains(&"/etc-of-one/a 0644 1:2 file 1 2d711642b726".to_owned()), "{lines:?}");
    assert!(lines.contains(&"/w/mine/a 0644 1000:1001 file 1 2d711642b726".to_owned()), "{lines:?}");
    let message = world.failure("FROM shell\nRUN true").await;
    assert!(message.contains("this step needs a sandbox, which is not available here"), "{message}");
    assert!(message.contains("`wharf doctor`"), "{message}");
}

#[tokio::test]
async fn an_unreadable_file_matters_only_to_who_needs_it() {
    if handed_down(Privileges::Nothing) {
        return;
    }
    let world = World::with(&[("open", "x"), ("d/closed", "x"), ("locked/f", "x")]);
    let closed = |name: &str| fs::set_permissions(world.context.path().join(name), fs::Permissions::from_mode(0o000));
    closed("d/closed").unwrap();
    closed("locked").unwrap();
    world.build("FROM scratch\nCOPY open /\n").await;
    let message = world.failure("FROM scratch\nCOPY d /\n").await;
    assert!(message.contains("cannot read `d/closed`") && message.contains("COPY d /"), "{message}");
    assert!(world.failure("FROM scratch\nCOPY . /\n").await.contains("cannot read `locked`"));
    assert!(world.failure("FROM scratch\nCOPY locked /\n").await.contains("cannot read `locked`"));
    fs::write(world.context.path().join(".dockerignore"), "d/closed\nlocked\n").unwrap();
    world.build("FROM scratch\nCOPY . /\n").await;
    fs::set_permissions(world.context.path().join("locked"), fs::Permissions::from_mode(0o755)).unwrap();
}
