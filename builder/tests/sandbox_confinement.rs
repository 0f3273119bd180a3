//! What a build step may not do.

mod support;

use support::step::{Ran, Step};
use support::syscalls;
use wharf_builder::sandbox::Security;

async fn system_calls(step: Step) -> Ran {
    let mut step = step.with_probe();
    step.process.args = ["/probe", syscalls::ARG].map(str::to_owned).to_vec();
    step.run().await
}

#[tokio::test]
async fn the_filter_denies_what_reaches_the_machine() {
    let ran = system_calls(Step::shell("")).await;
    let expected = "mount: EPERM\numount2: EPERM\nunshare: EPERM\nsetns: EPERM\nbpf: EPERM\nkeyctl: EPERM\n\
                    add_key: EPERM\nperf_event_open: EPERM\nsethostname: EPERM\nio_uring_setup: EPERM\n\
                    clone3: ENOSYS\nclone with a namespace: EPERM\npersonality ADDR_NO_RANDOMIZE: EPERM\n\
                    personality query: ok\nsocket vsock: EPERM\nsocket inet: ok\na call from the future: ENOSYS\n\
                    chmod: ok\n";
    // Root can make device nodes and not open them; in a user namespace there are none.
    let nodes = if support::is_root() { "mknod: ok\nopen: EACCES\n" } else { "mknod: EPERM\nopen: ENOENT\n" };
    assert_eq!(ran.ok(), format!("{expected}{nodes}"));
}

/// Hexadecimal capability sets and the like from `/proc/self/status`.
async fn status(step: Step, keys: &[&str]) -> Vec<String> {
    let ran = step.run().await;
    let value = |key: &&str| ran.ok().lines().find_map(|line| line.strip_prefix(*key)).unwrap().trim().to_owned();
    keys.iter().map(value).collect()
}

const KEYS: [&str; 6] = ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:"];

#[tokio::test]
async fn root_has_fourteen_capabilities() {
    let kept = "00000000a80425fb";
    let found = status(Step::program(&["cat", "/proc/self/status"]), &KEYS).await;
    assert_eq!(found, ["0000000000000000", kept, kept, kept, "0", "2"]);
}

#[tokio::test]
async fn others_have_none_and_may_still_use_setuid_programs() {
    if !support::has_many_ids() {
        skip!("there is one user id only");
    }
    let found = status(Step::program(&["cat", "/proc/self/status"]).user("app"), &KEYS).await;
    let none = "0000000000000000";
    assert_eq!(found, [none, none, none, "00000000a80425fb", "0", "2"]);

    // A setuid copy of `id`, made by root in the same step, run by `app`.
    let made = Step::shell("cp /bin/id /tmp/id && chmod 4755 /tmp/id").run().await;
    made.ok();
    let lowers = vec![support::image::layer().to_owned(), made.upper.clone()];
    let ran = Step::over(lowers, &["/tmp/id", "-u"]).user("app").run().await;
    assert_eq!(ran.ok(), "0\n");
}

#[tokio::test]
async fn kernel_files_are_hidden_or_locked() {
    let script = "wc -c < /proc/timer_list; wc -c < /proc/keys; ls /sys/firmware | wc -l; \
                  for f in /proc/sys/kernel/core_pattern /proc/irq/default_smp_affinity /sys/kernel/profiling; do \
                  [ -e $f ] && { echo x > $f || echo locked; }; done; mkdir /sys/fs/cgroup/x || echo locked";
    let ran = Step::shell(script).run().await;
    let (hidden, locked) = ran.ok().split_at(6);
    assert_eq!(hidden, "0\n0\n0\n");
    assert_eq!(locked.lines().count(), ran.stderr.lines().count(), "{}", ran.stderr);
    assert!(ran.stderr.lines().all(|line| line.ends_with("Read-only file system")), "{}", ran.stderr);
}

#[tokio::test]
async fn the_init_cannot_be_looked_into() {
    let script = "cat /proc/1/environ; ls /proc/1/root/; cat /proc/1/mem; cat /proc/1/fd/0; cat /proc/1/exe";
    let ran = Step::shell(script).run().await;
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.stderr.matches("Permission denied").count(), 5, "{}", ran.stderr);
}

#[tokio::test]
async fn it_has_no_terminal_and_its_own_devices() {
    let script = "tty; echo x > /dev/tty; echo /dev/*; [ -c /dev/ptmx ] && echo > /dev/shm/x; mkdir /dev/mqueue/x";
    let ran = Step::shell(script).run().await;
    let devices = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero";
    let devices = devices.split(' ').map(|name| format!("/dev/{name}")).collect::<Vec<_>>().join(" ");
    assert_eq!(ran.stdout, format!("not a tty\n{devices}\n"));
    assert!(ran.stderr.contains("No such device or address"), "{}", ran.stderr);
}

#[tokio::test]
async fn insecure_is_root_on_the_host() {
    if !support::is_root() {
        skip!("this is not the machine's root");
    }
    let mut step = Step::program(&["cat", "/proc/self/status"]);
    step.process.security = Security::Insecure;
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = own.lines().find_map(|line| line.strip_prefix("CapBnd:")).unwrap().trim().to_owned();
    assert_eq!(status(step, &["CapEff:", "Seccomp:"]).await, [bounding, "0".to_owned()]);

    let mut step = Step::shell("mount -t tmpfs x /tmp && ls /dev | wc -l && echo > /proc/sys/kernel/domainname");
    step.process.security = Security::Insecure;
    let ran = step.run().await;
    assert!(ran.ok().trim().parse::<u32>().unwrap() > 15, "{}", ran.stdout);
}
