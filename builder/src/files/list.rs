//! What a walk found: a list in pieces, so that it is made without being copied and goes piece by piece as it is used up.

use std::cmp::Ordering;
use std::iter::Flatten;
use std::{slice, vec};

use super::Found;

/// Smaller pieces are put together.
const SMALL: usize = 256;

/// Things found, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct FoundList {
    /// None is empty.
    pieces: Vec<Vec<Found>>,
}

impl FoundList {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.pieces.iter().map(Vec::len).sum()
    }

    /// Adds more at the end.
    pub(crate) fn append(&mut self, mut piece: Vec<Found>) {
        match self.pieces.last_mut() {
            _ if piece.is_empty() => {}
            Some(last) if last.len() < SMALL && piece.len() < SMALL => last.append(&mut piece),
            _ => {
                piece.shrink_to_fit();
                self.pieces.push(piece);
            }
        }
    }

    /// Takes the first one out.
    pub(crate) fn remove_first(&mut self) {
        if let Some(first) = self.pieces.first_mut() {
            first.remove(0);
        }
        self.drop_empty();
    }

    /// All of them.
    pub(crate) fn iter(&self) -> Flatten<slice::Iter<'_, Vec<Found>>> {
        self.pieces.iter().flatten()
    }

    /// Keeps those whose turn in `kept` says so.
    pub(crate) fn keep(&mut self, kept: &[bool]) {
        let mut kept = kept.iter();
        for piece in &mut self.pieces {
            piece.retain(|_| kept.next().is_some_and(|kept| *kept));
        }
        self.drop_empty();
    }

    /// Finds one in a list that is in order.
    pub(crate) fn search(&self, order: impl Fn(&Found) -> Ordering) -> Option<&Found> {
        let behind = self.pieces.partition_point(|piece| piece.first().is_some_and(|first| order(first).is_le()));
        let piece = &self.pieces[behind.checked_sub(1)?];
        piece.binary_search_by(order).ok().map(|at| &piece[at])
    }

    fn drop_empty(&mut self) {
        self.pieces.retain(|piece| !piece.is_empty());
    }
}

impl From<Vec<Found>> for FoundList {
    fn from(all: Vec<Found>) -> Self {
        let mut list = Self { pieces: vec![all] };
        list.drop_empty();
        list
    }
}

impl PartialEq for FoundList {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for FoundList {}

impl IntoIterator for FoundList {
    type Item = Found;
    type IntoIter = Flatten<vec::IntoIter<Vec<Found>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.into_iter().flatten()
    }
}

impl<'a> IntoIterator for &'a FoundList {
    type Item = &'a Found;
    type IntoIter = Flatten<slice::Iter<'a, Vec<Found>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &'a mut FoundList {
    type Item = &'a mut Found;
    type IntoIter = Flatten<slice::IterMut<'a, Vec<Found>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.pieces.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Entry, LayerPath};

    fn found(name: &str) -> Found {
        let entry = Entry::implied_dir(LayerPath::parse(name).unwrap());
        Found { entry, inode: None, stamp: None, content: None }
    }

    fn list(pieces: &[&[usize]]) -> FoundList {
        let pieces = pieces.iter().map(|piece| piece.iter().map(|at| found(&format!("{at:04}"))).collect());
        FoundList { pieces: pieces.collect() }
    }

    #[test]
    fn everything_is_found_wherever_pieces_begin() {
        for pieces in [&[&[0, 1, 2, 3][..]][..], &[&[0], &[1, 2], &[3]], &[&[0, 1], &[2, 3]]] {
            let list = list(pieces);
            for found in &list {
                assert_eq!(list.search(|other| other.entry.path.cmp(&found.entry.path)), Some(found), "{pieces:?}");
            }
            for absent in [found("0000x"), found("9"), found("-")] {
                assert_eq!(list.search(|other| other.entry.path.cmp(&absent.entry.path)), None);
            }
        }
        assert_eq!(list(&[]).search(|_| Ordering::Equal), None);
    }

    #[test]
    fn pieces_do_not_show() {
        let mut one = list(&[&[9], &[0, 1, 2], &[3], &[4]]);
        one.remove_first();
        one.keep(&[false, true, false, true, false]);
        assert_eq!(one, list(&[&[1, 3]]));
        assert_eq!(one.len(), 2);
        for piece in [1, SMALL, 2, 3] {
            one.append(vec![found("9"); piece]);
        }
        assert_eq!((one.len(), one.pieces.len()), (2 + 1 + SMALL + 5, 4));
        assert_eq!(one.clone().into_iter().collect::<Vec<_>>(), one.iter().cloned().collect::<Vec<_>>());
    }
}
