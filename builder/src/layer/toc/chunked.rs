//! zstd:chunked, as containers/storage reads it: behind the tar's frames, three that decoders skip.
//!
//! ```text
//! frame… | skipped: table, compressed | skipped: tar-split, compressed | skipped: footer, where both are
//! ```
//!
//! tar-split is what a tar consists of besides its files' contents, so that a client that has those from elsewhere can still
//! tell the diff id. Annotations of the layer's descriptor say where table and tar-split are.

use std::io::{self, Write};

use base64::Engine as _;
use serde::Serialize;
use wharf_spec::Digest;

use super::{Annotations, BASE64, Content, IndexEntry, Listed, Settled, Single, Table, list, rows};
use crate::layer::header::{self, BLOCK};

const TABLE_DIGEST: &str = "io.github.containers.zstd-chunked.manifest-checksum";
const TABLE_PLACE: &str = "io.github.containers.zstd-chunked.manifest-position";
const SPLIT_DIGEST: &str = "io.github.containers.zstd-chunked.tarsplit-checksum";
const SPLIT_PLACE: &str = "io.github.containers.zstd-chunked.tarsplit-position";

/// The same for older podman, 4.3 among them, which does not look for tar-split.
const OLD_TABLE_DIGEST: &str = "io.containers.zstd-chunked.manifest-checksum";
const OLD_TABLE_PLACE: &str = "io.containers.zstd-chunked.manifest-position";

/// Begins a frame that decoders skip; its length follows.
const SKIPPED: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
const SKIPPED_HEADER: u64 = 8;
/// Ends the footer.
const MAGIC: &[u8; 8] = b"GNUlInUx";
/// The only kind of table there is.
const TABLE_KIND: u64 = 1;

/// Adds the three frames to a tar that is complete.
pub(super) fn finish<W: Write>(
    settled: &mut Settled<W>,
    level: i32,
    entries: &[IndexEntry],
    contents: &[Content],
) -> io::Result<Annotations> {
    let tar_end = settled.size();
    let Some(listed) = list(entries, contents, (settled.marks(), tar_end))? else { return Ok(Annotations::new()) };
    let mut all = Vec::with_capacity(listed.len());
    for one in &listed {
        let Some(rows) = rows(one, Single::Left) else { return Ok(Annotations::new()) };
        all.extend(rows);
    }
    let split = tar_split(&listed, level)?;
    let table = Table { version: 1, entries: all, tar_split_digest: Some(split.digest().to_string()) };
    let table = serde_json::to_vec(&table)?;
    let table = Packed { bytes: zstd::bulk::compress(&table, level)?, unpacked: table.len() as u64 };

    let table_at = tar_end + SKIPPED_HEADER;
    let split_at = table_at + table.length() + SKIPPED_HEADER;
    let numbers = [
        (table_at, table.length(), table.unpacked, TABLE_KIND),
        (split_at, split.length(), split.unpacked, u64::from_le_bytes(*MAGIC)),
    ];
    let footer: Vec<u8> =
        numbers.iter().flat_map(|(a, b, c, d)| [a, b, c, d].map(|n| n.to_le_bytes())).flatten().collect();
    for frame in [&table.bytes, &split.bytes, &footer] {
        let length = u32::try_from(frame.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        settled.append(&[], &[SKIPPED, length.to_le_bytes()].concat())?;
        settled.append(&[], frame)?;
    }
    let table_place = format!("{table_at}:{}:{}:{TABLE_KIND}", table.length(), table.unpacked);
    Ok([
        (OLD_TABLE_DIGEST, table.digest().to_string()),
        (OLD_TABLE_PLACE, table_place.clone()),
        (TABLE_DIGEST, table.digest().to_string()),
        (TABLE_PLACE, table_place),
        (SPLIT_DIGEST, split.digest().to_string()),
        (SPLIT_PLACE, format!("{split_at}:{}:{}", split.length(), split.unpacked)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into())
}

/// Something compressed.
struct Packed {
    bytes: Vec<u8>,
    /// Its length before.
    unpacked: u64,
}

impl Packed {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn digest(&self) -> Digest {
        Digest::sha256(&self.bytes)
    }
}

/// A line of tar-split: bytes of the tar, or a file whose content goes here.
#[derive(Serialize)]
struct Line<'a> {
    r#type: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "super::is_zero")]
    size: u64,
    /// Bytes, or the content's CRC-64, in base64.
    payload: Option<String>,
    position: u64,
}

const FILE: u32 = 1;
const SEGMENT: u32 = 2;

fn tar_split(listed: &[Listed<'_>], level: i32) -> io::Result<Packed> {
    let mut packer = Packer { out: zstd::Encoder::new(Vec::new(), level)?, unpacked: 0, position: 0 };
    let mut between = Vec::new();
    for Listed { header, name, content, .. } in listed {
        between.extend_from_slice(header);
        packer.line(SEGMENT, ("", 0), Some(&between))?;
        between.clear();
        let (size, crc) =
            content.as_ref().map_or((0, None), |found| (found.size, Some(found.content.crc64().to_be_bytes())));
        packer.line(FILE, (name, size), crc.as_ref().map(<[u8; 8]>::as_slice))?;
        between.resize(header::padding(size), 0);
    }
    between.resize(between.len() + 2 * BLOCK, 0);
    packer.line(SEGMENT, ("", 0), Some(&between))?;
    Ok(Packed { bytes: packer.out.finish()?, unpacked: packer.unpacked })
}

struct Packer {
    out: zstd::Encoder<'static, Vec<u8>>,
    unpacked: u64,
    position: u64,
}

impl Packer {
    fn line(&mut self, kind: u32, (name, size): (&str, u64), payload: Option<&[u8]>) -> io::Result<()> {
        let payload = payload.map(|bytes| BASE64.encode(bytes));
        let mut line = serde_json::to_vec(&Line { r#type: kind, name, size, payload, position: self.position })?;
        line.push(b'\n');
        self.position += 1;
        self.unpacked += line.len() as u64;
        self.out.write_all(&line)
    }
}
