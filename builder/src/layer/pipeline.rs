//! From tar bytes to blob bytes in one pass: diff id, compression in parallel blocks, digest, sink.
//!
//! ```text
//! caller -> block -> [hash thread: diff id] -> [workers: compress, or copy] -> caller: in order -> digest -> sink
//! ```
//!
//! Guarantees: the bytes depend on the input, where it is cut and the [`Encoding`] only, never on the number of threads,
//! their timing or what was known before; at most [`blocks_at_once`] exist at a time; a small layer starts no thread; the sink is only
//! ever called from the caller's thread. It knows no tar.

mod pool;

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;

use wharf_spec::{Algorithm, Digest, Hasher};

use self::pool::Pool;
use super::frames::{After, Cutter, Frame, FrameKey, FrameTable, KnownFrames, check};
use super::squeeze::{Block, Encoding, GZIP_HEADER, Spare, Squeezed, Squeezer, gzip_trailer};

/// Where something that was compressed by itself begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// In the tar.
    pub(super) tar: u64,
    /// In the blob.
    pub(super) blob: u64,
}

/// A part of a layer's blob that an earlier one has, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where it begins.
    pub at: u64,
    /// Where it begins in the earlier one.
    pub from: u64,
    /// How many bytes it is.
    pub length: u64,
}

/// Is told what is copied, before it reaches the sink.
type Listener = Box<dyn FnMut(Copied) + Send>;

/// What came out of a [`Pipeline`].
pub(super) struct Outcome<W> {
    pub(super) sink: W,
    /// Of the bytes that went in.
    pub(super) diff_id: Digest,
    pub(super) uncompressed_size: u64,
    /// Of the bytes that reached the sink.
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// What of it can be used again.
    pub(super) frames: FrameTable,
}

/// Less than this is compressed before a thread has started.
const WORTH_THREADS: usize = 128 << 10;

/// Blocks and what becomes of them take no more than this, however many threads there are. By then, whoever hashes the tar is
/// slower than all of those.
const MOST_MEMORY: usize = 96 << 20;

/// How many blocks exist at a time at most.
pub(super) fn blocks_at_once(encoding: Encoding, threads: usize) -> usize {
    (2 * threads + 2).min(MOST_MEMORY / (2 * encoding.block_size()))
}

/// Which end of the pipeline failed.
pub(super) enum Fault {
    Source(io::Error),
    Sink(io::Error),
}

pub(super) struct Pipeline<W> {
    encoding: Encoding,
    threads: usize,
    /// The block being filled; its length is the block size, of which `filled` bytes count.
    current: Vec<u8>,
    filled: usize,
    /// Where in it something begins that is compressed by itself.
    seams: Vec<usize>,
    /// A large file that is being written: what it is made of, if that is known, and how many blocks of it are done.
    large: Option<(FrameKey, u64)>,
    known: Option<Arc<KnownFrames>>,
    /// How many frames were taken over without a look at what is in them; `None` once one could not be.
    prefix: Option<usize>,
    /// The one that was taken over last.
    frame: Vec<u8>,
    spare: Spare,
    uncompressed_size: u64,
    engine: Engine,
    tail: Tail<W>,
}

/// Who hashes and compresses.
enum Engine {
    /// The caller, as long as one block is all there is or only one thread is allowed.
    Inline { hasher: Hasher, squeezer: Option<Squeezer> },
    /// Threads.
    Pool(Pool),
}

/// The end of the pipeline: everything about the compressed bytes.
struct Tail<W> {
    sink: W,
    encoding: Encoding,
    hasher: Hasher,
    size: u64,
    crc: crc32fast::Hasher,
    /// Bytes of tar that this is about.
    tar_length: u64,
    frames: FrameTable,
    /// Of encodings with seams.
    marks: Vec<Mark>,
    listener: Option<Listener>,
}

impl<W: Write> Tail<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Uncompressed, the digest is the diff id: once is enough.
        if self.encoding != Encoding::Uncompressed {
            self.hasher.update(bytes);
        }
        self.size += bytes.len() as u64;
        self.sink.write_all(bytes)
    }

    fn take(&mut self, squeezed: &Squeezed) -> io::Result<()> {
        self.crc.combine(&squeezed.crc);
        let (mut tar, mut blob) = (self.tar_length, self.size);
        for part in &squeezed.parts {
            self.marks.push(Mark { tar, blob });
            tar += part.tar_length;
            blob += part.length;
        }
        self.tar_length += squeezed.tar_length;
        let offset = self.size;
        if let Some(from) = squeezed.copied_from {
            self.tell(from, squeezed.bytes.len());
        }
        self.write(&squeezed.bytes)?;
        let lengths = (u32::try_from(squeezed.bytes.len()), u32::try_from(squeezed.tar_length));
        if let (Some(key), (Ok(length), Ok(tar_length))) = (squeezed.key, lengths)
            && let (Some(diff_id), Some(digest)) = (squeezed.diff_id, self.hasher.midstate())
        {
            let after = After { crc: self.crc.clone().finalize(), diff_id, digest };
            self.frames.push(key, Frame { offset, length, check: check(&squeezed.bytes), tar_length, after });
        }
        Ok(())
    }

    /// Takes over a frame of the last layer, which began as this one does. The digests are brought up to date by
    /// [`Tail::resume`].
    fn copy(&mut self, key: FrameKey, frame: Frame, bytes: &[u8]) -> io::Result<()> {
        if self.size == 0 {
            self.begin()?;
        }
        self.tell(frame.offset, bytes.len());
        self.size += bytes.len() as u64;
        self.tar_length += u64::from(frame.tar_length);
        self.frames.push(key, frame);
        self.sink.write_all(bytes)
    }

    /// The next bytes are those that an earlier layer has from there on.
    fn tell(&mut self, from: u64, length: usize) {
        if let Some(listener) = &mut self.listener {
            listener(Copied { at: self.size, from, length: length as u64 });
        }
    }

    /// Goes on behind a frame that was copied.
    fn resume(&mut self, last: &Frame, known: &KnownFrames) -> io::Result<()> {
        self.crc = crc32fast::Hasher::new_with_initial_len(last.after.crc, self.tar_length);
        self.hasher = Hasher::resume(last.after.digest, self.size / 64);
        self.hasher.update(&known.tail(self.size)?);
        Ok(())
    }

    fn begin(&mut self) -> io::Result<()> {
        match self.encoding {
            Encoding::Gzip { .. } => self.write(&GZIP_HEADER),
            Encoding::Uncompressed
            | Encoding::Estargz { .. }
            | Encoding::Zstd { .. }
            | Encoding::ZstdChunked { .. } => Ok(()),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self.encoding {
            Encoding::Gzip { .. } => {
                let trailer = gzip_trailer(self.crc.clone().finalize(), self.tar_length);
                self.write(&trailer)
            }
            Encoding::Uncompressed
            | Encoding::Estargz { .. }
            | Encoding::Zstd { .. }
            | Encoding::ZstdChunked { .. } => Ok(()),
        }
    }
}

impl<W: Write> Pipeline<W> {
    pub(super) fn new(sink: W, encoding: Encoding, threads: NonZeroUsize) -> Self {
        let hasher = || Hasher::new(Algorithm::Sha256);
        Self {
            encoding,
            threads: threads.get(),
            current: Vec::new(),
            filled: 0,
            seams: Vec::new(),
            large: None,
            known: None,
            prefix: None,
            frame: Vec::new(),
            spare: Spare::default(),
            uncompressed_size: 0,
            engine: Engine::Inline { hasher: hasher(), squeezer: None },
            tail: Tail {
                sink,
                encoding,
                hasher: hasher(),
                size: 0,
                crc: crc32fast::Hasher::new(),
                tar_length: 0,
                frames: FrameTable::default(),
                marks: Vec::new(),
                listener: None,
            },
        }
    }

    /// Frames of an earlier layer that may be used again.
    pub(super) fn reuse(&mut self, known: Arc<KnownFrames>) {
        match self.encoding {
            Encoding::Uncompressed | Encoding::Gzip { .. } | Encoding::Zstd { .. } => self.prefix = Some(0),
            // Every file is looked at, for the table of contents.
            Encoding::ZstdChunked { .. } => {}
            // Nothing says where in a piece its members begin.
            Encoding::Estargz { .. } => return,
        }
        self.known = Some(known);
    }

    /// Tells what is taken from the earlier layer.
    pub(super) fn tell(&mut self, listener: impl FnMut(Copied) + Send + 'static) {
        self.tail.listener = Some(Box::new(listener));
    }

    /// What comes next is compressed by itself, if that is how it is done.
    pub(super) fn seam(&mut self) {
        if self.encoding.has_seams() && self.filled > 0 {
            self.seams.push(self.filled);
        }
    }

    /// Whether this layer is still the same as the last one, so that [`Pipeline::skip`] may find the next frame, too.
    pub(super) fn may_skip(&self) -> bool {
        self.prefix.is_some()
    }

    /// Takes the next frames over from the last layer, if they are the next ones there, too. What would be in them need not be
    /// written then. When it says no, it will not say yes again.
    pub(super) fn skip(&mut self, keys: &[FrameKey]) -> io::Result<bool> {
        let (Some(known), Some(next)) = (self.known.clone(), self.prefix) else { return Ok(false) };
        let header = if let Encoding::Gzip { .. } = self.encoding { GZIP_HEADER.len() as u64 } else { 0 };
        let mut end = self.tail.size.max(header);
        let mut frames = Vec::with_capacity(keys.len());
        let mut bytes = std::mem::take(&mut self.frame);
        for (at, key) in (next..).zip(keys) {
            // A gap holds something that nobody knows.
            let frame = known.at(at, key).filter(|frame| frame.offset == end);
            let Some(frame) = frame.filter(|frame| known.read(frame, &mut bytes)) else {
                self.leave_prefix()?;
                return Ok(false);
            };
            end = frame.end();
            frames.push((*key, frame));
        }
        // All or none: of many, none is kept in memory until it is known that all are there.
        let again = frames.len() > 1;
        for (key, frame) in frames {
            if again && !known.read(&frame, &mut bytes) {
                return Err(io::Error::other("the last layer changed while it was read"));
            }
            self.tail.copy(key, frame, &bytes)?;
            self.uncompressed_size += u64::from(frame.tar_length);
        }
        self.frame = bytes;
        self.prefix = Some(next + keys.len());
        Ok(true)
    }

    /// From here on, everything is looked at.
    pub(super) fn leave_prefix(&mut self) -> io::Result<()> {
        let (Some(known), Some(count)) = (&self.known, self.prefix.take()) else { return Ok(()) };
        let Some(last) = count.checked_sub(1).and_then(|last| known.place(last)) else { return Ok(()) };
        self.tail.resume(&last, known)?;
        let hasher = Hasher::resume(last.after.diff_id, self.uncompressed_size / 64);
        self.engine = Engine::Inline { hasher, squeezer: None };
        Ok(())
    }

    /// What comes up to the next [`Pipeline::cut`] is one large file, made of this if that is known.
    pub(super) fn begin_large(&mut self, key: Option<FrameKey>) {
        self.large = key.map(|key| (key, 0));
    }

    /// Ends a frame here. `key` is what it was made of.
    pub(super) fn cut(&mut self, key: Option<FrameKey>) -> io::Result<()> {
        let key = self.next_part().or(key);
        self.large = None;
        if self.filled == 0 { Ok(()) } else { self.submit(false, key) }
    }

    fn next_part(&mut self) -> Option<FrameKey> {
        self.large.as_mut().map(|(whole, number)| {
            *number += 1;
            Cutter::part(whole, *number)
        })
    }

    /// Takes in `bytes`.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let space = self.space(bytes.len())?;
            let count = space.len();
            space.copy_from_slice(&bytes[..count]);
            bytes = &bytes[count..];
            self.advance(count);
        }
        Ok(())
    }

    /// Room for up to `wanted` more bytes (never none); fill some of it and call [`Pipeline::advance`].
    pub(super) fn space(&mut self, wanted: usize) -> io::Result<&mut [u8]> {
        if self.filled == self.encoding.block_size() {
            let key = self.next_part();
            self.submit(false, key)?;
        }
        if self.current.len() - self.filled < wanted && self.current.len() < self.encoding.block_size() {
            // Small layers never pay for a whole block.
            let grown = (self.filled + wanted).next_power_of_two().max(64 << 10);
            self.current.resize(grown.min(self.encoding.block_size()), 0);
        }
        let end = self.current.len().min(self.filled.saturating_add(wanted));
        Ok(&mut self.current[self.filled..end])
    }

    /// `count` bytes of the last [`Pipeline::space`] are filled.
    pub(super) fn advance(&mut self, count: usize) {
        self.filled += count;
        self.uncompressed_size += count as u64;
    }

    /// Reads up to `limit` bytes of `source` straight into the block, shows them to `observe`, and says how many
    /// came.
    pub(super) fn read_from(
        &mut self,
        source: &mut impl Read,
        limit: u64,
        observe: &mut dyn FnMut(&[u8]),
    ) -> Result<usize, Fault> {
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX).min(self.encoding.block_size());
        let space = self.space(wanted).map_err(Fault::Sink)?;
        let count = loop {
            match source.read(space) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other.map_err(Fault::Source)?,
            }
        };
        observe(&space[..count]);
        self.advance(count);
        Ok(count)
    }

    /// Waits until all that went in is written.
    pub(super) fn settle(mut self) -> io::Result<Settled<W>> {
        self.leave_prefix()?;
        self.submit(true, None)?;
        let diff_id = match self.engine {
            Engine::Inline { hasher, .. } => hasher,
            Engine::Pool(pool) => pool.finish(&mut self.tail)?,
        };
        Ok(Settled { tail: self.tail, diff_id, uncompressed_size: self.uncompressed_size })
    }

    /// Sends the current block on its way.
    fn submit(&mut self, last: bool, key: Option<FrameKey>) -> io::Result<()> {
        // Room for a whole block costs nothing before it is used, and is not moved as it fills.
        let next = self.spare.data.pop().unwrap_or_else(|| Vec::with_capacity(self.encoding.block_size()));
        let mut data = std::mem::replace(&mut self.current, next);
        data.truncate(self.filled);
        self.filled = 0;
        if self.tail.size == 0 {
            self.tail.begin()?;
        }
        let worth_threads = !last && self.threads > 1 && data.len() >= WORTH_THREADS;
        if worth_threads && let Engine::Inline { hasher, .. } = &self.engine {
            self.engine = Engine::Pool(Pool::start(self.encoding, self.threads, hasher.clone())?);
        }
        let key = key.filter(|_| !matches!(self.encoding, Encoding::Estargz { .. }));
        let known = self.known.as_ref().zip(key);
        let known = known.and_then(|(known, key)| Some((Arc::clone(known), known.find(&key)?)));
        let seams = std::mem::take(&mut self.seams);
        let room = self.spare.rooms.pop().unwrap_or_default();
        let mut block = Block { data, room, last, key, known, diff_id: None, seams };
        match &mut self.engine {
            Engine::Inline { hasher, squeezer } => {
                hasher.update(&block.data);
                block.diff_id = hasher.midstate();
                let squeezer = match squeezer {
                    Some(squeezer) => squeezer,
                    None => squeezer.insert(Squeezer::new(self.encoding)?),
                };
                let piece = squeezer.squeeze(block)?;
                self.tail.take(&piece)?;
                self.spare.put(piece, self.encoding);
            }
            Engine::Pool(pool) => pool.submit(block, &mut self.tail, &mut self.spare)?,
        }
        Ok(())
    }
}

/// A layer whose tar is written, but for what only its writer knows how to compress.
pub(super) struct Settled<W> {
    tail: Tail<W>,
    diff_id: Hasher,
    uncompressed_size: u64,
}

impl<W: Write> Settled<W> {
    /// Where what was compressed by itself begins, in order.
    pub(super) fn marks(&self) -> &[Mark] {
        &self.tail.marks
    }

    /// Length of the blob so far.
    pub(super) fn size(&self) -> u64 {
        self.tail.size
    }

    /// Length of the tar so far.
    pub(super) fn uncompressed_size(&self) -> u64 {
        self.uncompressed_size
    }

    /// Adds `blob`, which decompresses to `tar`.
    pub(super) fn append(&mut self, tar: &[u8], blob: &[u8]) -> io::Result<()> {
        self.diff_id.update(tar);
        self.uncompressed_size += tar.len() as u64;
        self.tail.write(blob)
    }

    /// Ends the blob.
    pub(super) fn finish(self) -> io::Result<Outcome<W>> {
        let Self { mut tail, diff_id, uncompressed_size } = self;
        tail.end()?;
        let diff_id = diff_id.finish();
        let Tail { sink, size, frames, hasher, encoding, .. } = tail;
        let digest = if encoding == Encoding::Uncompressed { diff_id } else { hasher.finish() };
        Ok(Outcome { sink, diff_id, uncompressed_size, digest, size, frames })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeeze(data: &[u8], encoding: Encoding, threads: usize, piece: usize) -> (Digest, Vec<u8>) {
        let mut pipeline = Pipeline::new(Vec::new(), encoding, NonZeroUsize::new(threads).unwrap());
        for piece in data.chunks(piece) {
            pipeline.write(piece).unwrap();
        }
        let outcome = pipeline.settle().unwrap().finish().unwrap();
        assert_eq!(outcome.diff_id, Digest::sha256(data));
        assert_eq!(outcome.digest, Digest::sha256(&outcome.sink));
        assert_eq!(outcome.size, outcome.sink.len() as u64);
        assert_eq!(outcome.uncompressed_size, data.len() as u64);
        (outcome.digest, outcome.sink)
    }

    #[test]
    fn threads_and_pieces_do_not_show() {
        let data: Vec<u8> = (0..2_700_000_u32).flat_map(|n| (n / 3 * 17).to_be_bytes()).collect();
        for encoding in [Encoding::Uncompressed, Encoding::Gzip { level: 1 }, Encoding::Zstd { level: 1 }] {
            for len in [0, 1, 1 << 20, (1 << 20) + 1, 4 << 20, data.len()] {
                let one = squeeze(&data[..len], encoding, 1, 1 << 20);
                assert!(one == squeeze(&data[..len], encoding, 8, 77_777), "{encoding:?} {len}");
                assert!(one == squeeze(&data[..len], encoding, 2, 4_000_000), "{encoding:?} {len}");
            }
        }
    }

    #[test]
    fn a_failing_sink_is_an_error() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut pipeline = Pipeline::new(Full, Encoding::Gzip { level: 1 }, NonZeroUsize::new(2).unwrap());
        let mut result = Ok(());
        for _ in 0..2048 {
            result = result.and_then(|()| pipeline.write(&[7; 1 << 14]));
        }
        let result = result.and_then(|()| pipeline.settle().map(drop));
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
