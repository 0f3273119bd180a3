//! How a build step ends, well or badly, and that nothing of it is left.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use support::image::{layer, write};
use support::step::Step;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wharf_builder::sandbox::{Helpers, Network, Resource, Rlimit, SandboxError};

/// Processes on this machine whose command line contains the text.
fn processes_with(text: &str) -> Vec<i32> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(|pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(text) && *pid != std::process::id().cast_signed())
    })
    .collect()
}

fn children_of(pid: u32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let children = threads.map(|thread| fs::read_to_string(thread.unwrap().path().join("children")).unwrap());
    children.flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect()
}

#[tokio::test]
async fn a_helper_that_was_started_ahead_is_as_good_as_any() {
    let helpers = Helpers::default();
    for round in 0..3 {
        helpers.prepare();
        helpers.prepare();
        for _ in 0..2 {
            let ran = Step::shell(&format!("echo {round}")).run_by(&helpers).await;
            assert_eq!(ran.ok(), format!("{round}\n"));
        }
    }
    // And one that nobody needs in the end goes with its builder.
    helpers.prepare();
}

#[tokio::test]
async fn what_the_program_left_running_dies_with_it() {
    let ran = Step::shell("sleep 86401 & echo started").run().await;
    assert_eq!(ran.ok(), "started\n");
    assert_eq!(processes_with("86401"), [0; 0]);
}

#[tokio::test]
async fn orphans_are_reaped() {
    // The subshell's child outlives it and becomes the init's; a zombie would still be in /proc.
    let script =
        "(sleep 0.05 & echo $! > /tmp/pid); while [ -e /proc/$(cat /tmp/pid) ]; do sleep 0.01; done; echo gone";
    assert_eq!(Step::shell(script).run().await.ok(), "gone\n");
}

#[tokio::test]
async fn the_time_limit_kills_everything() {
    let mut step = Step::shell("sleep 86402 & sleep 86402");
    let after = Duration::from_millis(50);
    step.process.limits.timeout = Some(after);
    assert_eq!(step.run().await.result, Err(SandboxError::TimedOut { after }));
    assert_eq!(processes_with("86402"), [0; 0]);
}

#[tokio::test]
async fn cancelling_kills_everything() {
    let step = Step::shell("trap '' TERM INT; echo started; sleep 86403");
    let cancel = CancellationToken::new();
    let (output, mut chunks) = mpsc::channel(1);
    let cancelling = async {
        assert!(chunks.recv().await.is_some(), "it starts");
        cancel.cancel();
    };
    let helpers = Helpers::default();
    let (result, ()) = tokio::join!(helpers.run(&step.rootfs, &step.process, output, &cancel), cancelling);
    assert_eq!(result, Err(SandboxError::Cancelled));
    assert_eq!(processes_with("86403"), [0; 0]);
}

/// Runs in a process of its own, below.
#[tokio::test]
async fn stand_in_for_a_builder() {
    if std::env::var_os("WHARF_TEST_BUILDER").is_some() {
        let (output, mut chunks) = mpsc::channel(1);
        let step = Step::shell("echo started; sleep 86404");
        let helpers = Helpers::default();
        let print = async {
            assert!(chunks.recv().await.is_some());
            helpers.prepare();
            println!("\nstarted {}", step.room.path().display());
        };
        let never = CancellationToken::new();
        let run = helpers.run(&step.rootfs, &step.process, output, &never);
        let _ = tokio::join!(run, print);
    }
}

#[tokio::test]
async fn a_killed_builder_leaves_no_process_and_no_mount() {
    let mut builder = Command::new("/proc/self/exe")
        .args(["--exact", "stand_in_for_a_builder", "--nocapture"])
        .env("WHARF_TEST_BUILDER", "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(builder.stdout.take().unwrap()).lines();
    let room = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("started ").map(str::to_owned)).unwrap();
    let sleepers = processes_with("86404");
    assert!(!sleepers.is_empty(), "it runs");
    let helpers = children_of(builder.id());
    assert_eq!(helpers.len(), 2, "one works, one waits");
    let handles: Vec<_> = sleepers
        .iter()
        .chain(&helpers)
        .filter_map(|pid| pidfd_open(Pid::from_raw(*pid)?, PidfdFlags::empty()).ok())
        .collect();
    builder.kill().unwrap();
    builder.wait().unwrap();
    for handle in handles {
        let limit = Timespec { tv_sec: 30, tv_nsec: 0 };
        let ended = poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)).unwrap();
        assert_eq!(ended, 1, "still alive");
    }
    assert!(!fs::read_to_string("/proc/self/mountinfo").unwrap().contains(&room));
    fs::remove_dir_all(room).unwrap();
}

#[tokio::test]
async fn a_signal_is_told_from_an_exit() {
    let killed = SandboxError::Killed { signal: 15, out_of_memory: false };
    assert_eq!(Step::shell("kill -TERM $$").run().await.result, Err(killed));
    // The builder ignores SIGPIPE, as every Rust program; a build step must not.
    let ran = Step::shell("sh -c 'kill -PIPE $$'; echo $?").run().await;
    assert_eq!(ran.ok(), "141\n");
}

#[track_caller]
fn check_not_run(result: Result<impl std::fmt::Debug, SandboxError>, message: &str, hint: Option<&str>) {
    let error = result.unwrap_err();
    assert_eq!(error.to_string(), message);
    match (error.hint(), hint) {
        (None, None) => {}
        (Some(found), Some(part)) if found.contains(part) => {}
        (found, _) => panic!("{found:?} instead of {hint:?}"),
    }
}

#[tokio::test]
async fn a_program_that_cannot_run_says_why() {
    let room = tempfile::tempdir().unwrap();
    write(room.path(), "plain", "echo\n");
    write(room.path(), "bin2/script", "#!/no/such/shell\n");
    write(room.path(), "noformat", "\u{1}\u{2}\n");
    for (path, mode) in [("", 0o755), ("plain", 0o644), ("bin2/script", 0o755), ("noformat", 0o755)] {
        fs::set_permissions(room.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    let try_run = async |args: &[&str]| {
        Step::over(vec![layer().to_owned(), room.path().to_owned()], args).env("PATH", "/bin:/bin2").run().await.result
    };
    check_not_run(try_run(&["nope"]).await, "nope not found in the image", Some("PATH is /bin:/bin2"));
    check_not_run(try_run(&["/bin/nope"]).await, "/bin/nope not found in the image", None);
    let message = "/bin2/script is in the image, but the interpreter it needs is not";
    check_not_run(try_run(&["script"]).await, message, Some("#! line"));
    let message = "/plain cannot be executed: Permission denied (os error 13)";
    check_not_run(try_run(&["/plain"]).await, message, Some("chmod"));
    let message = "/noformat cannot be executed: Exec format error (os error 8)";
    check_not_run(try_run(&["/noformat"]).await, message, Some("another processor"));
}

#[tokio::test]
async fn from_scratch_there_is_no_shell_and_a_program_runs() {
    let ran = Step::over(Vec::new(), &["/bin/sh", "-c", ":"]).run().await;
    check_not_run(ran.result, "/bin/sh not found in the image", Some("FROM scratch"));
    let ran = Step::over(Vec::new(), &["/probe", support::syscalls::ARG]).with_probe().run().await;
    assert!(ran.ok().contains("mount: EPERM"), "{}", ran.stdout);
}

#[tokio::test]
async fn unknown_users_are_named() {
    let ran = Step::shell(":").user("nobody-such").run().await;
    check_not_run(ran.result, "user nobody-such not found in the image's /etc/passwd", None);
    let ran = Step::shell(":").user("app:none").run().await;
    check_not_run(ran.result, "group none not found in the image's /etc/group", None);
}

#[tokio::test]
async fn a_used_work_directory_is_refused() {
    let step = Step::shell(":");
    fs::create_dir(step.rootfs.work.join("root.work")).unwrap();
    let error = step.run().await.result.unwrap_err();
    assert!(error.to_string().starts_with("cannot prepare the work directory"), "{error}");
}

#[tokio::test]
async fn limits_hold() {
    let mut step = Step::shell("ulimit -n; ulimit -Hn");
    step.process.limits.rlimits.push(Rlimit { resource: Resource::Nofile, soft: Some(77), hard: Some(88) });
    assert_eq!(step.run().await.ok(), "77\n88\n");
}

#[tokio::test]
async fn without_a_network_there_is_only_loopback() {
    let mut step = Step::shell("ls /sys/class/net; cat /sys/class/net/lo/flags");
    step.process.network = Network::None;
    // IFF_UP | IFF_LOOPBACK
    assert_eq!(step.run().await.ok(), "lo\n0x9\n");
}
