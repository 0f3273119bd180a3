//! Build policies in Rego: which are asked, about what, and what becomes of what they say.

use std::fs;
use std::path::Path;

use crate::support::Desk;

const LOCAL: &str = "package docker\ndefault allow := false\nallow if input.local\n";
const DECISION: &str = "deny_msg contains msg if {\n\tnot allow\n\tmsg := \"only what is here\"\n}\n\
    decision := {\"allow\": allow, \"deny_msg\": deny_msg}\n";

/// A context with an image to build on, and with a policy that allows directories and what `rules` allow.
fn desk(rules: &str) -> Desk {
    let desk = Desk::new();
    desk.write("base/Dockerfile", "FROM scratch\nCOPY a /\nLABEL team=red\nUSER me\n");
    desk.write("base/a", "1");
    desk.good(&["build", "-t", "base:1", "base"]);
    desk.write("app/Dockerfile", "FROM base:1\nCOPY a /b\n");
    desk.write("app/a", "2");
    desk.write("app/Dockerfile.rego", format!("{LOCAL}{rules}\n{DECISION}"));
    desk
}

#[test]
fn the_policy_beside_a_dockerfile_is_asked() {
    let desk = desk("");
    let refused = desk.bad(&["build", "app"]);
    for words in [
        "image base:1 may not be used: the policy app/Dockerfile.rego denies docker-image://docker.io/library/base:1",
        "only what is here",
        "Dockerfile:1:6",
        "wharf policy eval",
    ] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    for without in ["disabled=true", "reset=true"] {
        desk.good(&["build", "--policy", without, "app"]);
    }
    desk.write("app/Dockerfile.rego", format!("{LOCAL}allow if input.image.repo == \"base\"\n{DECISION}"));
    desk.good(&["build", "app"]);
    desk.write("app/other.Dockerfile", "FROM base:1\n");
    desk.write("app/other.Dockerfile.rego", format!("{LOCAL}{DECISION}"));
    let refused = desk.bad(&["build", "-f", "app/other.Dockerfile", "app"]);
    assert!(refused.contains("app/other.Dockerfile.rego denies"), "{refused}");
}

#[test]
fn what_an_image_is_can_be_asked() {
    let allowing = |rule: &str| desk(&format!("allow if {{\n\t{rule}\n}}"));
    for rule in [
        "input.image.labels.team == \"red\"",
        "input.image.user == \"me\"",
        "startswith(input.image.checksum, \"sha256:\")",
        "not input.image.hasProvenance",
        "input.image.repo == \"base\"\n\tinput.env.filename == \"Dockerfile\"\n\tinput.env.args.A == \"1\"",
    ] {
        allowing(rule).good(&["build", "--build-arg", "A=1", "app"]);
    }
    let refused = allowing("input.image.labels.team == \"blue\"").bad(&["build", "app"]);
    assert!(refused.contains("denies docker-image://docker.io/library/base:1"), "{refused}");
    for (rule, words) in [
        ("count([s | some s in input.image.signatures]) == 0", "asks for input.image.signatures"),
        (
            "not docker_github_builder(input.image, \"a/b\")\n\tinput.image.provenance",
            "asks for input.image.provenance",
        ),
        ("not github_attestation(input.image, \"a/b\")", "does not offer the function `github_attestation`"),
    ] {
        let refused = allowing(rule).bad(&["build", "app"]);
        assert!(refused.contains(words), "{rule}: {refused}");
    }
}

#[test]
fn an_image_is_pinned_by_its_policy() {
    let desk = desk("");
    let fields = ["policy", "eval", "--print", "--fields", "image.checksum", "docker-image://base:1"];
    let shown: serde_json::Value = serde_json::from_str(&desk.good(&fields)).expect("JSON");
    let digest = shown["image"]["checksum"].as_str().expect("a digest").to_owned();
    let pin = |digest: &str| {
        let rule = format!("allow if pin_image(input.image, \"{digest}\")");
        desk.write("app/Dockerfile.rego", format!("{LOCAL}{rule}\n{DECISION}"));
    };
    desk.write("app/Dockerfile", "FROM scratch\nCOPY --from=base:1 a /\n");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("denies docker-image://docker.io/library/base:1"), "{refused}");
    pin(&digest);
    desk.good(&["build", "app"]);
    pin(&format!("sha256:{}", "0".repeat(64)));
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("@sha256:000") && refused.contains("Dockerfile:2:13"), "{refused}");
    pin("sha256:1");
    assert!(desk.bad(&["build", "app"]).contains("is no digest"));
}

#[test]
fn directories_and_urls_are_asked_for() {
    let desk = desk("");
    let policy = |rules: &str| {
        desk.write("app/Dockerfile.rego", format!("package docker\ndefault allow := false\n{rules}\n{DECISION}"));
    };
    desk.write("app/Dockerfile", "FROM scratch\nCOPY a /\n");
    policy("allow if input.local.name == \"dockerfile\"");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("context app may not be used") && refused.contains("denies local://context"), "{refused}");
    policy("allow if input.local.name == \"context\"");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("the Dockerfile may not be used"), "{refused}");
    policy("allow if input.local.name in {\"context\", \"dockerfile\"}");
    desk.good(&["build", "app"]);
    let refused = desk.bad(&["build", "--build-context", "more=base", "app"]);
    assert!(refused.contains("denies local://more"), "{refused}");
    policy("allow if input.local\nallow if input.http.host == \"other.example\"");
    desk.write("app/Dockerfile", "FROM scratch\nADD https://files.example/x /\n");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("denies https://files.example/x") && refused.contains("Dockerfile:2:5"), "{refused}");
    policy("allow if input.local\nallow if input.http.checksum == \"sha256:1\"");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("asks for input.http.checksum") && refused.contains("ADD --checksum"), "{refused}");
    desk.write("app/Dockerfile", "FROM scratch\nADD https://git.example/x.git#v1 /\n");
    policy("allow if input.local\nallow if input.git.host == \"other.example\"");
    let refused = desk.bad(&["build", "app"]);
    assert!(refused.contains("denies git://git.example/x.git#v1"), "{refused}");
}

#[test]
fn flags_name_policies_of_the_context_and_of_elsewhere() {
    let desk = desk("allow if input.image.repo == \"base\"");
    desk.write("app/strict.rego", format!("{LOCAL}{DECISION}"));
    desk.write("strict.rego", format!("{LOCAL}{DECISION}"));
    desk.good(&["build", "app"]);
    for policy in
        ["filename=strict.rego", "filename=cwd://strict.rego", &format!("filename={}", desk.text("strict.rego"))]
    {
        let refused = desk.bad(&["build", "--policy", policy, "app"]);
        assert!(refused.contains("strict.rego denies"), "{policy}: {refused}");
        desk.bad(&["build", "--policy", &format!("reset=true,{policy}"), "app"]);
        desk.good(&["build", "--policy", policy, "--policy", "reset=true", "app"]);
    }
    for (policy, words) in [
        ("filename=none.rego", "there is no file none.rego"),
        ("filename=../strict.rego", "outside of the context"),
        ("strict.rego", "write filename=strict.rego"),
        ("loud=true", "`loud` is not known"),
    ] {
        let finished = desk.run(&["build", "--policy", policy, "app"]);
        assert_eq!(finished.code, Some(125), "{finished}");
        assert!(finished.stderr.contains(words), "{finished}");
    }
    let finished = desk.run(&["build", "--policy", "disabled=true", "--policy", "filename=strict.rego", "app"]);
    assert!(finished.code == Some(125) && finished.stderr.contains("stands alone"), "{finished}");
    let finished = desk.run(&["build", "--policy", "log-level=debug", "app"]);
    assert!(finished.stderr.contains("app/Dockerfile.rego: allows local://context"), "{finished}");
}

#[test]
fn a_policy_that_cannot_be_used_ends_the_build() {
    for (text, words) in [
        ("package docker\nallow if {\n\tx ==\n}\n", "Dockerfile.rego:4"),
        ("package docker\nallow := true\n", "it has no `decision`"),
        ("package docker\nimport data.lib.x\ndecision := {\"allow\": true}\n", "imports data.lib.x"),
        ("package docker\ndecision := {\"allow\": true, \"caps\": {\"exec.proxy\": true}}\n", "`exec.proxy`"),
    ] {
        let desk = desk("");
        desk.write("app/Dockerfile.rego", text);
        let finished = desk.run(&["build", "app"]);
        assert_eq!(finished.code, Some(125), "{finished}");
        assert!(finished.stderr.contains(words), "{text}: {finished}");
    }
    let desk = desk("");
    std::fs::remove_file(desk.path("app/Dockerfile.rego")).expect("a file");
    std::os::unix::fs::symlink("nowhere", desk.path("app/Dockerfile.rego")).expect("a link");
    assert!(desk.bad(&["build", "app"]).contains("Dockerfile.rego"));
}

#[test]
fn bake_targets_have_policies() {
    let desk = desk("allow if input.image.repo == \"base\"");
    desk.write("app/strict.rego", format!("{LOCAL}{DECISION}"));
    desk.write(
        "docker-bake.hcl",
        "target \"free\" {\n  context = \"app\"\n}\n\
         target \"bound\" {\n  inherits = [\"free\"]\n  policy = [\"filename=strict.rego\"]\n}\n",
    );
    desk.good(&["bake", "free"]);
    assert!(desk.bad(&["bake", "bound"]).contains("strict.rego denies"));
    desk.good(&["bake", "bound", "--set", "bound.policy="]);
    assert!(desk.bad(&["bake", "free", "--set", "*.policy+=filename=strict.rego"]).contains("strict.rego denies"));
    desk.good(&["bake", "bound", "--policy", "disabled=true"]);
    let refused = desk.bad(&["bake", "free", "--policy", "filename=strict.rego"]);
    assert!(refused.contains("in the definition"), "{refused}");
}

#[test]
fn one_source_is_asked_about_without_a_build() {
    let desk = desk("allow if input.image.labels.team == \"red\"");
    let eval = |arguments: &[&str]| desk.run(&[&["policy", "eval"], arguments].concat());
    for (source, code) in [("docker-image://base:1", 0), ("https://h/x", 1), (".", 0), ("nothing-here", 125)] {
        let finished = eval(&["-f", "app/Dockerfile", source]);
        assert_eq!(finished.code, Some(code), "{finished}");
    }
    assert_eq!(eval(&["."]).code, Some(125), "there is no Dockerfile.rego");
    let shown: serde_json::Value =
        serde_json::from_str(&desk.good(&["policy", "eval", "--print", "docker-image://base:1"])).expect("JSON");
    assert_eq!((&shown["image"]["repo"], &shown["image"]["labels"]), (&"base".into(), &serde_json::Value::Null));
    let fields = ["policy", "eval", "--print", "--fields", "image.labels", "docker-image://base:1"];
    let shown: serde_json::Value = serde_json::from_str(&desk.good(&fields)).expect("JSON");
    assert_eq!(shown["image"]["labels"]["team"], "red");
}

#[test]
fn policies_are_tested() {
    let desk = desk("");
    desk.write(
        "app/a_test.rego",
        "package docker\ntest_local if {\n\tdecision.allow with input as {\"local\": {\"name\": \"context\"}}\n}\n",
    );
    let file = ["policy", "test", "--filename", "app/Dockerfile"];
    assert_eq!(desk.good(&[&file[..], &["app"]].concat()), "test_local: PASS (allow=true)\n");
    desk.write(
        "app/b_test.rego",
        "package docker\ntest_wrong if {\n\tdecision.allow with input as {\"http\": {\"url\": \"https://h\"}}\n}\n",
    );
    let finished = desk.run(&[&file[..], &["app"]].concat());
    assert_eq!(finished.code, Some(1), "{finished}");
    let expected =
        "test_local: PASS (allow=true)\ntest_wrong: FAIL (allow=false, deny_msg=only what is here)\ninput:\n";
    assert!(finished.stdout.starts_with(expected), "{finished}");
    desk.good(&[&file[..], &["--run", "local", "app/a_test.rego"]].concat());
    for (path, words) in [("base", "no files *_test.rego"), ("app/a", "their names end in"), ("none", "cannot be read")]
    {
        let refused = desk.bad(&[&file[..], &[path]].concat());
        assert!(refused.contains(words), "{refused}");
    }
}

#[test]
fn tests_of_policies_end_as_they_do_for_docker() {
    let desk = Desk::new();
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/policy");
    let mut cases: Vec<_> = fs::read_dir(all).expect("cases").map(|case| case.expect("a case").path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    assert!(cases.len() >= 6, "{}", cases.len());
    for case in cases {
        let mut command = desk.command(&["policy", "test", "."]);
        command.current_dir(&case);
        let shown = desk.run_with(command, "").stdout;
        let file = case.join("expected");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, &shown).expect("an expectation");
        }
        assert_eq!(shown, fs::read_to_string(&file).unwrap_or_default(), "{}", case.display());
    }
}
