//! The index of one layer: its entries, sorted, with the fingerprint of each file's content.
//!
//! It answers what a layer holds without its bytes, so that a build can resolve `COPY` and compare an upper directory
//! with lazily fetched base layers. It is kept beside the layer in a compact, versioned form ([`LayerIndex::encode`]).
//!
//! Guarantees: entries are in walk order and unique; every hard link names a non-directory of the same layer, which is
//! the first of its names in walk order and carries the metadata.

mod assemble;
mod codec;

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::Arc;

use wharf_spec::Digest;

use super::entry::{Entry, Kind};
use super::fingerprint::Fingerprint;
use super::path::LayerPath;
use super::sniff::Format;
use super::tar::{TarError, TarLimits};

pub(super) use assemble::{Assembled, Assembler, Placed};
pub use codec::DecodeError;

/// An entry and what is known about its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The entry.
    pub entry: Entry,
    /// What the content of a regular file is, under each of its names.
    pub content: Option<Fingerprint>,
}

/// The entries of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LayerIndex {
    entries: Vec<Arc<IndexEntry>>,
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
        if let Some(pair) = entries.windows(2).find(|pair| sort_key(&pair[0].entry) == sort_key(&pair[1].entry)) {
            return Err(IndexError::Duplicate { path: pair[0].entry.path.clone() });
        }
        check_parents(&entries)?;
        settle_hardlinks(&mut entries)?;
        Ok(Self { entries: entries.into_iter().map(Arc::new).collect() })
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
    pub fn entries(&self) -> &[Arc<IndexEntry>] {
        &self.entries
    }

    /// What the layer puts at `path`; markers are not looked at.
    pub fn get(&self, path: &LayerPath) -> Option<&IndexEntry> {
        let key = (path, REAL);
        let at = self.entries.binary_search_by(|probe| sort_key(&probe.entry).cmp(&key)).ok()?;
        Some(&self.entries[at])
    }

    /// Whether the root itself is opaque: the layers below do not show at all. An overlay cannot say so; leave them out.
    pub fn hides_everything_below(&self) -> bool {
        self.entries.iter().take(3).any(|one| one.entry.path.is_root() && matches!(one.entry.kind, Kind::Opaque))
    }

    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The compact form.
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(&self.entries)
    }

    /// Reads the compact form back.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        Ok(Self::new(codec::decode(bytes)?)?)
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

/// Nothing may lie beneath a file; the root is a directory and always there.
fn check_parents(entries: &[IndexEntry]) -> Result<(), IndexError> {
    let mut file: Option<&LayerPath> = None;
    for Entry { path, kind, .. } in entries.iter().map(|one| &one.entry) {
        let misplaced = file.is_some_and(|file| path.starts_with(file) && path != file);
        match kind {
            Kind::Dir | Kind::Opaque if !misplaced => {}
            Kind::Whiteout if !misplaced && !path.is_root() => {}
            Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
                if !misplaced && !path.is_root() =>
            {
                file = Some(path);
            }
            _ => return Err(IndexError::ParentNotDirectory { path: path.clone() }),
        }
    }
    Ok(())
}

/// Gives every group of names the same shape: the first in order is the thing itself, the others link to it.
fn settle_hardlinks(entries: &mut [IndexEntry]) -> Result<(), IndexError> {
    let links: Vec<usize> =
        (0..entries.len()).filter(|at| matches!(entries[*at].entry.kind, Kind::Hardlink { .. })).collect();
    if links.is_empty() {
        return Ok(());
    }
    let real: HashMap<&LayerPath, usize> = entries
        .iter()
        .enumerate()
        .filter(|(_, one)| !one.entry.is_marker())
        .map(|(at, one)| (&one.entry.path, at))
        .collect();
    // Source of each group -> all names, in order, without the source.
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for at in links {
        let source = follow_links(entries, &real, at)?;
        groups.entry(source).or_default().push(at);
    }
    drop(real);
    for (source, mut names) in groups {
        names.push(source);
        names.sort_unstable();
        let original = entries[source].clone();
        let target = entries[names[0]].entry.path.clone();
        for (nth, at) in names.into_iter().enumerate() {
            let path = entries[at].entry.path.clone();
            let kind = if nth == 0 { original.entry.kind.clone() } else { Kind::Hardlink { target: target.clone() } };
            entries[at] =
                IndexEntry { entry: Entry { path, kind, ..original.entry.clone() }, content: original.content };
        }
    }
    Ok(())
}

fn follow_links(entries: &[IndexEntry], real: &HashMap<&LayerPath, usize>, start: usize) -> Result<usize, IndexError> {
    let mut at = start;
    // A chain longer than there are entries goes round in circles.
    for _ in 0..=entries.len() {
        let entry = &entries[at].entry;
        match &entry.kind {
            Kind::Hardlink { target } => match real.get(target) {
                Some(next) => at = *next,
                None => return Err(dangling(entry, target)),
            },
            Kind::Dir => break,
            Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Whiteout
            | Kind::Opaque => return Ok(at),
        }
    }
    let target = &entries[at].entry.path;
    Err(dangling(&entries[start].entry, target))
}

fn dangling(link: &Entry, target: &LayerPath) -> IndexError {
    IndexError::DanglingHardlink { path: link.path.clone(), target: target.clone() }
}
