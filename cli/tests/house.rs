//! The house: which crate may use which. `ARCHITECTURE.md` draws it; this holds it.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Each crate, and the crates of the house it may import. `builder` and `registry` never see each other.
const HOUSE: [(&str, &[&str]); 6] = [
    ("wharf", &["wharf-builder", "wharf-registry", "wharf-client", "wharf-blobstore", "wharf-spec"]),
    ("wharf-builder", &["wharf-client", "wharf-blobstore", "wharf-spec"]),
    ("wharf-registry", &["wharf-client", "wharf-blobstore", "wharf-spec"]),
    ("wharf-client", &["wharf-blobstore", "wharf-spec"]),
    ("wharf-blobstore", &["wharf-spec"]),
    ("wharf-spec", &[]),
];

/// What a crate knows nothing about, as crates that would bring it in.
const STRANGERS: [(&str, &[&str]); 5] = [
    ("wharf-spec", &["tokio", "futures-util", "jiff", "getrandom", "rustix", "libc", "reqwest", "http"]),
    // Its engine for S3 makes requests; it serves none.
    ("wharf-blobstore", &["axum", "hyper", "tower"]),
    ("wharf-client", &["axum", "rusqlite", "clap", "indicatif"]),
    ("wharf-builder", &["axum", "hyper", "reqwest", "rusqlite", "clap", "indicatif"]),
    ("wharf-registry", &["reqwest", "rusqlite", "clap", "indicatif"]),
];

fn packages() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata").packages
}

/// What a package is built from. Tests may use anything.
fn imports(package: &Package) -> BTreeSet<&str> {
    let built = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    built.map(|dependency| dependency.name.as_str()).collect()
}

#[test]
fn every_crate_has_its_place() {
    let packages = packages();
    let found: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let drawn: BTreeSet<&str> = HOUSE.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, drawn, "a crate is new or gone: draw it here and in ARCHITECTURE.md");
}

#[test]
fn imports_point_down() {
    let house: BTreeMap<&str, &[&str]> = HOUSE.into();
    for package in &packages() {
        let may = house[package.name.as_str()];
        for import in imports(package) {
            let allowed = !house.contains_key(import) || may.contains(&import);
            assert!(allowed, "{} must not import {import}", package.name);
        }
    }
}

#[test]
fn crates_keep_to_what_they_know() {
    let strangers: BTreeMap<&str, &[&str]> = STRANGERS.into();
    for package in &packages() {
        let Some(strangers) = strangers.get(package.name.as_str()) else { continue };
        for import in imports(package) {
            assert!(!strangers.contains(&import), "{} must not know {import}", package.name);
        }
    }
}
