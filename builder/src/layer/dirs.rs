//! Directories beneath a root, opened one component at a time and never through a symlink.
//!
//! Whatever a layer or a process inside a container put there, a descriptor from here is of a directory beneath the
//! root. The way to the last directory is kept open, so that a walk in order costs one `openat` per directory; however
//! deep it goes, about 130 descriptors are held.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io;

use super::path::LayerPath;

/// How directories beneath the root are opened.
pub(super) const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A root directory and the way to the directory last asked for.
pub(super) struct Dirs {
    root: OwnedFd,
    /// Name and descriptor of each directory on the way; the last one's is open, and those that [`stays_open`].
    way: Vec<(Vec<u8>, Option<OwnedFd>)>,
}

/// Whether the directory at this depth is kept open: the first ones, and then enough that going back up is cheap.
fn stays_open(depth: usize) -> bool {
    depth < 64 || depth.is_multiple_of(32)
}

impl Dirs {
    /// Opens `root`; it may itself be reached through symlinks.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::over(openat(CWD, root, flags, Mode::empty())?))
    }

    /// Takes an open directory as root.
    pub(super) fn over(root: OwnedFd) -> Self {
        Self { root, way: Vec::new() }
    }

    /// The directory at `path`. Anything on the way that is no directory is `NOTDIR` (or `LOOP` for a symlink).
    pub(super) fn get(&mut self, path: &[u8]) -> io::Result<BorrowedFd<'_>> {
        let mut rest = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
        let mut known = 0;
        while let Some((name, _)) = self.way.get(known)
            && rest.next_if(|next| next == name).is_some()
        {
            known += 1;
        }
        self.way.truncate(known);
        let closed = self.way.iter().rposition(|(_, fd)| fd.is_some()).map_or(0, |at| at + 1);
        let reopen: Vec<Vec<u8>> = self.way.drain(closed..).map(|(name, _)| name).collect();
        for name in reopen.iter().map(Vec::as_slice).chain(rest) {
            let fd = openat(self.last(), name, OPEN_DIR, Mode::empty())?;
            let depth = self.way.len();
            if let Some((_, above)) = self.way.last_mut().filter(|_| !stays_open(depth - 1)) {
                *above = None;
            }
            self.way.push((name.to_vec(), Some(fd)));
        }
        Ok(self.last())
    }

    fn last(&self) -> BorrowedFd<'_> {
        self.way.last().and_then(|(_, fd)| fd.as_ref()).unwrap_or(&self.root).as_fd()
    }

    /// The directory in which `path` lies.
    pub(super) fn parent_of(&mut self, path: &LayerPath) -> io::Result<BorrowedFd<'_>> {
        self.get(path.parent_bytes())
    }

    /// Forgets the way: directories on it were removed or replaced.
    pub(super) fn forget(&mut self) {
        self.way.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_deep_with_few_descriptors_and_through_no_symlink() {
        let root = tempfile::tempdir().unwrap();
        let deep = vec!["d"; 1000].join("/");
        std::fs::create_dir_all(root.path().join(&deep)).unwrap();
        std::fs::write(root.path().join(&deep).join("file"), "here").unwrap();
        std::os::unix::fs::symlink("d", root.path().join("link")).unwrap();
        let mut dirs = Dirs::open(root.path()).unwrap();
        for length in [deep.len(), deep.len() - 2, deep.len() - 20, deep.len()] {
            let fd = dirs.get(&deep.as_bytes()[..length]).unwrap();
            let found = rustix::fs::statat(fd, "file", rustix::fs::AtFlags::empty()).is_ok();
            assert_eq!(found, length == deep.len());
            assert!(dirs.way.iter().filter(|(_, fd)| fd.is_some()).count() < 100);
            assert_eq!(dirs.way.len(), length.div_ceil(2));
        }
        dirs.get(b"d/d").unwrap();
        assert_eq!(dirs.way.len(), 2);
        assert!(dirs.get(b"link/d").is_err());
        assert!(dirs.get(b"d/d/nothing").is_err());
        dirs.get(b"").unwrap();
    }
}
