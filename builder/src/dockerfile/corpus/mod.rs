//! The corpus: `testdata/dockerfiles/<case>/Dockerfile` with the parse it must give (`expect.txt`) or the message it must
//! give (`error.txt`). `UPDATE_EXPECT=1` writes what the code gives now; look at the difference before keeping it.

mod describe;
mod oracle;
mod properties;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use super::{Dockerfile, decode, parse, render};

struct Case {
    name: String,
    directory: PathBuf,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/dockerfiles");
    let mut cases: Vec<Case> = fs::read_dir(&root)
        .unwrap_or_else(|error| panic!("{}: {error}", root.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|directory| {
            let file = directory.join("Dockerfile");
            let bytes = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            Case { name: directory.file_name().unwrap().to_string_lossy().into_owned(), directory, bytes }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// The texts of all cases, valid or not.
static SOURCES: LazyLock<Vec<String>> =
    LazyLock::new(|| cases().into_iter().map(|case| String::from_utf8_lossy(&case.bytes).into_owned()).collect());

/// The cases that parse.
fn valid() -> Vec<(String, String, Dockerfile)> {
    let parsed = cases().into_iter().filter_map(|case| {
        let source = String::from_utf8(case.bytes).ok()?;
        let file = parse(&source).ok()?;
        Some((case.name, source, file))
    });
    parsed.collect()
}

#[test]
fn corpus_parses_as_expected() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let cases = cases();
    assert!(cases.len() > 40, "the corpus is gone");
    let mut wrong = Vec::new();
    for case in cases {
        let text = String::from_utf8_lossy(&case.bytes);
        let (kept, other, actual) = match decode(&case.bytes).and_then(parse) {
            Ok(file) => ("expect.txt", "error.txt", describe::describe(&file, &text)),
            Err(error) => ("error.txt", "expect.txt", render(&error, "Dockerfile", &text, false)),
        };
        if update {
            fs::write(case.directory.join(kept), &actual).unwrap();
            let _ = fs::remove_file(case.directory.join(other));
        } else if case.directory.join(other).exists() {
            wrong.push(format!("{}: there is a {other}, but we get\n{actual}", case.name));
        } else {
            let expected = fs::read_to_string(case.directory.join(kept)).unwrap_or_default();
            if expected != actual {
                wrong.push(format!("{}: expected\n{expected}\nbut we get\n{actual}", case.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
