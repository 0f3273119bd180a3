#![no_main]

#[path = "../entries/range.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::range(data));
