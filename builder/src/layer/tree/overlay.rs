//! Putting a layer on top of a tree: hide first, then merge.

use std::sync::Arc;

use super::{Node, Tree};
use crate::layer::entry::{Entry, Kind};
use crate::layer::index::{IndexEntry, LayerIndex};
use crate::layer::path::LayerPath;

pub(super) fn apply(tree: &mut Tree, layer: &LayerIndex) {
    let number = tree.layers;
    tree.layers += 1;
    if layer.is_empty() {
        return;
    }
    if layer.has_markers() {
        hide(&mut tree.nodes, &markers(layer));
    }
    let upper = upper_nodes(tree, layer, number);
    merge(&mut tree.nodes, upper);
}

/// A part of the lower tree that is hidden.
struct Cut {
    path: LayerPath,
    /// Whether the path itself stays.
    keeps_top: bool,
}

impl Cut {
    fn hides(&self, path: &LayerPath) -> bool {
        path.starts_with(&self.path) && !(self.keeps_top && *path == self.path)
    }
}

fn markers(layer: &LayerIndex) -> Vec<Cut> {
    let mut cuts = Vec::new();
    for one in layer {
        let path = one.entry.path;
        match one.entry.kind {
            Kind::Whiteout => cuts.push(Cut { path, keeps_top: false }),
            Kind::Opaque => cuts.push(Cut { path, keeps_top: true }),
            Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo => {}
        }
    }
    cuts
}

/// Drops the nodes hidden by `cuts`; both are in walk order.
fn hide(nodes: &mut Vec<Node>, cuts: &[Cut]) {
    if cuts.is_empty() {
        return;
    }
    let mut cuts = cuts.iter().peekable();
    let mut active: Option<&Cut> = None;
    nodes.retain(|node| {
        let path = &node.entry().path;
        while let Some(cut) = cuts.next_if(|cut| cut.path <= *path) {
            // A cut inside a hidden part adds nothing, and must not end it early.
            if active.is_none_or(|outer| !outer.hides(&cut.path)) {
                active = Some(cut);
            }
        }
        !active.is_some_and(|cut| cut.hides(path))
    });
}

/// The layer's entries as nodes in walk order: links resolved, missing parents made.
fn upper_nodes(tree: &mut Tree, layer: &LayerIndex, number: u32) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::with_capacity(layer.len());
    // The directories above the current entry, all of them known to be there.
    let mut way: Vec<LayerPath> = Vec::new();
    for one in layer.iter().filter(|one| !one.entry.is_marker()) {
        let path = &one.entry.path;
        while way.last().is_some_and(|above| !path.starts_with(above)) {
            way.pop();
        }
        let known = way.last().map_or(&[][..], LayerPath::as_bytes);
        if path.parent_bytes() != known {
            let missing: Vec<LayerPath> =
                path.ancestors().filter(|above| above.as_bytes().len() > known.len()).collect();
            for above in missing {
                if !tree.is_dir(&above) {
                    let entry = Entry::implied_dir(above.clone());
                    let what = Arc::new(IndexEntry { entry, content: None });
                    nodes.push(Node { what, layer: number, inode: take_inode(&mut tree.next_inode) });
                }
                way.push(above);
            }
        }
        let node = match &one.entry.kind {
            Kind::Hardlink { target } => {
                // An index puts the target before its links.
                let Ok(at) = nodes.binary_search_by(|node| node.entry().path.cmp(target)) else { continue };
                Node { what: renamed(&nodes[at].what, path), ..nodes[at] }
            }
            Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Whiteout
            | Kind::Opaque => Node { what: Arc::new(one), layer: number, inode: take_inode(&mut tree.next_inode) },
        };
        if node.entry().is_dir() && !node.entry().path.is_root() {
            way.push(node.entry().path.clone());
        }
        nodes.push(node);
    }
    nodes
}

fn take_inode(next: &mut u32) -> u32 {
    *next += 1;
    *next - 1
}

fn renamed(what: &IndexEntry, path: &LayerPath) -> Arc<IndexEntry> {
    let entry = Entry { path: path.clone(), ..what.entry.clone() };
    Arc::new(IndexEntry { entry, content: what.content })
}

/// Merges two lists in walk order. At the same path the upper one wins, and what is no directory leaves no room for
/// anything beneath it.
fn merge(nodes: &mut Vec<Node>, upper: Vec<Node>) {
    let lower = std::mem::take(nodes);
    nodes.reserve(lower.len() + upper.len());
    let mut lower = lower.into_iter();
    for node in upper {
        let path = &node.entry().path;
        let before = lower.as_slice().partition_point(|below| below.entry().path < *path);
        nodes.extend(lower.by_ref().take(before));
        let is_dir = node.entry().is_dir();
        let hidden = |below: &Node| below.entry().path == *path || (!is_dir && below.entry().path.starts_with(path));
        let replaced = lower.as_slice().iter().take_while(|below| hidden(below)).count();
        lower.by_ref().take(replaced).for_each(drop);
        nodes.push(node);
    }
    nodes.extend(lower);
}
