//! Writes a layer in one pass: entries and file contents in, blob bytes out; digests and the index on the way.
//!
//! Guarantees: the bytes depend on the entries, their contents and the [`WriterOptions`] alone. The caller decides the
//! order; parents come before children and hard links after their targets.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::thread::available_parallelism;

use wharf_spec::Digest;

use super::checksum::Checksum;
use super::entry::{Entry, Kind, Mtime};
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
    clamp_mtime: Option<i64>,
    scratch: Vec<u8>,
    entries: Vec<IndexEntry>,
}

impl<W: Write> LayerWriter<W> {
    /// Starts a layer; nothing is written before there is something to write.
    pub fn new(sink: W, options: WriterOptions) -> Self {
        Self {
            pipeline: Pipeline::new(sink, options.encoding, options.threads),
            clamp_mtime: options.clamp_mtime,
            scratch: Vec::with_capacity(4 * BLOCK),
            entries: Vec::new(),
        }
    }

    /// Adds an entry without content: anything but a non-empty file.
    pub fn append(&mut self, entry: Entry) -> Result<(), WriteError> {
        self.append_file(entry, io::empty()).map(drop)
    }

    /// Adds a file with its content, exactly as many bytes as its entry says, and returns the content's SHA-256.
    /// For other kinds `content` is not looked at and the digest is that of nothing.
    pub fn append_file(&mut self, entry: Entry, mut content: impl Read) -> Result<Digest, WriteError> {
        let entry = self.clamped(entry);
        self.scratch.clear();
        header::encode(&entry, &mut self.scratch);
        self.pipeline.write(&self.scratch).map_err(WriteError::Sink)?;
        let mut hasher = Checksum::sha256();
        let Kind::File { size } = entry.kind else {
            self.entries.push(IndexEntry { entry, content: None });
            return Ok(hasher.finish());
        };
        let mut read = 0;
        while read < size {
            let count = self.pipeline.read_from(&mut content, size - read, &mut hasher);
            let count = count.map_err(|fault| match fault {
                Fault::Sink(error) => WriteError::Sink(error),
                Fault::Source(source) => WriteError::Source { path: entry.path.clone(), source },
            })?;
            if count == 0 {
                return Err(WriteError::Truncated { path: entry.path, expected: size, actual: read });
            }
            read += count as u64;
        }
        self.pipeline.write(&[0; BLOCK][..header::padding(size)]).map_err(WriteError::Sink)?;
        let digest = hasher.finish();
        self.entries.push(IndexEntry { entry, content: Some(digest) });
        Ok(digest)
    }

    /// Ends the tar, waits for the compression, and says what was written.
    pub fn finish(mut self) -> Result<WrittenLayer<W>, WriteError> {
        let index = LayerIndex::new(self.entries)?;
        self.pipeline.write(&[0; 2 * BLOCK]).map_err(WriteError::Sink)?;
        let outcome = self.pipeline.finish().map_err(WriteError::Sink)?;
        let digests = LayerDigests {
            diff_id: outcome.diff_id,
            digest: outcome.digest,
            size: outcome.size,
            uncompressed_size: outcome.uncompressed_size,
        };
        Ok(WrittenLayer { sink: outcome.sink, digests, index })
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
