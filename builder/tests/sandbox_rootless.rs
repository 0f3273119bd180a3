//! Build steps of an ordinary user: run by root, the same test program is started again as `nobody`.

mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::Command;

use support::step::Step;
use support::{STAY, image};
use wharf_builder::sandbox::{MountKind, Network, SandboxError, Secret, Tier, rehearse};

const NOBODY: u32 = 65534;

/// As root: runs a test of this file again as `nobody`, and tells the caller not to go on.
fn handed_to_nobody(test: &str) -> bool {
    if !support::is_root() {
        return false;
    }
    let room = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(room.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let output = nobody(test).env("TMPDIR", room.path()).env(image::READY, image::layer_of(NOBODY)).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    // Nothing else is a reason to skip: any other failure is one of the sandbox.
    if said.starts_with("skipped: ") {
        println!("{said}");
    } else {
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
    }
    true
}

fn nobody(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).uid(NOBODY).gid(NOBODY);
    command
}

#[tokio::test]
async fn a_step_of_an_ordinary_user() {
    if handed_to_nobody("a_step_of_an_ordinary_user") {
        return;
    }
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
    if handed_to_nobody("confinement_is_the_same") {
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
    if handed_to_nobody("other_ids_are_there_or_named_in_the_error") {
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
    // Nobody can make a directory there.
    let error = rehearse(std::path::Path::new("/proc")).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot prepare the work directory /proc/"), "{error}");
    handed_to_nobody("a_rehearsal_tells_whether_it_will_work");
}

#[test]
fn the_doctor_knows_what_is_missing() {
    if !support::is_root() {
        skip!("only root can become another user");
    }
    let report = |command: &mut Command| {
        let output = command.arg(support::PROBE).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let exe = std::env::current_exe().unwrap();
    let root = report(&mut Command::new(&exe));
    assert!(root.starts_with("Report {\n    tier: Root,"), "{root}");

    let nobody = report(Command::new(&exe).uid(NOBODY).gid(NOBODY));
    assert!(nobody.contains("reason: \"this is user 65534\""), "{nobody}");
    // Whatever tier it is, the checks must account for it.
    let blocked = |section: &str| {
        let (_, after) = nobody.split_once(section).unwrap();
        after.split_once("\n    ],").unwrap().0.contains("Blocked")
    };
    let tier = nobody.lines().nth(1).unwrap().trim();
    match tier {
        "tier: UserNamespaceSubuid," => assert!(!blocked("subuid: [") && !blocked("user_namespace: ["), "{nobody}"),
        "tier: UserNamespaceSingle," => assert!(blocked("subuid: [") && !blocked("user_namespace: ["), "{nobody}"),
        _ => assert!(tier.starts_with("tier: None") && blocked("user_namespace: ["), "{nobody}"),
    }
}

#[test]
fn without_privileges_the_error_names_the_doctor() {
    if !support::is_root() {
        skip!("only root can become another user");
    }
    let output = nobody("stand_in_without_privileges").env(STAY, "1").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

/// Runs in a process of its own, above.
#[tokio::test]
async fn stand_in_without_privileges() {
    if std::env::var_os(STAY).is_some() {
        let error = Step::shell(":").run().await.result.unwrap_err();
        assert_eq!(error.to_string(), "cannot create namespaces: Operation not permitted (os error 1)");
        assert!(error.hint().unwrap().contains("wharf doctor"));
    }
}
