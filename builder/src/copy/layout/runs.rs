//! Copied directories on their way into a layer: lists as the walk found them, not one entry after the other.
//!
//! What lies beneath a directory has the same order at its destination, so a list needs no second one to be looked up in or
//! to be merged. A path is in one place only: whoever puts something there takes it out of every list ([`Runs::forget`]).

use std::collections::HashSet;
use std::mem;

use crate::files::{Found, FoundList};
use crate::layer::{LayerPath, PathError};

/// More lists are not searched for each path.
const MOST: usize = 16;

/// Directories that were copied.
#[derive(Default)]
pub(super) struct Runs(Vec<Run>);

/// What was beneath one directory.
struct Run {
    place: Place,
    found: FoundList,
    /// Those that something else replaced since, by where they were.
    gone: HashSet<LayerPath>,
}

/// Where a directory was and where it goes.
pub(super) struct Place {
    /// The directory in the source tree.
    pub(super) top: LayerPath,
    /// The directory in the layer.
    pub(super) base: LayerPath,
}

impl Place {
    /// Where something beneath the directory goes.
    pub(super) fn target(&self, found: &Found) -> Result<LayerPath, PathError> {
        self.base.join_path(&found.entry.path.strip_prefix(&self.top).unwrap_or_default())
    }

    /// Where something in the layer comes from, if it lies beneath the directory.
    fn source(&self, path: &LayerPath) -> Option<LayerPath> {
        let below = path.strip_prefix(&self.base).filter(|below| !below.is_root())?;
        self.top.join_path(&below).ok()
    }
}

impl Run {
    fn get(&self, path: &LayerPath) -> Option<&Found> {
        let source = self.place.source(path)?;
        self.found.search(|found| found.entry.path.cmp(&source)).filter(|found| !self.gone.contains(&found.entry.path))
    }
}

impl Runs {
    /// Whether one more would be too many.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// Takes one more. What it puts somewhere is in no other list any more.
    pub(super) fn push(&mut self, place: Place, found: FoundList) {
        self.0.push(Run { place, found, gone: HashSet::new() });
    }

    /// What was copied to `path`.
    pub(super) fn get(&self, path: &LayerPath) -> Option<&Found> {
        self.0.iter().find_map(|run| run.get(path))
    }

    /// Something else is at `path` now.
    pub(super) fn forget(&mut self, path: &LayerPath) {
        for run in &mut self.0 {
            if let Some(found) = run.get(path) {
                let source = found.entry.path.clone();
                run.gone.insert(source);
            }
        }
    }

    /// The directories that things were copied to.
    pub(super) fn bases(&self) -> impl Iterator<Item = &LayerPath> {
        self.0.iter().map(|run| &run.place.base)
    }

    /// Everything that is still there, list after list.
    pub(super) fn found(&self) -> impl Iterator<Item = &Found> {
        let there = |run: &Run, found: &Found| !run.gone.contains(&found.entry.path);
        self.0.iter().flat_map(move |run| run.found.iter().filter(move |found| there(run, found)))
    }

    /// All lists as one, in walk order of where things go.
    pub(super) fn merged(self) -> Merged {
        let mut heads: Vec<Head> = self.0.into_iter().map(Head::new).collect();
        heads.iter_mut().for_each(Head::advance);
        Merged(heads)
    }
}

/// What was copied, by where it goes.
pub(super) struct Merged(Vec<Head>);

struct Head {
    place: Place,
    rest: <FoundList as IntoIterator>::IntoIter,
    gone: HashSet<LayerPath>,
    next: Option<(LayerPath, Found)>,
}

impl Head {
    fn new(run: Run) -> Self {
        Self { place: run.place, rest: run.found.into_iter(), gone: run.gone, next: None }
    }

    fn advance(&mut self) {
        let gone = &self.gone;
        self.next = self.rest.find(|found| !gone.contains(&found.entry.path)).map(|found| {
            // It was looked at when the directory was copied.
            (self.place.target(&found).unwrap_or_default(), found)
        });
    }

    fn path(&self) -> Option<&LayerPath> {
        self.next.as_ref().map(|(path, _)| path)
    }
}

impl Merged {
    fn first(&mut self) -> Option<&mut Head> {
        self.0.iter_mut().filter(|head| head.next.is_some()).min_by(|a, b| a.path().cmp(&b.path()))
    }

    /// Where the next thing goes.
    pub(super) fn peek(&mut self) -> Option<&LayerPath> {
        self.first().and_then(|head| head.path())
    }
}

impl Iterator for Merged {
    type Item = (LayerPath, Found);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.first()?;
        let next = mem::take(&mut head.next);
        head.advance();
        next
    }
}
