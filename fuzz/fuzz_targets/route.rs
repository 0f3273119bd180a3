#![no_main]

#[path = "../entries/route.rs"]
mod entry;

libfuzzer_sys::fuzz_target!(|data: &[u8]| entry::route(data));
