//! The content of one directory, sorted: what the kernel returns has no order that means anything.

use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;

use rustix::fs::{FileType, Mode, OFlags, RawDir, openat};
use rustix::io::Result;

/// A name in a directory.
pub(super) struct Listed {
    /// The name.
    pub(super) name: Vec<u8>,
    /// What it is, or `Unknown` on file systems that do not say.
    pub(super) kind: FileType,
}

/// Everything in `dir` but `.` and `..`, by name.
pub(super) fn list(dir: BorrowedFd<'_>) -> Result<Vec<Listed>> {
    // A descriptor of its own: reading moves the position.
    let dir = openat(dir, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut listed = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            listed.push(Listed { name: name.to_vec(), kind: entry.file_type() });
        }
    }
    listed.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(listed)
}
