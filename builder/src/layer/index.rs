//! The index of one layer: its entries, sorted, with the fingerprint of each file's content.
//!
//! It answers what a layer holds without its bytes, so that a build can resolve `COPY` and compare an upper directory
//! with lazily fetched base layers. It is kept beside the layer in a compact, versioned form ([`LayerIndex::encode`]).
//!
//! In memory it is just as compact: entries are made one by one for whoever goes through them ([`LayerIndex::iter`]).
//!
//! Guarantees: entries are in walk order and unique; every hard link names a non-directory of the same layer, which is
//! the first of its names in walk order and carries the metadata.

mod assemble;
mod codec;
mod packed;

use std::fmt;
use std::io::Read;

use wharf_spec::Digest;

use super::entry::{Entry, Kind};
use super::fingerprint::Fingerprint;
use super::path::LayerPath;
use super::sniff::Format;
use super::tar::{TarError, TarLimits};

pub(super) use assemble::{Assembled, Assembler, Placed};
pub use codec::DecodeError;
pub(super) use packed::Packer;

/// An entry and what is known about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The entry.
    pub entry: Entry,
    /// What the content of a regular file is, under each of its names.
    pub content: Option<Fingerprint>,
}

/// The entries of one layer.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LayerIndex {
    /// The stored form but for its beginning.
    body: Vec<u8>,
    count: usize,
    has_markers: bool,
    opaque_root: bool,
}

/// The entries of a [`LayerIndex`], made one after the other.
#[derive(Clone, Debug)]
pub struct Iter<'a>(codec::Reader<'a>);

impl Iterator for Iter<'_> {
    type Item = IndexEntry;

    fn next(&mut self) -> Option<IndexEntry> {
        // What was packed here can be read.
        self.0.next()?.ok()
    }
}

impl fmt::Debug for LayerIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Why entries do not form a layer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Two entries for one path.
    #[error("{path} is in the layer twice")]
    Duplicate {
        /// The path.
        path: LayerPath,
    },
    /// Something beneath what is no directory, or a root that is none.
    #[error("{path} lies beneath something that is no directory")]
    ParentNotDirectory {
        /// The path.
        path: LayerPath,
    },
    /// A hard link to something that is not in the layer, or to a directory.
    #[error("the hard link {path} points to {target}, which is no file of the same layer")]
    DanglingHardlink {
        /// The link.
        path: LayerPath,
        /// What it names.
        target: LayerPath,
    },
}

impl LayerIndex {
    /// Sorts and checks `entries`.
    pub fn new(mut entries: Vec<IndexEntry>) -> Result<Self, IndexError> {
        entries.sort_by(|a, b| sort_key(&a.entry).cmp(&sort_key(&b.entry)));
        let mut packer = Packer::default();
        for one in entries {
            packer.push(one);
        }
        packer.finish()
    }

    /// Reads a layer's tar to its end and indexes it. Returns the diff id it really has.
    pub fn from_tar(
        blob: impl Read + Send,
        format: impl Into<Format>,
        limits: TarLimits,
    ) -> Result<(Digest, Self), TarError> {
        assemble::index_tar(blob, format.into(), limits)
    }

    /// All entries in walk order. At one path a whiteout comes first and an opaque marker last.
    pub fn iter(&self) -> Iter<'_> {
        Iter(codec::Reader::packed(&self.body, self.count))
    }

    /// The same at once: of a large layer, more than should be held.
    pub fn entries(&self) -> Vec<IndexEntry> {
        self.iter().collect()
    }

    /// What the layer puts at `path`; markers are not looked at. Looks through all of them.
    pub fn get(&self, path: &LayerPath) -> Option<IndexEntry> {
        self.iter().find(|one| !one.entry.is_marker() && one.entry.path == *path)
    }

    /// Whether anything in it hides something of lower layers.
    pub(super) fn has_markers(&self) -> bool {
        self.has_markers
    }

    /// Whether the root itself is opaque: the layers below do not show at all. An overlay cannot say so; leave them out.
    pub fn hides_everything_below(&self) -> bool {
        self.opaque_root
    }

    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// The compact form.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = codec::header(self.count);
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads the compact form back.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        packed::decode(bytes)
    }
}

const REAL: u8 = 1;

fn sort_key(entry: &Entry) -> (&LayerPath, u8) {
    let rank = match entry.kind {
        Kind::Whiteout => 0,
        Kind::Opaque => 2,
        Kind::File { .. }
        | Kind::Dir
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Char { .. }
        | Kind::Block { .. }
        | Kind::Fifo => REAL,
    };
    (&entry.path, rank)
}

impl<'a> IntoIterator for &'a LayerIndex {
    type Item = IndexEntry;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}
