//! The last of the disk's space is for records.
//!
//! Freeing space means writing records first: what is no longer wanted is untagged, condemned, deleted. A store whose
//! objects had taken everything could not even be opened to free some. So objects stop a little earlier.

use std::fs::File;
use std::io;

/// What objects leave, on a disk that has many times as much.
const RESERVE: u64 = 16 << 20;
/// On a small disk: one part in so many.
const SMALL_DISK: u64 = 8;

/// Whether the disk this file is on has room for so many bytes of an object; an error of the kind that a full disk gives.
pub(super) fn check(file: &File, bytes: usize) -> io::Result<()> {
    let disk = rustix::fs::fstatvfs(file)?;
    let (total, available) = (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize));
    // Some file systems have no size, and find out by themselves when they are full.
    let reserve = RESERVE.min(total / SMALL_DISK);
    if total > 0 && available < reserve.saturating_add(bytes as u64) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}
