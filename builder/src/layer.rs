//! Layers: reading, writing, comparing, merging and unpacking them, with plain threads and `std::io`.
//!
//! ```text
//! upper directory --diff--> entries --writer--> tar -> diff id -> compression -> digest -> sink
//!                                          \--> LayerIndex (entries and content digests)
//! blob --sniff--> tar reader --unpack--> directory for an overlay   (and its LayerIndex)
//! [LayerIndex] --Tree--> what the stack of layers looks like, without its bytes
//! ```
//!
//! Guarantees: the same entries and contents give the same digest on any machine and any number of threads; nothing a
//! layer says makes a path outside the given directory change. Knows no network, no store, no Dockerfile.

mod ahead;
mod archive;
mod diff;
mod dirs;
mod disk;
mod entry;
mod fingerprint;
mod flat;
mod frames;
mod header;
mod index;
mod listing;
mod path;
mod pipeline;
mod sniff;
mod squeeze;
mod tar;
mod toc;
mod tree;
mod unpack;
mod writer;
mod xattr;

pub use archive::Archive;
pub use diff::{DiffError, DiffOptions, LowerView, list_upper, write_upper};
pub use disk::{Ownership, Skipped};
pub use entry::{Entry, Kind, Mtime, Xattrs};
pub use fingerprint::{Fingerprint, Fingerprinter};
pub use flat::{FlatLayer, unpack_flat};
pub use frames::{FrameTable, KnownFrames};
pub use index::{DecodeError, IndexEntry, IndexError, LayerIndex};
pub use path::{LayerPath, PathError};
pub use pipeline::Copied;
pub use sniff::{Decoder, Format, Peeked, detect, detect_archive};
pub use squeeze::{Encoding, LayerFormat};
pub use tar::{TarEntry, TarError, TarKind, TarLimits, TarReader};
pub use tree::{Node, Resolution, ResolveError, Tree};
pub use unpack::{Expected, UnpackError, UnpackOptions, Unpacked, adopt_parents, unpack};
pub use writer::{LayerDigests, LayerWriter, Open, WriteError, WriterOptions, WrittenLayer};
pub use xattr::OverlayXattr;
pub(crate) use xattr::travels;
