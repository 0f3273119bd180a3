//! Compressed pieces of an earlier layer, to be used again where a new layer holds the same.
//!
//! A layer is cut into frames between entries (see [`Cutter`]): where depends on the entries' paths and sizes, so that a
//! change of one file leaves the frames of all others as they are. A frame is known by what it was made of: headers, contents
//! and the encoding. Whoever writes the next layer finds it in the [`FrameTable`] of the last one and copies its bytes out
//! of that blob instead of compressing again. The result is the same, byte for byte.
//!
//! As long as a new layer begins as the last one did, even its digests are the same so far: a frame's [`After`] says where they
//! stood behind it, so that what comes before the first change is neither read nor hashed.
//!
//! A copied frame is checked against the CRC it had when it was written; a damaged one is made again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use wharf_spec::Midstate;

use super::fingerprint::{Fingerprint, Fingerprinter};
use super::squeeze::Encoding;

/// Begins the stored form of a table. A compressor of another version may write other bytes: it is another table.
const MAGIC: &str = concat!("wharf frames 3 ", env!("CARGO_PKG_VERSION"), "\n");
const RECORD: usize = Fingerprint::WIDTH + 8 + 4 + 4 + 4 + 4 + 2 * Midstate::WIDTH;

/// What a frame was made of.
pub(super) type FrameKey = Fingerprint;

/// A frame in its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// CRC-32 of the compressed bytes.
    pub(super) check: u32,
    /// Bytes of tar in it.
    pub(super) tar_length: u32,
    pub(super) after: After,
}

impl Frame {
    /// Where the next one begins.
    pub(super) fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// Where the digests of a layer stand behind a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct After {
    /// CRC-32 of the tar so far; of gzip only.
    pub(super) crc: u32,
    /// The diff id's; a tar is made of whole blocks.
    pub(super) diff_id: Midstate,
    /// The blob's, after its last whole block of 64 bytes.
    pub(super) digest: Midstate,
}

/// The frames of one layer, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTable {
    frames: Vec<(FrameKey, Frame)>,
}

impl FrameTable {
    /// How many frames can be used again.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many frames two layers have in common.
    pub fn common(&self, other: &Self) -> usize {
        let theirs: HashSet<&FrameKey> = other.frames.iter().map(|(key, _)| key).collect();
        self.frames.iter().filter(|(key, _)| theirs.contains(key)).count()
    }

    pub(super) fn push(&mut self, key: FrameKey, frame: Frame) {
        self.frames.push((key, frame));
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.frames.len() * RECORD);
        bytes.extend_from_slice(MAGIC.as_bytes());
        for (key, frame) in &self.frames {
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&frame.offset.to_le_bytes());
            for number in [frame.length, frame.check, frame.tar_length, frame.after.crc] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&frame.after.diff_id.to_bytes());
            bytes.extend_from_slice(&frame.after.digest.to_bytes());
        }
        bytes
    }

    /// Reads what [`FrameTable::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (records, rest) = bytes.strip_prefix(MAGIC.as_bytes())?.as_chunks::<RECORD>();
        if !rest.is_empty() {
            return None;
        }
        records.iter().map(|record| decode(record)).collect::<Option<_>>().map(|frames| Self { frames })
    }
}

fn decode(mut record: &[u8]) -> Option<(FrameKey, Frame)> {
    fn take<const N: usize>(record: &mut &[u8]) -> Option<[u8; N]> {
        let (taken, rest) = record.split_first_chunk()?;
        *record = rest;
        Some(*taken)
    }
    let key = Fingerprint::from(take(&mut record)?);
    let offset = u64::from_le_bytes(take(&mut record)?);
    let mut number = || take(&mut record).map(u32::from_le_bytes);
    let (length, check, tar_length, crc) = (number()?, number()?, number()?, number()?);
    let mut midstate = || take(&mut record).map(Midstate::from_bytes);
    let after = After { crc, diff_id: midstate()?, digest: midstate()? };
    Some((key, Frame { offset, length, check, tar_length, after }))
}

/// A blob and where its frames are.
#[derive(Debug)]
pub struct KnownFrames {
    blob: File,
    table: FrameTable,
    /// Where in the table each is.
    places: HashMap<FrameKey, usize>,
}

impl KnownFrames {
    /// The frames of `table`, which lie in `blob`.
    pub fn new(blob: File, table: FrameTable) -> Self {
        let places = table.frames.iter().enumerate().map(|(at, (key, _))| (*key, at)).collect();
        Self { blob, table, places }
    }

    pub(super) fn find(&self, key: &FrameKey) -> Option<Frame> {
        self.places.get(key).map(|at| self.table.frames[*at].1)
    }

    /// The frame at this place of the table, if it is that one.
    pub(super) fn at(&self, place: usize, key: &FrameKey) -> Option<Frame> {
        self.table.frames.get(place).filter(|(own, _)| own == key).map(|(_, frame)| *frame)
    }

    /// The frame at this place of the table.
    pub(super) fn place(&self, place: usize) -> Option<Frame> {
        self.table.frames.get(place).map(|(_, frame)| *frame)
    }

    /// Makes `bytes` those of a frame; whether they are what they were.
    pub(super) fn read(&self, frame: &Frame, bytes: &mut Vec<u8>) -> bool {
        let Ok(length) = usize::try_from(frame.length) else { return false };
        bytes.resize(length, 0);
        self.blob.read_exact_at(bytes, frame.offset).is_ok() && check(bytes) == frame.check
    }

    /// The few bytes of the blob before `end` that fill no block of 64.
    pub(super) fn tail(&self, end: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(end % 64).unwrap_or(0)];
        self.blob.read_exact_at(&mut bytes, end - end % 64)?;
        Ok(bytes)
    }
}

/// CRC-32 of compressed bytes.
pub(super) fn check(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Decides where a layer is cut, and what each frame is made of.
///
/// Small entries are put together until there are enough of them and a path's hash says so, or until there are too many.
/// A large file has frames of its own. Part of the format: other places are other digests.
pub(super) struct Cutter {
    encoding: Encoding,
    /// Bytes of tar since the last cut.
    open: u64,
    facts: Option<Fingerprinter>,
}

/// What to do before and after an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// End the frame before this entry.
    Before,
    /// Go on.
    None,
}

impl Cutter {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, open: 0, facts: None }
    }

    /// Fewer bytes make no frame, unless a large file comes.
    fn least(&self) -> u64 {
        self.encoding.block_size() as u64 / 4
    }

    /// Whether an entry of `length` bytes of tar has frames of its own.
    pub(super) fn is_large(&self, length: u64) -> bool {
        length > self.encoding.block_size() as u64 / 4
    }

    /// Whether to cut before an entry with this path and this many bytes of tar.
    pub(super) fn before(&self, path: &[u8], length: u64) -> Cut {
        if self.open == 0 {
            return Cut::None;
        }
        let full = self.open + length > self.encoding.block_size() as u64;
        let here = self.open >= self.least() && check(path).is_multiple_of(16);
        if full || here || self.is_large(length) { Cut::Before } else { Cut::None }
    }

    /// Takes an entry in.
    pub(super) fn add(&mut self, header: &[u8], content: Option<&Fingerprint>, length: u64) {
        let encoding = self.encoding;
        let facts = self.facts.get_or_insert_with(|| {
            let mut facts = Fingerprinter::new();
            facts.update(format!("{encoding:?}").as_bytes());
            facts
        });
        facts.field(header);
        if let Some(content) = content {
            facts.update(content.as_bytes());
        }
        self.open += length;
    }

    /// Ends a frame: what it was made of.
    pub(super) fn end(&mut self) -> Option<FrameKey> {
        self.open = 0;
        self.facts.take().map(|facts| facts.finish())
    }

    /// What the frames of a large file of `length` bytes of tar are made of.
    pub(super) fn parts(&self, whole: &FrameKey, length: u64) -> impl Iterator<Item = FrameKey> + use<> {
        let (whole, count) = (*whole, length.div_ceil(self.encoding.block_size() as u64));
        (1..=count).map(move |number| Self::part(&whole, number))
    }

    /// What part `number` of a large file is made of.
    pub(super) fn part(whole: &FrameKey, number: u64) -> FrameKey {
        let mut facts = Fingerprinter::new();
        facts.update(whole.as_bytes());
        facts.update(&number.to_le_bytes());
        facts.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn table() -> FrameTable {
        let midstate = |byte| Midstate::from_bytes([byte; Midstate::WIDTH]);
        let after = After { crc: 7, diff_id: midstate(1), digest: midstate(2) };
        let frame = |offset| Frame { offset, length: 5, check: check(b"frame"), tar_length: 512, after };
        FrameTable { frames: vec![(Fingerprint::of(b"a"), frame(0)), (Fingerprint::of(b"b"), frame(5))] }
    }

    #[test]
    fn tables_round_trip_and_garbage_is_none() {
        assert_eq!(FrameTable::decode(&table().encode()), Some(table()));
        let mut cut = table().encode();
        cut.pop();
        for bytes in [&b""[..], b"wharf frames 1\n", &cut] {
            assert_eq!(FrameTable::decode(bytes), None);
        }
    }

    #[test]
    fn damaged_frames_are_not_used() {
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(b"framefrome").unwrap();
        let known = KnownFrames::new(blob, table());
        let read = |name: &[u8]| {
            let mut bytes = Vec::new();
            known.find(&Fingerprint::of(name)).filter(|frame| known.read(frame, &mut bytes)).map(|_| bytes)
        };
        assert_eq!(read(b"a").as_deref(), Some(&b"frame"[..]));
        assert_eq!(read(b"b"), None);
        assert_eq!(read(b"c"), None);
        assert_eq!(known.at(1, &Fingerprint::of(b"b")).map(|frame| frame.end()), Some(10));
        assert_eq!(known.at(1, &Fingerprint::of(b"a")), None);
    }
}
