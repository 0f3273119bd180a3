//! The seam between places that hold images: [`ImageSource`] to read one, [`ImageSink`] to write one, and [`copy`],
//! which is written once over the two.
//!
//! Knows no HTTP, no files and no terminal.

mod copy;
mod error;
mod event;
mod memory;
mod origin;
mod place;
mod plan;
mod platform;
mod verify;

pub use copy::{CopyOptions, CopyReport, Platforms, copy};
pub use error::{Error, Result};
pub use event::{Events, TransferEvent, ignore_events};
pub use memory::MemoryRepository;
pub use origin::{Origin, Target};
pub use place::{BlobBody, ByteStream, ImageSink, ImageSource};
pub use platform::choose_platform;
pub(crate) use verify::parse_manifest;
pub use verify::verified;

/// The largest manifest that is read or written, in bytes. Registries must accept 4 MiB; no client takes much more.
pub const MAX_MANIFEST: u64 = 8 << 20;
