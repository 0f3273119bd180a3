//! The helper's own room: a file system in memory, mounted in the helper's own mount namespace, and some directories on
//! disk. The first vanishes with the helper, the others with the work directory, so nothing of a killed builder stays
//! mounted anywhere.
//!
//! What can be in memory is there, and what is the same for all sandboxes is made once: ext4 takes ever longer for a new file
//! the more have been deleted in the last minute.

use std::fs::{self, DirBuilder, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid};

use super::detached::{DATA_ONLY, Detached, Setting};
use super::error::{At, SandboxError, Step};
use super::spec::RootFs;

pub(super) struct Scratch {
    disk: PathBuf,
    memory: PathBuf,
}

impl Scratch {
    pub(super) fn mount(rootfs: &RootFs) -> Result<Self, SandboxError> {
        let memory = rootfs.shared.join("memory");
        make_shared_directory(&memory)?;
        let tmpfs = Detached::fresh("tmpfs", &[Setting::Value("mode", "0755")], DATA_ONLY);
        let over = open_place(&memory, Step::PrepareWork)?;
        tmpfs.and_then(|tmpfs| tmpfs.attach(over)).at(Step::PrepareWork, memory.display())?;
        Ok(Self { disk: rootfs.work.clone(), memory })
    }

    /// A new empty directory on the upper's file system.
    pub(super) fn directory_on_disk(&self, name: &str) -> Result<PathBuf, SandboxError> {
        let path = self.disk.join(name);
        make_directory(&path)?;
        Ok(path)
    }

    /// A new empty directory in memory.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, SandboxError> {
        let path = self.memory.join(name);
        make_directory(&path)?;
        Ok(path)
    }

    /// A new file in memory.
    pub(super) fn file(&self, name: &str, contents: &[u8], mode: u32) -> Result<PathBuf, SandboxError> {
        let path = self.memory.join(name);
        let write = || -> std::io::Result<()> {
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
            file.write_all(contents)?;
            file.set_permissions(fs::Permissions::from_mode(mode))
        };
        write().at(Step::PrepareWork, path.display())?;
        Ok(path)
    }
}

/// Changes the owner of something in the scratch room.
pub(super) fn give_to(path: &Path, uid: u32, gid: u32) -> Result<(), SandboxError> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(gid));
    match rustix::fs::chown(path, Some(user), Some(group)) {
        Err(rustix::io::Errno::INVAL) => Err(SandboxError::IdNotMapped { uid, gid }),
        other => other.at(Step::PrepareWork, path.display()),
    }
}

/// Makes a directory that another sandbox may have made.
pub(super) fn make_shared_directory(path: &Path) -> Result<(), SandboxError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).at(Step::PrepareWork, path.display())
}

fn make_directory(path: &Path) -> Result<(), SandboxError> {
    DirBuilder::new().mode(0o755).create(path).at(Step::PrepareWork, path.display())
}

/// Opens a file or directory of the host as a place only.
pub(super) fn open_place(path: &Path, step: Step) -> Result<OwnedFd, SandboxError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).at(step, path.display())
}
