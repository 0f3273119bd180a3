//! Flushing a file while more is to come, so that whoever finishes it does not wait for all of it.

use std::fs::File;
use std::io;
use std::sync::Arc;

use futures_util::FutureExt;
use tokio::task::{JoinHandle, spawn_blocking};

/// What is flushed at once, at least; one flush at a time.
const STEP: u64 = 8 << 20;

#[derive(Default)]
pub(super) struct EarlyFlush {
    /// Up to here, the file was flushed or is.
    asked: u64,
    /// The one under way.
    flushing: Option<JoinHandle<io::Result<()>>>,
}

impl EarlyFlush {
    /// The file has so many bytes now. Gives what the flush before found out.
    pub(super) fn reached(&mut self, length: u64, file: &Arc<File>) -> io::Result<()> {
        if length < self.asked + STEP {
            return Ok(());
        }
        if let Some(flushing) = &mut self.flushing {
            let Some(flushed) = flushing.now_or_never() else { return Ok(()) };
            self.flushing = None;
            flushed.map_err(io::Error::other).flatten()?;
        }
        self.asked = length;
        let file = Arc::clone(file);
        self.flushing = Some(spawn_blocking(move || Ok(rustix::fs::fdatasync(&file)?)));
        Ok(())
    }

    /// Waits for what is under way. The system tells once what went wrong with a file, so a flush at the end does not say what an
    /// earlier one found out: this does.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        match self.flushing.take() {
            Some(flushing) => flushing.await.map_err(io::Error::other).flatten(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_wrong_is_told_by_the_next_write_or_at_the_end() {
        // Of what is no file of a disk, the system flushes nothing.
        let (_, unflushable) = std::io::pipe().unwrap();
        let unflushable = Arc::new(File::from(std::os::fd::OwnedFd::from(unflushable)));
        let good = Arc::new(tempfile::tempfile().unwrap());
        let mut early = EarlyFlush::default();
        early.reached(STEP - 1, &unflushable).unwrap();
        early.settle().await.unwrap();
        early.reached(STEP, &unflushable).unwrap();
        early.settle().await.unwrap_err();
        early.reached(2 * STEP, &unflushable).unwrap();
        while early.flushing.as_ref().is_some_and(|flushing| !flushing.is_finished()) {
            tokio::task::yield_now().await;
        }
        early.reached(3 * STEP, &good).unwrap_err();
        early.reached(3 * STEP, &good).unwrap();
        early.settle().await.unwrap();
    }
}
