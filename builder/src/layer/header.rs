//! Tar headers, written by hand so that every byte is a function of the entry: ustar, preceded by a PAX record block
//! where ustar cannot say it (long names, big numbers, sub-second times, extended attributes).
//!
//! No user or group names, no access times, nothing from the machine. setuid, setgid and sticky bits are kept.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::entry::{Entry, Kind, Mtime};

/// The unit of a tar stream.
pub(super) const BLOCK: usize = 512;

/// What precedes the name of a whited-out file.
pub(super) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The file that makes its directory opaque.
pub(super) const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// Where the PAX records of extended attributes begin.
pub(super) const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";

/// Writes the header of `entry` and, when needed, the extended one before it. Content follows for non-empty files.
pub(super) fn encode(entry: &Entry, out: &mut Vec<u8>) {
    let name = stored_name(entry);
    let mut records = Records::default();
    let mut header = Header::new();
    header.name(&name, &mut records);
    header.link(&entry.kind, &mut records);
    header.octal(MODE, u64::from(entry.mode & 0o7777));
    header.number(UID, u64::from(entry.uid), b"uid", &mut records);
    header.number(GID, u64::from(entry.gid), b"gid", &mut records);
    header.number(SIZE, content_size(&entry.kind), b"size", &mut records);
    header.mtime(entry.mtime, &mut records);
    header.kind(&entry.kind);
    for (name, value) in &entry.xattrs {
        records.insert([XATTR_PREFIX, name].concat(), value.clone());
    }
    if !records.is_empty() {
        encode_records(&records, out);
    }
    out.extend_from_slice(&header.finish());
}

/// How many zero bytes follow `size` bytes of content.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
    (BLOCK - over) % BLOCK
}

fn content_size(kind: &Kind) -> u64 {
    match kind {
        Kind::File { size } => *size,
        Kind::Dir
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Char { .. }
        | Kind::Block { .. }
        | Kind::Fifo
        | Kind::Whiteout
        | Kind::Opaque => 0,
    }
}

/// The name as a tar stores it: directories end in `/`, markers have their own spelling.
pub(super) fn stored_name(entry: &Entry) -> Cow<'_, [u8]> {
    let path = entry.path.as_bytes();
    let beside = |parent: &[u8], parts: &[&[u8]]| {
        let mut name = Vec::with_capacity(path.len() + OPAQUE_NAME.len() + 1);
        if !parent.is_empty() {
            name.extend_from_slice(parent);
            name.push(b'/');
        }
        name.extend_from_slice(&parts.concat());
        Cow::Owned(name)
    };
    match entry.kind {
        Kind::Dir if path.is_empty() => Cow::Borrowed(b"./"),
        Kind::Dir => Cow::Owned([path, b"/"].concat()),
        Kind::Whiteout => beside(entry.path.parent_bytes(), &[WHITEOUT_PREFIX, entry.path.file_name()]),
        Kind::Opaque => beside(path, &[OPAQUE_NAME]),
        Kind::File { .. }
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Char { .. }
        | Kind::Block { .. }
        | Kind::Fifo => Cow::Borrowed(path),
    }
}

/// PAX records, sorted by key.
type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Where a field lies in the header: offset and length.
#[derive(Clone, Copy)]
struct Field(usize, usize);

const NAME: Field = Field(0, 100);
const MODE: Field = Field(100, 8);
const UID: Field = Field(108, 8);
const GID: Field = Field(116, 8);
const SIZE: Field = Field(124, 12);
const MTIME: Field = Field(136, 12);
const CHECKSUM: Field = Field(148, 8);
const TYPE: usize = 156;
const LINK: Field = Field(157, 100);
const MAGIC: Field = Field(257, 8);
const MAJOR: Field = Field(329, 8);
const MINOR: Field = Field(337, 8);
const PREFIX: Field = Field(345, 155);

struct Header([u8; BLOCK]);

impl Header {
    fn new() -> Self {
        let mut header = Self([0; BLOCK]);
        header.bytes(MAGIC, b"ustar\x0000");
        header
    }

    fn bytes(&mut self, field: Field, value: &[u8]) {
        self.0[field.0..field.0 + value.len()].copy_from_slice(value);
    }

    /// Octal digits and a NUL. The value must fit.
    fn octal(&mut self, field: Field, mut value: u64) {
        let digits = &mut self.0[field.0..field.0 + field.1 - 1];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (value & 7) as u8;
            value >>= 3;
        }
    }

    /// A number, in a PAX record when the field is too small for it.
    fn number(&mut self, field: Field, value: u64, key: &[u8], records: &mut Records) {
        let fits = value >> (3 * (field.1 - 1)) == 0;
        self.octal(field, if fits { value } else { 0 });
        if !fits {
            records.insert(key.to_vec(), value.to_string().into_bytes());
        }
    }

    fn name(&mut self, name: &[u8], records: &mut Records) {
        if name.len() <= NAME.1 {
            self.bytes(NAME, name);
        } else if let Some(at) = split_point(name) {
            self.bytes(PREFIX, &name[..at]);
            self.bytes(NAME, &name[at + 1..]);
        } else {
            records.text(b"path", name);
            self.bytes(NAME, &name[..NAME.1]);
        }
    }

    fn link(&mut self, kind: &Kind, records: &mut Records) {
        let target: &[u8] = match kind {
            Kind::Symlink { target } => target,
            Kind::Hardlink { target } => target.as_bytes(),
            Kind::File { .. }
            | Kind::Dir
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo
            | Kind::Whiteout
            | Kind::Opaque => return,
        };
        if target.len() > LINK.1 {
            records.text(b"linkpath", target);
        }
        self.bytes(LINK, &target[..target.len().min(LINK.1)]);
    }

    fn mtime(&mut self, mtime: Mtime, records: &mut Records) {
        let whole = u64::try_from(mtime.secs).ok().filter(|secs| secs >> 33 == 0);
        self.octal(MTIME, whole.unwrap_or(0));
        if whole.is_none() || mtime.nanos != 0 {
            records.insert(b"mtime".to_vec(), decimal_time(mtime).into_bytes());
        }
    }

    fn kind(&mut self, kind: &Kind) {
        self.0[TYPE] = match kind {
            Kind::File { .. } | Kind::Whiteout | Kind::Opaque => b'0',
            Kind::Hardlink { .. } => b'1',
            Kind::Symlink { .. } => b'2',
            Kind::Char { .. } => b'3',
            Kind::Block { .. } => b'4',
            Kind::Dir => b'5',
            Kind::Fifo => b'6',
        };
        if let Kind::Char { major, minor } | Kind::Block { major, minor } = kind {
            // Linux has 12 bits of major and 20 of minor: both fit their 21.
            self.octal(MAJOR, u64::from(*major));
            self.octal(MINOR, u64::from(*minor));
        }
    }

    fn finish(mut self) -> [u8; BLOCK] {
        self.0[CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1].fill(b' ');
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        // Six digits, NUL, space, as every tar since the first.
        self.octal(Field(CHECKSUM.0, 7), sum);
        self.0[CHECKSUM.0 + 6] = 0;
        self.0
    }
}

/// The separator at which ustar can cut a long name in two, if there is one.
fn split_point(name: &[u8]) -> Option<usize> {
    let last = name.len() - 1;
    let first = last.saturating_sub(NAME.1);
    let longest = PREFIX.1.min(last.saturating_sub(1));
    (first.max(1)..=longest).find(|at| name[*at] == b'/')
}

/// Seconds with as many decimals as needed; before 1970 the whole number is negative, as PAX wants it.
fn decimal_time(mtime: Mtime) -> String {
    let nanos = i128::from(mtime.secs) * 1_000_000_000 + i128::from(mtime.nanos);
    let sign = if nanos < 0 { "-" } else { "" };
    let (secs, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    if fraction == 0 {
        return format!("{sign}{secs}");
    }
    let text = format!("{sign}{secs}.{fraction:09}");
    text.trim_end_matches('0').to_owned()
}

trait TextRecord {
    /// A name; one that is not UTF-8 announces itself, as PAX demands.
    fn text(&mut self, key: &[u8], value: &[u8]);
}

impl TextRecord for Records {
    fn text(&mut self, key: &[u8], value: &[u8]) {
        if std::str::from_utf8(value).is_err() {
            self.insert(b"hdrcharset".to_vec(), b"BINARY".to_vec());
        }
        self.insert(key.to_vec(), value.to_vec());
    }
}

fn encode_records(records: &Records, out: &mut Vec<u8>) {
    let mut body = Vec::new();
    for (key, value) in records {
        encode_record(key, value, &mut body);
    }
    let mut header = Header::new();
    header.bytes(NAME, b"PaxHeaders.0/entry");
    header.octal(MODE, 0o644);
    header.octal(UID, 0);
    header.octal(GID, 0);
    header.octal(SIZE, body.len() as u64);
    header.octal(MTIME, 0);
    header.0[TYPE] = b'x';
    out.extend_from_slice(&header.finish());
    out.extend_from_slice(&body);
    out.resize(out.len() + padding(body.len() as u64), 0);
}

/// `length key=value\n`, where the length counts itself.
fn encode_record(key: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn record_lengths_count_themselves() {
        for len in [1, 3, 4, 5, 90, 91, 92, 93, 94, 95, 96, 990, 991, 992, 993, 994, 995, 9990] {
            let mut out = Vec::new();
            encode_record(b"k", &vec![b'v'; len], &mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.split(' ').next().unwrap().parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn times_are_decimal() {
        for (secs, nanos, expect) in [
            (0, 0, "0"),
            (1, 500_000_000, "1.5"),
            (7, 1, "7.000000001"),
            (-1, 0, "-1"),
            (-2, 500_000_000, "-1.5"),
            (-1, 999_999_999, "-0.000000001"),
        ] {
            assert_eq!(decimal_time(Mtime { secs, nanos }), expect);
        }
    }

    #[test]
    fn long_names_split_where_ustar_can() {
        let name = [b"d".repeat(155), b"n".repeat(100)].join(&b'/');
        assert_eq!(split_point(&name), Some(155));
        assert_eq!(split_point(&b"n".repeat(101)), None);
        assert_eq!(split_point(&[b"d".repeat(156), b"n".repeat(99)].join(&b'/')), None);
        // A trailing separator is part of the name, not a place to cut.
        assert_eq!(split_point(&[b"n".repeat(150), b"/".to_vec()].concat()), None);
        // Nor may the prefix be empty.
        assert_eq!(split_point(&[b"/".to_vec(), b"n".repeat(100)].concat()), None);
    }
}
