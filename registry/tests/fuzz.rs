//! The fuzz targets' entries (`fuzz/entries/`) over the inputs in `testdata/fuzz/`, and over each of those cut short and changed.

#![allow(unreachable_pub, dead_code, reason = "the entries belong to the fuzz crate")]

#[path = "../../fuzz/entries/corpus.rs"]
mod corpus;
#[path = "../../fuzz/entries/range.rs"]
mod range;
#[path = "../../fuzz/entries/reference.rs"]
mod reference;
#[path = "../../fuzz/entries/route.rs"]
mod route;

const TARGETS: [corpus::Target; 4] = [
    ("route", route::route),
    ("reference", reference::reference),
    ("range", range::range),
    ("multipart", range::multipart),
];

#[test]
fn every_input_holds() {
    corpus::hold(&TARGETS);
}
