//! Moving images between places: remote registries, the local store, OCI layouts and docker archives.

pub mod auth;
mod config;
mod notice;
pub mod registry;
pub mod transfer;

pub use config::{ClientConfig, Mirror, MirrorError, Proxies, Retries, Timeouts};
pub use notice::{Notice, Notices, ignore_notices};
