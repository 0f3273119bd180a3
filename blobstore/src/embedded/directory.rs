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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use super::*;

    #[test]
    fn everyone_who_waits_is_served() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path().to_owned());
        thread::scope(|scope| {
            for number in 0..8 {
                let (place, directory) = (&place, &directory);
                scope.spawn(move || {
                    for name in 0..10 {
                        fs::write(place.path().join(format!("{number}-{name}")), "").unwrap();
                        directory.sync().unwrap();
                    }
                });
            }
        });
        let rounds = directory.rounds.lock().unwrap();
        assert!(!rounds.running && rounds.begun == rounds.ended && (1..=80).contains(&rounds.ended));
    }

    #[test]
    fn a_failed_flush_is_told_and_a_later_one_may_go_well() {
        let place = tempfile::tempdir().unwrap();
        let directory = Directory::new(place.path().join("here"));
        assert_eq!(directory.sync().unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::create_dir(place.path().join("here")).unwrap();
        directory.sync().unwrap();
    }
}
