//! Tables of contents: what a client needs to know to fetch single files of a layer instead of all of it.
//!
//! ```text
//! entries + digests of contents + marks (where each content lies in the blob) -> rows -> estargz | zstd:chunked
//! ```
//!
//! Two formats have one: estargz, of containerd's stargz snapshotter, and zstd:chunked, of podman and CRI-O. Both are valid
//! gzip or zstd to whoever does not know them. A layer with a name that JSON cannot say gets no table; it is read whole.

mod chunked;
mod content;
mod estargz;

use std::collections::BTreeMap;
use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde::Serialize;

pub(super) use self::content::{Content, ContentDigester};
use super::entry::{Entry, Kind, Mtime};
use super::header;
use super::index::IndexEntry;
use super::pipeline::{Mark, Settled};
use super::squeeze::Encoding;

/// What a layer's descriptor says about its table.
pub(super) type Annotations = BTreeMap<String, String>;

/// Ends a tar whose entries are all written, with the table if the encoding has one; that may be an entry, too. `contents` are
/// those of the files that are not empty, in order.
pub(super) fn finish<W: Write>(
    settled: &mut Settled<W>,
    encoding: Encoding,
    entries: &mut Vec<IndexEntry>,
    contents: &[Content],
) -> io::Result<Annotations> {
    match encoding {
        Encoding::Estargz { level } => estargz::finish(settled, level, entries, contents),
        Encoding::ZstdChunked { level } => chunked::finish(settled, level, entries, contents),
        Encoding::Uncompressed | Encoding::Gzip { .. } | Encoding::Zstd { .. } => Ok(Annotations::new()),
    }
}

/// The table itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<'a> {
    version: u32,
    entries: Vec<Row<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tar_split_digest: Option<String>,
}

/// An entry of the layer, or a further chunk of the one before.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    r#type: &'static str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    link_name: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    mode: u64,
    #[serde(skip_serializing_if = "is_zero")]
    size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    uid: u64,
    #[serde(skip_serializing_if = "is_zero")]
    gid: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    modtime: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    dev_major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    dev_minor: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    xattrs: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    #[serde(skip_serializing_if = "is_zero")]
    offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    end_offset: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    chunk_offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunk_digest: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// An entry as its tar header says it.
struct Listed<'a> {
    entry: &'a Entry,
    header: Vec<u8>,
    name: String,
    /// Of a file that is not empty.
    content: Option<Chunked<'a>>,
}

/// A file's content and where it lies.
struct Chunked<'a> {
    content: &'a Content,
    size: u64,
    chunks: Vec<Chunk>,
    /// Behind its last byte in the blob.
    end: u64,
}

/// A part of a content that is compressed by itself.
struct Chunk {
    /// In the content.
    from: u64,
    length: u64,
    /// In the blob.
    offset: u64,
}

/// The entries with where they are; `None` when one has a name that is no UTF-8.
fn list<'a>(
    entries: &'a [IndexEntry],
    contents: &'a [Content],
    (marks, blob_end): (&[Mark], u64),
) -> io::Result<Option<Vec<Listed<'a>>>> {
    let mut contents = contents.iter();
    let (mut position, mut listed) = (0, Vec::with_capacity(entries.len()));
    for IndexEntry { entry, .. } in entries {
        let mut bytes = Vec::new();
        header::encode(entry, &mut bytes);
        position += bytes.len() as u64;
        let size = if let Kind::File { size } = entry.kind { size } else { 0 };
        let content = match size {
            0 => None,
            _ => {
                let content = contents.next().ok_or_else(|| io::Error::other("a file's digest is missing"))?;
                Some(located(content, position..position + size, (marks, blob_end))?)
            }
        };
        position += size + header::padding(size) as u64;
        let Ok(name) = String::from_utf8(header::stored_name(entry).into_owned()) else { return Ok(None) };
        listed.push(Listed { entry, header: bytes, name, content });
    }
    Ok(Some(listed))
}

/// Where a content that lies at `tar` in the tar lies in the blob.
fn located<'a>(
    content: &'a Content,
    tar: std::ops::Range<u64>,
    (marks, blob_end): (&[Mark], u64),
) -> io::Result<Chunked<'a>> {
    let first = marks.partition_point(|mark| mark.tar < tar.start);
    let behind = marks.partition_point(|mark| mark.tar < tar.end);
    let ends = |at: usize| marks.get(at).map_or(tar.end, |mark| mark.tar.min(tar.end));
    let chunk = |at: usize| Chunk {
        from: marks[at].tar - tar.start,
        length: ends(at + 1) - marks[at].tar,
        offset: marks[at].blob,
    };
    let chunks: Vec<Chunk> = (first..behind).map(chunk).collect();
    let begins = chunks.first().is_some_and(|chunk| chunk.from == 0);
    if !begins || chunks.len() != content.chunks().len() {
        return Err(io::Error::other("a file's content is not compressed by itself"));
    }
    let end = marks.get(behind).map_or(blob_end, |mark| mark.blob);
    Ok(Chunked { content, size: tar.end - tar.start, chunks, end })
}

/// Whether a table says so when a file has one chunk only.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Single {
    Said,
    Left,
}

/// The rows of an entry; `None` when a link's target or an attribute's name is no UTF-8.
fn rows<'a>(listed: &'a Listed<'_>, single: Single) -> Option<Vec<Row<'a>>> {
    let entry = listed.entry;
    let (link_name, (dev_major, dev_minor)) = match &entry.kind {
        Kind::Symlink { target } => (std::str::from_utf8(target).ok()?, (0, 0)),
        Kind::Hardlink { target } => (std::str::from_utf8(target.as_bytes()).ok()?, (0, 0)),
        Kind::Char { major, minor } | Kind::Block { major, minor } => ("", (u64::from(*major), u64::from(*minor))),
        Kind::File { .. } | Kind::Dir | Kind::Fifo | Kind::Whiteout | Kind::Opaque => ("", (0, 0)),
    };
    let xattr = |(name, value): (&'a Vec<u8>, &Vec<u8>)| Some((std::str::from_utf8(name).ok()?, BASE64.encode(value)));
    let mut rows = vec![Row {
        r#type: kind(&entry.kind),
        name: &listed.name,
        link_name,
        mode: u64::from(entry.mode & 0o7777),
        size: listed.content.as_ref().map_or(0, |content| content.size),
        uid: u64::from(entry.uid),
        gid: u64::from(entry.gid),
        modtime: time(entry.mtime),
        dev_major,
        dev_minor,
        xattrs: entry.xattrs.iter().map(xattr).collect::<Option<_>>()?,
        ..Row::default()
    }];
    let Some(content) = &listed.content else { return Some(rows) };
    rows[0].digest = Some(content.content.digest().to_string());
    rows[0].end_offset = content.end;
    rows.extend(content.chunks[1..].iter().map(|_| Row { r#type: "chunk", name: &listed.name, ..Row::default() }));
    let several = content.chunks.len() > 1;
    for ((row, chunk), digest) in rows.iter_mut().zip(&content.chunks).zip(content.content.chunks()) {
        row.offset = chunk.offset;
        if several || single == Single::Said {
            (row.chunk_offset, row.chunk_digest) = (chunk.from, Some(digest.to_string()));
        }
        if several {
            row.chunk_size = chunk.length;
        }
    }
    Some(rows)
}

const fn kind(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } | Kind::Whiteout | Kind::Opaque => "reg",
        Kind::Dir => "dir",
        Kind::Symlink { .. } => "symlink",
        Kind::Hardlink { .. } => "hardlink",
        Kind::Char { .. } => "char",
        Kind::Block { .. } => "block",
        Kind::Fifo => "fifo",
    }
}

fn time(mtime: Mtime) -> Option<String> {
    Timestamp::new(mtime.secs, mtime.nanos.cast_signed()).ok().map(|time| time.to_string())
}
