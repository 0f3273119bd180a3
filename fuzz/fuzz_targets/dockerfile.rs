#![no_main]

#[path = "../entries/dockerfile.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::dockerfile(data));
