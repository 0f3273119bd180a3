//! estargz, as containerd's stargz snapshotter and containers/storage read it: the tar's last entry is the table, in a gzip
//! member of its own together with the tar's end; behind it, an empty member whose extra field says where that is.

use std::io::{self, Write};

use wharf_spec::Digest;

use super::{Annotations, Content, IndexEntry, Settled, Single, Table, list, rows};
use crate::layer::entry::{Entry, Kind};
use crate::layer::fingerprint::Fingerprint;
use crate::layer::header::{self, BLOCK};
use crate::layer::path::LayerPath;
use crate::layer::squeeze::{Deflate, gzip_member};

const TABLE_DIGEST: &str = "containerd.io/snapshot/stargz/toc.digest";
const TAR_LENGTH: &str = "io.containers.estargz.uncompressed-size";
const TABLE_NAME: &str = "stargz.index.json";

/// Adds table, end of the tar and footer to entries without an end.
pub(super) fn finish<W: Write>(
    settled: &mut Settled<W>,
    level: u32,
    entries: &mut Vec<IndexEntry>,
    contents: &[Content],
) -> io::Result<Annotations> {
    let table_at = settled.size();
    let mut deflate = Deflate::new(level)?;
    let Some(table) = table(settled, entries, contents)? else {
        let (end, mut member) = ([0; 2 * BLOCK], Vec::new());
        gzip_member(&mut deflate, &end, &mut member)?;
        settled.append(&end, &member)?;
        return Ok(Annotations::new());
    };
    let size = table.len() as u64;
    let path = LayerPath::parse_clipped(TABLE_NAME).map_err(io::Error::other)?;
    let (mut tar, mut member) = (Vec::new(), Vec::new());
    let entry = Entry::new(path, Kind::File { size }, 0o444);
    header::encode(&entry, &mut tar);
    entries.push(IndexEntry { entry, content: Some(Fingerprint::of(&table)) });
    tar.extend_from_slice(&table);
    tar.resize(tar.len() + header::padding(size) + 2 * BLOCK, 0);
    // One member, however long: readers stop at its end.
    gzip_member(&mut deflate, &tar, &mut member)?;
    settled.append(&tar, &member)?;
    settled.append(&[], &footer(table_at))?;
    Ok([
        (TABLE_DIGEST.to_owned(), Digest::sha256(&table).to_string()),
        (TAR_LENGTH.to_owned(), settled.uncompressed_size().to_string()),
    ]
    .into())
}

fn table<W: Write>(settled: &Settled<W>, entries: &[IndexEntry], contents: &[Content]) -> io::Result<Option<Vec<u8>>> {
    let Some(listed) = list(entries, contents, (settled.marks(), settled.size()))? else { return Ok(None) };
    let mut all = Vec::with_capacity(listed.len());
    for one in &listed {
        let Some(mut rows) = rows(one, Single::Said) else { return Ok(None) };
        // Where it ends is where the next one begins.
        for row in &mut rows {
            row.end_offset = 0;
        }
        // The last chunk takes what is left.
        if rows.len() > 1
            && let Some(last) = rows.last_mut()
        {
            last.chunk_size = 0;
        }
        all.extend(rows);
    }
    Ok(Some(serde_json::to_vec(&Table { version: 1, entries: all, tar_split_digest: None })?))
}

/// An empty gzip member of 51 bytes that says where the table's member begins.
fn footer(table_at: u64) -> Vec<u8> {
    let place = format!("{table_at:016x}STARGZ");
    let mut footer = vec![0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff];
    for length in [place.len() + 4, place.len()] {
        // The extra field, and the one subfield in it.
        footer.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_le_bytes());
        if length > place.len() {
            footer.extend_from_slice(b"SG");
        }
    }
    footer.extend_from_slice(place.as_bytes());
    // A stored block with nothing in it, and the checksum and length of nothing.
    footer.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    footer.extend_from_slice(&[0; 8]);
    footer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_footer_is_an_empty_member_of_51_bytes() {
        let footer = footer(0x1234);
        assert_eq!(footer.len(), 51);
        assert_eq!(&footer[16..38], b"0000000000001234STARGZ");
        let mut back = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(footer.as_slice()), &mut back).unwrap();
        assert!(back.is_empty());
    }
}
