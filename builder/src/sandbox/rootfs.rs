//! The image as a root directory, with every mount point in place and none of them in the layer.
//!
//! Mount points the image lacks (often `/etc/resolv.conf`, `/proc`; any `--mount` target) come from one more layer,
//! the *floor*, below all of the image's: those that every sandbox has from one that is shared. The upper directory never
//! holds them, so there is nothing to clean up after the step and no modification time to put back, whatever the process did.
//!
//! The image can hide the floor: it deleted the file in an upper layer, or has a symbolic link in the way. Then the
//! whole is mounted anew with a layer of *stubs* on top of the image's. Directories on the way to a stub that the
//! image does have appear in that layer too, with the same owner, mode, attributes and times, because the kernel
//! shows those of the topmost layer.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, fstat, utimensat};
use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::detached::detach;
use super::error::{At, SandboxError, Step};
use super::inside::{self, Place};
use super::overlay::{self, Changes, Stack};
use super::scratch::{Scratch, make_shared_directory, open_place};
use super::spec::{RootFs, Security};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// What has to exist where something is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
}

/// A path in the image that must be there.
pub(super) struct Target<'a> {
    pub(super) path: &'a Path,
    pub(super) kind: Kind,
}

/// All of those paths.
pub(super) struct Targets<'a> {
    /// In every sandbox.
    pub(super) always: Vec<Target<'a>>,
    /// In this one.
    pub(super) here: Vec<Target<'a>>,
}

/// A mounted image.
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) place: OwnedFd,
}

/// Mounts the image so that all targets exist in it.
pub(super) fn mount(
    rootfs: &RootFs,
    targets: &Targets<'_>,
    security: Security,
    scratch: &Scratch,
) -> Result<Root, SandboxError> {
    let mut layers: Vec<&Path> = rootfs.lowers.iter().rev().map(PathBuf::as_path).collect();
    dress_root(&rootfs.upper, layers.first().copied())?;
    let floor = rootfs.shared.join("floor");
    make_shared_directory(&floor)?;
    make_floor(&floor, &targets.always)?;
    let own_floor = if targets.here.is_empty() { None } else { Some(scratch.directory_on_disk("floor")?) };
    if let Some(own) = &own_floor {
        make_floor(own, &targets.here)?;
        layers.push(own);
    }
    layers.push(&floor);
    // Without a device cgroup, a device node made in, or brought by, the image would open the host's disk.
    let flags = match security {
        Security::Sandbox => MountFlags::NODEV,
        Security::Insecure => MountFlags::empty(),
    };
    let mount = |name: &str, layers: Vec<&Path>| -> Result<Root, SandboxError> {
        let work = scratch.directory_on_disk(&format!("{name}.work"))?;
        let changes = Some(Changes { upper: &rootfs.upper, work: &work });
        let path = overlay::mount(&Stack { name, layers, changes, flags }, scratch)?;
        let place = open_place(&path, Step::MountOverlay)?;
        Ok(Root { path, place })
    };

    let root = mount("root", layers.clone())?;
    let missing = find_missing(root.place.as_fd(), targets)?;
    if missing.is_empty() {
        return Ok(root);
    }
    let stubs = scratch.directory_on_disk("stubs")?;
    make_stubs(&stubs, Some(root.place.as_fd()), &missing)?;
    let Root { path, place } = root;
    drop(place);
    detach(&path).at(Step::MountOverlay, path.display())?;
    layers.insert(0, &stubs);
    mount("stubbed", layers)
}

/// The overlay's root is the upper directory itself: it must look like the image's.
pub(super) fn dress_root(upper: &Path, top: Option<&Path>) -> Result<(), SandboxError> {
    let untouched = fs::read_dir(upper).at(Step::PrepareWork, upper.display())?.next().is_none();
    if !untouched {
        return Ok(());
    }
    match top {
        Some(top) => {
            let top = rustix::fs::open(top, DIRECTORY, Mode::empty()).at(Step::MountOverlay, top.display())?;
            copy_looks(&top, upper).at(Step::PrepareWork, upper.display())
        }
        None => rustix::fs::chown(upper, Some(Uid::ROOT), Some(Gid::ROOT))
            .and_then(|()| rustix::fs::chmod(upper, Mode::from_raw_mode(0o755)))
            .at(Step::PrepareWork, upper.display()),
    }
}

/// A missing mount point: its path, and how many of its components exist.
struct Stub {
    path: PathBuf,
    existing: usize,
    kind: Kind,
}

fn find_missing(root: BorrowedFd<'_>, targets: &Targets<'_>) -> Result<Vec<Stub>, SandboxError> {
    let mut missing = Vec::new();
    for target in targets.always.iter().chain(&targets.here) {
        match inside::locate(root, target.path).at(Step::MakeMountPoint, target.path.display())? {
            Place::Present(_) => {}
            Place::Missing { path, existing } => missing.push(Stub { path, existing, kind: target.kind }),
        }
    }
    Ok(missing)
}

fn make_floor(floor: &Path, targets: &[Target<'_>]) -> Result<(), SandboxError> {
    let wanted = targets.iter().map(|target| Stub { path: inside::clean(target.path), existing: 0, kind: target.kind });
    make_stubs(floor, None, &wanted.collect::<Vec<_>>())
}

/// Makes mount points in a layer. `image` is where the existing directories above them are.
fn make_stubs(layer: &Path, image: Option<BorrowedFd<'_>>, stubs: &[Stub]) -> Result<(), SandboxError> {
    let mut copied: BTreeSet<PathBuf> = BTreeSet::new();
    for stub in stubs {
        make_stub(layer, stub, &mut copied).at(Step::MakeMountPoint, stub.path.display())?;
    }
    let Some(image) = image else { return Ok(()) };
    // Children before parents, so that making a child no longer changes its parent's times.
    for directory in copied.iter().rev() {
        let copy = || copy_looks(&inside::open_to_read(image, directory)?, &layer.join(directory));
        copy().at(Step::MakeMountPoint, directory.display())?;
    }
    Ok(())
}

fn make_stub(layer: &Path, stub: &Stub, copied: &mut BTreeSet<PathBuf>) -> Result<(), std::io::Error> {
    let depth = stub.path.components().count();
    let mut path = PathBuf::new();
    for (position, part) in stub.path.components().enumerate() {
        path.push(part);
        let place = layer.join(&path);
        if position + 1 == depth && stub.kind == Kind::File {
            File::options().create(true).append(true).mode(0o644).open(place)?;
            continue;
        }
        match DirBuilder::new().mode(0o755).create(place) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
        if position < stub.existing {
            copied.insert(path.clone());
        }
    }
    Ok(())
}

/// Gives `to` the owner, mode, extended attributes and times of the directory `from`.
fn copy_looks(from: &OwnedFd, to: &Path) -> Result<(), Errno> {
    let looks = fstat(from)?;
    match rustix::fs::chown(to, Some(Uid::from_raw(looks.st_uid)), Some(Gid::from_raw(looks.st_gid))) {
        // An owner outside of the builder's user namespace: nobody inside could tell it from another.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(errno) => return Err(errno),
    }
    rustix::fs::chmod(to, Mode::from_raw_mode(looks.st_mode))?;
    copy_attributes(from, to)?;
    utimensat(CWD, to, &times(&looks), AtFlags::SYMLINK_NOFOLLOW)
}

fn copy_attributes(from: &OwnedFd, to: &Path) -> Result<(), Errno> {
    let mut names = vec![0; 64 << 10];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if is_overlays_own(name) {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        match rustix::fs::setxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            // The store's file system keeps no such attribute, or not for us: the process does not see it then.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Marks of a stacked file system describe the layer they are in, not the directory.
fn is_overlays_own(name: &[u8]) -> bool {
    name.starts_with(b"trusted.overlay.") || name.starts_with(b"user.overlay.")
}

fn times(looks: &Stat) -> Timestamps {
    #[expect(clippy::cast_possible_wrap, reason = "nanoseconds are below a thousand million")]
    let time = |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    Timestamps {
        last_access: time(looks.st_atime, looks.st_atime_nsec),
        last_modification: time(looks.st_mtime, looks.st_mtime_nsec),
    }
}

/// What a mount of `file` needs to be mounted on.
pub(super) fn kind_of(file: impl AsFd) -> Result<Kind, Errno> {
    let directory = FileType::from_raw_mode(fstat(file)?.st_mode) == FileType::Directory;
    Ok(if directory { Kind::Directory } else { Kind::File })
}
