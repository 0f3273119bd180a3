//! The stored form of a [`LayerIndex`](super::LayerIndex).
//!
//! ```text
//! "WHARFIDX" version:2 count
//! entry: shared rest kind mode uid gid secs nanos payload xattrs
//! ```
//!
//! Numbers are LEB128 (seconds zigzag), byte strings carry their length, `shared` is how many bytes of the path before
//! are taken over. Thirty thousand entries take about two megabytes and a few milliseconds. Any bytes are safe to
//! decode; memory is bounded by the length of the input.

use super::{IndexEntry, IndexError};
use crate::layer::entry::{Entry, Kind, Mtime, Xattrs};
use crate::layer::fingerprint::Fingerprint;
use crate::layer::path::{LayerPath, PathError};

const MAGIC: &[u8; 8] = b"WHARFIDX";
const VERSION: u8 = 2;

/// Why bytes are no index.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not an index at all, or one written by another version of Wharf: index the layer again.
    #[error("not a layer index of version {VERSION}")]
    Version,
    /// It ends early or holds impossible values.
    #[error("the layer index is damaged")]
    Damaged,
    /// A path that cannot be.
    #[error(transparent)]
    Path(#[from] PathError),
    /// Entries that do not form a layer.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// What comes before `count` entries.
pub(super) fn header(count: usize) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.push(VERSION);
    number(count as u64, &mut out);
    out
}

/// Appends an entry; `before` is the path of the one before it.
pub(super) fn append(one: &IndexEntry, before: &[u8], out: &mut Vec<u8>) {
    let path = one.entry.path.as_bytes();
    let shared = before.iter().zip(path).take_while(|(a, b)| a == b).count();
    number(shared as u64, out);
    string(&path[shared..], out);
    encode_entry(one, out);
}

fn encode_entry(one: &IndexEntry, out: &mut Vec<u8>) {
    let entry = &one.entry;
    let kind = match entry.kind {
        Kind::File { .. } => 0,
        Kind::Dir => 1,
        Kind::Symlink { .. } => 2,
        Kind::Hardlink { .. } => 3,
        Kind::Char { .. } => 4,
        Kind::Block { .. } => 5,
        Kind::Fifo => 6,
        Kind::Whiteout => 7,
        Kind::Opaque => 8,
    };
    out.push(kind);
    for value in [entry.mode, entry.uid, entry.gid] {
        number(u64::from(value), out);
    }
    number(((entry.mtime.secs << 1) ^ (entry.mtime.secs >> 63)).cast_unsigned(), out);
    number(u64::from(entry.mtime.nanos), out);
    match &entry.kind {
        Kind::File { size } => number(*size, out),
        Kind::Symlink { target } => string(target, out),
        Kind::Hardlink { target } => string(target.as_bytes(), out),
        Kind::Char { major, minor } | Kind::Block { major, minor } => {
            number(u64::from(*major), out);
            number(u64::from(*minor), out);
        }
        Kind::Dir | Kind::Fifo | Kind::Whiteout | Kind::Opaque => {}
    }
    match &one.content {
        None => out.push(0),
        Some(content) => {
            out.push(1);
            out.extend_from_slice(content.as_bytes());
        }
    }
    number(entry.xattrs.len() as u64, out);
    for (name, value) in &entry.xattrs {
        string(name, out);
        string(value, out);
    }
}

fn number(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    number(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Reads entries one after the other.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    cursor: Cursor<'a>,
    left: usize,
    path: Vec<u8>,
    parse: fn(&[u8]) -> Result<LayerPath, PathError>,
}

impl<'a> Reader<'a> {
    /// Of bytes that anybody may have written.
    pub(super) fn stored(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(DecodeError::Version)?;
        let mut cursor = Cursor(rest.strip_prefix(&[VERSION]).ok_or(DecodeError::Version)?);
        let left = cursor.length()?;
        if left == 0 && !cursor.0.is_empty() {
            return Err(DecodeError::Damaged);
        }
        Ok(Self { cursor, left, path: Vec::new(), parse: |bytes| LayerPath::parse(bytes) })
    }

    /// Of what [`append`] made of `count` entries.
    pub(super) fn packed(body: &'a [u8], count: usize) -> Self {
        Self { cursor: Cursor(body), left: count, path: Vec::new(), parse: |bytes| Ok(LayerPath::from_normal(bytes)) }
    }

    fn read(&mut self) -> Result<IndexEntry, DecodeError> {
        let shared = self.cursor.length_up_to(self.path.len())?;
        self.path.truncate(shared);
        self.path.extend_from_slice(self.cursor.string()?);
        let one = self.cursor.entry((self.parse)(&self.path)?)?;
        if self.left == 0 && !self.cursor.0.is_empty() { Err(DecodeError::Damaged) } else { Ok(one) }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<IndexEntry, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let read = self.read();
        if read.is_err() {
            self.left = 0;
        }
        Some(read)
    }
}

#[derive(Clone, Debug)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.0.split_first().ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(*first)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (head, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(head)
    }

    fn fingerprint(&mut self) -> Result<Fingerprint, DecodeError> {
        let (raw, rest) = self.0.split_first_chunk().ok_or(DecodeError::Damaged)?;
        self.0 = rest;
        Ok(Fingerprint::from(*raw))
    }

    fn number(&mut self) -> Result<u64, DecodeError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Damaged)
    }

    fn small(&mut self) -> Result<u32, DecodeError> {
        u32::try_from(self.number()?).map_err(|_| DecodeError::Damaged)
    }

    fn length_up_to(&mut self, most: usize) -> Result<usize, DecodeError> {
        usize::try_from(self.number()?).ok().filter(|length| *length <= most).ok_or(DecodeError::Damaged)
    }

    /// A count of things that take at least one byte each.
    fn length(&mut self) -> Result<usize, DecodeError> {
        self.length_up_to(self.0.len())
    }

    fn string(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        self.bytes(length)
    }

    fn entry(&mut self, path: LayerPath) -> Result<IndexEntry, DecodeError> {
        let tag = self.byte()?;
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let secs = self.number()?;
        let secs = (secs >> 1).cast_signed() ^ -(secs & 1).cast_signed();
        let nanos = self.small()?;
        if nanos >= 1_000_000_000 {
            return Err(DecodeError::Damaged);
        }
        let mtime = Mtime { secs, nanos };
        let kind = match tag {
            0 => Kind::File { size: self.number()? },
            1 => Kind::Dir,
            2 => Kind::Symlink { target: self.string()?.into() },
            3 => Kind::Hardlink { target: LayerPath::parse(self.string()?)? },
            4 => Kind::Char { major: self.small()?, minor: self.small()? },
            5 => Kind::Block { major: self.small()?, minor: self.small()? },
            6 => Kind::Fifo,
            7 => Kind::Whiteout,
            8 => Kind::Opaque,
            _ => return Err(DecodeError::Damaged),
        };
        let content = match self.byte()? {
            0 => None,
            1 => Some(self.fingerprint()?),
            _ => return Err(DecodeError::Damaged),
        };
        let mut xattrs = Xattrs::new();
        for _ in 0..self.length()? {
            xattrs.insert(self.string()?.to_vec(), self.string()?.to_vec());
        }
        Ok(IndexEntry { entry: Entry { path, kind, mode, uid, gid, mtime, xattrs }, content })
    }
}
