//! Writes a layer in one pass: entries and file contents in, blob bytes out; digests and the index on the way.
//!
//! Guarantees: the bytes depend on the entries, their contents and the [`WriterOptions`] alone. The caller decides the
//! order; parents come before children and hard links after their targets.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use wharf_spec::Digest;

use super::checksum::Checksum;
use super::entry::{Entry, Kind, Mtime};
use super::frames::{Cut, Cutter, FrameTable, KnownFrames};
use super::header::{self, BLOCK};
use super::index::{IndexEntry, IndexError, LayerIndex};
use super::path::LayerPath;
use super::pipeline::{Fault, Pipeline};
use super::squeeze::Encoding;

/// How to write a layer.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// Compression and its level.
    pub encoding: Encoding,
    /// How many threads may compress. Never shows in the result.
    pub threads: NonZeroUsize,
    /// `SOURCE_DATE_EPOCH`: later modification times become this second.
    pub clamp_mtime: Option<i64>,
}

impl WriterOptions {
    /// `encoding`, on all cores, times as they are.
    pub fn new(encoding: Encoding) -> Self {
        Self { encoding, threads: available_parallelism().unwrap_or(NonZeroUsize::MIN), clamp_mtime: None }
    }
}

/// What a written layer is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerDigests {
    /// Digest of the tar, as `rootfs.diff_ids` lists it.
    pub diff_id: Digest,
    /// Digest of the blob, as the manifest lists it.
    pub digest: Digest,
    /// Length of the blob.
    pub size: u64,
    /// Length of the tar.
    pub uncompressed_size: u64,
}

/// A finished layer.
#[derive(Debug)]
pub struct WrittenLayer<W> {
    /// Where the blob went.
    pub sink: W,
    /// What it is called.
    pub digests: LayerDigests,
    /// What it holds.
    pub index: LayerIndex,
    /// What of the blob the next layer can use again.
    pub frames: FrameTable,
}

/// Why a layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The blob could not be written.
    #[error("cannot write the layer")]
    Sink(#[source] io::Error),
    /// A file's content could not be read.
    #[error("cannot read the content of {path}")]
    Source {
        /// The file.
        path: LayerPath,
        /// What the system said.
        source: io::Error,
    },
    /// A file ended before the size it had when it was looked at: something is writing to it.
    #[error("{path} shrank from {expected} to {actual} bytes while it was read")]
    Truncated {
        /// The file.
        path: LayerPath,
        /// The size announced.
        expected: u64,
        /// The size found.
        actual: u64,
    },
    /// The entries do not form a layer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Writes one layer to `W`.
pub struct LayerWriter<W> {
    pipeline: Pipeline<W>,
    cutter: Cutter,
    clamp_mtime: Option<i64>,
    scratch: Vec<u8>,
    entries: Vec<IndexEntry>,
}

impl<W: Write> LayerWriter<W> {
    /// Starts a layer; nothing is written before there is something to write.
    pub fn new(sink: W, options: WriterOptions) -> Self {
        Self {
            pipeline: Pipeline::new(sink, options.encoding, options.threads),
            cutter: Cutter::new(options.encoding),
            clamp_mtime: options.clamp_mtime,
            scratch: Vec::with_capacity(4 * BLOCK),
            entries: Vec::new(),
        }
    }

    /// Takes frames of an earlier layer where this one has the same. The result is the same with and without.
    #[must_use]
    pub fn reusing(mut self, known: Arc<KnownFrames>) -> Self {
        self.pipeline.reuse(known);
        self
    }

    /// Adds an entry without content: anything but a non-empty file.
    pub fn append(&mut self, entry: Entry) -> Result<(), WriteError> {
        self.append_file(entry, io::empty()).map(drop)
    }

    /// Adds a file with its content, exactly as many bytes as its entry says, and returns the content's SHA-256.
    /// For other kinds `content` is not looked at and the digest is that of nothing.
    pub fn append_file(&mut self, entry: Entry, content: impl Read) -> Result<Digest, WriteError> {
        self.append_with(entry, content, None)
    }

    /// The same for a file whose content is known to have this digest, and is not hashed to find out.
    pub fn append_known(&mut self, entry: Entry, content: impl Read, digest: Digest) -> Result<(), WriteError> {
        self.append_with(entry, content, Some(digest)).map(drop)
    }

    fn append_with(&mut self, entry: Entry, content: impl Read, known: Option<Digest>) -> Result<Digest, WriteError> {
        let entry = self.clamped(entry);
        self.scratch.clear();
        header::encode(&entry, &mut self.scratch);
        let size = match entry.kind {
            Kind::File { size } => size,
            _ => 0,
        };
        let length = self.scratch.len() as u64 + size + header::padding(size) as u64;
        if self.cutter.before(entry.path.as_bytes(), length) == Cut::Before {
            self.cut()?;
        }
        let large = self.cutter.is_large(length);
        if large {
            // Of a file whose content nobody knows yet, the frames have no name.
            self.cutter.add(&self.scratch, known.as_ref(), length);
            let key = self.cutter.end().filter(|_| known.is_some());
            self.pipeline.begin_large(key);
        }
        self.pipeline.write(&self.scratch).map_err(WriteError::Sink)?;
        let digest = self.content(&entry, size, content, known)?;
        if large {
            self.pipeline.cut(None).map_err(WriteError::Sink)?;
        } else {
            self.cutter.add(&self.scratch, Some(&digest), length);
        }
        let content = matches!(entry.kind, Kind::File { .. }).then_some(digest);
        self.entries.push(IndexEntry { entry, content });
        Ok(digest)
    }

    /// Writes a file's content and what fills its last block.
    fn content(
        &mut self,
        entry: &Entry,
        size: u64,
        mut content: impl Read,
        known: Option<Digest>,
    ) -> Result<Digest, WriteError> {
        let mut hasher = known.is_none().then(Checksum::sha256);
        let mut read = 0;
        while read < size {
            let count = self.pipeline.read_from(&mut content, size - read, hasher.as_mut());
            let count = count.map_err(|fault| match fault {
                Fault::Sink(error) => WriteError::Sink(error),
                Fault::Source(source) => WriteError::Source { path: entry.path.clone(), source },
            })?;
            if count == 0 {
                return Err(WriteError::Truncated { path: entry.path.clone(), expected: size, actual: read });
            }
            read += count as u64;
        }
        self.pipeline.write(&[0; BLOCK][..header::padding(size)]).map_err(WriteError::Sink)?;
        Ok(known.or_else(|| hasher.map(Checksum::finish)).unwrap_or_else(|| Digest::sha256(&[])))
    }

    fn cut(&mut self) -> Result<(), WriteError> {
        let key = self.cutter.end();
        self.pipeline.cut(key).map_err(WriteError::Sink)
    }

    /// Ends the tar, waits for the compression, and says what was written.
    pub fn finish(mut self) -> Result<WrittenLayer<W>, WriteError> {
        // The end of the tar is a frame of its own, so that the last entries can be used again, too.
        self.cut()?;
        let index = LayerIndex::new(self.entries)?;
        self.pipeline.write(&[0; 2 * BLOCK]).map_err(WriteError::Sink)?;
        let outcome = self.pipeline.finish().map_err(WriteError::Sink)?;
        let digests = LayerDigests {
            diff_id: outcome.diff_id,
            digest: outcome.digest,
            size: outcome.size,
            uncompressed_size: outcome.uncompressed_size,
        };
        Ok(WrittenLayer { sink: outcome.sink, digests, index, frames: outcome.frames })
    }

    /// How many entries there are so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was added: an empty layer is history, not a blob.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn clamped(&self, mut entry: Entry) -> Entry {
        if let Some(latest) = self.clamp_mtime
            && (entry.mtime.secs, entry.mtime.nanos) > (latest, 0)
        {
            entry.mtime = Mtime::from_secs(latest);
        }
        entry
    }
}
