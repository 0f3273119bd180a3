//! A context's tree, walked by several threads: most of the time goes into asking the kernel about one file after the other.
//!
//! Directories are looked into level by level until there are enough for everybody; each is then walked to its end by
//! whoever is free. The result is that of a walk alone, in its order.

use std::mem;

use super::Context;
use super::parallel::for_each;
use crate::files::{Files as _, FilesError, Found, FoundList, walk_alone};

/// Enough directories for every thread to be busy until the end.
const ENOUGH: usize = 16;
/// No more levels are looked into alone.
const MOST_LEVELS: usize = 8;

/// A piece of the result, in order.
enum Piece {
    Found(Vec<Found>),
    /// A directory that nobody has looked into.
    Ahead(Box<Found>),
}

impl Piece {
    fn of(found: Found) -> Self {
        if found.is_dir() { Self::Ahead(Box::new(found)) } else { Self::Found(vec![found]) }
    }
}

pub(super) fn walk(context: &Context, top: Found) -> Result<FoundList, FilesError> {
    let mut pieces = vec![Piece::of(top)];
    for _ in 0..MOST_LEVELS {
        let ahead = pieces.iter().filter(|piece| matches!(piece, Piece::Ahead(_))).count();
        if ahead == 0 || ahead >= ENOUGH {
            break;
        }
        for piece in mem::take(&mut pieces) {
            match piece {
                Piece::Found(_) => pieces.push(piece),
                Piece::Ahead(directory) => {
                    let children = context.list(&directory.entry.path)?;
                    pieces.push(Piece::Found(vec![*directory]));
                    pieces.extend(children.into_iter().map(Piece::of));
                }
            }
        }
    }
    let ahead: Vec<&mut Piece> = pieces.iter_mut().filter(|piece| matches!(piece, Piece::Ahead(_))).collect();
    for_each(ahead, 1, |piece, (): &mut ()| {
        if let Piece::Ahead(directory) = piece {
            let mut found = walk_alone(context, Found::clone(directory))?;
            found.shrink_to_fit();
            *piece = Piece::Found(found);
        }
        Ok(())
    })?;
    let mut all = FoundList::default();
    for piece in pieces {
        all.append(match piece {
            Piece::Found(found) => found,
            Piece::Ahead(directory) => vec![*directory],
        });
    }
    Ok(all)
}
