//! `testdata/builds/<case>/`: a Dockerfile, a context, and what must come out.
//!
//! `expect` holds the image as text, or the message of a build that fails. `arguments` may hold `--build-arg`, `--target`,
//! `--label` and `--build-context` lines. To write new expectations, set `WHARF_BLESS` and look at the difference.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures_util::StreamExt as _;
use tempfile::TempDir;
use wharf_builder::{BuildEvent, BuildRequest, ContextSource};

use crate::fixture::{World, copy_tree, explain, settle_times};
use crate::show;

/// How many cases are built at the same time.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn every_case_builds_what_it_should() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/builds");
    let mut cases: Vec<_> = fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let mut wrong = Vec::new();
    let outcomes = futures_util::stream::iter(&cases).map(|case| outcome(case)).buffered(AT_ONCE);
    let outcomes: Vec<String> = outcomes.collect().await;
    for (case, found) in cases.iter().zip(outcomes) {
        let expect = case.join("expect");
        if std::env::var_os("WHARF_BLESS").is_some() {
            fs::write(&expect, &found).unwrap();
        }
        let expected = fs::read_to_string(&expect).unwrap_or_default();
        if found != expected {
            wrong.push(format!("{}\n--- expected\n{expected}--- found\n{found}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert!(cases.len() >= 200, "the corpus is gone");
}

async fn outcome(case: &Path) -> String {
    let mut world = World::new();
    world.bases.add_shell("shell");
    if case.join("context").exists() {
        copy_tree(&case.join("context"), world.context.path());
    }
    settle_modes(world.context.path());
    settle_times(world.context.path());
    let text = fs::read_to_string(case.join("Dockerfile")).unwrap();
    let mut request = world.request(&text);
    let mut rooms = Vec::new();
    for line in fs::read_to_string(case.join("arguments")).unwrap_or_default().lines() {
        rooms.extend(argument(&mut request, line, case));
    }
    if text.contains("FROM shell") {
        // Its layer is fetched whatever becomes of the build.
        world.build("FROM shell").await;
    }
    let before = world.records().await;
    match world.try_build(request).await {
        Ok(result) => show::whole(&world.store, &result).await,
        Err(error) => {
            // What steps have made before one failed is kept; nothing else is different.
            let made = world.events().iter().any(|event| matches!(event, BuildEvent::Done { .. }));
            let after = world.records().await;
            let new = |line: &&str| !before.contains(*line);
            // A layer is a blob, and every new blob is one that collectors may look at.
            let kept = |line: &str| {
                made && ["cache/", "blobs/", "candidates/blobs/"].iter().any(|prefix| line.starts_with(prefix))
            };
            assert!(after.lines().filter(new).all(kept), "{}: {after}", case.display());
            explain(&error, &text).replace(&*world.context.path().to_string_lossy(), "CONTEXT") + "\n"
        }
    }
}

/// Applies a line of `arguments`; a context it names is copied to a directory to be kept.
fn argument(request: &mut BuildRequest, line: &str, case: &Path) -> Option<TempDir> {
    let (flag, value) = line.split_once(' ').unwrap_or((line, ""));
    let pair = || {
        let (name, value) = value.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    };
    match flag {
        "--build-arg" => request.build_args.extend([pair()]),
        "--label" => request.labels.extend([pair()]),
        "--target" => request.target = Some(value.to_owned()),
        "--build-context" => {
            let (name, directory) = pair();
            let copy = tempfile::tempdir().unwrap();
            copy_tree(&case.join(directory), copy.path());
            settle_modes(copy.path());
            request.named_contexts.insert(name, ContextSource::Directory(copy.path().to_owned()));
            return Some(copy);
        }
        other => panic!("{other}"),
    }
    None
}

/// What a checkout makes of modes depends on its umask.
fn settle_modes(root: &Path) {
    let mut ahead = vec![root.to_owned()];
    while let Some(path) = ahead.pop() {
        let found = path.symlink_metadata().unwrap();
        if found.is_symlink() {
            continue;
        }
        if found.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        let executable = found.is_dir() || found.permissions().mode() & 0o100 != 0;
        fs::set_permissions(&path, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 })).unwrap();
    }
}

/// Every proof that `docs/dockerfile.md` names is there.
#[test]
fn the_page_names_what_there_is() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = |corpus: &str| {
        let entries = fs::read_dir(top.join("testdata").join(corpus)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let cases = [names("dockerfiles"), names("builds")].concat();
    let page = fs::read_to_string(top.join("docs/dockerfile.md")).unwrap();
    let mut proofs = 0;
    for row in page.lines().filter(|line| line.starts_with("| ") && line.contains('`')) {
        let proof = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let quoted: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!quoted.is_empty(), "nothing proves {row}");
        for name in quoted {
            let there = match name.strip_suffix('*') {
                _ if name.contains('/') => top.join(name).is_file(),
                Some(prefix) => cases.iter().any(|case| case.starts_with(prefix)),
                None => cases.iter().any(|case| case == name),
            };
            assert!(there, "{name} of {row}");
            proofs += 1;
        }
    }
    assert!(proofs > 100, "the page is gone");
}
