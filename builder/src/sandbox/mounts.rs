//! The caller's mounts: made before the image is mounted, so that a missing source is found early and the kind of
//! mount point is known; attached after it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, fstat, mkdirat, openat, unlinkat};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags};

use super::detached::{DATA_ONLY, Detached, NO_DEVICES, NO_SETUID, NOTHING, READ_ONLY, Setting, detach};
use super::error::{At, SandboxError, Step};
use super::inside::{self, Place};
use super::overlay::{self, Changes, Stack};
use super::rootfs::{Kind, Root, Target, dress_root, kind_of};
use super::scratch::{Scratch, give_to, open_place};
use super::spec::{Access, Mount, MountKind, Security, Writes};

/// A mount that only lacks its place.
pub(super) struct Prepared<'a> {
    target: &'a Path,
    kind: Kind,
    mount: Detached,
}

impl Prepared<'_> {
    pub(super) fn target(&self) -> Target<'_> {
        Target { path: self.target, kind: self.kind }
    }
}

/// Makes the mounts, parents first.
pub(super) fn prepare<'a>(
    mounts: &'a [Mount],
    security: Security,
    scratch: &Scratch,
) -> Result<Vec<Prepared<'a>>, SandboxError> {
    let mut sorted: Vec<(usize, &Mount)> = mounts.iter().enumerate().collect();
    sorted.sort_by_key(|(_, mount)| Path::new(&mount.target).components().count());
    let prepare = |(number, mount): (usize, &'a Mount)| {
        let source = make(&mount.kind, &format!("mount{number}"), scratch)?;
        let kind = kind_of(&source.mount).at(Step::Mount, &mount.target)?;
        let devices = match security {
            Security::Sandbox => NO_DEVICES,
            Security::Insecure => NOTHING,
        };
        let restricted = source.mount.restrict(source.restrictions | devices).at(Step::Mount, &mount.target)?;
        Ok(Prepared { target: Path::new(&mount.target), kind, mount: restricted })
    };
    sorted.into_iter().map(prepare).collect()
}

struct Source {
    mount: Detached,
    restrictions: MountAttrFlags,
}

fn make(kind: &MountKind, name: &str, scratch: &Scratch) -> Result<Source, SandboxError> {
    match kind {
        MountKind::Bind { source, subpath, access } => {
            let place = descend(open_place(source, Step::Mount)?, subpath, source)?;
            let mount = Detached::copy_of(place).at(Step::Mount, source.display())?;
            let restrictions = match access {
                Access::ReadOnly => READ_ONLY,
                Access::ReadWrite => NOTHING,
            };
            Ok(Source { mount, restrictions })
        }
        MountKind::Layers { lowers, subpath, writes } => layers(lowers, subpath, *writes, name, scratch),
        MountKind::Tmpfs { size } => {
            let size = size.map(|size| size.to_string());
            let mut settings = vec![Setting::Value("mode", "1777")];
            settings.extend(size.as_deref().map(|size| Setting::Value("size", size)));
            let mount = Detached::fresh("tmpfs", &settings, NOTHING).at(Step::Mount, "a tmpfs")?;
            Ok(Source { mount, restrictions: NO_SETUID })
        }
        MountKind::File { contents, mode, uid, gid } => {
            let path = scratch.file(name, contents.bytes(), *mode)?;
            give_to(&path, *uid, *gid)?;
            let mount = Detached::copy_of_path(&path).at(Step::Mount, "a file in memory")?;
            Ok(Source { mount, restrictions: READ_ONLY | DATA_ONLY })
        }
    }
}

fn layers(
    lowers: &[PathBuf],
    subpath: &str,
    writes: Writes,
    name: &str,
    scratch: &Scratch,
) -> Result<Source, SandboxError> {
    // The kernel wants two layers where nothing can be written; the empty one also stands for FROM scratch.
    let empty = scratch.directory_on_disk(&format!("{name}.empty"))?;
    let layers: Vec<&Path> = lowers.iter().rev().map(PathBuf::as_path).chain([empty.as_path()]).collect();
    let flags = MountFlags::empty();
    let root = match writes {
        Writes::Refused if lowers.is_empty() => empty.clone(),
        Writes::Refused => overlay::mount(&Stack { name, layers, changes: None, flags }, scratch)?,
        Writes::Discarded => {
            let upper = scratch.directory_on_disk(&format!("{name}.upper"))?;
            let work = scratch.directory_on_disk(&format!("{name}.work"))?;
            dress_root(&upper, lowers.last().map(PathBuf::as_path))?;
            let changes = Some(Changes { upper: &upper, work: &work });
            overlay::mount(&Stack { name, layers, changes, flags }, scratch)?
        }
    };
    let place = descend(open_place(&root, Step::Mount)?, subpath, Path::new(subpath))?;
    let mount = Detached::copy_of(place).at(Step::Mount, subpath)?;
    let restrictions = match writes {
        Writes::Refused => READ_ONLY,
        Writes::Discarded => NOTHING,
    };
    Ok(Source { mount, restrictions })
}

fn descend(place: OwnedFd, subpath: &str, what: &Path) -> Result<OwnedFd, SandboxError> {
    if subpath.is_empty() {
        return Ok(place);
    }
    inside::open(&place, Path::new(subpath)).at(Step::Mount, what.join(subpath.trim_start_matches('/')).display())
}

/// Shows a text at the place of a file of the image.
pub(super) fn attach_text(
    path: &str,
    text: &str,
    name: &str,
    root: &Root,
    scratch: &Scratch,
) -> Result<(), SandboxError> {
    let file = scratch.file(name, text.as_bytes(), 0o644)?;
    let attach = || -> Result<(), Errno> {
        let over = inside::open(&root.place, Path::new(path))?;
        Detached::copy_of_path(&file)?.restrict(READ_ONLY | DATA_ONLY)?.attach(over).map(drop)
    };
    attach().at(Step::Mount, path)
}

/// Mount points that had to be made inside another mount, where the stub layer does not reach: inside a cache,
/// say, which outlives the step.
#[derive(Default)]
pub(super) struct Leftovers {
    mounts: Vec<PathBuf>,
    stubs: Vec<(OwnedFd, PathBuf, Kind)>,
}

/// Attaches the mounts in the order they were prepared in.
pub(super) fn attach(mounts: Vec<Prepared<'_>>, root: &Root) -> Result<Leftovers, SandboxError> {
    let mut leftovers = Leftovers::default();
    for Prepared { target, kind, mount } in mounts {
        let place = place_for(root.place.as_fd(), target, kind, &mut leftovers);
        let place = place.at(Step::MakeMountPoint, target.display())?;
        mount.attach(place).at(Step::Mount, target.display())?;
    }
    Ok(leftovers)
}

fn place_for(root: BorrowedFd<'_>, target: &Path, kind: Kind, leftovers: &mut Leftovers) -> Result<OwnedFd, Errno> {
    let path = match inside::locate(root, target)? {
        // Over the root nothing else would be left.
        Place::Present(path) if path.as_os_str().is_empty() => return Err(Errno::INVAL),
        Place::Present(path) => path,
        Place::Missing { path, existing } => {
            make_place(root, &path, existing, kind, leftovers)?;
            leftovers.mounts.push(Path::new("/").join(&path));
            path
        }
    };
    inside::open(root, &path)
}

fn make_place(
    root: BorrowedFd<'_>,
    path: &Path,
    existing: usize,
    kind: Kind,
    leftovers: &mut Leftovers,
) -> Result<(), Errno> {
    let depth = path.components().count();
    let mut made = PathBuf::new();
    for (position, part) in path.components().enumerate() {
        let parent = made.clone();
        made.push(part);
        if position < existing {
            continue;
        }
        let parent = inside::open(root, &parent)?;
        let name = PathBuf::from(part.as_os_str());
        let kind = if position + 1 == depth { kind } else { Kind::Directory };
        match kind {
            Kind::Directory => mkdirat(&parent, &name, Mode::from_raw_mode(0o755))?,
            Kind::File => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(&parent, &name, flags, Mode::from_raw_mode(0o644)).map(drop)?;
            }
        }
        leftovers.stubs.push((parent, name, kind));
    }
    Ok(())
}

impl Leftovers {
    pub(super) fn is_empty(&self) -> bool {
        self.stubs.is_empty()
    }

    /// Removes the mount points again if nothing was put into them. All other processes must be gone.
    pub(super) fn remove(&self) {
        for mount in self.mounts.iter().rev() {
            // Where it fails the stub stays, which is all that can happen.
            let _ = detach(mount);
        }
        for (parent, name, kind) in self.stubs.iter().rev() {
            let _ = match kind {
                Kind::Directory => unlinkat(parent, name, AtFlags::REMOVEDIR),
                Kind::File => remove_if_empty(parent, name),
            };
        }
    }
}

fn remove_if_empty(parent: &OwnedFd, name: &Path) -> Result<(), Errno> {
    let file = openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if fstat(file)?.st_size == 0 { unlinkat(parent, name, AtFlags::empty()) } else { Ok(()) }
}
