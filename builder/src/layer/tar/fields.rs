//! One tar header and the extended ones before it, taken apart.

use super::sparse::{OldMap, PaxMap};
use super::{BLOCK, TarEntry, TarKind};
use crate::layer::entry::{Mtime, Xattrs};
use crate::layer::header::XATTR_PREFIX;

/// What is wrong with a header, for [`super::TarError::Header`].
type Fault = &'static str;

/// Whether `head` begins with a tar header: a block whose checksum is right.
pub(in crate::layer) fn is_header(head: &[u8]) -> bool {
    head.first_chunk::<BLOCK>().is_some_and(|block| block[0] != 0 && checksum_holds(block))
}

fn checksum_holds(block: &[u8; BLOCK]) -> bool {
    let Some(stored) = octal(&block[148..156]) else { return false };
    let blanked = |at: usize| if (148..156).contains(&at) { b' ' } else { block[at] };
    let unsigned: u64 = (0..BLOCK).map(|at| u64::from(blanked(at))).sum();
    // Some old tars added up signed characters.
    let signed: i64 = (0..BLOCK).map(|at| i64::from(blanked(at).cast_signed())).sum();
    stored == unsigned || i64::try_from(stored) == Ok(signed)
}

/// Digits up to a NUL or space, spaces before them; nothing at all is zero.
fn octal(field: &[u8]) -> Option<u64> {
    let field = field.trim_ascii_start();
    let end = field.iter().position(|byte| matches!(byte, 0 | b' ')).unwrap_or(field.len());
    field[..end].iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Octal, or binary when the first bit is set.
fn number(field: &[u8]) -> Option<i64> {
    if field[0] & 0x80 == 0 {
        return octal(field).and_then(|value| i64::try_from(value).ok());
    }
    let negative = field[0] & 0x40 != 0;
    let first = if negative { i128::from(field[0] | 0x80) - 0x100 } else { i128::from(field[0] & 0x7f) };
    let value = field[1..].iter().fold(first, |value, byte| (value << 8) | i128::from(*byte));
    i64::try_from(value).ok()
}

pub(super) fn size(field: &[u8]) -> Option<u64> {
    number(field).and_then(|value| u64::try_from(value).ok())
}

fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A header whose checksum is right.
pub(super) struct RawHeader<'a> {
    block: &'a [u8; BLOCK],
    pub(super) flag: u8,
    pub(super) size: u64,
}

impl<'a> RawHeader<'a> {
    pub(super) fn parse(block: &'a [u8; BLOCK]) -> Result<Self, Fault> {
        if !checksum_holds(block) {
            return Err("checksum");
        }
        let flag = block[156];
        let size = size(&block[124..136]).ok_or("size")?;
        Ok(Self { block, flag, size })
    }

    /// Whether it only says more about the header that follows.
    pub(super) fn is_extension(&self) -> bool {
        matches!(self.flag, b'x' | b'X' | b'g' | b'L' | b'K')
    }

    /// The map of an old GNU sparse file.
    pub(super) fn sparse(&self) -> Result<Option<OldMap>, Fault> {
        if self.flag == b'S' { OldMap::parse(self.block).map(Some) } else { Ok(None) }
    }

    fn kind(&self, name: &[u8]) -> Result<Option<TarKind>, Fault> {
        let device = |at: usize| {
            let field = &self.block[at..at + 8];
            number(field).and_then(|value| u32::try_from(value).ok()).ok_or("device number")
        };
        Ok(Some(match self.flag {
            // Before ustar, a directory was a file whose name ends so.
            0 | b'0' if name.ends_with(b"/") => TarKind::Dir,
            0 | b'0' | b'7' | b'S' => TarKind::File,
            b'1' => TarKind::Hardlink,
            b'2' => TarKind::Symlink,
            b'3' => TarKind::Char { major: device(329)?, minor: device(337)? },
            b'4' => TarKind::Block { major: device(329)?, minor: device(337)? },
            b'5' => TarKind::Dir,
            b'6' => TarKind::Fifo,
            _ => return Ok(None),
        }))
    }

    fn name(&self) -> Vec<u8> {
        let name = text(&self.block[..100]);
        // GNU's own format keeps other things where ustar has the prefix.
        let prefix = if &self.block[257..263] == b"ustar\0" { text(&self.block[345..500]) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, name].join(&b'/') }
    }

    /// The entry, or the name of one whose kind is unknown. Its size is not that of the content yet.
    pub(super) fn into_entry(self, extension: Extension) -> Result<Result<TarEntry, Vec<u8>>, Fault> {
        let name = extension.name.unwrap_or_else(|| self.name());
        let Some(kind) = self.kind(&name)? else { return Ok(Err(name)) };
        let id = |field: &[u8], what| number(field).and_then(|value| u32::try_from(value).ok()).ok_or(what);
        let mode = number(&self.block[100..108]).ok_or("mode")? & 0o7777;
        let mtime = match extension.mtime {
            Some(mtime) => mtime,
            None => Mtime::from_secs(number(&self.block[136..148]).ok_or("mtime")?),
        };
        Ok(Ok(TarEntry {
            kind,
            link: extension.link.unwrap_or_else(|| text(&self.block[157..257]).to_vec()),
            size: 0,
            mode: u32::try_from(mode).unwrap_or(0),
            uid: extension.uid.map_or_else(|| id(&self.block[108..116], "uid"), Ok)?,
            gid: extension.gid.map_or_else(|| id(&self.block[116..124], "gid"), Ok)?,
            mtime,
            xattrs: extension.xattrs,
            name,
        }))
    }
}

/// What the headers before an entry say about it.
#[derive(Default)]
pub(super) struct Extension {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    mtime: Option<Mtime>,
    xattrs: Xattrs,
    pub(super) sparse: Option<PaxMap>,
}

impl Extension {
    /// Takes in one extended header.
    pub(super) fn add(&mut self, flag: u8, body: &[u8]) -> Result<(), Fault> {
        match flag {
            b'L' => self.name = Some(text(body).to_vec()),
            b'K' => self.link = Some(text(body).to_vec()),
            b'x' | b'X' => self.records(body)?,
            // Records for the whole archive: comments of git, names of hosts. Like Docker, we do not apply them.
            _ => {}
        }
        Ok(())
    }

    fn records(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while !body.is_empty() {
            let space = body.iter().take(20).position(|byte| *byte == b' ').ok_or("extended header")?;
            let length: usize = decimal(&body[..space]).ok_or("extended header")?;
            let (record, rest) = body.split_at_checked(length).ok_or("extended header")?;
            let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n"));
            let record = record.ok_or("extended header")?;
            let equals = record.iter().position(|byte| *byte == b'=').ok_or("extended header")?;
            self.record(&record[..equals], &record[equals + 1..])?;
            body = rest;
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), Fault> {
        if let Some(name) = key.strip_prefix(XATTR_PREFIX) {
            self.xattrs.insert(name.to_vec(), value.to_vec());
            return Ok(());
        }
        if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
            return match key {
                // The name in the header is that of a directory for tars that cannot read the map.
                b"name" => {
                    self.name = Some(value.to_vec());
                    Ok(())
                }
                _ => self.sparse.get_or_insert_default().record(key, value),
            };
        }
        // An empty value takes an earlier record back.
        let given = !value.is_empty();
        match key {
            b"path" if self.sparse.is_none() || self.name.is_none() => self.name = given.then(|| value.to_vec()),
            b"linkpath" => self.link = given.then(|| value.to_vec()),
            b"size" => self.size = optional(value, "size")?,
            b"uid" => self.uid = optional(value, "uid")?,
            b"gid" => self.gid = optional(value, "gid")?,
            b"mtime" => self.mtime = if given { Some(time(value).ok_or("mtime")?) } else { None },
            _ => {}
        }
        Ok(())
    }
}

fn optional<T: std::str::FromStr>(value: &[u8], what: Fault) -> Result<Option<T>, Fault> {
    if value.is_empty() { Ok(None) } else { decimal(value).map(Some).ok_or(what) }
}

/// A number of digits only.
pub(super) fn decimal<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// `[-]secs[.fraction]`; what is finer than a nanosecond is cut off.
fn time(value: &[u8]) -> Option<Mtime> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let dot = value.iter().position(|byte| *byte == b'.').unwrap_or(value.len());
    let secs: i64 = decimal(&value[..dot])?;
    let fraction = value.get(dot + 1..).unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let nanos = (0..9).fold(0, |nanos, at| nanos * 10 + fraction.get(at).map_or(0, |digit| u32::from(digit - b'0')));
    Some(match (negative, nanos) {
        (false, nanos) => Mtime { secs, nanos },
        (true, 0) => Mtime::from_secs(-secs),
        (true, nanos) => Mtime { secs: -secs - 1, nanos: 1_000_000_000 - nanos },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_every_spelling() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"0008\0\0\0\0"), None);
        assert_eq!(number(b"77777777777\0"), Some(0o77_777_777_777));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]), Some(258));
        assert_eq!(number(&[0xff; 12]), Some(-1));
        assert_eq!(number(&[0xbf; 12]), None);
    }

    #[test]
    fn times() {
        for (text, expect) in [
            ("1", Some((1, 0))),
            ("1.5", Some((1, 500_000_000))),
            ("1.", Some((1, 0))),
            ("-1.5", Some((-2, 500_000_000))),
            ("-0.000000001", Some((-1, 999_999_999))),
            ("1.1234567899", Some((1, 123_456_789))),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1.x", None),
        ] {
            assert_eq!(time(text.as_bytes()).map(|time| (time.secs, time.nanos)), expect, "{text}");
        }
    }

    #[test]
    fn broken_records_are_refused() {
        for body in ["9 a=b\n", "x a=b\n", "6 a=b", "5 ab\n", "0 a=b\n", "1 a=b\n", "99999999999999999999 a=b\n"] {
            assert!(Extension::default().add(b'x', body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Extension::default().add(b'x', b"6 a=b\n").is_ok());
    }
}
