//! What a build step sees and leaves behind.

mod support;

use support::step::Step;

#[tokio::test]
async fn hello() {
    let ran = Step::shell("echo out; echo err >&2; exit 3").run().await;
    eprintln!("{:?} {} {}", ran.result, ran.stdout, ran.stderr);
    ran.exited(3);
    assert_eq!(ran.stdout, "out\n");
    assert_eq!(ran.stderr, "err\n");
    let ran = Step::shell("cat /proc/self/mountinfo; cat /proc/self/status; ls -l /dev /etc; cat /etc/hosts /etc/resolv.conf; ls -l /proc/self/fd; id; env").run().await;
    eprintln!("{:?} {} {}", ran.result, ran.stdout, ran.stderr);
    eprintln!("{:?}", ran.changes());
}
