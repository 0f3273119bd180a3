//! What a layer consists of: entries with a path, a kind and the metadata that a tar header can carry.
//!
//! Whiteouts are kinds of their own here; how a tar (`.wh.name`) or an overlay (character device 0:0) spells them is
//! the business of the modules that read and write those.

use std::collections::{BTreeMap, btree_map};
use std::fmt;

use super::path::LayerPath;

/// Extended attributes by full name (`security.capability`). Nearly every entry has none, and pays one word for them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Xattrs(Option<Box<Attributes>>);

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

impl Xattrs {
    /// None.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |attributes| attributes.len())
    }

    /// Sets one.
    pub fn insert(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.0.get_or_insert_default().insert(name, value);
    }

    /// All of them, by name.
    pub fn iter(&self) -> btree_map::Iter<'_, Vec<u8>, Vec<u8>> {
        static NONE: Attributes = BTreeMap::new();
        self.0.as_deref().unwrap_or(&NONE).iter()
    }

    /// Their names.
    pub fn keys(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.iter().map(|(name, _)| name)
    }
}

impl<'a> IntoIterator for &'a Xattrs {
    type Item = (&'a Vec<u8>, &'a Vec<u8>);
    type IntoIter = btree_map::Iter<'a, Vec<u8>, Vec<u8>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<(Vec<u8>, Vec<u8>)> for Xattrs {
    fn from_iter<I: IntoIterator<Item = (Vec<u8>, Vec<u8>)>>(all: I) -> Self {
        let mut xattrs = Self::new();
        for (name, value) in all {
            xattrs.insert(name, value);
        }
        xattrs
    }
}

impl fmt::Debug for Xattrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// One entry of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it is. For a [`Kind::Whiteout`] the path that is hidden, for a [`Kind::Opaque`] the directory.
    pub path: LayerPath,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of the last modification.
    pub mtime: Mtime,
    /// Extended attributes that travel with an image.
    pub xattrs: Xattrs,
}

/// The kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of `size` bytes.
    File {
        /// Length of its content.
        size: u64,
    },
    /// A directory.
    Dir,
    /// A symbolic link; its target is any bytes, followed (if ever) inside the image's root.
    Symlink {
        /// Where it points, as written.
        target: Box<[u8]>,
    },
    /// Another name for a non-directory of the same layer.
    Hardlink {
        /// The entry it is another name of.
        target: LayerPath,
    },
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
    /// Whatever lower layers have at this path is gone.
    Whiteout,
    /// Whatever lower layers have *beneath* this directory is gone.
    Opaque,
}

/// Seconds and nanoseconds since 1970; before it `secs` is negative and `nanos` still counts forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mtime {
    /// Whole seconds, rounded down.
    pub secs: i64,
    /// `0..1_000_000_000`.
    pub nanos: u32,
}

impl Mtime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { secs: 0, nanos: 0 };

    /// A whole second.
    pub const fn from_secs(secs: i64) -> Self {
        Self { secs, nanos: 0 }
    }
}

impl Entry {
    /// An entry owned by root, modified at the epoch, without extended attributes.
    pub fn new(path: LayerPath, kind: Kind, mode: u32) -> Self {
        Self { path, kind, mode, uid: 0, gid: 0, mtime: Mtime::EPOCH, xattrs: Xattrs::new() }
    }

    /// A directory that nobody described: `0755`, root, epoch. What unpacking creates for a missing parent.
    pub fn implied_dir(path: LayerPath) -> Self {
        Self::new(path, Kind::Dir, 0o755)
    }

    /// A whiteout of `path`.
    pub fn whiteout(path: LayerPath) -> Self {
        Self::new(path, Kind::Whiteout, 0)
    }

    /// The marker that makes the directory `path` opaque.
    pub fn opaque(path: LayerPath) -> Self {
        Self::new(path, Kind::Opaque, 0)
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self.kind, Kind::Dir)
    }

    /// Whether it hides something of lower layers rather than being something.
    pub fn is_marker(&self) -> bool {
        matches!(self.kind, Kind::Whiteout | Kind::Opaque)
    }

    /// Whether everything but the path is equal.
    pub fn same_metadata(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.mode == other.mode
            && (self.uid, self.gid) == (other.uid, other.gid)
            && self.mtime == other.mtime
            && self.xattrs == other.xattrs
    }
}
