//! Builds that come to the same step at the same time, in other processes, too: one does it, the others wait and take its
//! result. Locks are the kernel's, so a build that is killed keeps nobody waiting.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often somebody who waits looks again.
const PATIENCE: Duration = Duration::from_millis(20);

/// The right to do a step, until it is dropped. Its file is there as long as somebody has it.
#[derive(Debug)]
pub(super) struct Turn {
    path: PathBuf,
    _lock: File,
}

impl Turn {
    /// Takes the turn; `None` while another build has it.
    pub(super) fn try_take(path: &Path) -> io::Result<Option<Self>> {
        loop {
            let lock = File::options().create(true).truncate(false).write(true).open(path)?;
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            // Who had it may have removed the file between opening and locking: that one is nobody's lock any more.
            let ours = lock.metadata()?;
            if fs::metadata(path).is_ok_and(|named| named.ino() == ours.ino() && named.dev() == ours.dev()) {
                return Ok(Some(Self { path: path.to_owned(), _lock: lock }));
            }
        }
    }

    /// Waits for it. Dropping this stops waiting.
    pub(super) async fn take(path: &Path) -> io::Result<Self> {
        loop {
            if let Some(turn) = Self::try_take(path)? {
                return Ok(turn);
            }
            // Not in the kernel: a build that is cancelled must not wait for somebody else's.
            tokio::time::sleep(PATIENCE).await;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Before it is unlocked: whoever opened it meanwhile sees that it is gone.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_has_it_and_nothing_is_left() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("turn");
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while taken.load(Ordering::SeqCst) < 200 {
                        let Some(turn) = Turn::try_take(&path).unwrap() else { continue };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have it");
                        taken.fetch_add(1, Ordering::SeqCst);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(turn);
                    }
                });
            }
        });
        assert!(!path.exists());
    }
}
