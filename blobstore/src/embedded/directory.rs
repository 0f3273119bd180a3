//! Making names durable: one flush of a directory serves everyone who was waiting for one.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::io::Errno;

/// A directory whose names are made durable.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    rounds: Mutex<Rounds>,
    ended: Condvar,
}

/// Flushes are numbered. A flush covers every name that was made before it began.
#[derive(Debug, Default)]
struct Rounds {
    running: bool,
    begun: u64,
    ended: u64,
    /// The last round that failed. Who waited for it or an earlier one is told, even if a later one went well: after a
    /// failed flush the kernel may have forgotten what it did not write.
    failed: Option<(u64, Errno)>,
}

impl Directory {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, rounds: Mutex::default(), ended: Condvar::new() }
    }

    /// Returns when every name made, changed or removed before this call is durable. Blocks.
    pub(super) fn sync(&self) -> io::Result<()> {
        let mut rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
        // A round that is already running may have read the directory before our name was there.
        let ours = rounds.begun + 1;
        while rounds.ended < ours {
            if rounds.running {
                rounds = self.ended.wait(rounds).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            rounds.running = true;
            rounds.begun += 1;
            drop(rounds);
            let outcome = self.flush();
            rounds = self.rounds.lock().unwrap_or_else(PoisonError::into_inner);
            rounds.running = false;
            rounds.ended = rounds.begun;
            if let Err(error) = outcome {
                rounds.failed = Some((rounds.ended, error));
            }
            self.ended.notify_all();
        }
        match rounds.failed {
            Some((round, error)) if round >= ours => Err(error.into()),
            Some(_) | None => Ok(()),
        }
    }

    fn flush(&self) -> Result<(), Errno> {
        let directory = File::open(&self.path).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        rustix::fs::fsync(&directory)
    }
}
