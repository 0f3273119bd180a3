//! The disk's space.
//!
//! The last of it is for records: freeing space means writing records first, as what is no longer wanted is untagged, condemned,
//! deleted. A store whose objects had taken everything could not even be opened to free some. So objects stop a little earlier.
//!
//! A large object is given space ahead of its bytes, in steps, which takes the file system less time than to find some for each
//! write, and keeps the file together.

use std::fs::File;
use std::io;

use rustix::fs::FallocateFlags;

/// What objects leave, on a disk that has many times as much.
const RESERVE: u64 = 16 << 20;
/// On a small disk: one part in so many.
const SMALL_DISK: u64 = 8;

/// An object is given space ahead from this length on, as much as it has already, but no more than so much.
const FIRST: u64 = 1 << 20;
const STEP: u64 = 16 << 20;
/// With less space than this, nobody takes what he may not need.
const PLENTY: u64 = 1 << 30;

/// Whether the disk this file is on has room for so many bytes of an object; an error of the kind that a full disk gives.
/// How many more there are.
pub(super) fn check(file: &File, bytes: usize) -> io::Result<u64> {
    let disk = rustix::fs::fstatvfs(file)?;
    let (total, available) = (disk.f_blocks.saturating_mul(disk.f_frsize), disk.f_bavail.saturating_mul(disk.f_frsize));
    if total == 0 {
        // Some file systems have no size, and find out by themselves when they are full.
        return Ok(u64::MAX);
    }
    let reserve = RESERVE.min(total / SMALL_DISK);
    available.checked_sub(reserve.saturating_add(bytes as u64)).ok_or_else(|| io::ErrorKind::StorageFull.into())
}

/// The space that a file was given ahead.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Room {
    /// Up to here, and beyond the file's length, it is the file's.
    given: u64,
    /// This file system does not do it.
    refused: bool,
}

impl Room {
    /// Sees to it that there is room for so many bytes at `offset`, the file's end.
    pub(super) fn provide(&mut self, file: &File, offset: u64, bytes: usize) -> io::Result<()> {
        if offset + bytes as u64 <= self.given {
            return Ok(());
        }
        let left = check(file, bytes)?;
        if offset >= FIRST && left >= PLENTY && !self.refused {
            let step = offset.min(STEP).max(bytes as u64);
            match rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, offset, step) {
                Ok(()) => self.given = offset + step,
                Err(_) => self.refused = true,
            }
        }
        Ok(())
    }

    /// Gives back what a file of this length does not need.
    pub(super) fn give_back(&mut self, file: &File, length: u64) -> io::Result<()> {
        if self.given > length {
            // Also frees what lies beyond the file's end.
            file.set_len(length)?;
        }
        self.given = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt as _, MetadataExt as _};

    use super::*;

    #[test]
    fn space_that_was_given_ahead_and_not_needed_is_given_back() {
        let file = tempfile::tempfile().unwrap();
        let (mut room, piece, mut offset) = (Room::default(), vec![7; 300 << 10], 0);
        for _ in 0..20 {
            room.provide(&file, offset, piece.len()).unwrap();
            file.write_all_at(&piece, offset).unwrap();
            offset += piece.len() as u64;
            assert_eq!(file.metadata().unwrap().len(), offset, "who reads along sees what was written");
        }
        assert!(room.refused || room.given > offset || check(&file, 0).unwrap() < PLENTY);
        room.give_back(&file, offset).unwrap();
        let metadata = file.metadata().unwrap();
        assert_eq!(metadata.len(), offset);
        assert!(metadata.blocks() * 512 < offset + (1 << 20), "{} blocks", metadata.blocks());
        // And goes on.
        room.provide(&file, offset, piece.len()).unwrap();
    }
}
