//! Content hashes, remembered by what the file system says about a file: as long as device, inode, size and both times
//! are the same, so is the content. What changed within the clock's last tick is hashed again.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, PoisonError};

use wharf_spec::{Algorithm, Digest, Hasher};

/// What identifies a file's content.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    mtime: (i64, i64),
    ctime: (i64, i64),
}

/// Hashes known so far.
#[derive(Default)]
pub(crate) struct Hashes {
    known: Mutex<HashMap<Identity, Digest>>,
}

impl Hashes {
    /// The SHA-256 of a regular file's content.
    pub(super) fn of(&self, mut file: File) -> io::Result<Digest> {
        let identity = Identity::of(&file)?;
        if let Some(digest) = self.lock().get(&identity) {
            return Ok(*digest);
        }
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => hasher.update(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let digest = hasher.finish();
        // A file that changed while it was read has no content to remember.
        if Identity::of(&file)? == identity {
            self.lock().insert(identity, digest);
        }
        Ok(digest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Identity, Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            mtime: (found.mtime(), found.mtime_nsec()),
            ctime: (found.ctime(), found.ctime_nsec()),
        })
    }
}
