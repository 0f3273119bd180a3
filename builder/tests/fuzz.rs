//! The fuzz targets' entries (`fuzz/entries/`) over the inputs in `testdata/fuzz/`, and over each of those cut short and changed.

#![allow(unreachable_pub, dead_code, reason = "the entries belong to the fuzz crate")]

#[path = "../../fuzz/entries/corpus.rs"]
mod corpus;
#[path = "../../fuzz/entries/dockerfile.rs"]
mod dockerfile;

const TARGETS: [corpus::Target; 2] = [("dockerfile", dockerfile::dockerfile), ("expansion", dockerfile::expansion)];

#[test]
fn every_input_holds() {
    corpus::hold(&TARGETS);
}
