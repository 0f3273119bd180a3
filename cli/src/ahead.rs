//! Layers on their way to a registry while they are being written: what they are called is known at their end.
//!
//! Nothing here keeps a build waiting. A registry that is slower than the build gets the beginning, and the rest from the
//! store later; one that fails gets all of it then.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wharf_builder::{LayerTap, Taps};
use wharf_client::registry::RemoteRepository;
use wharf_client::transfer::{ImageSink as _, Result as TransferResult};
use wharf_spec::{Descriptor, Digest};

/// Smaller layers are sent whole, in one request.
const WORTH_IT: usize = 4 << 20;

/// Bytes that may wait for the registry; with more, it gets what it has and the rest later.
const WAITING: usize = 16 << 20;

/// Where layers are sent. Cloning is cheap.
#[derive(Clone)]
pub struct Ahead {
    inner: Arc<Inner>,
}

struct Inner {
    repository: RemoteRepository,
    sending: Mutex<HashMap<Digest, JoinHandle<()>>>,
}

impl Ahead {
    /// To this repository.
    pub fn to(repository: RemoteRepository) -> Self {
        Self { inner: Arc::new(Inner { repository, sending: Mutex::default() }) }
    }

    /// For a build: sees every layer of the image.
    pub fn taps(&self) -> Taps {
        let inner = Arc::clone(&self.inner);
        Arc::new(move || Box::new(Tap { inner: Arc::clone(&inner), state: State::First(Vec::new(), 0) }))
    }

    /// Waits until what was sent of this layer has arrived, or failed to.
    pub async fn wait(&self, digest: &Digest) {
        let sending = lock(&self.inner.sending).remove(digest);
        if let Some(sending) = sending {
            // What went wrong there is done again in the ordinary way.
            let _ = sending.await;
        }
    }
}

/// One layer.
struct Tap {
    inner: Arc<Inner>,
    state: State,
}

enum State {
    /// Whether it is worth it is not known yet.
    First(Vec<Bytes>, usize),
    Sending(Sending),
}

struct Sending {
    /// `None` when the registry is too slow: the rest comes from the store.
    pieces: Option<UnboundedSender<Bytes>>,
    waiting: Arc<AtomicUsize>,
    named: oneshot::Sender<Descriptor>,
    work: JoinHandle<()>,
}

impl LayerTap for Tap {
    fn bytes(&mut self, piece: &Bytes) {
        match &mut self.state {
            State::Sending(sending) => sending.take(piece),
            State::First(first, size) => {
                first.push(piece.clone());
                *size += piece.len();
                if *size >= WORTH_IT {
                    let mut sending = Sending::start(self.inner.repository.clone());
                    for piece in &*first {
                        sending.take(piece);
                    }
                    self.state = State::Sending(sending);
                }
            }
        }
    }

    fn named(self: Box<Self>, digest: Digest, size: u64) {
        let State::Sending(Sending { pieces, named, work, .. }) = self.state else { return };
        drop(pieces);
        lock(&self.inner.sending).insert(digest, work);
        // Whoever waits for it may have failed: then it is sent in the ordinary way.
        let _ = named.send(Descriptor::new("application/octet-stream", digest, size));
    }
}

impl Sending {
    fn start(repository: RemoteRepository) -> Self {
        let (pieces, coming) = unbounded_channel();
        let (named, name) = oneshot::channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let sent = send(repository, (coming, Arc::clone(&waiting)), name);
        let work = tokio::spawn(async move {
            if let Err(error) = sent.await {
                tracing::info!("a layer was not sent while it was written: {error}");
            }
        });
        Self { pieces: Some(pieces), waiting, named, work }
    }

    /// Takes a piece along, if not too much waits already.
    fn take(&mut self, piece: &Bytes) {
        let Some(pieces) = &self.pieces else { return };
        let waiting = self.waiting.fetch_add(piece.len(), Ordering::Relaxed) + piece.len();
        if waiting > WAITING || pieces.send(piece.clone()).is_err() {
            self.pieces = None;
        }
    }
}

async fn send(
    repository: RemoteRepository,
    (coming, waiting): (UnboundedReceiver<Bytes>, Arc<AtomicUsize>),
    name: oneshot::Receiver<Descriptor>,
) -> TransferResult<()> {
    let pieces = stream::unfold((coming, waiting), |(mut coming, waiting)| async move {
        let piece = coming.recv().await?;
        waiting.fetch_sub(piece.len(), Ordering::Relaxed);
        Some((Ok(piece), (coming, waiting)))
    });
    let ahead = repository.send_ahead(pieces.boxed()).await?;
    match name.await {
        Ok(layer) if repository.has_blob(&layer).await? => repository.withdraw(ahead).await,
        Ok(layer) if ahead.sent() == layer.size => {
            repository.name_ahead(layer.digest, ahead);
            // Nothing is missing, so nothing is read from here.
            repository.put_blob(&layer, &Bytes::new()).await?;
        }
        Ok(layer) if ahead.sent() > 0 && ahead.sent() < layer.size => repository.name_ahead(layer.digest, ahead),
        // There is no such layer, or the registry counts in its own way.
        Ok(_) | Err(_) => repository.withdraw(ahead).await,
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
