//! The file system that a stack of layers makes, as an overlay mount would show it, from their indexes alone.
//!
//! Guarantees: whiteouts and opaque markers hide lower layers only; hard links are resolved (every name of a file is a
//! file, and names of one file share [`Node::inode`]); every node's parent is a directory of the tree; nothing leads
//! out of the root. Pushing a layer costs one pass over the nodes, cloning a tree one reference count per node.

mod overlay;
mod resolve;

use std::sync::Arc;

use super::entry::{Entry, Kind};
use super::fingerprint::Fingerprint;
use super::index::{IndexEntry, LayerIndex};
use super::path::LayerPath;

pub use resolve::{Resolution, ResolveError};

/// One path of a [`Tree`].
#[derive(Clone, Debug)]
pub struct Node {
    /// What is there; never a hard link or a marker.
    what: Arc<IndexEntry>,
    layer: u32,
    inode: u32,
}

impl Node {
    /// Path, kind and metadata. Never [`Kind::Hardlink`], [`Kind::Whiteout`] or [`Kind::Opaque`].
    pub fn entry(&self) -> &Entry {
        &self.what.entry
    }

    /// Entry and content together.
    pub fn index_entry(&self) -> &IndexEntry {
        &self.what
    }

    /// What a regular file contains.
    pub fn content(&self) -> Option<Fingerprint> {
        self.what.content
    }

    /// Which layer of the stack it comes from, 0 the lowest. A directory in several layers counts for the uppermost.
    pub fn layer(&self) -> usize {
        self.layer as usize
    }

    /// Equal for the names of one file, different for everything else in this tree.
    pub fn inode(&self) -> u32 {
        self.inode
    }
}

/// The merged view of a stack of layers.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    layers: u32,
    next_inode: u32,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// The empty image: a root directory and nothing in it.
    pub fn new() -> Self {
        let what = Arc::new(IndexEntry { entry: Entry::implied_dir(LayerPath::root()), content: None });
        Self { nodes: vec![Node { what, layer: 0, inode: 0 }], layers: 0, next_inode: 1 }
    }

    /// The view over `layers`, lowest first.
    pub fn of<'a>(layers: impl IntoIterator<Item = &'a LayerIndex>) -> Self {
        let mut tree = Self::new();
        for layer in layers {
            tree.push(layer);
        }
        tree
    }

    /// Puts one more layer on top.
    pub fn push(&mut self, layer: &LayerIndex) {
        overlay::apply(self, layer);
    }

    /// How many layers there are.
    pub fn layers(&self) -> usize {
        self.layers as usize
    }

    /// What is at `path`, symlinks not followed.
    pub fn get(&self, path: &LayerPath) -> Option<&Node> {
        self.position(path).ok().map(|at| &self.nodes[at])
    }

    /// What is directly in the directory `path`, sorted by name; nothing for anything but a directory.
    pub fn children(&self, path: &LayerPath) -> impl Iterator<Item = &Node> {
        let mut below = self.below(path);
        std::iter::from_fn(move || {
            let (child, rest) = below.split_first()?;
            let path = &child.entry().path;
            // Most nodes have nothing beneath them: look next door before searching.
            below = match rest.first() {
                Some(next) if next.entry().path.starts_with(path) => {
                    &rest[rest.partition_point(|node| node.entry().path.starts_with(path))..]
                }
                Some(_) | None => rest,
            };
            Some(child)
        })
    }

    /// `path` and everything beneath it, each directory right before its content.
    pub fn walk(&self, path: &LayerPath) -> &[Node] {
        match self.position(path) {
            Ok(at) => &self.nodes[at..at + 1 + self.below(path).len()],
            Err(_) => &[],
        }
    }

    /// Every node, the root first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    fn position(&self, path: &LayerPath) -> Result<usize, usize> {
        self.nodes.binary_search_by(|node| node.entry().path.cmp(path))
    }

    fn below(&self, path: &LayerPath) -> &[Node] {
        let Ok(at) = self.position(path) else { return &[] };
        let rest = &self.nodes[at + 1..];
        &rest[..rest.partition_point(|node| node.entry().path.starts_with(path))]
    }

    fn is_dir(&self, path: &LayerPath) -> bool {
        self.get(path).is_some_and(|node| matches!(node.entry().kind, Kind::Dir))
    }
}

#[cfg(test)]
mod tests;
