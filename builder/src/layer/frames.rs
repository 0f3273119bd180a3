//! Compressed pieces of an earlier layer, to be used again where a new layer holds the same.
//!
//! A layer is cut into frames between entries (see [`Cutter`]): where depends on the entries' paths and sizes, so that a
//! change of one file leaves the frames of all others as they are. A frame is known by what it was made of: headers,
//! content digests and the encoding. Whoever writes the next layer finds it in the [`FrameTable`] of the last one and
//! copies its bytes out of that blob instead of compressing again. The result is the same, byte for byte.
//!
//! A copied frame is checked against the CRC it had when it was written; a damaged one is made again.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;

use flate2::Crc;
use wharf_spec::Digest;

use super::checksum::Checksum;
use super::squeeze::Encoding;

/// Begins the stored form of a table. A compressor of another version may write other bytes: it is another table.
const MAGIC: &str = concat!("wharf frames 2 ", env!("CARGO_PKG_VERSION"), "\n");
const RECORD: usize = 32 + 8 + 4 + 4;

/// What a frame was made of.
pub(super) type FrameKey = Digest;

/// Where a frame lies in its blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FramePlace {
    pub(super) offset: u64,
    pub(super) length: u32,
    /// CRC-32 of the compressed bytes.
    pub(super) check: u32,
}

/// The frames of one layer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrameTable {
    frames: Vec<(FrameKey, FramePlace)>,
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

    pub(super) fn push(&mut self, key: FrameKey, place: FramePlace) {
        self.frames.push((key, place));
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MAGIC.len() + self.frames.len() * RECORD);
        bytes.extend_from_slice(MAGIC.as_bytes());
        for (key, place) in &self.frames {
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(&place.offset.to_le_bytes());
            bytes.extend_from_slice(&place.length.to_le_bytes());
            bytes.extend_from_slice(&place.check.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`FrameTable::encode`] wrote; `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let records = bytes.strip_prefix(MAGIC.as_bytes())?.chunks_exact(RECORD);
        if !records.remainder().is_empty() {
            return None;
        }
        let frame = |record: &[u8]| {
            let (key, rest) = record.split_at(32);
            let place = FramePlace {
                offset: u64::from_le_bytes(rest[..8].try_into().ok()?),
                length: u32::from_le_bytes(rest[8..12].try_into().ok()?),
                check: u32::from_le_bytes(rest[12..16].try_into().ok()?),
            };
            Some((super::checksum::from_raw(wharf_spec::Algorithm::Sha256, key)?, place))
        };
        records.map(frame).collect::<Option<_>>().map(|frames| Self { frames })
    }
}

/// A blob and where its frames are.
#[derive(Debug)]
pub struct KnownFrames {
    blob: File,
    places: HashMap<FrameKey, FramePlace>,
}

impl KnownFrames {
    /// The frames of `table`, which lie in `blob`.
    pub fn new(blob: File, table: FrameTable) -> Self {
        Self { blob, places: table.frames.into_iter().collect() }
    }

    pub(super) fn find(&self, key: &FrameKey) -> Option<FramePlace> {
        self.places.get(key).copied()
    }

    /// The bytes of a frame; `None` when they are not what they were.
    pub(super) fn read(&self, place: FramePlace) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(place.length).ok()?];
        self.blob.read_exact_at(&mut bytes, place.offset).ok()?;
        (check(&bytes) == place.check).then_some(bytes)
    }
}

/// CRC-32 of compressed bytes.
pub(super) fn check(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Decides where a layer is cut, and what each frame is made of.
///
/// Small entries are put together until there are enough of them and a path's hash says so, or until there are too many.
/// A large file has frames of its own. Part of the format: other places are other digests.
pub(super) struct Cutter {
    encoding: Encoding,
    /// Bytes of tar since the last cut.
    open: u64,
    facts: Option<Checksum>,
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
    pub(super) fn add(&mut self, header: &[u8], content: Option<&Digest>, length: u64) {
        let encoding = self.encoding;
        let facts = self.facts.get_or_insert_with(|| {
            let mut facts = Checksum::sha256();
            facts.update(format!("{encoding:?}").as_bytes());
            facts
        });
        facts.update(&(header.len() as u64).to_le_bytes());
        facts.update(header);
        if let Some(content) = content {
            facts.update(content.as_bytes());
        }
        self.open += length;
    }

    /// Ends a frame: what it was made of.
    pub(super) fn end(&mut self) -> Option<FrameKey> {
        self.open = 0;
        self.facts.take().map(Checksum::finish)
    }

    /// What part `number` of a large file is made of.
    pub(super) fn part(whole: &FrameKey, number: u64) -> FrameKey {
        let mut facts = Checksum::sha256();
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
        let place = |offset| FramePlace { offset, length: 5, check: check(b"frame") };
        FrameTable { frames: vec![(Digest::sha256(b"a"), place(0)), (Digest::sha256(b"b"), place(5))] }
    }

    #[test]
    fn tables_round_trip_and_garbage_is_none() {
        assert_eq!(FrameTable::decode(&table().encode()), Some(table()));
        let mut cut = table().encode();
        cut.pop();
        for bytes in [&b""[..], b"wharf frames 0\n", &cut] {
            assert_eq!(FrameTable::decode(bytes), None);
        }
    }

    #[test]
    fn damaged_frames_are_not_used() {
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(b"framefrome").unwrap();
        let known = KnownFrames::new(blob, table());
        let read = |name: &[u8]| known.find(&Digest::sha256(name)).and_then(|place| known.read(place));
        assert_eq!(read(b"a").as_deref(), Some(&b"frame"[..]));
        assert_eq!(read(b"b"), None);
        assert_eq!(read(b"c"), None);
    }
}
