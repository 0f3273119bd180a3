//! Contexts that are repositories, from a Git server on loopback; and what source policies make of contexts.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use crate::support::Desk;

/// Repositories of the desk's directory `served`: each connection is one `git daemon`.
fn serve(desk: &Desk) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let base = desk.path("served");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let Ok(again) = stream.try_clone() else { continue };
            let (input, output) = (OwnedFd::from(again), OwnedFd::from(stream));
            let mut daemon = Command::new("git");
            daemon.args(["daemon", "--inetd", "--export-all"]);
            daemon.arg(format!("--base-path={}", base.display())).arg(&base);
            let _ = daemon.stdin(input).stdout(output).stderr(Stdio::null()).status();
        }
    });
    address
}

/// A repository `app` with one commit of the year 2001, and its URL.
fn repository(desk: &Desk) -> String {
    desk.write("served/app/Dockerfile", "FROM scratch\nCOPY . /\n");
    desk.write("served/app/file", "text\n");
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "x"]] {
        let mut git = Command::new("git");
        git.current_dir(desk.path("served/app")).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(arguments);
        git.env("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z");
        git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        assert!(git.status().expect("git is installed").success(), "{arguments:?}");
    }
    format!("git://{}/app", serve(desk))
}

#[test]
fn a_context_can_keep_git_s_own_directory() {
    let desk = Desk::new();
    let url = repository(&desk);
    for (arguments, url, kept) in [
        (vec![], url.clone(), false),
        (vec!["--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"], url.clone(), true),
        (vec!["--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=1"], format!("{url}?keep-git-dir=0"), false),
        (vec!["--build-arg=BUILDKIT_CONTEXT_KEEP_GIT_DIR=0"], format!("{url}?keep-git-dir=1"), true),
    ] {
        let _ = fs::remove_dir_all(desk.path("out"));
        let finished = desk.run(&[&["build", "-o", "out"], &arguments[..], &[&url]].concat());
        assert_eq!(finished.code, Some(0), "{finished}");
        assert!(!finished.stderr.contains("is not used"), "{finished}");
        assert_eq!(fs::read_to_string(desk.path("out/file")).expect("a file"), "text\n");
        assert_eq!(desk.path("out/.git/HEAD").exists(), kept, "{arguments:?} {url}");
    }
}

#[test]
fn bake_files_come_from_a_repository_with_their_contexts() {
    let desk = Desk::new();
    desk.write("served/app/sub/Dockerfile", "FROM scratch\nCOPY . /\n");
    std::os::unix::fs::symlink("/etc", desk.path("served/app/etc")).expect("a link");
    desk.write(
        "served/app/docker-bake.hcl",
        r#"
target "default" { output = ["out"] }
target "sub" { context = "sub/../sub" }
target "here" {
  context  = "cwd://here"
  contexts = { theirs = "." }
  output   = ["out-here"]
}
target "link" { context = "etc" }
target "nosy" { secret = ["id=s,src=/etc/hostname"] }
target "strict" { policy = ["filename=/etc/hostname"] }
"#,
    );
    let url = repository(&desk);
    desk.good(&["bake", &url]);
    assert_eq!(fs::read_to_string(desk.path("out/file")).expect("a file"), "text\n");
    let printed: serde_json::Value = serde_json::from_str(&desk.good(&["bake", "--print", &url, "sub"])).expect("JSON");
    assert_eq!(printed["target"]["sub"]["context"], format!("{url}#:sub"));
    desk.write("here/Dockerfile", "FROM scratch\nCOPY mine /\nCOPY --from=theirs file /\n");
    desk.write("here/mine", "mine\n");
    desk.good(&["bake", &url, "here"]);
    assert_eq!(fs::read_to_string(desk.path("out-here/mine")).expect("a file"), "mine\n");
    assert_eq!(fs::read_to_string(desk.path("out-here/file")).expect("a file"), "text\n");
    let refused = desk.bad(&["bake", &url, "nosy"]);
    assert!(refused.contains("--allow fs.read=/etc/hostname"), "{refused}");
    let refused = desk.bad(&["bake", &url, "strict"]);
    assert!(refused.contains("--allow fs.read=/etc/hostname"), "{refused}");
    let refused = desk.bad(&["bake", &url, "link"]);
    assert!(refused.contains("leads out of"), "{refused}");
}

#[test]
fn an_image_can_be_as_old_as_its_context_s_commit() {
    let desk = Desk::new();
    let url = repository(&desk);
    let created = |arguments: &[&str]| {
        desk.good(&[&["build", "-t", "app"], arguments].concat());
        let config: serde_json::Value =
            serde_json::from_str(&desk.good(&["inspect", "--image-config", "app"])).expect("JSON");
        config["created"].as_str().expect("a time").to_owned()
    };
    assert_eq!(created(&["--build-arg=SOURCE_DATE_EPOCH=context", &url]), "2001-01-01T00:00:00Z");
    let named = format!("src={url}");
    desk.write("context/Dockerfile", "FROM scratch\nCOPY --from=src file /\n");
    let named = ["--build-context", &named, "--build-arg=SOURCE_DATE_EPOCH=src", "context"];
    assert_eq!(created(&named), "2001-01-01T00:00:00Z");
}

#[test]
fn a_source_policy_says_what_contexts_may_be() {
    let desk = Desk::new();
    let url = repository(&desk);
    let place = url.trim_start_matches("git://").to_owned();
    let rule = |action: &str, what: &str| {
        format!(r#"{{"rules":[{{"action":"{action}","selector":{{"identifier":"{what}"}}}}]}}"#)
    };
    let policy = desk.text("policy.json");
    let build = |context: &str| ["build", "--source-policy-file", &policy, "-o", "out", context].map(str::to_owned);
    let run = |context: &str| desk.run(&build(context).each_ref().map(String::as_str));
    desk.write("policy.json", rule("DENY", &format!("git://{place}")));
    let denied = run(&url);
    assert_eq!(denied.code, Some(1), "{denied}");
    assert!(denied.stderr.contains(&format!("the source policy denies git://{place}")), "{denied}");
    desk.write("context/Dockerfile", "FROM scratch\nCOPY <<x /y\nz\nx\n");
    assert_eq!(run("context").code, Some(0));
    desk.write("policy.json", rule("DENY", "local://*"));
    let denied = run("context");
    assert!(denied.stderr.contains("the context context may not be used"), "{denied}");
    // The variable counts where no flag is given.
    let mut command = desk.command(&["build", "context"]);
    command.env("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", desk.path("policy.json"));
    let denied = desk.run_with(command, "");
    assert_eq!(denied.code, Some(1), "{denied}");
    desk.write("policy.json", "{\"rules\":[{\"action\":\"FORBID\"}]}");
    let bad = run("context");
    assert_eq!(bad.code, Some(125), "{bad}");
    assert!(bad.stderr.contains("unknown variant `FORBID`"), "{bad}");
}

#[test]
fn a_repository_brings_its_policy_along() {
    let desk = Desk::new();
    let decide =
        |rule: &str| format!("package docker\ndefault allow := false\n{rule}\ndecision := {{\"allow\": allow}}\n");
    desk.write("served/app/Dockerfile.rego", decide("allow if input.git.host != \"\""));
    let url = repository(&desk);
    desk.good(&["build", "-o", "out", &url]);
    desk.write("mine.rego", decide("allow if input.git.branch == \"main\""));
    let under = |url: &str| desk.run(&["build", "--policy", "filename=cwd://mine.rego", "-o", "out", url]);
    assert_eq!(under(&format!("{url}#refs/heads/main")).code, Some(0));
    let refused = under(&format!("{url}#refs/heads/other"));
    assert!(refused.stderr.contains("the policy mine.rego denies git://"), "{refused}");
    let refused = under(&url);
    assert!(refused.stderr.contains("asks for input.git.branch"), "{refused}");
}
