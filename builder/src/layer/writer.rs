//! Writes a layer in one pass: entries and file contents in, blob bytes out; digests and the index on the way.
//!
//! Guarantees: the bytes depend on the entries, their contents and the [`WriterOptions`] alone. The caller decides the
//! order; parents come before children and hard links after their targets.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::available_parallelism;

use wharf_spec::Digest;

use super::entry::{Entry, Kind, Mtime};
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::frames::{Cut, Cutter, FrameTable, KnownFrames};
use super::header::{self, BLOCK};
use super::index::{IndexEntry, IndexError, LayerIndex, Packer};
use super::path::LayerPath;
use super::pipeline::{Copied, Fault, Pipeline, blocks_at_once};
use super::squeeze::Encoding;
use super::toc::{self, Content, ContentDigester};

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

impl WriterOptions {
    /// How many bytes of content are in memory at most while a layer is written: blocks, and what becomes of each.
    pub fn memory(&self) -> u64 {
        2 * (blocks_at_once(self.encoding, self.threads.get()) * self.encoding.block_size()) as u64
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
    /// What its descriptor has to say, so that clients find its table of contents.
    pub annotations: BTreeMap<String, String>,
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

/// Opens the content of a file, when it is needed.
pub type Open = Box<dyn FnOnce() -> io::Result<Box<dyn Read>> + Send>;

/// Writes one layer to `W`.
pub struct LayerWriter<W> {
    pipeline: Pipeline<W>,
    cutter: Cutter,
    clamp_mtime: Option<i64>,
    scratch: Vec<u8>,
    /// Entries of a frame that the last layer may have, too; not written yet.
    pending: Vec<Pending>,
    packer: Packer,
    encoding: Encoding,
    /// All entries as they came, if there is to be a table of contents.
    entries: Vec<IndexEntry>,
    /// Of files that are not empty, if there is to be a table of contents.
    contents: Vec<Content>,
}

struct Pending {
    header: Vec<u8>,
    path: LayerPath,
    size: u64,
    open: Open,
}

impl<W: Write> LayerWriter<W> {
    /// Starts a layer; nothing is written before there is something to write.
    pub fn new(sink: W, options: WriterOptions) -> Self {
        Self {
            pipeline: Pipeline::new(sink, options.encoding, options.threads),
            cutter: Cutter::new(options.encoding),
            clamp_mtime: options.clamp_mtime,
            scratch: Vec::with_capacity(4 * BLOCK),
            pending: Vec::new(),
            packer: Packer::default(),
            encoding: options.encoding,
            entries: Vec::new(),
            contents: Vec::new(),
        }
    }

    /// Takes frames of an earlier layer where this one has the same. The result is the same with and without.
    #[must_use]
    pub fn reusing(mut self, known: Arc<KnownFrames>) -> Self {
        self.pipeline.reuse(known);
        self
    }

    /// Tells what is taken from the earlier layer, before it is written.
    #[must_use]
    pub fn telling(mut self, listener: impl FnMut(Copied) + Send + 'static) -> Self {
        self.pipeline.tell(listener);
        self
    }

    /// Adds an entry without content: anything but a non-empty file.
    pub fn append(&mut self, entry: Entry) -> Result<(), WriteError> {
        self.append_known(entry, Fingerprint::of(&[]), Box::new(|| Ok(Box::new(io::empty()))))
    }

    /// Adds a file with its content, exactly as many bytes as its entry says, and says what the content is.
    /// For other kinds `content` is not looked at and the fingerprint is that of nothing.
    pub fn append_file(&mut self, entry: Entry, content: impl Read) -> Result<Fingerprint, WriteError> {
        let (entry, size, length) = self.prepare(entry)?;
        self.write_pending()?;
        let large = self.cutter.is_large(length);
        if large {
            // Of a file whose content nobody knows yet, the frames have no name.
            self.cutter.add(&self.scratch, None, length);
            self.cutter.end();
            self.pipeline.begin_large(None);
        }
        self.pipeline.write(&self.scratch).map_err(WriteError::Sink)?;
        let mut fingerprinter = Fingerprinter::new();
        self.write_content((&entry.path, size, self.scratch.len()), content, Some(&mut fingerprinter))?;
        let content = fingerprinter.finish();
        if large {
            self.pipeline.cut(None).map_err(WriteError::Sink)?;
        } else {
            self.cutter.add(&self.scratch, Some(&content), length);
        }
        self.remember(entry, content);
        Ok(content)
    }

    /// The same for a file whose content is known to be this. It is opened only when the last layer does not have it.
    pub fn append_known(&mut self, entry: Entry, content: Fingerprint, open: Open) -> Result<(), WriteError> {
        let (entry, size, length) = self.prepare(entry)?;
        let large = self.cutter.is_large(length);
        self.cutter.add(&self.scratch, Some(&content), length);
        if !large && !self.pipeline.may_skip() {
            self.write_pending()?;
            self.write_opened((&entry.path, size), open)?;
            self.remember(entry, content);
            return Ok(());
        }
        let path = entry.path.clone();
        self.pending.push(Pending { header: self.scratch.clone(), path, size, open });
        if large {
            // Nothing else is waiting: it was cut before this entry.
            let key = self.cutter.end();
            let parts = key.iter().flat_map(|key| self.cutter.parts(key, length)).collect::<Vec<_>>();
            if self.pipeline.may_skip() && self.pipeline.skip(&parts).map_err(WriteError::Sink)? {
                self.pending.clear();
            } else {
                self.pipeline.begin_large(key);
                self.write_pending()?;
                self.pipeline.cut(None).map_err(WriteError::Sink)?;
            }
        }
        self.remember(entry, content);
        Ok(())
    }

    /// Whether the files that come next are opened: from the first change on, all are.
    pub fn opens(&self) -> bool {
        !self.pipeline.may_skip()
    }

    /// Encodes the header, and cuts before the entry where one is due: the entry as it will be, its size, its bytes of tar.
    fn prepare(&mut self, entry: Entry) -> Result<(Entry, u64, u64), WriteError> {
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
        Ok((entry, size, length))
    }

    fn remember(&mut self, entry: Entry, content: Fingerprint) {
        let content = matches!(entry.kind, Kind::File { .. }).then_some(content);
        let one = IndexEntry { entry, content };
        if self.encoding.has_seams() {
            self.entries.push(one);
        } else {
            self.packer.push(one);
        }
    }

    /// Writes what was put off; from then on, nothing is.
    fn write_pending(&mut self) -> Result<(), WriteError> {
        self.pipeline.leave_prefix().map_err(WriteError::Sink)?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let current = std::mem::take(&mut self.scratch);
        for Pending { header, path, size, open } in std::mem::take(&mut self.pending) {
            self.scratch = header;
            self.write_opened((&path, size), open)?;
        }
        self.scratch = current;
        Ok(())
    }

    /// Writes the header in `scratch`, and the content of its file.
    fn write_opened(&mut self, (path, size): (&LayerPath, u64), open: Open) -> Result<(), WriteError> {
        self.pipeline.write(&self.scratch).map_err(WriteError::Sink)?;
        let content = open().map_err(|source| WriteError::Source { path: path.clone(), source })?;
        self.write_content((path, size, self.scratch.len()), content, None)
    }

    /// Writes the content of a file whose header of this length was just written, and what fills its last block.
    fn write_content(
        &mut self,
        (path, size, header): (&LayerPath, u64, usize),
        mut content: impl Read,
        mut fingerprinter: Option<&mut Fingerprinter>,
    ) -> Result<(), WriteError> {
        let block = self.encoding.block_size();
        // A large file's header begins a block; others are in one block whole.
        let large = self.cutter.is_large(header as u64 + size + header::padding(size) as u64);
        let first = if large { (block - header % block) as u64 } else { size };
        let listed = self.encoding.has_seams() && size > 0;
        let mut digester = listed.then(|| ContentDigester::new(size, first, block as u64));
        if listed {
            self.pipeline.seam();
        }
        let mut read = 0;
        while read < size {
            let mut observe = |bytes: &[u8]| {
                if let Some(fingerprinter) = &mut fingerprinter {
                    fingerprinter.update(bytes);
                }
                if let Some(digester) = &mut digester {
                    digester.update(bytes);
                }
            };
            let count =
                self.pipeline.read_from(&mut content, size - read, &mut observe).map_err(|fault| match fault {
                    Fault::Sink(error) => WriteError::Sink(error),
                    Fault::Source(source) => WriteError::Source { path: path.clone(), source },
                })?;
            if count == 0 {
                return Err(WriteError::Truncated { path: path.clone(), expected: size, actual: read });
            }
            read += count as u64;
        }
        self.contents.extend(digester.map(ContentDigester::finish));
        if listed {
            self.pipeline.seam();
        }
        self.pipeline.write(&[0; BLOCK][..header::padding(size)]).map_err(WriteError::Sink)
    }

    /// Ends a frame here, and takes it over from the last layer if that is still possible.
    fn cut(&mut self) -> Result<(), WriteError> {
        let key = self.cutter.end();
        if !self.pending.is_empty() {
            let same = key.map(|key| self.pipeline.skip(&[key])).transpose().map_err(WriteError::Sink)?;
            if same == Some(true) {
                self.pending.clear();
                return Ok(());
            }
            self.write_pending()?;
        }
        self.pipeline.cut(key).map_err(WriteError::Sink)
    }

    /// Ends the tar, waits for the compression, and says what was written.
    pub fn finish(mut self) -> Result<WrittenLayer<W>, WriteError> {
        // The end of the tar is a frame of its own, so that the last entries can be used again, too.
        self.cut()?;
        self.pipeline.leave_prefix().map_err(WriteError::Sink)?;
        if !matches!(self.encoding, Encoding::Estargz { .. }) {
            self.pipeline.write(&[0; 2 * BLOCK]).map_err(WriteError::Sink)?;
        }
        let mut settled = self.pipeline.settle().map_err(WriteError::Sink)?;
        let annotations = toc::finish(&mut settled, self.encoding, &mut self.entries, &self.contents);
        let annotations = annotations.map_err(WriteError::Sink)?;
        let outcome = settled.finish().map_err(WriteError::Sink)?;
        for one in self.entries {
            self.packer.push(one);
        }
        let index = self.packer.finish()?;
        let digests = LayerDigests {
            diff_id: outcome.diff_id,
            digest: outcome.digest,
            size: outcome.size,
            uncompressed_size: outcome.uncompressed_size,
        };
        Ok(WrittenLayer { sink: outcome.sink, digests, index, frames: outcome.frames, annotations })
    }

    /// How many entries there are so far.
    pub fn len(&self) -> usize {
        self.packer.len() + self.entries.len()
    }

    /// Whether nothing was added: an empty layer is history, not a blob.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
