#![no_main]

#[path = "../entries/reference.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::reference(data));
