//! Entries in their compact form as they come: sorted and checked without ever being held one by one.
//!
//! What comes in walk order is packed at once; markers and what is out of order wait, and are merged in at the end. Both are few
//! in every layer that is made here. Hard links need what they name, which is looked for at the end, too.

use std::collections::{BTreeMap, HashMap};
use std::iter::Peekable;
use std::vec;

use super::codec::{self, Reader};
use super::{IndexEntry, IndexError, LayerIndex, sort_key};
use crate::layer::entry::{Entry, Kind};
use crate::layer::path::LayerPath;

/// A [`LayerIndex`] being made.
#[derive(Debug, Default)]
pub(in crate::layer) struct Packer {
    packed: Packed,
    /// The path of the last entry that was packed.
    last: Option<LayerPath>,
    late: Vec<IndexEntry>,
    /// Hard links and what each names, in the order in which they came.
    links: Vec<(LayerPath, LayerPath)>,
    count: usize,
}

impl Packer {
    /// How many entries came.
    pub(in crate::layer) fn len(&self) -> usize {
        self.count
    }

    /// Takes an entry in.
    pub(in crate::layer) fn push(&mut self, one: IndexEntry) {
        self.count += 1;
        if let Kind::Hardlink { target } = &one.entry.kind {
            self.links.push((one.entry.path.clone(), target.clone()));
        }
        if one.entry.is_marker() || self.last.as_ref().is_some_and(|last| one.entry.path <= *last) {
            return self.late.push(one);
        }
        self.packed.push(&one);
        self.last = Some(one.entry.path);
    }

    /// Everything that came, checked.
    pub(in crate::layer) fn finish(mut self) -> Result<LayerIndex, IndexError> {
        self.late.sort_by(|a, b| sort_key(&a.entry).cmp(&sort_key(&b.entry)));
        let index = if self.late.is_empty() { self.packed.finish()? } else { merge(&self.packed.index, self.late)? };
        if !self.links.is_empty() {
            return settle(&index, self.links);
        }
        Ok(index)
    }
}

/// Entries in order, checked as they come. What is wrong is said at the end: who comes late may change it.
#[derive(Debug, Default)]
struct Packed {
    index: LayerIndex,
    before: Vec<u8>,
    /// The last entry that is no directory: nothing may lie beneath it.
    file: Option<LayerPath>,
    fault: Option<IndexError>,
}

impl Packed {
    fn push(&mut self, one: &IndexEntry) {
        let fault = self.misplaced(&one.entry);
        self.fault = self.fault.take().or(fault);
        let index = &mut self.index;
        codec::append(one, &self.before, &mut index.body);
        index.count += 1;
        index.has_markers |= one.entry.is_marker();
        index.opaque_root |= one.entry.path.is_root() && matches!(one.entry.kind, Kind::Opaque);
        self.before.clear();
        self.before.extend_from_slice(one.entry.path.as_bytes());
    }

    /// Nothing may lie beneath a file; the root is a directory and always there.
    fn misplaced(&mut self, entry: &Entry) -> Option<IndexError> {
        let path = &entry.path;
        let beneath = self.file.as_ref().is_some_and(|file| path.starts_with(file) && path != file);
        let wrong = match entry.kind {
            Kind::Dir | Kind::Opaque => beneath,
            Kind::Whiteout => beneath || path.is_root(),
            Kind::File { .. }
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo => {
                let wrong = beneath || path.is_root();
                if !wrong {
                    self.file = Some(path.clone());
                }
                wrong
            }
        };
        wrong.then(|| IndexError::ParentNotDirectory { path: path.clone() })
    }

    fn finish(mut self) -> Result<LayerIndex, IndexError> {
        self.index.body.shrink_to_fit();
        match self.fault {
            None => Ok(self.index),
            Some(fault) => Err(fault),
        }
    }
}

/// One of two sorted lists after the other.
struct Merged<'a> {
    packed: Peekable<super::Iter<'a>>,
    late: Peekable<vec::IntoIter<IndexEntry>>,
}

impl Iterator for Merged<'_> {
    type Item = IndexEntry;

    fn next(&mut self) -> Option<IndexEntry> {
        match (self.packed.peek(), self.late.peek()) {
            (Some(packed), Some(late)) if sort_key(&late.entry) < sort_key(&packed.entry) => self.late.next(),
            (Some(_), _) => self.packed.next(),
            (None, _) => self.late.next(),
        }
    }
}

fn merge(index: &LayerIndex, late: Vec<IndexEntry>) -> Result<LayerIndex, IndexError> {
    let mut merged = Merged { packed: index.iter().peekable(), late: late.into_iter().peekable() }.peekable();
    let mut packed = Packed::default();
    while let Some(one) = merged.next() {
        if merged.peek().is_some_and(|next| sort_key(&next.entry) == sort_key(&one.entry)) {
            return Err(IndexError::Duplicate { path: one.entry.path });
        }
        packed.push(&one);
    }
    packed.finish()
}

/// Gives every group of names the same shape: the first in order is the thing itself, the others link to it.
fn settle(index: &LayerIndex, links: Vec<(LayerPath, LayerPath)>) -> Result<LayerIndex, IndexError> {
    let named: HashMap<&LayerPath, &LayerPath> = links.iter().map(|(path, target)| (path, target)).collect();
    // Source of each group -> all its names, in order, the source among them.
    let mut groups: BTreeMap<&LayerPath, Vec<&LayerPath>> = BTreeMap::new();
    // Of each source, the link that names it.
    let mut namers: HashMap<&LayerPath, &LayerPath> = HashMap::new();
    for (path, _) in &links {
        let (source, namer) = follow(&named, path)?;
        groups.entry(source).or_insert_with(|| vec![source]).push(path);
        namers.entry(source).or_insert(namer);
    }
    let mut originals: HashMap<&LayerPath, IndexEntry> = HashMap::new();
    for one in index.iter().filter(|one| !one.entry.is_marker() && !one.entry.is_dir()) {
        if let Some((source, _)) = groups.get_key_value(&one.entry.path) {
            originals.insert(source, one);
        }
    }
    let mut settled: HashMap<&LayerPath, (&IndexEntry, Option<&LayerPath>)> = HashMap::new();
    for (source, names) in &mut groups {
        let Some(original) = originals.get(source) else {
            let namer = namers.get(source).copied().unwrap_or(source);
            return Err(IndexError::DanglingHardlink { path: namer.clone(), target: (*source).clone() });
        };
        names.sort_unstable();
        let first = names[0];
        settled.extend(names.iter().map(|name| (*name, (original, (*name != first).then_some(first)))));
    }
    let mut packed = Packed::default();
    for one in index {
        match settled.get(&one.entry.path).filter(|_| !one.entry.is_marker()) {
            None => packed.push(&one),
            Some((original, first)) => {
                let mut entry = Entry { path: one.entry.path, ..original.entry.clone() };
                if let Some(first) = first {
                    entry.kind = Kind::Hardlink { target: (*first).clone() };
                }
                packed.push(&IndexEntry { entry, content: original.content });
            }
        }
    }
    packed.finish()
}

/// What a link leads to over other links, and the last of those.
fn follow<'a>(
    named: &HashMap<&'a LayerPath, &'a LayerPath>,
    start: &'a LayerPath,
) -> Result<(&'a LayerPath, &'a LayerPath), IndexError> {
    let mut at = start;
    // A chain longer than there are links goes round in circles.
    for _ in 0..=named.len() {
        let Some(next) = named.get(at) else { break };
        if !named.contains_key(next) {
            return Ok((next, at));
        }
        at = next;
    }
    Err(IndexError::DanglingHardlink { path: start.clone(), target: at.clone() })
}

/// Reads stored entries back, whoever wrote them.
pub(super) fn decode(bytes: &[u8]) -> Result<LayerIndex, codec::DecodeError> {
    let mut packer = Packer::default();
    for one in Reader::stored(bytes)? {
        packer.push(one?);
    }
    Ok(packer.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::fingerprint::Fingerprint;

    fn path(text: &str) -> LayerPath {
        LayerPath::parse(text).unwrap()
    }

    fn one(text: &str, kind: Kind) -> IndexEntry {
        let content = matches!(kind, Kind::File { .. }).then(|| Fingerprint::of(text.as_bytes()));
        IndexEntry { entry: Entry::new(path(text), kind, 0o640), content }
    }

    fn link(text: &str, target: &str) -> IndexEntry {
        one(text, Kind::Hardlink { target: path(target) })
    }

    fn packed(entries: &[IndexEntry]) -> Result<LayerIndex, IndexError> {
        let mut packer = Packer::default();
        entries.iter().cloned().for_each(|one| packer.push(one));
        assert_eq!(packer.len(), entries.len());
        packer.finish()
    }

    fn some() -> Vec<IndexEntry> {
        let file = |text| one(text, Kind::File { size: 1 });
        vec![
            one("d", Kind::Whiteout),
            one("d", Kind::Dir),
            file("d/a"),
            link("d/b", "z"),
            one("d/gone", Kind::Whiteout),
            one("d", Kind::Opaque),
            file("d-x"),
            link("e", "d/b"),
            file("z"),
        ]
    }

    #[test]
    fn the_order_in_which_entries_come_does_not_show() {
        let mut entries = some();
        let expect = packed(&entries).unwrap();
        assert_eq!(expect.len(), entries.len());
        for _ in 0..entries.len() {
            entries.rotate_left(1);
            assert_eq!(packed(&entries).unwrap(), expect);
            let backwards: Vec<IndexEntry> = entries.iter().rev().cloned().collect();
            assert_eq!(packed(&backwards).unwrap(), expect);
        }
        assert_eq!(LayerIndex::decode(&expect.encode()).unwrap(), expect);
    }

    #[test]
    fn the_first_of_several_names_is_the_thing_and_all_know_its_content() {
        let index = packed(&some()).unwrap();
        let kind = |text: &str| index.get(&path(text)).unwrap().entry.kind;
        assert_eq!(kind("d/b"), Kind::File { size: 1 });
        for name in ["e", "z"] {
            assert_eq!(kind(name), Kind::Hardlink { target: path("d/b") });
            assert_eq!(index.get(&path(name)).unwrap().content, Some(Fingerprint::of(b"z")));
        }
        assert!(index.has_markers() && !index.hides_everything_below());
    }

    #[test]
    fn what_forms_no_layer_is_refused_however_late_it_comes() {
        let file = |text: &str| one(text, Kind::File { size: 1 });
        let twice = IndexError::Duplicate { path: path("a") };
        assert_eq!(packed(&[file("a"), file("b"), file("a")]), Err(twice.clone()));
        assert_eq!(packed(&[file("b"), file("a"), file("a")]), Err(twice));
        let beneath = IndexError::ParentNotDirectory { path: path("a/b") };
        assert_eq!(packed(&[file("a"), file("a/b")]), Err(beneath.clone()));
        assert_eq!(packed(&[file("a/b"), file("a")]), Err(beneath));
        let dangling =
            |link: &str, target: &str| IndexError::DanglingHardlink { path: path(link), target: path(target) };
        assert_eq!(packed(&[link("a", "b")]), Err(dangling("a", "b")));
        assert_eq!(packed(&[link("a", "b"), link("b", "a")]).unwrap_err().to_string().split(' ').next(), Some("the"));
        assert_eq!(packed(&[link("a", "d"), one("d", Kind::Dir)]), Err(dangling("a", "d")));
    }
}
