//! `COPY`, `ADD` and `WORKDIR` without a root file system: what a layer holds is worked out from indexes, and its bytes
//! go straight from where they are into a tar.
//!
//! ```text
//! owner    --chown and USER names in the image's own files      layout   where things land, on top of what is there
//! archive  ADD of a tar: into a spool, then onto the layout     digest   what of the sources counts for the key
//! ```
//!
//! Knows no store, no network and no mounts.

mod archive;
mod digest;
mod layout;
mod owner;
mod spool;

pub(crate) use archive::{ArchiveError, extract};
pub(crate) use digest::{add_found, fingerprint_selections};
pub(crate) use layout::{DATELESS, Laid, Layout, Origin, PlaceError, Ready, Rules, SourceFile};
pub(crate) use owner::{Database, Owner, OwnerError, OwnerSpec};
pub(crate) use spool::{Spool, SpoolSlice};
