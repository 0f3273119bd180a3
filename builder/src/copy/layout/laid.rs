//! The result of a layout: a layer's entries, made one by one as they are written.

use std::collections::{BTreeMap, HashMap, HashSet, btree_map};
use std::iter::Peekable;

use super::runs::Merged;
use super::{FileId, Origin, Placed, Rules, id, origin};
use crate::layer::{Entry, Kind, LayerPath};

/// An entry of the new layer and where its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) entry: Entry,
    pub(crate) origin: Origin,
}

/// A layer's entries in walk order. Names of one file are links to its first.
pub(crate) struct Laid {
    placed: Peekable<btree_map::IntoIter<LayerPath, Placed>>,
    copied: Merged,
    rules: Rules,
    /// Files with more than one name in the layer, and the first of those that came by.
    several: HashSet<FileId>,
    first_names: HashMap<FileId, LayerPath>,
}

impl Laid {
    /// `ids` are those of all files that may have several names, one for each name.
    pub(super) fn new(placed: BTreeMap<LayerPath, Placed>, copied: Merged, rules: Rules, mut ids: Vec<FileId>) -> Self {
        ids.sort_unstable();
        let several = ids.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
        Self { placed: placed.into_iter().peekable(), copied, rules, several, first_names: HashMap::new() }
    }

    fn next_placed(&mut self) -> Option<Placed> {
        let copied_first = match (self.placed.peek(), self.copied.peek()) {
            (Some((placed, _)), Some(copied)) => copied < placed,
            (None, _) => true,
            (Some(_), None) => false,
        };
        if !copied_first {
            return self.placed.next().map(|(_, placed)| placed);
        }
        let (path, found) = self.copied.next()?;
        let (origin, id) = (origin(&found), id(&found));
        Some(Placed { entry: self.rules.apply(found.entry, path), origin, id })
    }
}

impl Iterator for Laid {
    type Item = Ready;

    fn next(&mut self) -> Option<Ready> {
        let Placed { mut entry, origin, id } = self.next_placed()?;
        let Some(id) = id.filter(|id| self.several.contains(id)) else { return Some(Ready { entry, origin }) };
        if let Some(target) = self.first_names.get(&id) {
            entry.kind = Kind::Hardlink { target: target.clone() };
            return Some(Ready { entry, origin: Origin::Nothing });
        }
        self.first_names.insert(id, entry.path.clone());
        Some(Ready { entry, origin })
    }
}
