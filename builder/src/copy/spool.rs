//! A file without a name that takes in bytes whose final place is not known yet, and gives them back in any order.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

/// Bytes on their way; gone with the last handle.
#[derive(Clone, Debug)]
pub(crate) struct Spool {
    file: Arc<File>,
    end: u64,
}

impl Spool {
    /// An empty spool on the file system of `directory`.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::open(directory, flags, Mode::RUSR | Mode::WUSR)?;
        Ok(Self { file: Arc::new(File::from(file)), end: 0 })
    }

    /// Where the next bytes go.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Appends bytes.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Forgets everything from `offset` on.
    pub(crate) fn rewind(&mut self, offset: u64) {
        self.end = self.end.min(offset);
    }

    /// A reader of `size` bytes from `offset` on.
    pub(crate) fn slice(&self, offset: u64, size: u64) -> SpoolSlice {
        SpoolSlice { file: Arc::clone(&self.file), at: offset, left: size }
    }
}

/// Reads a part of a [`Spool`].
#[derive(Debug)]
pub(crate) struct SpoolSlice {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for SpoolSlice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..wanted], self.at)?;
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
