//! Moving images between places: remote registries, the local store, OCI layouts and docker archives.

pub mod transfer;
