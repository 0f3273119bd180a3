//! Real processes that are killed at any moment, and a disk that is full: what was acknowledged is there afterwards.

#![expect(unreachable_pub, reason = "a program has no outside: `pub` here means what it means in a library")]

#[path = "../support/mod.rs"]
mod support;

mod full_disk;
mod killed;
mod wire;
