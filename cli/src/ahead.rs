//! Layers on their way to a registry while they are being written: what they are called is known at their end.
//!
//! Nothing here keeps a build waiting. Where the store keeps files, what is sent is read from the layer's, however far the
//! registry is behind; and a registry that takes deltas gets what a layer has in common with the last one as places in that
//! ([`wharf_spec::delta`]). Elsewhere bytes wait in memory: a registry that is slower than the build gets the beginning, and the
//! rest from the store later. One that fails gets all of it then.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use wharf_builder::layer::Copied;
use wharf_builder::{LayerTap, Taps};
use wharf_client::registry::{Form, RemoteRepository};
use wharf_client::transfer::{ByteStream, ImageSink as _, Result as TransferResult};
use wharf_spec::{Descriptor, Digest, delta};

/// Smaller layers are sent whole, in one request.
const WORTH_IT: u64 = 4 << 20;

/// Bytes that may wait in memory; with more, the registry gets what it has and the rest later.
const WAITING: usize = 16 << 20;

/// Bytes that are read from a file at once.
const PIECE: u64 = 1 << 20;

/// How a delta's step with new bytes begins takes so many.
const STEP: usize = size_of::<u64>();

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
            Box::new(Tap { inner, file: None, base: None, copies: Copies::default(), size: 0, state })
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
    /// A blob that may have much of it.
    base: Option<Digest>,
    /// What it has.
    copies: Copies,
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

    fn resembles(&mut self, base: Digest) {
        self.base = Some(base);
    }

    fn copied(&mut self, copied: Copied) {
        self.copies.push(copied);
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
        let (named, name) = oneshot::channel();
        let (mut coming, source) = match &self.file {
            Some(file) => {
                let (written, size) = watch::channel(self.size);
                let growing = Growing { file: Arc::clone(file), size, at: 0, copies: self.copies.clone() };
                (Coming::Written(written), Source::Growing(growing, self.base))
            }
            None => {
                let ((pieces, coming), waiting) = (unbounded_channel(), Arc::new(AtomicUsize::new(0)));
                (Coming::Waiting(Some(pieces), Arc::clone(&waiting)), Source::Queue(coming, waiting))
            }
        };
        for piece in first {
            coming.take(piece, self.size);
        }
        let sent = send(self.inner.repository.clone(), source, name);
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

/// Where the bytes come from.
enum Source {
    /// A file, and a blob that may have much of it.
    Growing(Growing, Option<Digest>),
    /// A queue, and how many bytes wait in it.
    Queue(UnboundedReceiver<Bytes>, Arc<AtomicUsize>),
}

/// What of a layer its base has, too: ascending in both. Cloning is cheap.
#[derive(Clone, Default)]
struct Copies(Arc<Mutex<VecDeque<Copied>>>);

impl Copies {
    fn push(&self, copied: Copied) {
        let mut copies = lock(&self.0);
        match copies.back_mut() {
            // A delta never goes back in its base.
            Some(last) if last.from + last.length > copied.from => {}
            Some(last) if (last.at + last.length, last.from + last.length) == (copied.at, copied.from) => {
                last.length += copied.length;
            }
            Some(_) | None => copies.push_back(copied),
        }
    }

    /// The first that ends after this place of the layer; those before are forgotten.
    fn after(&self, at: u64) -> Option<Copied> {
        let mut copies = lock(&self.0);
        while copies.front().is_some_and(|first| first.at + first.length <= at) {
            copies.pop_front();
        }
        copies.front().copied()
    }
}

/// A file that grows to `size`, which grows, too, until nobody holds its other end. What has not arrived in the file by then, or
/// cannot be read, is left out.
struct Growing {
    file: Arc<File>,
    size: watch::Receiver<u64>,
    /// Up to here it is sent.
    at: u64,
    copies: Copies,
}

impl Growing {
    /// Its bytes, or a delta's.
    fn stream(self, form: Form) -> ByteStream {
        let pieces = stream::unfold(self, move |mut growing| async move {
            let piece = growing.next(form).await?;
            Some((Ok(piece), growing))
        });
        pieces.boxed()
    }

    async fn next(&mut self, form: Form) -> Option<Bytes> {
        loop {
            let open = self.size.has_changed().is_ok();
            let there = *self.size.borrow_and_update();
            let mut wanted = (there - self.at).min(PIECE);
            if form == Form::Delta
                && wanted > 0
                && let Some(copied) = self.copies.after(self.at)
            {
                if copied.at <= self.at {
                    return Some(self.copy(copied, there));
                }
                wanted = wanted.min(copied.at - self.at);
            }
            if wanted > 0 {
                let piece = self.read(wanted).await?;
                let length = piece.len() as u64 - STEP as u64;
                if length > 0 {
                    self.at += length;
                    return Some(if form == Form::Delta { piece } else { piece.slice(STEP..) });
                }
            }
            // Closed before the last look, so there is nothing more to come.
            if !open {
                return None;
            }
            let _ = self.size.changed().await;
        }
    }

    /// The step that copies from here to the end of `copied`, as far as that is written.
    fn copy(&mut self, copied: Copied, there: u64) -> Bytes {
        let passed = self.at - copied.at;
        let length = (copied.length - passed).min(there - self.at);
        self.at += length;
        Bytes::copy_from_slice(&delta::copy(copied.from + passed, length))
    }

    /// So many bytes, or fewer if that is the file's end: as a step of a delta.
    async fn read(&self, wanted: u64) -> Option<Bytes> {
        let (file, at) = (Arc::clone(&self.file), self.at);
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; STEP + usize::try_from(wanted).ok()?];
            let read = file.read_at(&mut bytes[STEP..], at).ok()?;
            bytes.truncate(STEP + read);
            bytes[..STEP].copy_from_slice(&delta::new(read as u64));
            Some(Bytes::from(bytes))
        });
        reading.await.ok().flatten()
    }
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

async fn send(repository: RemoteRepository, source: Source, name: oneshot::Receiver<Descriptor>) -> TransferResult<()> {
    let ahead = match source {
        Source::Growing(growing, base) => repository.send_ahead(base, |form| growing.stream(form)).await?,
        Source::Queue(coming, waiting) => repository.send_ahead(None, |_| queued(coming, waiting)).await?,
    };
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

    /// A file that nothing was written to yet, and what tells how much there is of it.
    fn growing() -> (Arc<File>, watch::Sender<u64>, Growing) {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let (written, size) = watch::channel(0);
        let growing = Growing { file: Arc::clone(&file), size, at: 0, copies: Copies::default() };
        (file, written, growing)
    }

    #[tokio::test]
    async fn a_file_is_read_as_far_as_it_has_grown() {
        let (file, written, growing) = growing();
        growing.copies.push(Copied { at: 2, from: 0, length: 9 });
        let mut bytes = growing.stream(Form::Whole);
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
    async fn of_what_the_base_has_only_the_place_is_sent() {
        let (file, written, growing) = growing();
        let copies = growing.copies.clone();
        let mut steps = growing.stream(Form::Delta);
        let mut next = async || steps.next().await.unwrap().unwrap();
        let copied = |at, from, length| copies.push(Copied { at, from, length });
        let new = |bytes: &[u8]| [&delta::new(bytes.len() as u64), bytes].concat();
        file.write_all_at(b"aaaaabbbbbbbbccdddde", 0).unwrap();

        copied(0, 10, 3);
        copied(3, 13, 2);
        written.send_replace(4);
        assert_eq!(next().await, delta::copy(10, 4)[..], "no more than is written");
        copied(13, 20, 2);
        // That would go back.
        copied(15, 18, 4);
        written.send_replace(14);
        assert_eq!(next().await, delta::copy(14, 1)[..]);
        assert_eq!(next().await, new(b"bbbbbbbb"));
        assert_eq!(next().await, delta::copy(20, 1)[..]);
        written.send_replace(20);
        drop(written);
        assert_eq!(next().await, delta::copy(21, 1)[..]);
        assert_eq!(next().await, new(b"dddde"));
        assert!(steps.next().await.is_none());
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
