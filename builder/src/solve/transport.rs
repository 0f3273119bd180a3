//! Bytes between the store, which is asynchronous, and layers, which are plain threads: bounded in both directions.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use wharf_blobstore::{Blob, BlobStore, ByteStream, OwnUpload};
use wharf_spec::{Algorithm, Descriptor, Digest, Hasher, MediaType};

use crate::error::BuildError;
use crate::layer::{
    FrameTable, KnownFrames, LayerDigests, LayerIndex, LayerWriter, WriteError, WriterOptions, WrittenLayer,
};
use crate::tap::LayerTap;

/// Bytes go over in pieces of this size, and this many of them wait at most.
const PIECE: usize = 256 << 10;
const WAITING: usize = 4;

/// The thread's end of an upload.
pub(crate) struct BlobSink {
    pieces: mpsc::Sender<Bytes>,
    buffer: BytesMut,
}

impl Write for BlobSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let piece = self.buffer.split().freeze();
        self.pieces.blocking_send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

/// A blob whose bytes are written; nobody sees it, and a power failure takes it.
pub(crate) struct Uncommitted {
    upload: OwnUpload,
    digest: Digest,
}

impl Uncommitted {
    /// Makes it durable, then visible.
    pub(crate) async fn commit(self) -> wharf_blobstore::Result<()> {
        self.upload.commit(self.digest).await.map(drop)
    }
}

/// A layer that is in the store once its blob is committed.
pub(crate) struct StoredLayer {
    pub(crate) blob: Uncommitted,
    pub(crate) descriptor: Descriptor,
    pub(crate) digests: LayerDigests,
    pub(crate) index: LayerIndex,
    pub(crate) frames: FrameTable,
}

/// A layer that may have much in common with the one to be written.
pub(crate) struct Earlier {
    /// Its blob.
    pub(crate) digest: Digest,
    /// What of it may be used again.
    pub(crate) frames: Arc<KnownFrames>,
}

/// How a layer is written.
pub(crate) struct Recipe {
    pub(crate) options: WriterOptions,
    pub(crate) earlier: Option<Earlier>,
    /// Who else wants the bytes.
    pub(crate) tap: Option<Box<dyn LayerTap>>,
}

/// Writes a layer into the store: `fill` adds its entries, on a thread of its own. Nothing is visible before the caller
/// commits it.
pub(crate) async fn store_layer<E>(
    blobs: &BlobStore,
    Recipe { options, earlier, mut tap }: Recipe,
    fill: impl FnOnce(&mut LayerWriter<BlobSink>) -> Result<(), E> + Send + 'static,
) -> Result<StoredLayer, StoreLayerError<E>>
where
    E: From<WriteError> + Send + 'static,
{
    let (pieces, mut waiting) = mpsc::channel(WAITING);
    let sink = BlobSink { pieces, buffer: BytesMut::with_capacity(PIECE) };
    let base = earlier.as_ref().map(|earlier| earlier.digest);
    let (telling, mut told) = mpsc::unbounded_channel();
    let telling = tap.is_some().then_some(telling);
    let work = tokio::task::spawn_blocking(move || {
        let mut writer = LayerWriter::new(sink, options);
        if let Some(earlier) = earlier {
            writer = writer.reusing(earlier.frames);
        }
        if let Some(telling) = telling {
            // Whoever does not listen any more does not need it.
            writer = writer.telling(move |copied| {
                let _ = telling.send(copied);
            });
        }
        fill(&mut writer)?;
        let WrittenLayer { mut sink, digests, index, frames, annotations } = writer.finish()?;
        sink.flush().map_err(WriteError::Sink)?;
        Ok((digests, index, frames, annotations))
    });
    let mut upload = blobs.own_upload().await?;
    if let (Some(tap), Some(file)) = (&mut tap, upload.file()) {
        tap.file(file);
    }
    if let (Some(tap), Some(base)) = (&mut tap, base) {
        tap.resembles(base);
    }
    while let Some(piece) = waiting.recv().await {
        if let Some(tap) = &mut tap {
            // What is told about the piece came before it.
            while let Ok(copied) = told.try_recv() {
                tap.copied(copied);
            }
            tap.bytes(&piece);
        }
        // Dropping the receiver on an error here is what ends the thread.
        upload.write(piece).await?;
    }
    let (digests, index, frames, annotations) = match work.await {
        Ok(written) => written.map_err(StoreLayerError::Fill)?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    if let Some(tap) = tap {
        tap.named(digests.digest, digests.size);
    }
    let blob = Uncommitted { upload, digest: digests.digest };
    let media_type = MediaType::layer(options.encoding.compression());
    let descriptor = Descriptor { annotations, ..Descriptor::new(media_type.as_str(), digests.digest, digests.size) };
    Ok(StoredLayer { blob, descriptor, digests, index, frames })
}

/// Stores what `fill` writes, on a thread of its own; what it hashes to, and its length. Nothing is visible unless all
/// goes well.
pub(crate) async fn store_bytes(
    blobs: &BlobStore,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
) -> Result<(Digest, u64), BuildError> {
    let (pieces, mut waiting) = mpsc::channel(WAITING);
    let mut sink = BlobSink { pieces, buffer: BytesMut::with_capacity(PIECE) };
    let work = tokio::task::spawn_blocking(move || {
        fill(&mut sink)?;
        sink.flush()
    });
    let (mut upload, mut hasher, mut size) = (blobs.own_upload().await?, Hasher::new(Algorithm::Sha256), 0);
    while let Some(piece) = waiting.recv().await {
        hasher.update(&piece);
        size += piece.len() as u64;
        upload.write(piece).await?;
    }
    match work.await {
        Ok(written) => written.map_err(|error| BuildError::io("write a blob", error))?,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
    let digest = hasher.finish();
    upload.commit(digest).await?;
    Ok((digest, size))
}

/// Why a layer is not in the store.
#[derive(Debug)]
pub(crate) enum StoreLayerError<E> {
    /// The store failed.
    Store(wharf_blobstore::Error),
    /// What should go into it could not be had.
    Fill(E),
}

impl<E> From<wharf_blobstore::Error> for StoreLayerError<E> {
    fn from(error: wharf_blobstore::Error) -> Self {
        Self::Store(error)
    }
}

/// A blob's bytes for a thread.
pub(crate) enum BlobReader {
    /// From the file that holds it.
    File(File),
    /// From the store.
    Stream {
        /// Where to wait.
        runtime: Handle,
        /// What comes.
        stream: ByteStream,
        /// What came and was not read yet.
        piece: Bytes,
    },
}

impl BlobReader {
    /// Opens a blob. Read it on a thread that may block.
    pub(crate) async fn open(blobs: &BlobStore, blob: &Blob) -> Result<Self, BuildError> {
        if let Some(path) = blobs.local_path(blob)
            && let Ok(file) = File::open(path)
        {
            return Ok(Self::File(file));
        }
        let stream = blobs.read(blob, 0..blob.size).await?;
        Ok(Self::Stream { runtime: Handle::current(), stream, piece: Bytes::new() })
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Stream { runtime, stream, piece } => {
                while piece.is_empty() {
                    match runtime.block_on(stream.next()) {
                        Some(Ok(next)) => *piece = next,
                        Some(Err(error)) => return Err(io::Error::other(error)),
                        None => return Ok(0),
                    }
                }
                let count = piece.len().min(buffer.len());
                buffer[..count].copy_from_slice(&piece.split_to(count));
                Ok(count)
            }
        }
    }
}

/// Runs `work` on a thread that may block; a panic there is a panic here.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime is shutting down; nobody waits for an answer.
        Err(_) => std::future::pending().await,
    }
}
