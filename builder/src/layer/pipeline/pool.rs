//! The threads of a large layer: one that hashes the tar, and some that compress.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use wharf_spec::Hasher;

use super::{Block, Encoding, Spare, Squeezed, Squeezer, Tail, blocks_at_once};
use crate::jobs::Jobs;

type Job = (u64, Block);
type Done = (u64, io::Result<Squeezed>);

/// The threads, and what is on its way through them.
pub(super) struct Pool {
    limit: u64,
    jobs: Sender<Job>,
    done: Receiver<Done>,
    hash_thread: JoinHandle<Hasher>,
    /// Finished out of order.
    early: BTreeMap<u64, Squeezed>,
    submitted: u64,
    written: u64,
}

impl Pool {
    pub(super) fn start(encoding: Encoding, threads: usize, mut hasher: Hasher) -> io::Result<Self> {
        let (jobs, to_hash) = channel::<Job>();
        let (onward, to_squeeze) = channel::<Job>();
        let (results, done) = channel::<Done>();
        let hash_thread = thread::Builder::new().name("layer-hash".into()).spawn(move || {
            for (number, mut block) in to_hash {
                hasher.update(&block.data);
                block.diff_id = hasher.midstate();
                // Nobody left to compress: the caller finds out by itself.
                let _ = onward.send((number, block));
            }
            hasher
        })?;
        let queue = Jobs::new(to_squeeze);
        let blocks = blocks_at_once(encoding, threads);
        // One is being filled, and one hashed.
        for _ in 0..threads.min(blocks - 2) {
            let (queue, results) = (queue.share(), results.clone());
            let mut squeezer = Squeezer::new(encoding)?;
            thread::Builder::new().name("layer-squeeze".into()).spawn(move || {
                for (number, block) in queue {
                    if results.send((number, squeezer.squeeze(block))).is_err() {
                        return;
                    }
                }
            })?;
        }
        // The one that is being filled is not among them.
        let limit = blocks as u64 - 1;
        Ok(Self { limit, jobs, done, hash_thread, early: BTreeMap::new(), submitted: 0, written: 0 })
    }

    pub(super) fn submit<W: Write>(&mut self, block: Block, tail: &mut Tail<W>, spare: &mut Spare) -> io::Result<()> {
        while self.submitted - self.written >= self.limit {
            let done = self.done.recv().map_err(|_| lost())?;
            self.settle(done, tail, spare)?;
        }
        while let Ok(done) = self.done.try_recv() {
            self.settle(done, tail, spare)?;
        }
        self.jobs.send((self.submitted, block)).map_err(|_| lost())?;
        self.submitted += 1;
        Ok(())
    }

    /// Takes one result and writes all that are now in order.
    fn settle<W: Write>(&mut self, done: Done, tail: &mut Tail<W>, spare: &mut Spare) -> io::Result<()> {
        self.early.insert(done.0, done.1?);
        while let Some(squeezed) = self.early.remove(&self.written) {
            tail.take(&squeezed)?;
            spare.put(squeezed, tail.encoding);
            self.written += 1;
        }
        Ok(())
    }

    pub(super) fn finish<W: Write>(mut self, tail: &mut Tail<W>) -> io::Result<Hasher> {
        while self.written < self.submitted {
            let done = self.done.recv().map_err(|_| lost())?;
            self.settle(done, tail, &mut Spare::default())?;
        }
        drop(self.jobs);
        self.hash_thread.join().map_err(|_| lost())
    }
}

fn lost() -> io::Error {
    io::Error::other("a compression thread ended early")
}
