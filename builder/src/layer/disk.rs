//! Making a layer's entries beneath a directory.
//!
//! Every operation is relative to the descriptor of the parent directory and follows no symlink ([`super::dirs`]), so
//! nothing outside the root can change. Directories get their final metadata last, because making things inside them
//! would change it again.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, chmodat, chownat, fchmod,
    fchown, fsetxattr, futimens, linkat, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::dirs::{Dirs, OPEN_DIR};
use super::entry::{Entry, Kind, Mtime};
use super::listing;
use super::path::LayerPath;
use super::xattr::{self, OverlayXattr};

/// Whether files can belong to whom they belong in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// As in the image: root, or root of a user namespace that maps all users.
    Real,
    /// Everything belongs to the one user there is; the index alone knows better.
    Squashed,
}

/// What a file system would not take; the layer's index still has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skipped {
    /// A device node, in a user namespace.
    Device,
    /// Extended attributes.
    Xattrs,
}

/// A directory that a layer is being unpacked into.
pub(super) struct Disk {
    dirs: Dirs,
    ownership: Ownership,
    skipped: Vec<(LayerPath, Skipped)>,
}

impl Disk {
    pub(super) fn open(root: &Path, ownership: Ownership) -> io::Result<Self> {
        Ok(Self { dirs: Dirs::open(root)?, ownership, skipped: Vec::new() })
    }

    /// What was skipped so far.
    pub(super) fn into_skipped(self) -> Vec<(LayerPath, Skipped)> {
        self.skipped
    }

    /// Makes anything but a regular file. What is in the way goes, except that directories merge.
    pub(super) fn make(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.path.is_root() {
            return Ok(());
        }
        match self.try_make(entry) {
            Err(Errno::EXIST) => {
                if !self.make_room(&entry.path, entry.is_dir())? {
                    self.try_make(entry)?;
                }
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// Makes an empty regular file and opens it. Its metadata comes with [`Disk::finish_file`].
    pub(super) fn create(&mut self, path: &LayerPath) -> io::Result<OwnedFd> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let open = |dirs: &mut Dirs| openat(dirs.parent_of(path)?, path.file_name(), flags, mode);
        match open(&mut self.dirs) {
            Err(Errno::EXIST) => {
                self.make_room(path, false)?;
                Ok(open(&mut self.dirs)?)
            }
            other => Ok(other?),
        }
    }

    /// Gives a written file its owner, mode, attributes and times.
    pub(super) fn finish_file(&mut self, file: &OwnedFd, entry: &Entry) -> io::Result<()> {
        self.describe(file.as_fd(), entry)?;
        Ok(futimens(file, &times(entry.mtime))?)
    }

    /// Gives a directory its owner, mode, attributes and times. Everything in it is made already.
    pub(super) fn finish_dir(&mut self, entry: &Entry) -> io::Result<()> {
        let fd = rustix::io::fcntl_dupfd_cloexec(self.dirs.get(entry.path.as_bytes())?, 0)?;
        self.describe(fd.as_fd(), entry)?;
        Ok(futimens(&fd, &times(entry.mtime))?)
    }

    /// Makes the overlay's spelling of a whiteout.
    pub(super) fn make_whiteout(&mut self, path: &LayerPath) -> io::Result<()> {
        let parent = self.dirs.parent_of(path)?;
        Ok(mknodat(parent, path.file_name(), FileType::CharacterDevice, Mode::empty(), makedev(0, 0))?)
    }

    /// Makes a directory opaque for an overlay.
    pub(super) fn make_opaque(&mut self, path: &LayerPath, overlay: OverlayXattr) -> io::Result<()> {
        let fd = self.dirs.get(path.as_bytes())?;
        Ok(fsetxattr(fd, overlay.opaque(), b"y", XattrFlags::empty())?)
    }

    /// Removes whatever is at `path`, if anything is.
    pub(super) fn remove(&mut self, path: &LayerPath) -> io::Result<()> {
        let parent = match self.dirs.parent_of(path) {
            Ok(parent) => parent,
            // Nothing can be where no directory is.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        remove_at(parent, path.file_name())?;
        self.dirs.forget();
        Ok(())
    }

    fn try_make(&mut self, entry: &Entry) -> Result<(), Errno> {
        let (path, name) = (&entry.path, entry.path.file_name());
        match &entry.kind {
            Kind::Dir => return mkdirat(self.dirs.parent_of(path)?, name, Mode::RWXU),
            Kind::Hardlink { target } => {
                let from = rustix::io::fcntl_dupfd_cloexec(self.dirs.parent_of(target)?, 0)?;
                let made = linkat(from, target.file_name(), self.dirs.parent_of(path)?, name, AtFlags::empty());
                // A device that could not be made has no second name either.
                let lost = made == Err(Errno::NOENT) && self.skipped.iter().any(|(skipped, _)| skipped == target);
                if lost {
                    self.skipped.push((path.clone(), Skipped::Device));
                    return Ok(());
                }
                return made;
            }
            Kind::Symlink { target } => symlinkat(&**target, self.dirs.parent_of(path)?, name)?,
            Kind::Fifo => mknodat(self.dirs.parent_of(path)?, name, FileType::Fifo, Mode::RUSR, 0)?,
            Kind::Char { major, minor } => {
                if !self.make_device(path, FileType::CharacterDevice, makedev(*major, *minor))? {
                    return Ok(());
                }
            }
            Kind::Block { major, minor } => {
                if !self.make_device(path, FileType::BlockDevice, makedev(*major, *minor))? {
                    return Ok(());
                }
            }
            // Files are created by `create`; markers are not things.
            Kind::File { .. } | Kind::Whiteout | Kind::Opaque => return Err(Errno::INVAL),
        }
        self.describe_at(entry)
    }

    /// `false` when devices cannot be made here.
    fn make_device(&mut self, path: &LayerPath, kind: FileType, device: u64) -> Result<bool, Errno> {
        match mknodat(self.dirs.parent_of(path)?, path.file_name(), kind, Mode::RUSR, device) {
            Ok(()) => Ok(true),
            Err(Errno::PERM | Errno::ACCESS) => {
                self.skipped.push((path.clone(), Skipped::Device));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Metadata of what cannot or should not be opened.
    fn describe_at(&mut self, entry: &Entry) -> Result<(), Errno> {
        let owner = (self.ownership == Ownership::Real).then(|| ids(entry));
        let (parent, name) = (self.dirs.parent_of(&entry.path)?, entry.path.file_name());
        if let Some((uid, gid)) = owner {
            chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if !matches!(entry.kind, Kind::Symlink { .. }) {
            // Safe although it would follow a symlink: this was made a moment ago, and nobody else is here.
            chmodat(parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
        }
        utimensat(parent, name, &times(entry.mtime), AtFlags::SYMLINK_NOFOLLOW)
    }

    fn describe(&mut self, fd: BorrowedFd<'_>, entry: &Entry) -> io::Result<()> {
        if self.ownership == Ownership::Real {
            let (uid, gid) = ids(entry);
            // Before the mode: a new owner takes setuid away.
            fchown(fd, Some(uid), Some(gid))?;
        }
        fchmod(fd, Mode::from_raw_mode(entry.mode))?;
        if !xattr::set(fd, &entry.xattrs)? {
            self.skipped.push((entry.path.clone(), Skipped::Xattrs));
        }
        Ok(())
    }

    /// Removes what is at `path`, unless it is a directory and may stay; says whether it stayed.
    fn make_room(&mut self, path: &LayerPath, dirs_merge: bool) -> io::Result<bool> {
        let parent = self.dirs.parent_of(path)?;
        let held = statat(parent, path.file_name(), AtFlags::SYMLINK_NOFOLLOW)?;
        if dirs_merge && FileType::from_raw_mode(held.st_mode) == FileType::Directory {
            return Ok(true);
        }
        self.remove(path)?;
        Ok(false)
    }
}

fn ids(entry: &Entry) -> (Uid, Gid) {
    (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid))
}

fn times(mtime: Mtime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: mtime.nanos.into() },
    }
}

/// Removes a name and, for a directory, everything in it; a name that is not there is fine.
fn remove_at(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error),
    }
    let mut dirs = Dirs::over(openat(parent, ".", OPEN_DIR, Mode::empty())?);
    // Each directory on the way down, and the directories in it that are still there.
    let mut way = vec![(LayerPath::root(), vec![name.to_vec()])];
    while let Some((path, left)) = way.last_mut() {
        if let Some(name) = left.pop() {
            let below = path.join(&name).map_err(|_| Errno::NAMETOOLONG)?;
            let subdirs = remove_files(dirs.get(below.as_bytes())?)?;
            way.push((below, subdirs));
        } else if path.is_root() {
            break;
        } else {
            unlinkat(dirs.parent_of(path)?, path.file_name(), AtFlags::REMOVEDIR)?;
            way.pop();
        }
    }
    Ok(())
}

/// Removes what is no directory from `dir`; returns the directories in it.
fn remove_files(dir: BorrowedFd<'_>) -> Result<Vec<Vec<u8>>, Errno> {
    let mut subdirs = Vec::new();
    for child in listing::list(dir)? {
        match unlinkat(dir, child.name.as_slice(), AtFlags::empty()) {
            Ok(()) => {}
            Err(Errno::ISDIR | Errno::PERM) => subdirs.push(child.name),
            Err(error) => return Err(error),
        }
    }
    Ok(subdirs)
}
