//! Putting a layer on top of a tree: hide first, then merge.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Node, Tree};
use crate::layer::entry::{Entry, Kind};
use crate::layer::index::{IndexEntry, LayerIndex};
use crate::layer::path::LayerPath;

pub(super) fn apply(tree: &mut Tree, layer: &LayerIndex) {
    let number = tree.layers;
    tree.layers += 1;
    hide(&mut tree.nodes, &markers(layer));
    let upper = upper_nodes(tree, layer, number);
    // What is no directory leaves no room for anything beneath it.
    let files: Vec<Cut> =
        upper.iter().filter(|node| !node.entry().is_dir()).map(|node| Cut::whole(&node.entry().path)).collect();
    hide(&mut tree.nodes, &files);
    merge(&mut tree.nodes, upper);
}

/// A part of the lower tree that is hidden.
struct Cut {
    path: LayerPath,
    /// Whether the path itself stays.
    keeps_top: bool,
}

impl Cut {
    fn whole(path: &LayerPath) -> Self {
        Self { path: path.clone(), keeps_top: false }
    }

    fn hides(&self, path: &LayerPath) -> bool {
        path.starts_with(&self.path) && !(self.keeps_top && *path == self.path)
    }
}

fn markers(layer: &LayerIndex) -> Vec<Cut> {
    let marker = |one: &Arc<IndexEntry>| match one.entry.kind {
        Kind::Whiteout => Some(Cut::whole(&one.entry.path)),
        Kind::Opaque => Some(Cut { path: one.entry.path.clone(), keeps_top: true }),
        Kind::File { .. }
        | Kind::Dir
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Char { .. }
        | Kind::Block { .. }
        | Kind::Fifo => None,
    };
    layer.entries().iter().filter_map(marker).collect()
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

/// The layer's entries as nodes: links resolved, missing parents made.
fn upper_nodes(tree: &mut Tree, layer: &LayerIndex, number: u32) -> Vec<Node> {
    let mut upper: BTreeMap<&LayerPath, Node> = BTreeMap::new();
    let mut implied: BTreeMap<LayerPath, Node> = BTreeMap::new();
    for one in layer.entries().iter().filter(|one| !one.entry.is_marker()) {
        for parent in missing_parents(&one.entry.path, |path| upper.contains_key(path) || implied.contains_key(path)) {
            if !tree.is_dir(&parent) {
                let entry = Entry::implied_dir(parent.clone());
                let what = Arc::new(IndexEntry { entry, content: None });
                implied.insert(parent, Node { what, layer: number, inode: take_inode(&mut tree.next_inode) });
            }
        }
        let node = match &one.entry.kind {
            // An index puts the target before its links.
            Kind::Hardlink { target } => match upper.get(target) {
                Some(original) => Node { what: renamed(&original.what, &one.entry.path), ..original.clone() },
                None => continue,
            },
            Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Whiteout
            | Kind::Opaque => Node { what: Arc::clone(one), layer: number, inode: take_inode(&mut tree.next_inode) },
        };
        upper.insert(&one.entry.path, node);
    }
    let mut nodes: Vec<Node> = upper.into_values().chain(implied.into_values()).collect();
    nodes.sort_by(|a, b| a.entry().path.cmp(&b.entry().path));
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

/// The directories above `path` that the layer itself does not have, the uppermost first.
fn missing_parents(path: &LayerPath, has: impl Fn(&LayerPath) -> bool) -> Vec<LayerPath> {
    let mut missing = Vec::new();
    let mut parent = path.parent();
    while let Some(here) = parent {
        if has(&here) {
            break;
        }
        parent = here.parent();
        missing.push(here);
    }
    missing.reverse();
    missing
}

/// Merges two lists in walk order; at the same path the upper one wins.
fn merge(nodes: &mut Vec<Node>, upper: Vec<Node>) {
    let lower = std::mem::take(nodes);
    nodes.reserve(lower.len() + upper.len());
    let mut lower = lower.into_iter().peekable();
    for node in upper {
        let path = &node.entry().path;
        while let Some(below) = lower.next_if(|below| below.entry().path < *path) {
            nodes.push(below);
        }
        lower.next_if(|below| below.entry().path == *path);
        nodes.push(node);
    }
    nodes.extend(lower);
}
