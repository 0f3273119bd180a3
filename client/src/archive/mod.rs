//! Archives: tar files as `docker save` and OCI tools write and read them.
//!
//! [`Archive`] reads an OCI layout in a tar, or the older format of `docker save`; [`ArchiveWriter`] writes one file that is
//! both, so that `docker load`, `podman load`, `ctr import` and Wharf all take it.

mod docker;
mod scan;
mod sink;
mod source;
mod spool;
mod tar_writer;

pub use sink::{ArchiveImage, ArchiveWriter};
pub use source::Archive;
