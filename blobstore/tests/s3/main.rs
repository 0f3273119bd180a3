//! The engine for S3 against a real service: every promise of the two traits, and what only this engine has.
//!
//! `WHARF_TEST_S3` is the URL of a bucket that is there, as `s3://bucket?endpoint=http://127.0.0.1:9000`, with credentials
//! in `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`. Without it nothing can be tested, and that is said.
//! `testdata/s3/engine.sh` starts services and runs this. An argument runs the cases whose name contains it.

mod bench;
mod faults;
mod large;
mod proxy;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use wharf_blobstore::conformance::{check_objects, check_records, object_cases, record_cases};
use wharf_blobstore::s3::S3Config;

use bench::S3Bench;

/// A test and its name.
struct Test {
    name: String,
    run: Box<dyn Fn()>,
}

impl Test {
    fn new(name: impl Into<String>, run: impl Fn() + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

fn tests(place: &'static S3Config) -> Vec<Test> {
    let objects = object_cases::CASES
        .iter()
        .map(|case| Test::new(format!("objects::{}", case.name), || check_objects(case.name, || S3Bench::new(place))));
    let records = record_cases::CASES
        .iter()
        .map(|case| Test::new(format!("records::{}", case.name), || check_records(case.name, || S3Bench::new(place))));
    objects.chain(records).chain(large::tests(place)).chain(faults::tests(place)).collect()
}

#[expect(clippy::disallowed_methods, reason = "a test is told by the environment which service there is")]
fn place() -> Option<S3Config> {
    let url = std::env::var("WHARF_TEST_S3").ok().filter(|url| !url.is_empty())?;
    let mut config = S3Config::from_url(&url).unwrap_or_else(|error| panic!("WHARF_TEST_S3: {error}"));
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        let value = std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
        config.credentials.insert(name.to_owned(), value);
    }
    Some(config)
}

fn main() -> ExitCode {
    let Some(place) = place() else {
        println!(
            "skipped: WHARF_TEST_S3 is not set, so there is no service to test with (testdata/s3/engine.sh starts one)"
        );
        return ExitCode::SUCCESS;
    };
    let place: &'static S3Config = Box::leak(Box::new(place));
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let (mut passed, mut failed) = (0, 0);
    for test in tests(place) {
        if !wanted.is_empty() && !wanted.iter().any(|wanted| test.name.contains(wanted)) {
            continue;
        }
        let begun = Instant::now();
        let ok = catch_unwind(AssertUnwindSafe(&test.run)).is_ok();
        let verdict = if ok { "ok" } else { "FAILED" };
        println!("{} ... {verdict} ({} ms)", test.name, begun.elapsed().as_millis());
        if ok { passed += 1 } else { failed += 1 }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
