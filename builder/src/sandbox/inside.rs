//! Paths inside a root directory that belongs to somebody else.
//!
//! Every path of an image is hostile: a component may be a symbolic link to anywhere. Lookups here never leave the
//! given root, and report how far a path exists, so that missing mount points can be planned without touching
//! anything.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, openat2, readlinkat, statat};
use rustix::io::Errno;

/// As many links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

/// Where a path leads: a relative path without links and without `..`, empty for the root itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It exists.
    Present(PathBuf),
    /// It does not; the first `existing` components do.
    Missing { path: PathBuf, existing: usize },
}

/// Follows `path` inside `root` as a process whose root directory it is would. A `..` in `path` itself goes back
/// in the text, as Dockerfile paths do; in a link's target it goes to the parent, as the kernel does.
pub(super) fn locate(root: BorrowedFd<'_>, path: &Path) -> Result<Place, Errno> {
    let mut todo: VecDeque<OsString> = parts(&clean(path));
    let mut done = PathBuf::new();
    let mut links = 0;
    while let Some(part) = todo.pop_front() {
        if part == ".." {
            done.pop();
            continue;
        }
        done.push(&part);
        match statat(root, &done, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Symlink => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(Errno::LOOP);
                }
                let target = readlinkat(root, &done, Vec::new())?;
                let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                done.pop();
                if target.is_absolute() {
                    done.clear();
                }
                for part in parts(&target).into_iter().rev() {
                    todo.push_front(part);
                }
            }
            Ok(_) => {}
            Err(Errno::NOENT) if todo.iter().any(|part| part == "..") => return Err(Errno::NOENT),
            Err(Errno::NOENT) => {
                // Below a component that does not exist nothing can be a link any more.
                let existing = done.components().count() - 1;
                done.extend(todo);
                return Ok(Place::Missing { path: done, existing });
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(Place::Present(done))
}

/// The path relative to the root, without dots.
pub(super) fn clean(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in parts(path) {
        if part == ".." {
            clean.pop();
        } else {
            clean.push(part);
        }
    }
    clean
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

/// Opens what `path` names inside `root`, following links inside it, without reading it (`O_PATH`).
pub(super) fn open(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    openat2(root, or_dot(path), OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}

/// Opens a file of the image itself for reading: nothing mounted over it, no link out of it, no device, and no
/// waiting for a named pipe's writer.
pub(super) fn open_to_read(root: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    openat2(root, or_dot(path), flags, Mode::empty(), within)
}

/// The kernel has no name for "the root itself" but a dot.
pub(super) fn or_dot(path: &Path) -> &Path {
    if path.as_os_str().as_bytes().is_empty() { Path::new(".") } else { path }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("run/systemd")).unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
        fs::write(root.path().join("etc/hosts"), "").unwrap();
        symlink("../run/systemd/resolv.conf", root.path().join("etc/resolv.conf")).unwrap();
        symlink("/etc", root.path().join("conf")).unwrap();
        symlink("../../../../../../etc", root.path().join("out")).unwrap();
        symlink("gone/../etc", root.path().join("nowhere")).unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        root
    }

    #[track_caller]
    fn check(path: &str, expected: &Result<Place, Errno>) {
        let root = tree();
        let root = fs::File::open(root.path()).unwrap();
        assert_eq!(&locate(root.as_fd(), Path::new(path)), expected);
    }

    #[track_caller]
    fn check_absent(path: &str, leads_to: &str, existing: usize) {
        check(path, &Ok(Place::Missing { path: leads_to.into(), existing }));
    }

    #[test]
    fn links_are_followed_and_never_out_of_the_root() {
        check("/etc/hosts", &Ok(Place::Present("etc/hosts".into())));
        check("/conf/hosts", &Ok(Place::Present("etc/hosts".into())));
        check("/out/hosts", &Ok(Place::Present("etc/hosts".into())));
        check("/../../etc", &Ok(Place::Present("etc".into())));
        check("/", &Ok(Place::Present("".into())));
        check("/loop", &Err(Errno::LOOP));
        check("/etc/hosts/x", &Err(Errno::NOTDIR));
    }

    #[test]
    fn what_is_missing_is_found_behind_links_too() {
        check_absent("/etc/resolv.conf", "run/systemd/resolv.conf", 2);
        check_absent("/run/secrets/token", "run/secrets/token", 1);
        check_absent("/proc", "proc", 0);
        check("/new/../etc", &Ok(Place::Present("etc".into())));
        check("/nowhere", &Err(Errno::NOENT));
    }
}
