//! What the official conformance suite tests, by the suite's own names (`testdata/conformance/`): protected here, so that it
//! is not found out about only when somebody runs the suite.

#[path = "../wire/mod.rs"]
mod wire;

mod content;
mod kinds;

use std::collections::BTreeSet;
use std::path::Path;

use wharf_blobstore::Store;
use wharf_spec::Algorithm;
use wire::script::{Script, scripts};

/// The suite's tests and where each is kept, as `suite.txt` lists them.
fn suite() -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/conformance/suite.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let row = |line: &str| {
        let (name, place) = line.rsplit_once("  ").expect("a name and a place");
        (name.trim().trim_start_matches("* blobs/").to_owned(), place.trim().to_owned())
    };
    lines.map(row).collect()
}

fn cases() -> Vec<(String, String)> {
    let mut cases = Vec::new();
    for path in scripts("conformance") {
        let file = path.file_stem().unwrap().to_string_lossy().into_owned();
        cases.extend(Script::read(&path).cases.into_iter().map(|case| (case.name, file.clone())));
    }
    cases.extend(kinds::kinds().into_iter().filter(|kind| kind.of_the_suite).map(|kind| (kind.name, "content".into())));
    cases
}

#[test]
fn every_test_of_the_suite_is_kept_here_and_every_case_is_listed() {
    let (listed, kept) = (suite(), cases());
    assert!(listed.len() > 70, "{}", listed.len());
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(unique.len(), listed.len(), "a name is listed twice");
    assert_eq!(unique, kept.iter().cloned().collect::<BTreeSet<_>>());
    assert_eq!(kept.len(), listed.len(), "a case is there twice");
}

async fn play_all(store: impl Fn() -> Store) {
    let mut failed = Vec::new();
    for path in scripts("conformance") {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for number in 0..Script::read(&path).cases.len() {
                let (path, store) = (path.clone(), store());
                let script = Script::read(&path);
                let name = format!("{algorithm} {}", script.cases[number].name);
                let place = path.display().to_string();
                let played =
                    tokio::spawn(async move { script.play(&script.cases[number], &place, store, algorithm).await });
                if played.await.is_err() {
                    failed.push(name);
                }
            }
        }
    }
    assert!(failed.is_empty(), "see above: {failed:#?}");
}

#[tokio::test]
async fn requests_are_answered_as_the_suite_expects() {
    play_all(Store::memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_as_the_suite_expects_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicUsize::new(0);
    play_all(|| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        wharf_blobstore::embedded::open(&directory.path().join(number.to_string())).unwrap()
    })
    .await;
}
