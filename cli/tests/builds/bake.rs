//! `wharf bake`: the corpus of `testdata/bake`, and real builds of several targets.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::Desk;
use crate::support::server::Server;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/bake");
    let entries = fs::read_dir(root).expect("the corpus").map(|entry| entry.expect("an entry").path());
    let mut cases: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

/// What a user sees of a case: its files are read where they lie, and nothing is built.
fn shown(desk: &Desk, case: &Path) -> String {
    let lines = |name: &str| fs::read_to_string(case.join(name)).unwrap_or_default();
    let arguments = lines("arguments");
    let mut command = desk.command(&["bake"]);
    if !arguments.contains("--list") {
        command.arg("--print");
    }
    command.args(arguments.lines()).current_dir(case);
    let environment = lines("environment");
    command.envs(environment.lines().filter_map(|line| line.split_once('=')));
    let finished = desk.run_with(command, "");
    let fails = case.file_name().is_some_and(|name| name.to_string_lossy().starts_with("fails-"));
    assert_eq!(finished.code != Some(0), fails, "{}: {finished}", case.display());
    if fails { finished.stderr } else { finished.stdout }
}

#[test]
fn definitions_mean_what_they_are_expected_to_mean() {
    let desk = Desk::new();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 70, "{}", cases.len());
    for case in cases {
        let shown = shown(&desk, &case);
        let file = case.join("expected");
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            fs::write(&file, &shown).expect("an expectation");
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if shown != expected {
            wrong.push(format!("{}: expected\n{expected}\nbut it shows\n{shown}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A definition with two targets, of which one takes files from the other.
fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("base/Dockerfile", "FROM scratch\nARG WORD=none\nCOPY <<EOT /base\n${WORD}\nEOT\n");
    desk.write(
        "app/Dockerfile",
        "FROM base\nARG WORD=none\nCOPY --from=base /base /copied\nCOPY <<EOT /app\n${WORD}\nEOT\n",
    );
    desk.write(
        "docker-bake.hcl",
        r#"
variable "WORD" { default = "file" }
variable "REGISTRY" { default = "" }
group "default" { targets = ["app", "base"] }
target "base" {
  context = "base"
  args = { WORD = WORD }
}
target "app" {
  context = "app"
  contexts = { base = "target:base" }
  args = { WORD = WORD }
  tags = ["${REGISTRY}team/app:1"]
}
target "alone" {
  inherits = ["app"]
  tags = []
  output = ["out"]
}
target "mx" {
  name = "mx-${v}"
  matrix = { v = ["a", "b"] }
  context = "base"
  args = { WORD = v }
  output = ["out-${v}"]
}
target "broken" {
  dockerfile-inline = "FROM scratch\nCOPY nothing /\n"
}
"#,
    );
    desk
}

fn read(desk: &Desk, name: &str) -> String {
    fs::read_to_string(desk.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn a_target_takes_files_from_another() {
    let desk = desk();
    let mut command = desk.command(&["bake", "alone"]);
    command.env("WORD", "environment");
    let finished = desk.run_with(command, "");
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("[base 1/1] COPY"), "{finished}");
    assert!(finished.stderr.contains("[alone 2/2] COPY"), "{finished}");
    for file in ["base", "copied", "app"] {
        assert_eq!(read(&desk, &format!("out/{file}")), "environment\n");
    }
    // What another only needs has no name.
    assert_eq!(desk.good(&["images", "--json"]), "[]\n");
}

#[test]
fn a_dockerfile_is_named_from_the_context_or_from_here() {
    let desk = desk();
    desk.write("base/Other", "FROM scratch\nCOPY <<EOT /other\nother\nEOT\n");
    desk.write("here/Other", "FROM scratch\nCOPY <<EOT /other\nhere\nEOT\n");
    for (file, expected) in
        [("Other", "other\n"), ("./Other", "other\n"), ("../here/Other", "here\n"), ("cwd://here/Other", "here\n")]
    {
        let set = format!("base.dockerfile={file}");
        desk.good(&["bake", "base", "--set", &set, "--set=base.output=type=local,mode=delete,dest=out"]);
        assert_eq!(read(&desk, "out/other"), expected, "{file}");
    }
}

#[test]
fn the_ignore_file_is_that_of_the_dockerfile() {
    let desk = Desk::new();
    desk.write("context/Other", "FROM scratch\nCOPY . /\n");
    desk.write("context/Other.dockerignore", "secret\n");
    desk.write("Other.dockerignore", "kept\n");
    desk.write("context/secret", "secret");
    desk.write("context/kept", "kept");
    desk.write("docker-bake.hcl", "target \"default\" {\n  context = \"context\"\n  dockerfile = \"Other\"\n}\n");
    desk.good(&["bake", "--set=default.output=out"]);
    desk.good(&["build", "-f", "Other", "-o", "same", "context"]);
    for out in ["out", "same"] {
        assert!(desk.path(&format!("{out}/kept")).is_file() && !desk.path(&format!("{out}/secret")).exists(), "{out}");
    }
}

#[test]
fn a_matrix_builds_each_of_its_targets() {
    let desk = desk();
    desk.good(&["bake", "mx"]);
    assert_eq!((read(&desk, "out-a/base"), read(&desk, "out-b/base")), ("a\n".to_owned(), "b\n".to_owned()));
    desk.good(&["bake", "mx-b", "--set", "mx-b.output=type=local,dest=other", "--set", "*.args.WORD=set"]);
    assert_eq!(read(&desk, "other/base"), "set\n");
}

#[test]
fn images_are_pushed_and_told_by_target() {
    let desk = desk();
    let registry = Desk::new();
    let server = Server::start(&registry);
    let mut command =
        desk.command(&["bake", "--push", "--set", "base.output=type=cacheonly", "--metadata-file", "told.json"]);
    command.env("REGISTRY", format!("{}/", server.address));
    let finished = desk.run_with(command, "");
    assert_eq!(finished.code, Some(0), "{finished}");
    let told = json(&read(&desk, "told.json"));
    let name = format!("{}/team/app:1", server.address);
    assert_eq!(told["app"]["image.name"], name.as_str());
    let digest = told["app"]["containerimage.digest"].as_str().expect("a digest");
    assert!(told["base"]["containerimage.digest"].is_string(), "{told}");
    let manifest = json(&desk.good(&["inspect", &name]));
    assert!(manifest.to_string().contains(digest) || manifest.is_object(), "{manifest}");
    let local = json(&registry.good(&["images", "--json"]));
    assert!(local.to_string().contains(digest), "{local}");
}

#[test]
fn caches_are_those_of_builds() {
    let desk = desk();
    let more = ["--set", "base.cache-from=type=gha,scope=x", "--set", "base.cache-to=type=local,dest=cache"];
    let finished = desk.run(&[&["bake", "base"], &more[..]].concat());
    assert_eq!(finished.code, Some(0), "{finished}");
    assert!(finished.stderr.contains("warning: the cache type=gha is not used"), "{finished}");
    assert!(desk.path("cache/index.json").exists());
}

#[test]
fn compose_files_are_built() {
    let desk = desk();
    desk.write(
        "compose.yaml",
        "services:\n  web:\n    image: web:1\n    build:\n      context: app\n      args: {WORD: \"${WORD:-composed}\"}\n      additional_contexts: {base: 'service:base'}\n  base:\n    image: base:1\n    build: base\n  db:\n    image: db\n",
    );
    desk.good(&["bake", "-f", "compose.yaml"]);
    let images = desk.good(&["images"]);
    let names: Vec<_> = images.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["base", "web"], "{images}");
    desk.good(&["bake", "-f", "compose.yaml", "--set", "web.output=out"]);
    assert_eq!((read(&desk, "out/app"), read(&desk, "out/copied")), ("composed\n".to_owned(), "none\n".to_owned()));
}

#[test]
fn a_failure_names_its_target() {
    let desk = desk();
    let finished = desk.run(&["bake", "broken"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.contains("COPY nothing /"), "{finished}");
    assert!(finished.stderr.ends_with("error: target broken failed\n"), "{finished}");
}

#[test]
fn dockerfiles_of_all_targets_are_checked() {
    let desk = desk();
    desk.write("base/Dockerfile", "from scratch\nCOPY . /\n");
    let finished = desk.run(&["bake", "--check", "app", "base"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    for words in ["app:", "base:", "ConsistentInstructionCasing"] {
        assert!(finished.stdout.contains(words), "{words} in {finished}");
    }
}

#[test]
fn targets_are_built_at_once_and_one_that_fails_ends_the_others() {
    if !crate::run_works("targets_are_built_at_once_and_one_that_fails_ends_the_others") {
        return;
    }
    let desk = Desk::new();
    let base = crate::BASE;
    // One goes on until it is stopped; the other fails, and a third would need the first.
    let serve = r#"RUN ["/wharf", "serve", "--store", "/inner", "--listen", "127.0.0.1:0"]"#;
    desk.write("server/Dockerfile", format!("{base}{serve}\n"));
    desk.write("broken/Dockerfile", format!("{base}RUN [\"/wharf\", \"nonsense\"]\n"));
    desk.write("after/Dockerfile", "FROM server\n");
    desk.write(
        "docker-bake.hcl",
        "target \"server\" { context = \"server\" }\ntarget \"broken\" { context = \"broken\" }\n\
         target \"after\" {\n  context = \"after\"\n  contexts = { server = \"target:server\" }\n}\n",
    );
    let finished = desk.run(&["bake", "server", "after", "broken"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    assert!(finished.stderr.ends_with("error: target broken failed\n"), "{finished}");
    assert!(finished.stderr.contains("[broken 2/2] RUN") && !finished.stderr.contains("[after"), "{finished}");
    assert_eq!(finished.stderr.matches(" ERROR ").count(), 1, "{finished}");
}

#[test]
fn progress_of_several_targets_is_told_apart() {
    let desk = desk();
    let finished = desk.run(&["bake", "app", "mx", "--metadata-file", "built.json"]);
    assert_eq!(finished.code, Some(0), "{finished}");
    let labels =
        finished.stderr.lines().filter_map(|line| line.strip_prefix('#')?.split_once(" [")).collect::<Vec<_>>();
    let numbers: BTreeSet<_> = labels.iter().map(|(number, _)| number).collect();
    assert_eq!((numbers.len(), labels.is_empty()), (labels.len(), false), "each task has its own number: {finished}");
    for target in ["base", "app", "mx-a", "mx-b"] {
        assert!(labels.iter().any(|(_, label)| label.starts_with(&format!("{target} "))), "{target}: {finished}");
    }
    for target in ["app", "mx-a", "mx-b"] {
        assert!(finished.stderr.contains(&format!("built target {target}: ")), "{finished}");
        assert!(json(&read(&desk, "built.json"))[target].is_object());
    }
}

#[test]
fn answers_about_several_targets_are_one_object() {
    let desk = desk();
    desk.write("base/Dockerfile", "FROM scratch AS first\nfrom scratch\nCOPY . /\n");
    desk.write("base/Wrong", "FROM scratch\nCOPY\n");
    let ask = |method: &str, target: &str, code: i32| {
        let finished = desk.run(&["bake", &format!("--call={method},format=json"), target, "base"]);
        assert_eq!(finished.code, Some(code), "{finished}");
        json(&finished.stdout)["target"].clone()
    };
    let targets = ask("targets", "app", 0);
    assert_eq!(targets["app"]["build"]["call"], "targets");
    assert_eq!(targets["base"]["build"]["context"], "base");
    let base = &targets["base"]["targets"]["targets"];
    assert_eq!((&base[0]["name"], &base[1]["default"]), (&"first".into(), &true.into()));
    assert!(targets["app"]["targets"]["targets"].is_array(), "{targets}");
    let outlines = ask("outline", "app", 0);
    assert!(outlines["app"]["outline"]["sources"].is_array() && outlines["base"]["outline"]["name"].is_string());
    let checks = ask("check", "app", 1);
    assert_eq!(checks["base"]["check"]["warnings"][0]["ruleName"], "ConsistentInstructionCasing");
    assert_eq!(checks["app"]["check"]["warnings"].as_array().map(Vec::len), Some(0), "{checks}");
    let finished = desk.run(&["bake", "--call=check,format=json", "--set=base.dockerfile=Wrong", "base"]);
    assert_eq!(finished.code, Some(1), "{finished}");
    let check = json(&finished.stdout)["target"]["base"]["check"].clone();
    assert!(check["error"].as_str().expect("text").contains("COPY") && check["buildError"].is_object(), "{check}");
}

#[test]
fn what_is_as_good_as_root_is_asked_for() {
    let desk = desk();
    desk.write(
        "docker-bake.hcl",
        "target \"default\" {\n  entitlements = [\"security.insecure\"]\n  context = \"base\"\n}\n",
    );
    let refused = desk.bad(&["bake"]);
    assert!(refused.contains("--allow security.insecure"), "{refused}");
    desk.good(&["bake", "--allow", "security.insecure", "--allow", "fs=/"]);
}

#[test]
fn definitions_come_from_standard_input_too() {
    let desk = desk();
    let finished =
        desk.run_with(desk.command(&["bake", "--print", "-f", "-"]), "target \"default\" { tags = [\"a\"] }");
    assert_eq!(json(&finished.stdout)["target"]["default"]["tags"][0], "a", "{finished}");
    let finished = desk.run_with(desk.command(&["bake", "--print", "-f", "-"]), "services:\n  a:\n    build: .\n");
    assert_eq!(json(&finished.stdout)["target"]["a"]["context"], ".", "{finished}");
    let nowhere = Desk::new();
    assert!(nowhere.bad(&["bake"]).contains("there is no bake file here"));
}
