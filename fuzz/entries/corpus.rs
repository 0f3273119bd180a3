//! The inputs in `testdata/fuzz/` for `cargo test`, without a fuzzer: each of them, cut short, and changed. Tests of crates at the top
//! of the tree include this file.

use std::path::Path;

/// A target's name, and what it does with an input.
pub type Target = (&'static str, fn(&[u8]));

/// Runs each target over its inputs and what they are changed into.
pub fn hold(targets: &[Target]) {
    for (name, entry) in targets {
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
