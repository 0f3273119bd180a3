//! Taking bodies in. A large one is hashed and written on threads of their own, as many as there are processors, which step
//! back for those that serve everyone: a small read that arrives while large blobs are pushed does not wait until somebody's
//! piece is hashed. A piece is hashed and written by one thread, while it is still in its processor's cache; the next one comes
//! in meanwhile.

use std::future::Future;
use std::panic;
use std::sync::OnceLock;
use std::thread;

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::runtime::{Builder, Runtime};
use wharf_blobstore::BlobUpload;

use super::uploads::{ChunkRange, PieceStream};
use super::{Error, Result};

/// Bodies up to so many bytes are taken in where they arrive, in some hundred microseconds.
const FEW: u64 = 64 << 10;

/// How far the threads step back (`nice`, whose largest is 19): a tenth of the time of one that wants all it can get, so
/// that a push goes on beside such, too.
const NICENESS: i32 = 10;

/// Takes a body in. After an error, the upload has what came before it.
pub(super) async fn receive(
    upload: BlobUpload,
    range: Option<ChunkRange>,
    body: PieceStream,
) -> (BlobUpload, Result<()>) {
    let promised = range.map(|ChunkRange { start, end }| end - start + 1);
    let mut intake = Intake { before: upload.size(), upload, promised, body };
    match intake.few().await {
        Ok(None) => {
            let whole = intake.is_whole();
            (intake.upload, whole)
        }
        Ok(Some(next)) => away(intake.many(next)).await,
        Err(error) => (intake.upload, Err(error)),
    }
}

/// A body on its way into an upload.
struct Intake {
    upload: BlobUpload,
    /// The upload's size before.
    before: u64,
    promised: Option<u64>,
    body: PieceStream,
}

impl Intake {
    /// Takes in the beginning, and gives the piece with which the body became a large one.
    async fn few(&mut self) -> Result<Option<Bytes>> {
        while let Some(piece) = self.next().await? {
            if self.received() + piece.len() as u64 > FEW {
                return Ok(Some(piece));
            }
            self.take(piece).await?;
        }
        Ok(None)
    }

    /// Takes in all from `next` on.
    async fn many(mut self, next: Bytes) -> (BlobUpload, Result<()>) {
        let received = self.rest(next).await;
        (self.upload, received)
    }

    async fn rest(&mut self, next: Bytes) -> Result<()> {
        self.take(next).await?;
        while let Some(piece) = self.next().await? {
            self.take(piece).await?;
        }
        self.is_whole()
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        self.body.next().await.transpose().map_err(|_| Error::Truncated)
    }

    async fn take(&mut self, piece: Bytes) -> Result<()> {
        self.upload.write(piece).await?;
        match self.promised {
            Some(promised) if self.received() > promised => {
                Err(Error::ChunkLength { promised, received: self.received() })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn received(&self) -> u64 {
        self.upload.size() - self.before
    }

    fn is_whole(&self) -> Result<()> {
        match self.promised {
            Some(promised) if promised != self.received() => {
                Err(Error::ChunkLength { promised, received: self.received() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Has `work` done by the threads that take in.
async fn away<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    static THREADS: OnceLock<Option<Runtime>> = OnceLock::new();
    let threads = THREADS.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(thread::available_parallelism().map_or(1, usize::from))
            .thread_name("intake")
            .on_thread_start(|| {
                // Of this thread alone; where it may not, it does its work all the same.
                rustix::process::setpriority_process(None, NICENESS).ok();
            })
            .enable_all()
            .build()
            .ok()
    });
    match threads {
        // They never end, so work ends by itself or by its panic, which is ours.
        Some(threads) => threads.spawn(work).await.unwrap_or_else(|failed| panic::resume_unwind(failed.into_panic())),
        None => work.await,
    }
}
