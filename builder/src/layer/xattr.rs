//! Extended attributes: which of them belong to an image, reading them, setting them.
//!
//! `security.capability` and `user.*` travel. What an overlay keeps for itself (`trusted.*`, `user.overlay.*`) and what
//! the host's policy put there (`security.selinux`, ACLs) never enters a layer, and is never taken from one: a layer
//! that could set `user.overlay.redirect` could reach other directories.

use std::os::fd::BorrowedFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fsetxattr};
use rustix::io::Errno;

use super::entry::Xattrs;

/// Which names an overlay mount uses for its own attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OverlayXattr {
    /// `trusted.overlay.*`: mounted by root.
    Trusted,
    /// `user.overlay.*`: mounted with `userxattr`, inside a user namespace.
    User,
}

impl OverlayXattr {
    /// The attribute that makes a directory opaque when it is `y`.
    pub const fn opaque(self) -> &'static str {
        match self {
            Self::Trusted => "trusted.overlay.opaque",
            Self::User => "user.overlay.opaque",
        }
    }

    /// Attributes of overlay features that must be off: what they say cannot be read from one upper directory.
    fn forbidden(self) -> [&'static [u8]; 3] {
        match self {
            Self::Trusted => [b"trusted.overlay.redirect", b"trusted.overlay.metacopy", b"trusted.overlay.whiteout"],
            Self::User => [b"user.overlay.redirect", b"user.overlay.metacopy", b"user.overlay.whiteout"],
        }
    }
}

/// File capabilities.
const CAPABILITY: &[u8] = b"security.capability";

/// Whether an attribute belongs to an image.
pub(super) fn travels(name: &[u8]) -> bool {
    name == CAPABILITY || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay.") && !name.contains(&b'='))
}

/// The attributes of a file or directory of an overlay's upper directory.
#[derive(Debug, Default)]
pub(super) struct UpperXattrs {
    /// What belongs to the image.
    pub(super) image: Xattrs,
    /// Whether it is an opaque directory.
    pub(super) opaque: bool,
    /// A feature that should be off.
    pub(super) forbidden: Option<String>,
}

pub(super) fn read(fd: BorrowedFd<'_>, overlay: OverlayXattr) -> rustix::io::Result<UpperXattrs> {
    let mut found = UpperXattrs::default();
    for name in names(fd)?.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if travels(name) {
            if let Some(value) = value(fd, name)? {
                let value = if name == CAPABILITY { portable_capability(value) } else { value };
                found.image.insert(name.to_vec(), value);
            }
        } else if name == overlay.opaque().as_bytes() {
            found.opaque = value(fd, name)?.as_deref() == Some(b"y");
        } else if overlay.forbidden().contains(&name) {
            found.forbidden = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    Ok(found)
}

/// The names, each followed by a NUL.
fn names(fd: BorrowedFd<'_>) -> rustix::io::Result<Vec<u8>> {
    let mut list = [0_u8; 1024];
    match flistxattr(fd, &mut list[..]) {
        Ok(length) => Ok(list[..length].to_vec()),
        Err(Errno::NOTSUP) => Ok(Vec::new()),
        Err(Errno::RANGE) => {
            // The kernel's limit for all names together.
            let mut list = vec![0; 64 << 10];
            let length = flistxattr(fd, &mut list[..])?;
            list.truncate(length);
            Ok(list)
        }
        Err(error) => Err(error),
    }
}

/// The value; `None` when it has gone meanwhile or may not be read.
fn value(fd: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut value = vec![0; 256];
    loop {
        match fgetxattr(fd, name, &mut value[..]) {
            Ok(length) => {
                value.truncate(length);
                return Ok(Some(value));
            }
            // The kernel's limit for one value.
            Err(Errno::RANGE) if value.len() < 64 << 10 => value.resize(64 << 10, 0),
            Err(Errno::NODATA | Errno::NOTSUP) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Capabilities set inside a user namespace carry the user id of its root (version 3), which means nothing elsewhere:
/// the same without it is version 2.
fn portable_capability(mut value: Vec<u8>) -> Vec<u8> {
    const VERSION_2: u8 = 2;
    const VERSION_3: u8 = 3;
    if value.len() == 24 && value[3] == VERSION_3 {
        value[3] = VERSION_2;
        value.truncate(20);
    }
    value
}

/// Sets the attributes of an image's file. `false` when the file system has none or they are not permitted here.
pub(super) fn set(fd: BorrowedFd<'_>, xattrs: &Xattrs) -> rustix::io::Result<bool> {
    let mut all = true;
    for (name, value) in xattrs {
        match fsetxattr(fd, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(Errno::NOTSUP | Errno::PERM | Errno::NOSPC | Errno::TOOBIG | Errno::RANGE) => all = false,
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_an_image_travels() {
        for name in ["security.capability", "user.comment", "user.overlayed"] {
            assert!(travels(name.as_bytes()), "{name}");
        }
        for name in ["trusted.overlay.opaque", "user.overlay.redirect", "security.selinux", "system.posix_acl_access"] {
            assert!(!travels(name.as_bytes()), "{name}");
        }
        assert!(!travels(b"user.a=b"), "PAX has no way to say this");
    }

    #[test]
    fn capabilities_lose_the_namespace() {
        let mut version_3 = vec![1, 0, 0, 3];
        version_3.extend(1..=20);
        let mut version_2 = vec![1, 0, 0, 2];
        version_2.extend(1..=16);
        assert_eq!(portable_capability(version_3), version_2);
        assert_eq!(portable_capability(version_2.clone()), version_2);
    }
}
