//! Metadata of files in a context, as it goes into an image: owned by root, whoever owns it here.

use std::num::NonZeroU64;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, FileType, Stat, fstat, lgetxattr, llistxattr, major, minor, readlinkat, statat};
use rustix::io::Errno;

use super::directory_entry;
use super::hashes::Hashes;
use crate::files::{Found, Stamp};
use crate::layer::{Entry, Kind, LayerPath, Mtime, Xattrs, travels};

/// What `directory` has under the last component of `path`; nothing for sockets and what is not there.
pub(super) fn read(directory: &OwnedFd, path: &LayerPath, hashes: &Hashes) -> Result<Option<Found>, Errno> {
    let name = path.file_name();
    let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error),
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::File { size: stat.st_size.cast_unsigned() },
        FileType::Directory => Kind::Dir,
        FileType::Symlink => Kind::Symlink { target: readlinkat(directory, name, Vec::new())?.into_bytes().into() },
        FileType::CharacterDevice => Kind::Char { major: major(stat.st_rdev), minor: minor(stat.st_rdev) },
        FileType::BlockDevice => Kind::Block { major: major(stat.st_rdev), minor: minor(stat.st_rdev) },
        FileType::Fifo => Kind::Fifo,
        FileType::Socket | FileType::Unknown => return Ok(None),
    };
    let inode =
        (matches!(kind, Kind::File { .. }) && stat.st_nlink > 1).then_some(stat.st_ino ^ stat.st_dev.rotate_left(32));
    let inode = inode.and_then(NonZeroU64::new);
    let mut entry = Entry::new(path.clone(), kind, mode(&stat));
    entry.mtime = mtime(&stat);
    let stamp = matches!(entry.kind, Kind::File { .. }).then(|| stamp(&stat));
    let known = stamp.as_ref().and_then(|stamp| hashes.find(stamp));
    if !matches!(entry.kind, Kind::Symlink { .. }) && !known.is_some_and(|known| known.plain) {
        entry.xattrs = xattrs(directory, name);
    }
    Ok(Some(Found { entry, inode, stamp, content: known.map(|known| known.content) }))
}

/// The root directory itself.
pub(super) fn of_root(root: &OwnedFd) -> Result<Found, Errno> {
    let stat = fstat(root)?;
    let mut entry = directory_entry(LayerPath::root(), mode(&stat));
    entry.mtime = mtime(&stat);
    Ok(Found { entry, inode: None, stamp: None, content: None })
}

/// What identifies the content of an open file.
pub(crate) fn stamp_of(file: &std::fs::File) -> std::io::Result<Stamp> {
    Ok(stamp(&fstat(file)?))
}

/// What identifies a file's content: device, inode, size, modification and change, each in seconds and nanoseconds.
#[expect(clippy::cast_possible_wrap, clippy::unnecessary_cast, reason = "the fields' types differ between machines")]
pub(super) fn stamp(stat: &Stat) -> Stamp {
    let numbers = [
        stat.st_dev as i64,
        stat.st_ino as i64,
        stat.st_size as i64,
        stat.st_mtime as i64,
        stat.st_mtime_nsec as i64,
        stat.st_ctime as i64,
        stat.st_ctime_nsec as i64,
    ];
    Stamp::new(&numbers, numbers[3].max(numbers[5]))
}

fn mode(stat: &Stat) -> u32 {
    // A link's own mode means nothing and differs between file systems.
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink { 0o777 } else { stat.st_mode & 0o7777 }
}

fn mtime(stat: &Stat) -> Mtime {
    Mtime { secs: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) }
}

/// Extended attributes that belong to an image. A file system without them has none; neither has one that refuses.
fn xattrs(directory: &OwnedFd, name: &[u8]) -> Xattrs {
    use std::os::unix::ffi::OsStrExt as _;
    let mut path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
    path.push(std::ffi::OsStr::from_bytes(name));
    let mut list = [0_u8; 4096];
    let Ok(length) = llistxattr(&path, &mut list[..]) else { return Xattrs::new() };
    let names = list[..length].split(|byte| *byte == 0).filter(|name| travels(name));
    names.filter_map(|name| Some((name.to_vec(), value(&path, name)?))).collect()
}

fn value(path: &PathBuf, name: &[u8]) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    let length = lgetxattr(path, name, &mut buffer[..]).ok()?;
    buffer.truncate(length);
    Some(buffer)
}
