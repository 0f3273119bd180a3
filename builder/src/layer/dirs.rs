//! Directories beneath a root, opened one component at a time and never through a symlink.
//!
//! Whatever a layer or a process inside a container put there, a descriptor from here is of a directory beneath the
//! root. The way to the last directory is kept open, so that a walk in order costs one `openat` per directory; at most
//! [`MOST_OPEN`] descriptors are held however deep it goes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io;

use super::path::LayerPath;

const MOST_OPEN: usize = 64;

/// How directories beneath the root are opened.
pub(super) const OPEN_DIR: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);

/// A root directory and the way to the directory last asked for.
pub(super) struct Dirs {
    root: OwnedFd,
    /// Name and descriptor of each directory on the way, as far as they are kept.
    way: Vec<(Vec<u8>, OwnedFd)>,
    /// The last directory beyond what is kept.
    deep: Option<OwnedFd>,
}

impl Dirs {
    /// Opens `root`; it may itself be reached through symlinks.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self::over(openat(CWD, root, flags, Mode::empty())?))
    }

    /// Takes an open directory as root.
    pub(super) fn over(root: OwnedFd) -> Self {
        Self { root, way: Vec::new(), deep: None }
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
        self.deep = None;
        for name in rest {
            let above = self.deep.as_ref().or(self.way.last().map(|(_, fd)| fd)).unwrap_or(&self.root);
            let fd = openat(above, name, OPEN_DIR, Mode::empty())?;
            if self.way.len() < MOST_OPEN {
                self.way.push((name.to_vec(), fd));
            } else {
                self.deep = Some(fd);
            }
        }
        Ok(self.deep.as_ref().or(self.way.last().map(|(_, fd)| fd)).unwrap_or(&self.root).as_fd())
    }

    /// The directory in which `path` lies.
    pub(super) fn parent_of(&mut self, path: &LayerPath) -> io::Result<BorrowedFd<'_>> {
        self.get(path.parent_bytes())
    }

    /// Forgets the way: directories on it were removed or replaced.
    pub(super) fn forget(&mut self) {
        self.way.clear();
        self.deep = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_deep_with_few_descriptors_and_through_no_symlink() {
        let root = tempfile::tempdir().unwrap();
        let deep = vec!["d"; 200].join("/");
        std::fs::create_dir_all(root.path().join(&deep)).unwrap();
        std::fs::write(root.path().join(&deep).join("file"), "here").unwrap();
        std::os::unix::fs::symlink("d", root.path().join("link")).unwrap();
        let mut dirs = Dirs::open(root.path()).unwrap();
        for _ in 0..2 {
            let fd = dirs.get(deep.as_bytes()).unwrap();
            rustix::fs::statat(fd, "file", rustix::fs::AtFlags::empty()).unwrap();
            assert_eq!(dirs.way.len(), MOST_OPEN);
        }
        dirs.get(b"d/d").unwrap();
        assert_eq!(dirs.way.len(), 2);
        assert!(dirs.get(b"link/d").is_err());
        assert!(dirs.get(b"d/d/nothing").is_err());
        dirs.get(b"").unwrap();
    }
}
