//! Moving images between places: remote registries, the local store, OCI layouts and docker archives.

pub mod archive;
pub mod auth;
mod config;
pub mod layout;
mod notice;
pub mod registry;
mod span;
pub mod transfer;

pub use config::{ClientConfig, Mirror, MirrorError, Proxies, Retries, Timeouts};
pub use notice::{Notice, Notices, ignore_notices};
