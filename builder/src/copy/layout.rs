//! Where copied things land: the new layer's entries, worked out on top of the tree that is there.
//!
//! The rules are those of `COPY`: links in a destination are followed inside the image, existing directories keep their
//! mode and owner, new ones above the destination are `0755` or what `--chmod` says, files replace files, and neither replaces
//! the other kind. The result is in walk order, with the directories above every change.
//!
//! Copied directories stay the lists that they came as ([`runs`]); entries of the layer are made while it is written ([`laid`]).

mod laid;
mod runs;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::files::{Found, FoundList, Selection, Stamp};
use crate::layer::{Entry, Fingerprint, Kind, LayerPath, Mtime, PathError, Tree};
use crate::plan::{Chmod, DestinationForm, Subject};

use super::owner::Owner;
use super::spool::Spool;
use runs::{Place, Runs};

pub(crate) use laid::{Laid, Ready};

/// The time of what has none: the earliest that every archive format can hold. The same on every machine and day.
pub(crate) const DATELESS: Mtime = Mtime::from_secs(315_532_800);

/// How many links a destination may lead through.
const MOST_LINKS: usize = 255;

/// What is done to everything that is copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// `--chown`.
    pub(crate) owner: Option<Owner>,
    /// `--chmod`.
    pub(crate) mode: Option<Chmod>,
}

/// Where a file's bytes are.
#[derive(Clone, Debug)]
pub(crate) enum Origin {
    /// There are none.
    Nothing,
    /// In the source tree.
    Source(SourceFile),
    /// In a spool, from here on.
    Spool(Spool, u64),
    /// Here.
    Text(Arc<[u8]>),
}

/// A regular file of the source tree.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: LayerPath,
    /// What the file system said when it was looked at.
    pub(crate) stamp: Option<Stamp>,
    /// What it contained then.
    pub(crate) content: Option<Fingerprint>,
}

#[derive(Clone, Debug)]
struct Placed {
    entry: Entry,
    origin: Origin,
    /// The same for all names of one file.
    id: Option<FileId>,
}

/// What all names of one file have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FileId {
    /// A file of the source tree, by its inode.
    Source(u64),
    /// A member of an archive.
    Member(u64),
}

/// Why something cannot be put where it should go.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlaceError {
    /// Something on the way is no directory.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// What is in the way.
        path: LayerPath,
    },
    /// A file would replace a directory.
    #[error("{path} is a directory and cannot be replaced by a file")]
    FileOverDirectory {
        /// The directory.
        path: LayerPath,
    },
    /// A directory would replace a file.
    #[error("{path} is not a directory and cannot be replaced by one")]
    DirectoryOverFile {
        /// The file.
        path: LayerPath,
    },
    /// Links that go round in circles.
    #[error("{path} leads through too many symbolic links")]
    TooManyLinks {
        /// The path asked for.
        path: LayerPath,
    },
    /// A name that means a deletion in layers.
    #[error("{path} cannot be stored in an image: names that begin with `.wh.` mean deletions there")]
    ReservedName {
        /// The path.
        path: LayerPath,
    },
    /// Too long, or worse.
    #[error("{text} is no path of an image")]
    Path {
        /// As written.
        text: String,
        /// What is wrong with it.
        source: PathError,
    },
}

/// The new layer while it is put together.
pub(crate) struct Layout<'t> {
    below: &'t Tree,
    /// What is in no list of `runs`.
    placed: BTreeMap<LayerPath, Placed>,
    runs: Runs,
    rules: Rules,
    members: u64,
}

impl<'t> Layout<'t> {
    /// An empty layer on top of `below`.
    pub(crate) fn new(below: &'t Tree, rules: Rules) -> Self {
        Self { below, placed: BTreeMap::new(), runs: Runs::default(), rules, members: 0 }
    }

    /// Copies one thing to `destination`.
    pub(crate) fn copy(
        &mut self,
        selection: Selection,
        destination: &str,
        form: DestinationForm,
    ) -> Result<(), PlaceError> {
        if selection.top.is_dir() {
            return self.copy_directory(selection, destination);
        }
        let target = self.file_target(&selection.name, destination, form)?;
        let (origin, id) = (origin(&selection.top), id(&selection.top));
        self.put(self.rules.apply(selection.top.entry, target), origin, id)
    }

    /// Puts a file with this text into `destination`, or there.
    pub(crate) fn write(
        &mut self,
        (name, text): (&str, Arc<[u8]>),
        destination: &str,
        form: DestinationForm,
    ) -> Result<(), PlaceError> {
        let target = self.file_target(name.as_bytes(), destination, form)?;
        let mut entry = Entry::new(target.clone(), Kind::File { size: text.len() as u64 }, 0o644);
        entry.mtime = DATELESS;
        self.put(self.rules.apply(entry, target), Origin::Text(text), None)
    }

    /// Puts a file that is a whole spool into `destination`, or there. The entry's path is its name.
    pub(crate) fn write_spooled(
        &mut self,
        (entry, spool): (&Entry, Spool),
        destination: &str,
        form: DestinationForm,
    ) -> Result<(), PlaceError> {
        let target = self.file_target(entry.path.file_name(), destination, form)?;
        self.put(self.rules.apply(entry.clone(), target), Origin::Spool(spool, 0), None)
    }

    /// Makes `path` and what is missing above it; says where it really is.
    pub(crate) fn make_directories(&mut self, path: &str) -> Result<LayerPath, PlaceError> {
        let path = self.resolve(&parse(path)?, &LayerPath::root())?;
        self.make_all(&path)?;
        Ok(path)
    }

    /// Puts an entry of an archive at its path below `root`; links in its directories are followed inside `root`.
    pub(crate) fn put_member(
        &mut self,
        root: &LayerPath,
        entry: &Entry,
        (origin, id): (Origin, Option<FileId>),
    ) -> Result<(), PlaceError> {
        let parent = entry.path.parent().unwrap_or_default();
        let parent = self.resolve(&join(root, &parent)?, root)?;
        self.make_all(&parent)?;
        let target = match entry.path.file_name() {
            b"" => parent,
            name => join(&parent, &parse_bytes(name)?)?,
        };
        let mut entry = Entry { path: target, ..entry.clone() };
        if let Some(Owner { uid, gid }) = self.rules.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        self.put(entry, origin, id)
    }

    /// An id for the next file of an archive.
    pub(crate) fn new_member(&mut self) -> FileId {
        self.members += 1;
        FileId::Member(self.members)
    }

    /// What an archive has put at a path below `root` so far, for its hard links.
    pub(crate) fn member(&self, root: &LayerPath, path: &LayerPath) -> Option<(Entry, Origin, Option<FileId>)> {
        let path = self.resolve(&join(root, path).ok()?, root).ok()?;
        if let Some(placed) = self.placed.get(&path) {
            return Some((placed.entry.clone(), placed.origin.clone(), placed.id));
        }
        let found = self.runs.get(&path)?;
        Some((self.rules.apply(found.entry.clone(), path), origin(found), id(found)))
    }

    fn copy_directory(&mut self, selection: Selection, destination: &str) -> Result<(), PlaceError> {
        let Selection { top: Found { entry: top, .. }, below, .. } = selection;
        let base = self.resolve(&parse(destination)?, &LayerPath::root())?;
        self.make_all(&base)?;
        // What was there keeps its mode and owner; its time becomes the source's.
        if !base.is_root() {
            let mut entry = self.entry(&base).unwrap_or_else(|| Entry::implied_dir(base.clone()));
            entry.mtime = top.mtime;
            self.place(Placed { entry, origin: Origin::Nothing, id: None });
        }
        let place = Place { top: top.path, base };
        if self.runs.is_full() {
            return self.copy_each(&place, below);
        }
        for found in &below {
            let path = target(&place, found)?;
            self.check(&path, found.is_dir())?;
            self.placed.remove(&path);
            self.runs.forget(&path);
        }
        self.runs.push(place, below);
        Ok(())
    }

    /// The same without a list.
    fn copy_each(&mut self, place: &Place, below: FoundList) -> Result<(), PlaceError> {
        for found in below {
            let path = target(place, &found)?;
            let (origin, id) = (origin(&found), id(&found));
            self.put(self.rules.apply(found.entry, path), origin, id)?;
        }
        Ok(())
    }

    /// Where a file called `name` goes: into `destination` when that is a directory, else there.
    fn file_target(&mut self, name: &[u8], destination: &str, form: DestinationForm) -> Result<LayerPath, PlaceError> {
        let path = self.resolve(&parse(destination)?, &LayerPath::root())?;
        let into = form == DestinationForm::Directory || self.kind(&path) == Some(&Kind::Dir);
        if into {
            self.make_all(&path)?;
            return join(&path, &parse_bytes(name)?);
        }
        self.make_all(&path.parent().unwrap_or_default())?;
        Ok(path)
    }

    fn put(&mut self, entry: Entry, origin: Origin, id: Option<FileId>) -> Result<(), PlaceError> {
        self.check(&entry.path, entry.is_dir())?;
        self.place(Placed { entry, origin, id });
        Ok(())
    }

    /// Whether something may be put at `path`.
    fn check(&self, path: &LayerPath, is_dir: bool) -> Result<(), PlaceError> {
        if path.file_name().starts_with(b".wh.") {
            return Err(PlaceError::ReservedName { path: path.clone() });
        }
        match self.kind(path) {
            Some(Kind::Dir) if !is_dir => Err(PlaceError::FileOverDirectory { path: path.clone() }),
            Some(there) if is_dir && *there != Kind::Dir => Err(PlaceError::DirectoryOverFile { path: path.clone() }),
            _ => Ok(()),
        }
    }

    fn place(&mut self, placed: Placed) {
        self.runs.forget(&placed.entry.path);
        self.placed.insert(placed.entry.path.clone(), placed);
    }

    /// Makes the directories that are missing on the way to `path`, itself included. No link is on the way any more.
    fn make_all(&mut self, path: &LayerPath) -> Result<(), PlaceError> {
        for here in path.ancestors().chain([path.clone()]) {
            match self.kind(&here) {
                Some(Kind::Dir) => {}
                Some(_) => return Err(PlaceError::NotADirectory { path: here }),
                None => {
                    let mut entry = Entry::implied_dir(here);
                    entry.mtime = DATELESS;
                    // An octal mode is for what is made on the way, too, but for its three special bits.
                    if let Some(Chmod::Octal(mode)) = &self.rules.mode {
                        entry.mode = *mode & 0o777;
                    }
                    if let Some(Owner { uid, gid }) = self.rules.owner {
                        (entry.uid, entry.gid) = (uid, gid);
                    }
                    self.place(Placed { entry, origin: Origin::Nothing, id: None });
                }
            }
        }
        Ok(())
    }

    /// What is at a path, links not followed.
    fn kind(&self, path: &LayerPath) -> Option<&Kind> {
        if let Some(placed) = self.placed.get(path) {
            return Some(&placed.entry.kind);
        }
        match self.runs.get(path) {
            Some(found) => Some(&found.entry.kind),
            None => self.below.get(path).map(|node| &node.entry().kind),
        }
    }

    /// The same with its metadata.
    fn entry(&self, path: &LayerPath) -> Option<Entry> {
        if let Some(placed) = self.placed.get(path) {
            return Some(placed.entry.clone());
        }
        match self.runs.get(path) {
            Some(found) => Some(self.rules.apply(found.entry.clone(), path.clone())),
            None => self.below.get(path).map(|node| node.entry().clone()),
        }
    }

    /// Follows all links of `path`, which lies below `root`, without leaving `root`. What is missing is taken as it is.
    fn resolve(&self, path: &LayerPath, root: &LayerPath) -> Result<LayerPath, PlaceError> {
        let inside = path.strip_prefix(root).unwrap_or_default();
        let mut ahead: Vec<Vec<u8>> = inside.components().map(<[u8]>::to_vec).collect();
        ahead.reverse();
        let (mut here, mut links) = (root.clone(), 0);
        while let Some(name) = ahead.pop() {
            if name == b".." {
                here = here.parent().filter(|parent| parent.starts_with(root)).unwrap_or_else(|| root.clone());
                continue;
            }
            let next = here.join(&name).map_err(|source| PlaceError::Path { text: path.to_string(), source })?;
            match self.kind(&next) {
                Some(Kind::Symlink { target }) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(PlaceError::TooManyLinks { path: path.clone() });
                    }
                    if target.starts_with(b"/") {
                        here = root.clone();
                    }
                    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
                    ahead.extend(names.rev().map(<[u8]>::to_vec));
                }
                Some(Kind::Dir) | None => here = next,
                Some(_) if ahead.is_empty() => here = next,
                Some(_) => return Err(PlaceError::NotADirectory { path: next }),
            }
        }
        Ok(here)
    }

    /// The layer's entries in walk order: with the directories above every change, and names of one file linked.
    pub(crate) fn finish(mut self) -> Laid {
        let mut above: BTreeMap<LayerPath, Entry> = BTreeMap::new();
        for path in self.placed.keys().chain(self.runs.bases()) {
            for parent in path.ancestors().filter(|parent| !parent.is_root() && !self.is_new(parent)) {
                if let Some(node) = self.below.get(&parent) {
                    above.entry(parent).or_insert_with(|| node.entry().clone());
                }
            }
        }
        for (path, entry) in above {
            self.placed.insert(path, Placed { entry, origin: Origin::Nothing, id: None });
        }
        // The root is an entry only when something changed it.
        let root = LayerPath::root();
        let unchanged =
            |placed: &Placed| self.below.get(&root).is_some_and(|node| node.entry().same_metadata(&placed.entry));
        if self.placed.get(&root).is_some_and(unchanged) {
            self.placed.remove(&root);
        }
        let ids = self.placed.values().filter_map(|placed| placed.id).chain(self.runs.found().filter_map(id)).collect();
        Laid::new(self.placed, self.runs.merged(), self.rules, ids)
    }

    /// Whether the layer has something at `path`.
    fn is_new(&self, path: &LayerPath) -> bool {
        self.placed.contains_key(path) || self.runs.get(path).is_some()
    }
}

impl Rules {
    /// An entry as they want it, at another path.
    fn apply(&self, entry: Entry, path: LayerPath) -> Entry {
        let mut entry = Entry { path, ..entry };
        if let Some(Owner { uid, gid }) = self.owner {
            (entry.uid, entry.gid) = (uid, gid);
        }
        let subject = match entry.kind {
            Kind::Symlink { .. } => return entry,
            Kind::Dir => Subject::Directory,
            _ => Subject::Other,
        };
        match &self.mode {
            None => {}
            Some(Chmod::Octal(mode)) => entry.mode = *mode,
            Some(Chmod::Symbolic(change)) => entry.mode = change.apply(entry.mode, subject),
        }
        entry
    }
}

fn target(place: &Place, found: &Found) -> Result<LayerPath, PlaceError> {
    place.target(found).map_err(|source| PlaceError::Path { text: found.entry.path.to_string(), source })
}

fn origin(found: &Found) -> Origin {
    match found.entry.kind {
        Kind::File { .. } => {
            Origin::Source(SourceFile { path: found.entry.path.clone(), stamp: found.stamp, content: found.content })
        }
        _ => Origin::Nothing,
    }
}

fn id(found: &Found) -> Option<FileId> {
    found.inode.map(|inode| FileId::Source(inode.get()))
}

fn parse(text: &str) -> Result<LayerPath, PlaceError> {
    parse_bytes(text.as_bytes())
}

fn parse_bytes(bytes: &[u8]) -> Result<LayerPath, PlaceError> {
    let text = || String::from_utf8_lossy(bytes).into_owned();
    LayerPath::parse_clipped(bytes).map_err(|source| PlaceError::Path { text: text(), source })
}

fn join(base: &LayerPath, below: &LayerPath) -> Result<LayerPath, PlaceError> {
    base.join_path(below).map_err(|source| PlaceError::Path { text: below.to_string(), source })
}

#[cfg(test)]
mod tests;
