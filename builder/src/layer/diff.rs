//! What a process changed: the upper directory of an overlay, as entries of a layer.
//!
//! Guarantees: the order depends on names alone; nothing is followed out of the directory, whatever the process left
//! there; what was copied up without being changed (same metadata and content as below) makes no entry, nor does a
//! directory that holds no change; a whiteout or opaque marker that hides nothing is dropped. A directory above a
//! change is an entry, as everywhere in the field. Nobody writes to the directory meanwhile.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, major, minor, openat, readlinkat, statat};

use super::dirs::Dirs;
use super::disk::Ownership;
use super::entry::{Entry, Kind, Mtime, Xattrs};
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::header::WHITEOUT_PREFIX;
use super::index::IndexEntry;
use super::listing::{self, Listed};
use super::path::{LayerPath, PathError};
use super::tree::Tree;
use super::writer::{LayerWriter, WriteError};
use super::xattr::{self, OverlayXattr, UpperXattrs};

/// What lies beneath an upper directory.
pub trait LowerView {
    /// What is at `path`, symlinks not followed, hard links resolved.
    fn stat(&self, path: &LayerPath) -> Option<&IndexEntry>;

    /// Whether a directory has anything in it.
    fn has_children(&self, path: &LayerPath) -> bool;
}

impl LowerView for Tree {
    fn stat(&self, path: &LayerPath) -> Option<&IndexEntry> {
        self.get(path).map(super::tree::Node::index_entry)
    }

    fn has_children(&self, path: &LayerPath) -> bool {
        self.children(path).next().is_some()
    }
}

/// How to look at an upper directory.
#[derive(Clone, Debug)]
pub struct DiffOptions {
    /// How the overlay marks opaque directories.
    pub overlay: OverlayXattr,
    /// Whether owners on disk are those of the image. When squashed, what exists below keeps its owner from there.
    pub ownership: Ownership,
    /// Paths that the sandbox made for its own mounts. They are not looked at, and their parents' times do not count.
    pub ignore: Vec<LayerPath>,
}

impl DiffOptions {
    /// For an overlay mounted by root.
    pub fn for_root() -> Self {
        Self { overlay: OverlayXattr::Trusted, ownership: Ownership::Real, ignore: Vec::new() }
    }

    /// For an overlay mounted inside a user namespace that maps all users.
    pub fn for_user_namespace() -> Self {
        Self { overlay: OverlayXattr::User, ..Self::for_root() }
    }
}

/// Why an upper directory makes no layer.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// It could not be read.
    #[error("cannot read {path}")]
    Io {
        /// Where.
        path: LayerPath,
        /// What the system said.
        source: io::Error,
    },
    /// A name that no layer can hold.
    #[error("something in {parent} cannot be stored in a layer")]
    Name {
        /// The directory.
        parent: LayerPath,
        /// What is wrong with the name.
        source: PathError,
    },
    /// A name that would be taken for a whiteout.
    #[error("{path} has a name that stands for a deletion in layers: `.wh.` is reserved")]
    ReservedName {
        /// The path.
        path: LayerPath,
    },
    /// The overlay was mounted with a feature that spreads changes over several directories.
    #[error("{path} carries {attribute}: mount the overlay with redirect_dir and metacopy off")]
    Overlay {
        /// The path.
        path: LayerPath,
        /// The attribute.
        attribute: String,
    },
    /// The layer could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the changes in `upper` to a layer.
pub fn write_upper<W: Write>(
    upper: &Path,
    lower: &dyn LowerView,
    options: &DiffOptions,
    writer: &mut LayerWriter<W>,
) -> Result<(), DiffError> {
    let mut append = |entry: Entry, content: Option<File>| {
        match content {
            Some(file) => writer.append_file(entry, file)?,
            None => return writer.append(entry).map_err(DiffError::Write),
        };
        Ok(())
    };
    walk(upper, lower, options, &mut append)
}

/// The changes in `upper`, in the order in which they would be written.
pub fn list_upper(upper: &Path, lower: &dyn LowerView, options: &DiffOptions) -> Result<Vec<Entry>, DiffError> {
    let mut entries = Vec::new();
    walk(upper, lower, options, &mut |entry, _| {
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

type Emit<'a> = &'a mut dyn FnMut(Entry, Option<File>) -> Result<(), DiffError>;

fn walk(upper: &Path, lower: &dyn LowerView, options: &DiffOptions, emit: Emit<'_>) -> Result<(), DiffError> {
    let root = LayerPath::root();
    let dirs = Dirs::open(upper).map_err(|error| DiffError::Io { path: root.clone(), source: error.into() })?;
    let mut walk = Walk { dirs, lower, options, links: HashMap::new(), way: Vec::new(), emit };
    walk.enter(&root, true)?;
    while let Some(frame) = walk.way.last_mut() {
        match frame.left.pop() {
            Some(child) => walk.visit(&child)?,
            None => drop(walk.way.pop()),
        }
    }
    Ok(())
}

struct Walk<'a> {
    dirs: Dirs,
    lower: &'a dyn LowerView,
    options: &'a DiffOptions,
    /// Files with several names that were emitted, by device and inode.
    links: HashMap<(u64, u64), LayerPath>,
    way: Vec<Frame>,
    emit: Emit<'a>,
}

/// A directory being looked at.
struct Frame {
    /// What to emit before the first change in it; `None` once that is done.
    pending: Option<Entry>,
    path: LayerPath,
    /// Whether lower layers show through.
    transparent: bool,
    /// Names still to visit, the next one last.
    left: Vec<Listed>,
}

impl Walk<'_> {
    /// Looks at the directory `path`; `transparent` is whether lower layers show at that path.
    fn enter(&mut self, path: &LayerPath, transparent: bool) -> Result<(), DiffError> {
        let fd = self.dirs.get(path.as_bytes()).map_err(blame(path))?;
        let stat = fstat(fd).map_err(blame(path))?;
        let found = xattr::read(fd, self.options.overlay).map_err(blame(path))?;
        let mut left = listing::list(fd).map_err(blame(path))?;
        let opaque = found.opaque;
        let below = if transparent { self.lower.stat(path) } else { None };
        let mut entry = self.entry(path, Kind::Dir, &stat, found, below)?;
        let stubs = left.len();
        left.retain(|child| !self.ignores(path, &child.name));
        if path.is_root() || left.len() < stubs {
            // Its time changes with everything made in it; for the root, whose directory the builder made, it means
            // nothing at all.
            entry.mtime = below.map_or(Mtime::EPOCH, |below| below.entry.mtime);
        }
        let merged = below.is_some_and(|below| below.entry.is_dir());
        let unchanged = match below {
            Some(below) => below.entry.same_metadata(&entry),
            None if path.is_root() => entry == Entry::implied_dir(LayerPath::root()),
            // Made to hold a mount point.
            None => left.len() < stubs,
        };
        let hides = opaque && merged && self.lower.has_children(path);
        let transparent = transparent && !opaque && (merged || path.is_root());
        left.reverse();
        // Every image has a root; it is an entry only when it differs.
        let pending = (!path.is_root() || !unchanged).then_some(entry);
        self.way.push(Frame { pending, path: path.clone(), transparent, left });
        if hides || !unchanged {
            self.flush()?;
        }
        if hides {
            (self.emit)(Entry::opaque(path.clone()), None)?;
        }
        self.whiteouts(path, transparent)
    }

    /// Takes the whiteouts out of the directory just entered; they come before everything else in it.
    fn whiteouts(&mut self, dir: &LayerPath, transparent: bool) -> Result<(), DiffError> {
        let Some(frame) = self.way.last_mut() else { return Ok(()) };
        let mut gone = Vec::new();
        let mut kept = Vec::with_capacity(frame.left.len());
        for child in std::mem::take(&mut frame.left) {
            let device = matches!(child.kind, FileType::CharacterDevice | FileType::Unknown);
            let fd = self.dirs.get(dir.as_bytes()).map_err(blame(dir))?;
            if device && is_whiteout(&statat(fd, child.name.as_slice(), AtFlags::SYMLINK_NOFOLLOW).map_err(blame(dir))?)
            {
                gone.push(child.name);
            } else {
                kept.push(child);
            }
        }
        frame.left = kept;
        if !transparent {
            return Ok(());
        }
        // They were reversed together with the rest.
        for name in gone.into_iter().rev() {
            let path = join(dir, &name)?;
            if self.lower.stat(&path).is_some() {
                self.flush()?;
                (self.emit)(Entry::whiteout(path), None)?;
            }
        }
        Ok(())
    }

    fn visit(&mut self, child: &Listed) -> Result<(), DiffError> {
        let Some(frame) = self.way.last() else { return Ok(()) };
        let transparent = frame.transparent;
        let path = join(&frame.path, &child.name)?;
        if child.name.starts_with(WHITEOUT_PREFIX) {
            return Err(DiffError::ReservedName { path });
        }
        match child.kind {
            FileType::Directory => return self.enter(&path, transparent),
            FileType::RegularFile => return self.file(&path, transparent),
            FileType::Socket => return Ok(()),
            FileType::Symlink
            | FileType::Fifo
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => {}
        }
        let parent = self.dirs.parent_of(&path).map_err(blame(&path))?;
        let stat = statat(parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW).map_err(blame(&path))?;
        let (major, minor) = (major(stat.st_rdev), minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => return self.enter(&path, transparent),
            FileType::RegularFile => return self.file(&path, transparent),
            FileType::Symlink => {
                let target = readlinkat(parent, path.file_name(), Vec::new()).map_err(blame(&path))?;
                Kind::Symlink { target: target.into_bytes().into() }
            }
            FileType::Fifo => Kind::Fifo,
            FileType::CharacterDevice => Kind::Char { major, minor },
            FileType::BlockDevice => Kind::Block { major, minor },
            FileType::Socket | FileType::Unknown => return Ok(()),
        };
        self.leaf(&path, transparent, kind, &stat, None)
    }

    fn file(&mut self, path: &LayerPath, transparent: bool) -> Result<(), DiffError> {
        let parent = self.dirs.parent_of(path).map_err(blame(path))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(parent, path.file_name(), flags, Mode::empty()).map_err(blame(path))?;
        let stat = fstat(&fd).map_err(blame(path))?;
        let kind = Kind::File { size: u64::try_from(stat.st_size).unwrap_or(0) };
        self.leaf(path, transparent, kind, &stat, Some(fd))
    }

    /// Emits what is no directory, if it is a change.
    fn leaf(
        &mut self,
        path: &LayerPath,
        transparent: bool,
        kind: Kind,
        stat: &Stat,
        file: Option<OwnedFd>,
    ) -> Result<(), DiffError> {
        let found = match &file {
            Some(fd) => xattr::read(fd.as_fd(), self.options.overlay).map_err(blame(path))?,
            None => UpperXattrs::default(),
        };
        let below = if transparent { self.lower.stat(path) } else { None };
        let mut entry = self.entry(path, kind, stat, found, below)?;
        let mut file = file.map(File::from);
        if stat.st_nlink > 1 {
            // Several names of one file are a change by themselves, and stay together.
            let id = (stat.st_dev, stat.st_ino);
            if let Some(target) = self.links.get(&id) {
                entry.kind = Kind::Hardlink { target: target.clone() };
                file = None;
            } else {
                self.links.insert(id, path.clone());
            }
        } else if let Some(below) = below.filter(|below| below.entry.same_metadata(&entry)) {
            match &mut file {
                None => return Ok(()),
                Some(file) => {
                    let same = below.content == Some(hash(file).map_err(blame_io(path))?);
                    if same {
                        return Ok(());
                    }
                    file.rewind().map_err(blame_io(path))?;
                }
            }
        }
        self.flush()?;
        (self.emit)(entry, file)
    }

    /// Emits the directories above a change.
    fn flush(&mut self) -> Result<(), DiffError> {
        // From the last one that was emitted: directories are pending from some depth on down.
        let first = self.way.iter().rposition(|frame| frame.pending.is_none()).map_or(0, |at| at + 1);
        for frame in &mut self.way[first..] {
            let Some(entry) = frame.pending.take() else { continue };
            (self.emit)(entry, None)?;
        }
        Ok(())
    }

    fn entry(
        &self,
        path: &LayerPath,
        kind: Kind,
        stat: &Stat,
        found: UpperXattrs,
        below: Option<&IndexEntry>,
    ) -> Result<Entry, DiffError> {
        if let Some(attribute) = found.forbidden {
            return Err(DiffError::Overlay { path: path.clone(), attribute });
        }
        let (uid, gid) = match self.options.ownership {
            Ownership::Real => (stat.st_uid, stat.st_gid),
            Ownership::Squashed => below.map_or((0, 0), |below| (below.entry.uid, below.entry.gid)),
        };
        let mode = stat.st_mode & 0o7777;
        Ok(Entry {
            path: path.clone(),
            kind,
            mode,
            uid,
            gid,
            mtime: mtime_of(stat),
            xattrs: self.xattrs(found.image, below),
        })
    }

    /// Attributes as found; where they cannot be stored, those from below.
    fn xattrs(&self, found: Xattrs, below: Option<&IndexEntry>) -> Xattrs {
        match (self.options.ownership, below) {
            (Ownership::Squashed, Some(below)) if found.is_empty() => below.entry.xattrs.clone(),
            (Ownership::Squashed | Ownership::Real, _) => found,
        }
    }

    fn ignores(&self, dir: &LayerPath, name: &[u8]) -> bool {
        let ignored = |path: &LayerPath| path.parent_bytes() == dir.as_bytes() && path.file_name() == name;
        self.options.ignore.iter().any(ignored)
    }
}

fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn mtime_of(stat: &Stat) -> Mtime {
    #[allow(
        clippy::cast_possible_wrap,
        clippy::cast_possible_truncation,
        clippy::unnecessary_cast,
        reason = "the kernel's types differ between architectures; its nanoseconds are below 10^9 on all"
    )]
    Mtime { secs: stat.st_mtime as i64, nanos: stat.st_mtime_nsec as u32 }
}

fn hash(file: &mut File) -> io::Result<Fingerprint> {
    let mut hasher = Fingerprinter::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            count => hasher.update(&buffer[..count]),
        }
    }
}

fn join(parent: &LayerPath, name: &[u8]) -> Result<LayerPath, DiffError> {
    parent.join(name).map_err(|source| DiffError::Name { parent: parent.clone(), source })
}

fn blame(path: &LayerPath) -> impl FnOnce(rustix::io::Errno) -> DiffError {
    let path = path.clone();
    move |error| DiffError::Io { path, source: error.into() }
}

fn blame_io(path: &LayerPath) -> impl FnOnce(io::Error) -> DiffError {
    let path = path.clone();
    move |source| DiffError::Io { path, source }
}
