//! The fuzz targets' entries (`fuzz/entries/`) over the inputs in `testdata/fuzz/`, and over each of those cut short and changed.

#![allow(unreachable_pub, dead_code, reason = "the entries belong to the fuzz crate")]

#[path = "../../fuzz/entries/dockerfile.rs"]
mod dockerfile;

use std::path::Path;

/// A target's name, and what it does with an input.
type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 2] = [("dockerfile", dockerfile::dockerfile), ("expansion", dockerfile::expansion)];

#[test]
fn every_input_holds() {
    for (name, entry) in TARGETS {
        let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/fuzz").join(name);
        let mut count = 0;
        for input in std::fs::read_dir(inputs).unwrap() {
            let path = input.unwrap().path();
            println!("{}", path.display());
            let bytes = std::fs::read(&path).unwrap();
            entry(&bytes);
            for changed in changes(&bytes) {
                entry(&changed);
            }
            count += 1;
        }
        assert!(count >= 3, "{name} has {count} inputs");
    }
}

/// The input's beginnings, and the input with one byte made special.
fn changes(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let step = input.len() / 40 + 1;
    let places = (0..input.len()).step_by(step);
    let beginnings = places.clone().map(|place| input[..place].to_vec());
    let special = places.zip(b"/.%:-$\\\"'{`\n\0\xff,= ".iter().cycle()).map(|(place, byte)| {
        let mut changed = input.to_vec();
        changed[place] = *byte;
        changed
    });
    beginnings.chain(special)
}
