//! Builds by the real binary: what comes out, where it goes, and what a user sees when they fail.

mod bake;
mod caches;
mod checks;
mod contexts;
mod failing;
mod importing;
mod interrupted;
mod loading;
mod outputs;
mod platforms;
mod policies;
mod repositories;
mod results;
#[path = "../support/mod.rs"]
mod support;
mod up;

use support::Desk;

/// A program that is always at hand: Wharf itself, the only file of a root file system.
const BASE: &str = "FROM scratch\nCOPY --from=wharf-self /wharf /wharf\n";

/// Whether `RUN` works on this machine. Where it does not, a test says that it was skipped.
fn run_works(test: &str) -> bool {
    let doctor = Desk::new().good(&["doctor"]);
    let works = !doctor.starts_with("sandbox: none");
    if !works {
        println!("skipped: {test}: {}", doctor.lines().next().unwrap_or_default());
    }
    works
}
