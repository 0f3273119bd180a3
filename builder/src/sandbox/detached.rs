//! Mounts that are not attached anywhere yet.
//!
//! A mount is made, restricted, and only then attached, to an open directory or file instead of a path: nobody
//! ever sees it without its restrictions, and no symbolic link in an image can lead it elsewhere.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use rustix::path::Arg;

use super::sys;

pub(super) const NOTHING: MountAttrFlags = MountAttrFlags::empty();
pub(super) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
pub(super) const NO_DEVICES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
pub(super) const NO_SETUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
/// For mounts that hold no programs.
pub(super) const DATA_ONLY: MountAttrFlags =
    MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NODEV).union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// A mount option.
pub(super) enum Setting<'a> {
    Flag(&'a str),
    Value(&'a str, &'a str),
}

/// A mount tree without a place.
pub(super) struct Detached(OwnedFd);

impl Detached {
    /// A new instance of a kernel file system.
    pub(super) fn fresh(
        file_system: &str,
        settings: &[Setting<'_>],
        attributes: MountAttrFlags,
    ) -> Result<Self, Errno> {
        let context = fsopen(file_system, FsOpenFlags::FSOPEN_CLOEXEC)?;
        // What `mount` and `df` show in their first column.
        fsconfig_set_string(&context, "source", file_system)?;
        for setting in settings {
            match setting {
                Setting::Flag(key) => fsconfig_set_flag(&context, *key)?,
                Setting::Value(key, value) => fsconfig_set_string(&context, *key, *value)?,
            }
        }
        fsconfig_create(&context)?;
        Ok(Self(fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?))
    }

    /// What is at a host path, with everything mounted below it.
    pub(super) fn copy_of_path(path: impl Arg) -> Result<Self, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
        Ok(Self(open_tree(CWD, path, flags)?))
    }

    /// What an open file or directory shows, with everything mounted below it.
    pub(super) fn copy_of(file: impl AsFd) -> Result<Self, Errno> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        Ok(Self(open_tree(file, "", flags)?))
    }

    /// Adds attributes to the mount and all below it. They are never taken away: an unprivileged builder could not.
    pub(super) fn restrict(self, add: MountAttrFlags) -> Result<Self, Errno> {
        if !add.is_empty() {
            sys::add_mount_attributes(self.0.as_fd(), add)?;
        }
        Ok(self)
    }

    /// Attaches it over an open file or directory, and gives the mount's own root.
    pub(super) fn attach(self, over: impl AsFd) -> Result<OwnedFd, Errno> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, "", over, "", flags)?;
        Ok(self.0)
    }
}

impl AsFd for Detached {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Detaches whatever is mounted at an absolute path, even if something still uses it.
pub(super) fn detach(path: impl Arg) -> Result<(), Errno> {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW)
}
