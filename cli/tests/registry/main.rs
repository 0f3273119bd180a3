//! End to end: real processes of `wharf`, serving and being served, on loopback.

mod copies;
mod encrypted;
mod everyday;
mod examples;
mod formats;
mod interrupted;
mod logins;
mod migrating;
mod platforms;
#[path = "../support/mod.rs"]
mod support;
mod versions;
