//! Taking bodies in. A large one is read, hashed and written by threads of their own, as many as there are processors, which step
//! back for those that serve everyone: a small read that arrives while large blobs are pushed does not wait until somebody's
//! piece is hashed. One thread does it all for a body, so no piece waits until another thread has woken; the connection comes
//! along ([`crate::seat`]).

use std::future::Future;
use std::io;
use std::panic;
use std::sync::{Arc, LazyLock};
use std::thread;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use wharf_blobstore::BlobUpload;

use super::uploads::ChunkRange;
use super::{Error, Result};
use crate::background::Background;
use crate::seat::Seat;

/// Bodies up to so many bytes are taken in where they arrive, in some hundred microseconds.
const FEW: u64 = 64 << 10;

/// A body's bytes as they come.
pub(super) type Pieces = BoxStream<'static, io::Result<Bytes>>;

/// A request's body. An error means that the client went away or was too slow, or, of the kind
/// [`io::ErrorKind::InvalidData`], that it sent what it should not.
pub struct Arriving {
    pieces: Pieces,
    /// Of the connection that brings it and nothing else meanwhile.
    seat: Option<Seat>,
    /// Much of it comes from the store itself, faster than any client sends.
    local: bool,
}

impl Arriving {
    /// A body of these pieces.
    pub fn new(pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self { pieces: pieces.boxed(), seat: None, local: false }
    }

    /// The same, brought by a connection that can be served elsewhere meanwhile.
    pub(crate) fn over(self, seat: Option<Seat>) -> Self {
        Self { seat, ..self }
    }

    /// What `change` makes of it with what the store has.
    pub(super) fn through(self, change: impl FnOnce(Pieces) -> Pieces) -> Self {
        Self { pieces: change(self.pieces), local: true, ..self }
    }

    /// The next piece.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        self.pieces.next().await.transpose()
    }
}

/// A body that is there.
impl From<Bytes> for Arriving {
    fn from(whole: Bytes) -> Self {
        Self::new(stream::iter([Ok(whole)]))
    }
}

/// Takes a body in. After an error, the upload has what came before it.
pub(super) async fn receive(
    mut upload: BlobUpload,
    range: Option<ChunkRange>,
    body: Arriving,
) -> (BlobUpload, Result<()>) {
    if body.local {
        // The client waits for nothing but the disk, and not for long.
        upload.flush_early();
    }
    let promised = range.map(|ChunkRange { start, end }| end - start + 1);
    let mut intake = Intake { before: upload.size(), upload, promised, body };
    match intake.few().await {
        Ok(None) => {
            let whole = intake.is_whole();
            (intake.upload, whole)
        }
        Ok(Some(next)) => away(intake.body.seat.take(), intake.many(next)).await,
        Err(error) => (intake.upload, Err(error)),
    }
}

/// A body on its way into an upload.
struct Intake {
    upload: BlobUpload,
    /// The upload's size before.
    before: u64,
    promised: Option<u64>,
    body: Arriving,
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
        self.body.next().await.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Error::Delta(error.to_string()),
            _ => Error::Truncated,
        })
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

/// A thread that takes bodies in.
struct Thread {
    background: Background,
    /// Bodies that it takes in now.
    bodies: Arc<()>,
}

/// They never end. None when the system gives no more threads.
static THREADS: LazyLock<Vec<Thread>> = LazyLock::new(|| {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let started = (0..processors).map_while(|_| Background::start("intake").ok());
    started.map(|background| Thread { background, bodies: Arc::default() }).collect()
});

/// Has `work` done by a thread that takes in, and the connection in this seat served there.
async fn away<T: Send + 'static>(seat: Option<Seat>, work: impl Future<Output = T> + Send + 'static) -> T {
    let Some(thread) = THREADS.iter().min_by_key(|thread| Arc::strong_count(&thread.bodies)) else { return work.await };
    let _one_more = Arc::clone(&thread.bodies);
    let _taken = seat.map(|seat| seat.take(thread.background.handle().clone()));
    // Work ends by itself or by its panic, which is ours.
    thread.background.handle().spawn(work).await.unwrap_or_else(|failed| panic::resume_unwind(failed.into_panic()))
}
