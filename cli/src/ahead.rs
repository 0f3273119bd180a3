//! Layers on their way to a registry while they are being written: what they are called is known at their end.
//!
//! Nothing here keeps a build waiting. Where the store keeps files, what is sent is read from the layer's, however far the
//! registry is behind. Elsewhere bytes wait in memory: a registry that is slower than the build gets the beginning, and the
//! rest from the store later. One that fails gets all of it then.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use wharf_builder::{LayerTap, Taps};
use wharf_client::registry::RemoteRepository;
use wharf_client::transfer::{ByteStream, ImageSink as _, Result as TransferResult};
use wharf_spec::{Descriptor, Digest};

/// Smaller layers are sent whole, in one request.
const WORTH_IT: u64 = 4 << 20;

/// Bytes that may wait in memory; with more, the registry gets what it has and the rest later.
const WAITING: usize = 16 << 20;

/// Bytes that are read from a file at once.
const PIECE: u64 = 1 << 20;

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
        Arc::new(move || {
            let (inner, state) = (Arc::clone(&inner), State::First(Vec::new()));
            Box::new(Tap { inner, file: None, size: 0, state })
        })
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
    file: Option<Arc<File>>,
    /// Bytes so far.
    size: u64,
    state: State,
}

enum State {
    /// Whether it is worth it is not known yet. Without a file, what came is here.
    First(Vec<Bytes>),
    Sending(Sending),
}

struct Sending {
    coming: Coming,
    named: oneshot::Sender<Descriptor>,
    work: JoinHandle<()>,
}

/// How the bytes get to who sends them.
enum Coming {
    /// From the file, which is to have so many.
    Written(watch::Sender<u64>),
    /// Themselves; `None` when the registry is too slow.
    Waiting(Option<UnboundedSender<Bytes>>, Arc<AtomicUsize>),
}

impl LayerTap for Tap {
    fn file(&mut self, file: Arc<File>) {
        self.file = Some(file);
    }

    fn bytes(&mut self, piece: &Bytes) {
        self.size += piece.len() as u64;
        match &mut self.state {
            State::Sending(sending) => sending.coming.take(piece, self.size),
            State::First(first) => {
                if self.file.is_none() {
                    first.push(piece.clone());
                }
                if self.size >= WORTH_IT {
                    let first = std::mem::take(first);
                    self.state = State::Sending(self.start(&first));
                }
            }
        }
    }

    fn named(self: Box<Self>, digest: Digest, size: u64) {
        let State::Sending(Sending { coming, named, work }) = self.state else { return };
        drop(coming);
        lock(&self.inner.sending).insert(digest, work);
        // Whoever waits for it may have failed: then it is sent in the ordinary way.
        let _ = named.send(Descriptor::new("application/octet-stream", digest, size));
    }
}

impl Tap {
    fn start(&self, first: &[Bytes]) -> Sending {
        let (mut coming, bytes) = match &self.file {
            Some(file) => {
                let (written, size) = watch::channel(self.size);
                (Coming::Written(written), growing(Arc::clone(file), size))
            }
            None => {
                let ((pieces, coming), waiting) = (unbounded_channel(), Arc::new(AtomicUsize::new(0)));
                (Coming::Waiting(Some(pieces), Arc::clone(&waiting)), queued(coming, waiting))
            }
        };
        for piece in first {
            coming.take(piece, self.size);
        }
        let (named, name) = oneshot::channel();
        let sent = send(self.inner.repository.clone(), bytes, name);
        let work = tokio::spawn(async move {
            if let Err(error) = sent.await {
                tracing::info!("a layer was not sent while it was written: {error}");
            }
        });
        Sending { coming, named, work }
    }
}

impl Coming {
    /// Takes the next piece along, after which there are so many bytes.
    fn take(&mut self, piece: &Bytes, size: u64) {
        match self {
            // Where nobody sends any more, nobody looks.
            Self::Written(written) => drop(written.send_replace(size)),
            Self::Waiting(pieces, waiting) => {
                let Some(open) = pieces else { return };
                let before = waiting.fetch_add(piece.len(), Ordering::Relaxed);
                if before + piece.len() > WAITING || open.send(piece.clone()).is_err() {
                    *pieces = None;
                }
            }
        }
    }
}

/// The bytes of a file that grows to `size`, which grows, too, until nobody holds its other end. What has not arrived in
/// the file by then, or cannot be read, is left out.
fn growing(file: Arc<File>, size: watch::Receiver<u64>) -> ByteStream {
    let bytes = stream::unfold((file, size, 0_u64), |(file, mut size, at)| async move {
        loop {
            let open = size.has_changed().is_ok();
            let wanted = (*size.borrow_and_update() - at).min(PIECE);
            if wanted > 0 {
                let piece = read(&file, at, wanted).await?;
                if !piece.is_empty() {
                    let at = at + piece.len() as u64;
                    return Some((Ok(piece), (file, size, at)));
                }
            }
            // Closed before the last look, so there is nothing more to come.
            if !open {
                return None;
            }
            let _ = size.changed().await;
        }
    });
    bytes.boxed()
}

/// So many bytes from there, or fewer if that is the file's end.
async fn read(file: &Arc<File>, at: u64, wanted: u64) -> Option<Bytes> {
    let file = Arc::clone(file);
    let reading = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(wanted).ok()?];
        let read = file.read_at(&mut bytes, at).ok()?;
        bytes.truncate(read);
        Some(Bytes::from(bytes))
    });
    reading.await.ok().flatten()
}

/// The bytes that wait.
fn queued(coming: UnboundedReceiver<Bytes>, waiting: Arc<AtomicUsize>) -> ByteStream {
    let bytes = stream::unfold((coming, waiting), |(mut coming, waiting)| async move {
        let piece = coming.recv().await?;
        waiting.fetch_sub(piece.len(), Ordering::Relaxed);
        Some((Ok(piece), (coming, waiting)))
    });
    bytes.boxed()
}

async fn send(
    repository: RemoteRepository,
    bytes: ByteStream,
    name: oneshot::Receiver<Descriptor>,
) -> TransferResult<()> {
    let ahead = repository.send_ahead(bytes).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_as_far_as_it_has_grown() {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (written, size) = watch::channel(0);
        let mut bytes = growing(Arc::clone(&file), size);
        let large = vec![7; 3 << 20];
        file.write_all_at(b"first", 0).unwrap();
        written.send_replace(5);
        assert_eq!(bytes.next().await.unwrap().unwrap(), "first");
        // More is on its way than has arrived.
        file.write_all_at(b"sec", 5).unwrap();
        written.send_replace(11);
        assert_eq!(bytes.next().await.unwrap().unwrap(), "sec");
        file.write_all_at(b"ond", 8).unwrap();
        file.write_all_at(&large, 11).unwrap();
        written.send_replace(11 + large.len() as u64 + 4);
        // The last four never arrive.
        drop(written);
        let mut rest = Vec::new();
        while let Some(piece) = bytes.next().await {
            let piece = piece.unwrap();
            assert!(piece.len() as u64 <= PIECE);
            rest.extend_from_slice(&piece);
        }
        assert!(rest.starts_with(b"ond") && rest[3..] == large, "{} bytes", rest.len());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_slow_registry_and_memory_stays_bounded() {
        let ((pieces, coming), waiting) = (unbounded_channel(), Arc::new(AtomicUsize::new(0)));
        let mut into = Coming::Waiting(Some(pieces), Arc::clone(&waiting));
        let piece = Bytes::from(vec![1; 1 << 20]);
        for number in 1..=40 {
            into.take(&piece, number << 20);
        }
        let sent: Vec<_> = queued(coming, waiting).collect().await;
        assert_eq!(sent.len(), WAITING >> 20, "the beginning, and no more");
    }
}
