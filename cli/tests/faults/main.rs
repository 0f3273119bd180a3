//! Real processes that are killed at any moment, and a disk that is full: what was acknowledged is there afterwards.

#[path = "../support/mod.rs"]
mod support;

mod full_disk;
mod killed;
mod wire;
