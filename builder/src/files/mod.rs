//! Trees of files that `COPY` and `RUN --mount` read: a directory of the machine, or the result of a stage.
//!
//! A tree answers what is where and what it hashes to; how its bytes are had is its owner's business. Paths are relative
//! to the tree's root, and nothing leads out of it: symbolic links are followed inside it, by [`resolve`] and no one
//! else.

mod list;
mod resolve;
mod select;

use std::io;
use std::num::{NonZeroU32, NonZeroU64};

use crate::layer::{Entry, Fingerprint, Kind, LayerPath, PathError};

pub(crate) use list::FoundList;
pub(crate) use resolve::resolve;
pub(crate) use select::{Request, SelectError, Selected, Selection, select};

/// What is at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// Path, kind and metadata. Never a hard link or a marker.
    pub(crate) entry: Entry,
    /// The same for all names of one file, when it has several.
    pub(crate) inode: Option<NonZeroU64>,
    /// What the file system said about a regular file, where there is one.
    pub(crate) stamp: Option<Stamp>,
    /// What a regular file contains, once [`Files::fingerprint`] was asked.
    pub(crate) content: Option<Fingerprint>,
}

/// What identifies a file's content on this machine: a short hash of what the file system says about it. Of 2^64 files two
/// are expected to have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    key: StampKey,
    changed: NonZeroU32,
}

/// A [`Stamp`] as it is remembered.
pub(crate) type StampKey = [u8; 16];

impl Stamp {
    /// Of what the file system says. `changed` is when the file did, in seconds since 1970.
    pub(crate) fn new<const N: usize>(numbers: &[i64; N], changed: i64) -> Self {
        let fields = Fingerprint::of(numbers.map(i64::to_le_bytes).as_flattened());
        // Later than 2106 is as good as never, and before 1970 as good as then.
        let changed = u32::try_from(changed.max(1)).unwrap_or(u32::MAX);
        Self {
            key: fields.as_bytes().first_chunk().copied().unwrap_or_default(),
            changed: NonZeroU32::new(changed).unwrap_or(NonZeroU32::MIN),
        }
    }

    /// What stands for all of it.
    pub(crate) const fn key(&self) -> &StampKey {
        &self.key
    }

    /// When the file, or what is known about it, changed last, in seconds since 1970.
    pub(crate) fn changed(&self) -> i64 {
        self.changed.get().into()
    }
}

impl Found {
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.entry.kind, Kind::File { .. })
    }

    pub(crate) fn is_dir(&self) -> bool {
        matches!(self.entry.kind, Kind::Dir)
    }
}

/// A tree of files.
pub(crate) trait Files: Send + Sync {
    /// What is at `path`, links not followed; `None` when nothing is, or nothing that may be seen.
    fn get(&self, path: &LayerPath) -> Result<Option<Found>, FilesError>;

    /// What is directly in a directory, sorted by name.
    fn list(&self, path: &LayerPath) -> Result<Vec<Found>, FilesError>;

    /// Fills in what regular files contain.
    fn fingerprint(&self, files: Vec<&mut Found>) -> Result<(), FilesError>;

    /// `top` and everything beneath it, each directory right before its content; links are not followed.
    fn walk(&self, top: &Found) -> Result<FoundList, FilesError> {
        walk_alone(self, top.clone()).map(FoundList::from)
    }
}

/// Why a tree cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FilesError {
    /// The system refuses.
    #[error("cannot read {path}")]
    Io {
        /// What.
        path: LayerPath,
        /// The system's words.
        source: io::Error,
    },
    /// A name that no layer can hold.
    #[error("a name in {parent} cannot be stored in an image")]
    Name {
        /// The directory.
        parent: LayerPath,
        /// What is wrong with it.
        source: PathError,
    },
    /// Links that go round in circles.
    #[error("{path} leads through too many symbolic links")]
    TooManyLinks {
        /// The path asked for.
        path: LayerPath,
    },
}

/// [`Files::walk`], one directory after the other.
pub(crate) fn walk_alone(files: &(impl Files + ?Sized), top: Found) -> Result<Vec<Found>, FilesError> {
    let mut all = Vec::new();
    let mut ahead = vec![top];
    while let Some(found) = ahead.pop() {
        if found.is_dir() {
            let mut children = files.list(&found.entry.path)?;
            children.reverse();
            ahead.extend(children);
        }
        all.push(found);
    }
    Ok(all)
}
