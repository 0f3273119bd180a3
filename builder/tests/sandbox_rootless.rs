//! Build steps of an ordinary user: the same test program, started again as `nobody`, enters a user namespace before
//! the harness starts threads.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::step::Step;
use support::{ENTER, image};
use wharf_builder::sandbox::{MountKind, Network, SandboxError, Secret, Tier, rehearse};

const NOBODY: u32 = 65534;

/// Runs one of the tests below as `nobody`; `None` if this machine does not allow it.
fn as_nobody(test: &str) -> Option<String> {
    let exe = std::env::current_exe().unwrap();
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can become another user");
        return None;
    }
    image::layer();
    let room = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(room.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let output = Command::new(exe)
        .args(["--exact", test, "--nocapture"])
        .env(ENTER, "1")
        .env("TMPDIR", room.path())
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if text.contains("tier: Ok(None") {
        println!("skipped: {text}");
        return None;
    }
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    Some(text)
}

fn entered() -> bool {
    std::env::var_os(ENTER).is_some()
}

#[tokio::test]
async fn a_step_of_an_ordinary_user() {
    if !entered() {
        as_nobody("a_step_of_an_ordinary_user");
        return;
    }
    assert_ne!(Tier::current(), Tier::Root);
    let script = "id -u; id -g; cat /etc/hosts | wc -l; mkdir /a; echo x > /a/b; chmod 600 /a/b; rm /etc/group; \
                  rm -r /tmp; mkdir /tmp; ls /sys/class | wc -l > /dev/null; cat /run/s; ls /dev/null /dev/shm /dev/mqueue";
    let kind = MountKind::File { contents: Secret::new(b"secret\n".to_vec()), mode: 0o400, uid: 0, gid: 0 };
    let ran = Step::shell(script).mount("/run/s", kind).run().await;
    assert_eq!(ran.ok(), "0\n0\n2\nsecret\n/dev/null\n\n/dev/mqueue:\n\n/dev/shm:\n", "{}", ran.stderr);
    assert_eq!(ran.changes(), ["-etc/group", "a/", "a/b", "etc/", "tmp/"]);
    let mut opaque = [0; 8];
    let name = wharf_builder::sandbox::opaque_attribute();
    assert_eq!(rustix::fs::getxattr(ran.upper.join("tmp"), name, &mut opaque[..]), Ok(1), "{name}");
    let made = std::fs::metadata(ran.upper.join("a/b")).unwrap();
    assert_eq!((made.uid(), made.mode() & 0o777), (0, 0o600), "ids are those of the namespace");
}

#[tokio::test]
async fn confinement_is_the_same() {
    if !entered() {
        as_nobody("confinement_is_the_same");
        return;
    }
    let mut step = Step::program(&["/probe", support::syscalls::ARG]).with_probe();
    step.process.network = Network::None;
    let ran = step.run().await;
    for line in ["mount: EPERM", "unshare: EPERM", "keyctl: EPERM", "clone3: ENOSYS", "socket inet: ok", "chmod: ok"] {
        assert!(ran.ok().lines().any(|found| found == line), "{line} in {}", ran.stdout);
    }
    let ran =
        Step::shell("echo x > /proc/sys/kernel/hostname; cat /proc/1/environ; echo x > /sys/kernel/x").run().await;
    assert_eq!(ran.stderr.lines().count(), 3, "{}", ran.stderr);
}

#[tokio::test]
async fn other_ids_are_there_or_named_in_the_error() {
    if !entered() {
        as_nobody("other_ids_are_there_or_named_in_the_error");
        return;
    }
    let ran = Step::shell("id -u; id -G").user("app").run().await;
    match Tier::current() {
        Tier::UserNamespaceSingle => {
            assert_eq!(ran.result, Err(SandboxError::IdNotMapped { uid: 1000, gid: 1001 }));
        }
        Tier::UserNamespaceSubuid => {
            assert_eq!(ran.ok(), "1000\n1001 44\n");
            let ran = Step::shell("touch /tmp/x; chown 7:8 /tmp/x; mkdir -m 0 /tmp/d; chown 9 /tmp/d").run().await;
            ran.ok();
            let made = std::fs::metadata(ran.upper.join("tmp/x")).unwrap();
            assert_eq!((made.uid(), made.gid()), (7, 8));
            std::fs::set_permissions(ran.upper.join("tmp/d"), std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        tier @ (Tier::Root | Tier::None { .. }) => panic!("{tier:?}"),
    }
}

#[tokio::test]
async fn a_rehearsal_tells_whether_it_will_work() {
    let room = tempfile::tempdir().unwrap();
    rehearse(room.path()).await.unwrap();
    assert!(std::fs::read_dir(room.path()).unwrap().next().is_none(), "nothing is left");
    if !entered() {
        as_nobody("a_rehearsal_tells_whether_it_will_work");
        // An overlay cannot be changed where `/proc` is.
        let error = rehearse(std::path::Path::new("/proc")).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot prepare the work directory /proc/"), "{error}");
    }
}

#[test]
fn without_privileges_the_error_names_the_doctor() {
    if entered() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skip!("only root can become another user");
    }
    // As `nobody` and without entering.
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stand_in_without_privileges", "--nocapture"])
        .env("WHARF_TEST_UNPRIVILEGED", "1")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn stand_in_without_privileges() {
    if std::env::var_os("WHARF_TEST_UNPRIVILEGED").is_some() {
        let error = Step::shell(":").run().await.result.unwrap_err();
        assert_eq!(error.to_string(), "cannot create namespaces: Operation not permitted (os error 1)");
        assert!(error.hint().unwrap().contains("wharf doctor"));
    }
}
