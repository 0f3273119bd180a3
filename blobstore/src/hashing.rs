//! Hashing away from the threads that serve everyone: a large piece is hashed while it is written and the next one comes in.
//!
//! The threads that hash are as many as there are processors, and they step back for all others: a small read that arrives
//! while large blobs are pushed does not wait until somebody's piece is hashed.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::thread;

use bytes::Bytes;
use tokio::sync::oneshot;
use wharf_spec::Hasher;

use crate::{Error, Result};

/// Up to so many bytes are hashed right away, in a few ten microseconds: as long as handing them to another thread takes.
const FEW: usize = 8 << 10;

/// How far the threads step back (`nice`, whose largest is 19): a tenth of the time of one that wants all it can get, so
/// that a push goes on beside such, too.
const NICENESS: i32 = 10;

/// A hasher, or where it is just now. One piece at most is under way.
pub(crate) struct Hashing {
    hasher: Option<Hasher>,
    under_way: Option<oneshot::Receiver<Hasher>>,
}

impl Hashing {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { hasher: Some(hasher), under_way: None }
    }

    /// Takes in a piece after the one before.
    pub(crate) async fn update(&mut self, piece: &Bytes) -> Result<()> {
        let mut hasher = self.take().await?;
        if piece.len() <= FEW {
            hasher.update(piece);
            self.hasher = Some(hasher);
        } else {
            let (done, under_way) = oneshot::channel();
            Hashers::get().hand_over(Job { hasher, piece: piece.clone(), done });
            self.under_way = Some(under_way);
        }
        Ok(())
    }

    /// The hasher when it has seen everything.
    pub(crate) async fn settled(&mut self) -> Result<&Hasher> {
        let hasher = self.take().await?;
        Ok(self.hasher.insert(hasher))
    }

    /// A caller may give up waiting and ask again.
    async fn take(&mut self) -> Result<Hasher> {
        if let Some(under_way) = self.under_way.as_mut() {
            let hashed = under_way.await;
            self.under_way = None;
            self.hasher = Some(hashed.map_err(|_gone| Error::UploadLost)?);
        }
        // There is none after an error: the upload cannot go on.
        self.hasher.take().ok_or(Error::UploadLost)
    }
}

/// A piece to be hashed. There is one for each upload at most, so the queue is as short as there are few of those.
struct Job {
    hasher: Hasher,
    piece: Bytes,
    done: oneshot::Sender<Hasher>,
}

/// The threads, and what waits for them.
#[derive(Default)]
struct Hashers {
    waiting: Mutex<VecDeque<Job>>,
    came: Condvar,
}

impl Hashers {
    /// Those of this process; the threads begin with the first piece.
    fn get() -> &'static Self {
        static HASHERS: OnceLock<&'static Hashers> = OnceLock::new();
        HASHERS.get_or_init(|| {
            let hashers: &'static Self = Box::leak(Box::default());
            for number in 0..thread::available_parallelism().map_or(1, usize::from) {
                let begun = thread::Builder::new().name(format!("hasher-{number}")).spawn(|| hashers.work());
                if let Err(error) = begun {
                    assert!(number > 0, "no thread can be started to hash with: {error}");
                    break;
                }
            }
            hashers
        })
    }

    fn hand_over(&self, job: Job) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push_back(job);
        self.came.notify_one();
    }

    fn work(&self) {
        // Of this thread alone; where it may not, it hashes all the same.
        rustix::process::setpriority_process(None, NICENESS).ok();
        loop {
            let Job { mut hasher, piece, done } = self.next();
            hasher.update(&piece);
            // Freed before anybody is told, so that there is room for the next one.
            drop(piece);
            // An upload that was given up asks no more.
            done.send(hasher).ok();
        }
    }

    fn next(&self) -> Job {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match waiting.pop_front() {
                Some(job) => return job,
                None => waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wharf_spec::{Algorithm, Digest};

    use super::*;

    #[tokio::test]
    async fn pieces_of_all_sizes_are_hashed_in_order_by_many_at_once() {
        let one = |number: usize| async move {
            let mut hashing = Hashing::new(Hasher::new(Algorithm::Sha256));
            let mut whole = Vec::new();
            for length in [1, FEW, FEW + 1, 100_000, 0, 300_000] {
                let piece = Bytes::from(vec![u8::try_from(number + length % 7).unwrap(); length]);
                whole.extend_from_slice(&piece);
                hashing.update(&piece).await.unwrap();
            }
            assert_eq!(
                hashing.settled().await.unwrap().clone().finish(),
                Digest::of(Algorithm::Sha256, &whole),
                "{number}"
            );
        };
        futures_util::future::join_all((0..20).map(one)).await;
    }
}
