//! Writing out the file system of an image as plain files: `--output type=local`.
//!
//! Layers are put on top of each other in place. Whiteouts remove what is below them; nothing of an overlay is left.

use std::io::{self, Read};
use std::path::Path;

use super::disk::Disk;
use super::entry::{Entry, Kind};
use super::index::{Assembler, LayerIndex};
use super::path::LayerPath;
use super::sniff::{Decoder, Format};
use super::tar::{TarError, TarLimits, TarReader};
use super::tree::Tree;
use super::unpack::{UnpackError, blame, extract, finish_dirs};
use super::{Ownership, Skipped};

/// One layer of a stack to be written out.
pub struct FlatLayer<'a, R> {
    /// What it holds, known beforehand: whiteouts are applied before anything is made.
    pub index: &'a LayerIndex,
    /// Its blob.
    pub blob: R,
    /// How the blob is compressed.
    pub format: Format,
}

/// Writes the file system of `layers`, lowest first, into the directory `dest`. What `dest` holds already stays unless
/// the image has something else at the same path. Returns what the file system would not take.
pub fn unpack_flat<'a, R: Read>(
    layers: impl IntoIterator<Item = FlatLayer<'a, R>>,
    dest: &Path,
    ownership: Ownership,
    limits: TarLimits,
) -> Result<Vec<(LayerPath, Skipped)>, UnpackError> {
    let mut disk = Disk::open(dest, ownership).map_err(blame(&LayerPath::root()))?;
    let mut tree = Tree::new();
    for layer in layers {
        apply_markers(&mut disk, &tree, layer.index)?;
        tree.push(layer.index);
        let decoder = Decoder::new(layer.blob, layer.format).map_err(TarError::Read)?;
        extract(&mut TarReader::new(decoder, limits), &mut Assembler::default(), &mut disk)?;
    }
    let root_described =
        tree.get(&LayerPath::root()).is_some_and(|node| *node.entry() != Entry::implied_dir(LayerPath::root()));
    let dirs = tree.nodes().iter().map(super::tree::Node::entry).filter(|entry| entry.is_dir());
    // A root that no layer describes keeps the metadata of the directory that was given.
    finish_dirs(&mut disk, dirs.filter(|dir| !dir.path.is_root() || root_described).cloned().collect())?;
    Ok(disk.into_skipped())
}

/// Removes what the layer hides of the image, and only of the image: other files in the directory stay.
fn apply_markers(disk: &mut Disk, below: &Tree, layer: &LayerIndex) -> Result<(), UnpackError> {
    for one in layer {
        let path = &one.entry.path;
        let removed: io::Result<()> = match one.entry.kind {
            Kind::Whiteout if below.get(path).is_some() => disk.remove(path),
            Kind::Opaque => below.children(path).try_for_each(|child| disk.remove(&child.entry().path)),
            Kind::Whiteout
            | Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo => Ok(()),
        };
        removed.map_err(blame(path))?;
    }
    Ok(())
}
