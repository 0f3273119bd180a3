//! However large a blob is, only a little of it is in memory at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Method;
use hyper::body::Frame;
use wharf_client::transfer::{BlobBody, ByteStream, Error, ImageSink, ImageSource};
use wharf_spec::{Descriptor, Hasher, MediaType};

use crate::fake::{Fake, Fault};
use crate::pulling::remote;

const PIECE: usize = 64 << 10;
const PIECES: u64 = 1024;

/// Buffers of two sockets on loopback and of the HTTP libraries on both sides; far less than the 64 MiB that pass.
const BOUND: u64 = 24 << 20;

/// How far the one who makes bytes gets ahead of the one who takes them.
#[derive(Clone, Default)]
struct Gap {
    made: Arc<AtomicU64>,
    taken: Arc<AtomicU64>,
    widest: Arc<AtomicU64>,
}

impl Gap {
    fn pieces(&self) -> impl futures_util::Stream<Item = Bytes> + Send + 'static {
        let gap = self.clone();
        futures_util::stream::iter(0..PIECES).map(move |_| {
            let made = gap.made.fetch_add(PIECE as u64, Ordering::Relaxed) + PIECE as u64;
            let ahead = made - gap.taken.load(Ordering::Relaxed).min(made);
            gap.widest.fetch_max(ahead, Ordering::Relaxed);
            Bytes::from(vec![7; PIECE])
        })
    }

    fn check(&self) {
        assert_eq!(self.made.load(Ordering::Relaxed), PIECES * PIECE as u64);
        assert_eq!(self.taken.load(Ordering::Relaxed), PIECES * PIECE as u64);
        let widest = self.widest.load(Ordering::Relaxed);
        assert!(widest < BOUND, "{widest} bytes were under way at once");
    }
}

#[async_trait]
impl BlobBody for Gap {
    async fn open(&self, _: u64) -> Result<ByteStream, Error> {
        Ok(self.pieces().map(Ok).boxed())
    }
}

fn blob() -> Descriptor {
    let mut hasher = Hasher::new(wharf_spec::Algorithm::Sha256);
    let piece = vec![7; PIECE];
    for _ in 0..PIECES {
        hasher.update(&piece);
    }
    Descriptor::new(MediaType::OCI_LAYER, hasher.finish(), PIECES * PIECE as u64)
}

#[tokio::test]
async fn a_large_upload_is_never_in_memory_as_a_whole() {
    let fake = Fake::start().await;
    let gap = Gap::default();
    let taken = gap.taken.clone();
    fake.hook(move |seen| seen.is(Method::PUT, "/uploads/").then(|| Fault::Count(taken.clone())));
    remote(&fake, "app").put_blob(&blob(), &gap).await.unwrap();
    gap.check();
}

#[tokio::test]
async fn a_large_download_waits_for_its_reader() {
    let fake = Fake::start().await;
    let gap = Gap::default();
    let made = gap.clone();
    fake.hook(move |seen| {
        let body = StreamBody::new(made.pieces().map(Frame::data).map(Ok::<_, io::Error>)).boxed_unsync();
        seen.is(Method::GET, "/blobs/").then(|| Fault::Answer(hyper::Response::new(body)))
    });
    let blob = blob();
    let mut bytes = remote(&fake, "app").blob(&blob).await.unwrap();
    let mut hasher = Hasher::new(wharf_spec::Algorithm::Sha256);
    while let Some(piece) = bytes.try_next().await.unwrap() {
        gap.taken.fetch_add(piece.len() as u64, Ordering::Relaxed);
        hasher.update(&piece);
    }
    assert_eq!(hasher.finish(), blob.digest);
    gap.check();
}
