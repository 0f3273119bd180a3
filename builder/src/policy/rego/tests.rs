use std::sync::Mutex;

use wharf_spec::{Platform, Reference};

use super::*;
use crate::git::GitSource;
use crate::policy::Policies;

fn read(text: &str) -> Result<BuildPolicy, BuildPolicyError> {
    let files = PolicyFiles { context: None, here: "/".into() };
    read_in(text, &files)
}

fn read_in(text: &str, files: &PolicyFiles) -> Result<BuildPolicy, BuildPolicyError> {
    let circumstances = Circumstances {
        arguments: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
        labels: BTreeMap::from([("l".to_owned(), "2".to_owned())]),
        filename: "Dockerfile".to_owned(),
        target: Some("t".to_owned()),
    };
    let text = PolicyText { name: "Dockerfile.rego".to_owned(), text: text.to_owned() };
    BuildPolicy::read(vec![text], files, &circumstances)
}

fn policy(rules: &str) -> BuildPolicy {
    read(&format!("package docker\ndefault allow := false\n{rules}\ndecision := {{\"allow\": allow}}\n")).unwrap()
}

fn image(name: &str) -> Subject {
    let platform: Platform = "linux/arm/v7".parse().unwrap();
    Subject::image(&name.parse::<Reference>().unwrap(), &platform)
}

fn repository(url: &str) -> Subject {
    Subject::repository(&GitSource::parse(url).unwrap().unwrap(), url.to_owned())
}

fn ask(policy: &BuildPolicy, subject: &Subject) -> String {
    match policy.ask(subject, &|_| ()) {
        Ok(answer) => format!("{answer:?}"),
        Err(error) => error.to_string(),
    }
}

fn check(rules: &str, subject: &Subject, expected: &str) {
    let said = ask(&policy(rules), subject);
    assert!(said.contains(expected), "{rules}: {said}");
}

#[test]
fn images_are_known_by_their_names() {
    for (name, rule) in [
        ("alpine", r#"input.image.ref == "docker.io/library/alpine:latest""#),
        ("alpine:3", r#"input.image.repo == "alpine"; input.image.host == "docker.io""#),
        ("team/app", r#"input.image.repo == "team/app"; input.image.fullRepo == "docker.io/team/app""#),
        ("h:5000/a/b:1", r#"input.image.repo == "h:5000/a/b"; input.image.tag == "1""#),
        ("a", r#"input.image.platform == "linux/arm/v7"; input.image.os == "linux""#),
        ("a", r#"input.image.arch == "arm"; input.image.variant == "v7"; not input.image.isCanonical"#),
    ] {
        check(&format!("allow if {{ {rule} }}"), &image(name), "Allowed");
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let canonical =
        format!(r#"allow if {{ input.image.isCanonical; not input.image.tag; input.image.checksum == "{digest}" }}"#);
    check(&canonical, &image(&format!("alpine@{digest}")), "Allowed");
    check(
        "allow if input.image.isCanonical",
        &image("alpine"),
        "the policy Dockerfile.rego denies docker-image://docker.io/library/alpine:latest",
    );
}

#[test]
fn an_image_is_looked_at_only_where_somebody_asks() {
    for (rules, expected) in [
        (r#"allow if input.image.labels.a == "b""#, "Describe"),
        (
            r#"allow if { input.image.repo == "other"
            input.image.labels.a == "b" }"#,
            "denies",
        ),
        (
            r#"allow if { img := input.image
            img.user == "root" }"#,
            "Describe",
        ),
        (r#"allow if object.get(input.image, ["labels", "a"], "") == "b""#, "Describe"),
        (
            r#"allow if { some name in ["user"]
            input.image[name] }"#,
            "Describe",
        ),
        (
            r#"allow if { some value in input.image
            value == "root" }"#,
            "Describe",
        ),
        (
            r#"allow if { some one in input.image.env
            one == "A=1" }"#,
            "Describe",
        ),
        (r#"allow if { every one in input.image.env { one == "A=1" } }"#, "Describe"),
        ("allow if count([one | some one in input.image.volumes]) == 0", "Describe"),
        (
            r#"labels := input.image.labels
            allow if labels.a == "b""#,
            "Describe",
        ),
        (
            r#"ok(image) if image.workingDir == "/x"
            allow if ok(input.image)"#,
            "Describe",
        ),
        ("allow if not input.image.createdTime", "Describe"),
        (r#"allow if { input.env.labels.l == "2"; input.env.args.A == "1"; input.env.target == "t" }"#, "Allowed"),
        (r#"allow if { input.env.filename == "Dockerfile"; input.env.depth == 0 }"#, "Allowed"),
    ] {
        check(rules, &image("alpine"), expected);
    }
}

#[test]
fn what_is_not_known_is_an_error_wherever_it_is_asked_for() {
    for (rules, expected) in [
        ("allow if input.image.provenance", "Dockerfile.rego:3 asks for input.image.provenance"),
        ("allow if not input.image.signatures", "Dockerfile.rego:3 asks for input.image.signatures"),
        ("allow if { some sig in input.image.signatures; sig.kind == \"x\" }", "input.image.signatures"),
        ("allow if count([s | s := input.image.signatures[_]]) == 0", "input.image.signatures"),
        (
            "allow if {\n\tnot bad\n}\nbad if {\n\tinput.image[\"signatures\"]\n}",
            "Dockerfile.rego:7 asks for input.image.signatures",
        ),
        (
            "bad contains x if {\n\tsome s in input.image.signatures\n\tx := s\n}\nallow if count(bad) == 0",
            "Dockerfile.rego:4",
        ),
        ("sig := {s | some s in input.image.signatures}\nallow if count(sig) == 0", "Dockerfile.rego:3"),
        ("allow if {\n\tinput.image[\n\t\t\"signatures\"\n\t]\n}", "Dockerfile.rego:5"),
        ("sig := 1 if { input.nothing } else := input.image.signatures\nallow if not sig", "Dockerfile.rego:3"),
        (
            "sig := 1 if {\n\tinput.nothing\n} else := object.union(\n\t{},\n\tinput.image.signatures,\n)\nallow if not sig",
            "asks for",
        ),
        ("allow if count([input.image.signatures[0] |\n\ttrue\n]) == 0", "asks for input.image.signatures"),
        ("allow if {\n\tnot object.get(\n\t\tinput.image,\n\t\t\"signatures\",\n\t\tfalse,\n\t)\n}", "asks for"),
        (
            "allow if {\n\tbad(\n\t\tinput.image.signatures,\n\t) == 0\n}\nbad(x) := 1",
            "asks for input.image.signatures",
        ),
        ("bad contains {\n\t\"a\": input.image.signatures,\n} if true\nallow if count(bad) == 0", "asks for"),
        ("allow if not bad with input.x as input.image.signatures\nbad if input.x", "asks for input.image.signatures"),
        ("allow if {\n\tevery x in [1] {\n\t\tnot input.image.signatures\n\t}\n}", "asks for input.image.signatures"),
        ("allow if {\n\t1 == count(input.image) +\n\t\tcount(input.image.signatures)\n}", "asks for"),
        ("bad := true if input.image.signatures else := false\nallow if not bad", "Dockerfile.rego:3"),
        ("allow if github_attestation(input.image, \"a/b\")", "does not offer the function `github_attestation`"),
        ("allow if not verify_git_signature(input.git.commit, \"a\")", "Allowed"),
        (
            "allow if input.image.repo == \"alpine\"\nallow if {\n\tinput.image.repo == \"x\"\n\tinput.image.signatures\n}",
            "Allowed",
        ),
    ] {
        let mut subject = image("alpine");
        subject.later.clear();
        check(rules, &subject, expected);
    }
    let imported = "package docker\nimport input.image.signatures as sigs\ndefault allow := false\nallow if not sigs\ndecision := {\"allow\": allow}\n";
    let mut subject = image("alpine");
    subject.later.clear();
    let said = ask(&read(imported).unwrap(), &subject);
    assert!(said.contains("asks for input.image.signatures"), "{said}");
    let builder = "allow if docker_github_builder(input.image, \"a/b\")";
    let mut subject = image("alpine");
    check(builder, &subject, "Describe");
    subject.later.clear();
    check(builder, &subject, "denies");
    subject.fields.insert("hasProvenance".to_owned(), json!(true));
    check(builder, &subject, "asks for input.image.signatures");
}

#[test]
fn urls_and_repositories_have_fields() {
    let digest: Digest = format!("sha256:{}", "1".repeat(64)).parse().unwrap();
    for (url, rule) in [
        ("https://U@Ex.COM:443/a%20b?x=1+2&x=3#f", r#"input.http.host == "ex.com"; input.http.path == "/a b""#),
        ("https://h/?x=1+2&x=3", r#"input.http.query.x == ["1 2", "3"]; input.http.schema == "https""#),
        (
            "http://h:8080/a",
            r#"input.http.host == "h:8080"; input.http.url == "http://h:8080/a"; not input.http.query"#,
        ),
    ] {
        check(&format!("allow if {{ {rule} }}"), &Subject::url(url, None), "Allowed");
    }
    let checksum = "allow if startswith(input.http.checksum, \"sha256:1\")";
    check(checksum, &Subject::url("https://h/a", Some(&digest)), "Allowed");
    check(checksum, &Subject::url("https://h/a", None), "asks for input.http.checksum of https://h/a");
    let commit = "0123456789012345678901234567890123456789";
    for (url, rule) in [
        ("https://g.h/o/r.git#refs/tags/v1:d", r#"input.git.tagName == "v1"; input.git.subDir == "d""#),
        ("https://g.h/o/r.git?branch=b", r#"input.git.branch == "b"; input.git.ref == "refs/heads/b""#),
        (
            "git@g.h:o/r.git",
            r#"input.git.host == "g.h"; input.git.schema == "ssh"; input.git.remote == "git@g.h:o/r.git""#,
        ),
        (&format!("https://u@g.h:1/r.git#{commit}"), r#"input.git.isCommitRef; input.git.host == "g.h:1""#),
        (&format!("https://h/r.git?ref=v1&checksum={commit}"), &format!(r#"input.git.checksum == "{commit}""#)),
    ] {
        check(&format!("allow if {{ {rule} }}"), &repository(url), "Allowed");
    }
    check("allow if input.git.tagName == \"v1\"", &repository("https://h/r.git#v1"), "asks for input.git.tagName");
    check("allow if not input.git.tag", &repository("https://h/r.git#refs/tags/v1"), "asks for input.git.tag");
    check("allow if input.local.name == \"context\"", &Subject::local("context"), "Allowed");
}

#[test]
fn denials_say_why() {
    let text = "package docker\ndeny_msg contains sprintf(\"no %s\", [input.image.repo]) if true\ndecision := {\"allow\": false, \"deny_msg\": deny_msg}\n";
    assert!(ask(&read(text).unwrap(), &image("alpine")).ends_with("alpine:latest: no alpine"));
    let heard = Mutex::new(Vec::new());
    let loud = policy("allow if { print(\"it is\", input.image.repo); true }");
    loud.ask(&image("alpine"), &|line| heard.lock().unwrap().push(line.to_owned())).unwrap();
    let heard = heard.into_inner().unwrap();
    assert_eq!(heard[0], "Dockerfile.rego:3: it is alpine");
    assert_eq!(heard[1], "Dockerfile.rego: allows docker-image://docker.io/library/alpine:latest");
}

#[test]
fn an_image_is_pinned() {
    let digest = format!("sha256:{}", "2".repeat(64));
    let pin = format!("allow if pin_image(input.image, \"{digest}\")");
    let mut subject = image("alpine");
    subject.later.clear();
    check(&pin, &subject, &digest);
    check("allow if pin_image(input.image, \"x\")", &subject, "`x` of pin_image is no digest");
    check(
        &format!("{pin}\nother if pin_image(input.image, \"sha256:x\")\nallow if other"),
        &subject,
        "names 2 digests",
    );
}

#[test]
fn one_that_pins_an_image_does_not_answer_for_the_others() {
    let digest = Digest::sha256(b"pinned");
    let mut policies = Policies::default();
    policies.add_program(policy(&format!("allow if pin_image(input.image, \"{digest}\")")));
    policies.add_program(policy("allow if input.image.repo == \"other\""));
    let ask = |name: &str| {
        let mut subject = image(name);
        subject.later.clear();
        policies.ask(&subject).map_err(|error| error.to_string())
    };
    assert_eq!(ask("alpine"), Ok(Answer::Pinned(digest)));
    assert_eq!(ask(&format!("other@{digest}")), Ok(Answer::Allowed));
    let denied = ask(&format!("alpine@{digest}")).unwrap_err();
    assert!(denied.contains("denies"), "{denied}");
}

#[test]
fn a_policy_that_cannot_decide_is_refused_at_once() {
    for (text, words) in [
        ("package docker\nallow if {\n x == \n}\n", "Dockerfile.rego:4"),
        ("package docker\nallow if nofunc(1)\ndecision := {\"allow\": allow}\n", "could not find function nofunc"),
        ("package docker\nallow if unknown == 1\ndecision := {\"allow\": true}\n", "undefined variable"),
        ("package docker\nf(x) := f(x + 1)\ndecision := {\"allow\": f(1)}\n", "the function f calls itself"),
        ("package docker\nallow := true\n", "it has no `decision`"),
        ("package other\ndecision := {\"allow\": true}\n", "it has no `decision`"),
        ("package docker\ndecision := true\n", "no object"),
        ("package docker\ndecision := {\"allow\": 1}\n", "neither true nor false"),
        (
            "package docker\ndecision := {\"allow\": true, \"caps\": {\"exec.proxy\": true}}\n",
            "capability `exec.proxy`",
        ),
        ("package docker\nimport data.lib.x\ndecision := {\"allow\": true}\n", "imports data.lib.x"),
        (
            "package docker\ndecision := {\"allow\": load_json(\"no.json\").a}\n",
            "load_json(\"no.json\"): there is no file",
        ),
        (
            "package docker\ndecision := {\"allow\": http.send({\"method\": \"get\", \"url\": \"http://h\"})}\n",
            "http.send",
        ),
    ] {
        let error = read(text).map_or_else(|error| error.to_string(), |_| String::new());
        assert!(error.contains(words), "{text}: {error}");
    }
}

#[test]
fn a_policy_that_never_ends_is_given_up() {
    let endless = "default allow := false\nallow if {\n\tsome i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\ti * j == 0\n}";
    let error =
        read(&format!("package docker\n{endless}\ndecision := {{\"allow\": allow}}\n")).unwrap_err().to_string();
    assert!(error.contains("time limit") || error.contains("exceeded"), "{error}");
}

#[test]
fn modules_and_files_come_from_the_context() {
    let room = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(room.path().join("lib/deep")).unwrap();
    for (name, text) in [
        (
            "lib/names.rego",
            "package anything\nimport data.lib.deep.more\nallowed := load_json(\"names.json\").allowed\nok(name) if more.in_list(name)\n",
        ),
        (
            "lib/deep/more.rego",
            "# package no\npackage x.y\nimport data.lib.names\nin_list(name) if name in names.allowed\n",
        ),
        ("names.json", "{\"allowed\": [\"alpine\"]}"),
    ] {
        std::fs::write(room.path().join(name), text).unwrap();
    }
    let files = PolicyFiles { context: Some(room.path().to_owned()), here: "/".into() };
    let text = "package docker\nimport data.lib.names as n\ndefault allow := false\nallow if n.ok(input.image.repo)\ndecision := {\"allow\": allow}\n";
    let policy = read_in(text, &files).unwrap();
    assert_eq!(ask(&policy, &image("alpine")), "Allowed");
    assert!(ask(&policy, &image("debian")).contains("denies"));
}

#[test]
fn tests_of_policies_are_run() {
    let policy = "package docker\ndefault allow := false\nallow if input.local\ndeny_msg contains \"no luck\" if not allow\ndecision := {\"allow\": allow, \"deny_msg\": deny_msg}\n";
    let tests = "package docker\ntest_local if { decision.allow with input as {\"local\": {\"name\": \"context\"}} }\ntest_wrong if { decision.allow with input as {\"http\": {}} }\ntest_a if true\nhelp if true\n";
    let files = PolicyFiles { context: None, here: "/".into() };
    let run = |tests: &str, only: &str| {
        let text = |name: &str, text: &str| PolicyText { name: name.to_owned(), text: text.to_owned() };
        run_suite(text("Dockerfile.rego", policy), vec![text("a_test.rego", tests)], &files, only)
    };
    let tested = run(tests, "").unwrap();
    let shown: Vec<_> =
        tested.iter().map(|one| format!("{} {} {:?} {:?}", one.name, one.passed, one.allow, one.messages)).collect();
    assert_eq!(
        shown,
        [
            "test_a true Some(false) [\"no luck\"]",
            "test_local true Some(true) []",
            "test_wrong false Some(false) [\"no luck\"]"
        ]
    );
    assert_eq!(tested[2].input, Some(json!({"http": {}})));
    assert_eq!(run(tests, "local").unwrap().len(), 1);
    assert!(matches!(run(tests, "none"), Err(SuiteError::None)));
    assert!(matches!(run("package docker\ntest_x if {", ""), Err(SuiteError::Policy(_))));
}
