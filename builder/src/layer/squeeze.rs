//! Compression of one block of a layer, so that many threads can work on one layer and its bytes depend on none of it.
//!
//! gzip: blocks of up to 1 MiB become pieces of **one** gzip member. Each is raw deflate that refers to nothing before it
//! and ends at a byte boundary, the last one with the final marker ([`deflate`]). zstd: each block of up to 4 MiB is a
//! frame of its own; readers of zstd take frames one after the other. So a block that is the same in the next layer is the
//! same piece of it, and is copied instead of compressed ([`super::frames`]).
//!
//! Formats with a table of contents want each file's content by itself: their blocks have seams, at which a member or frame
//! of its own ends ([`super::toc`]).

mod bits;
mod deflate;
mod fast;
mod steps;
mod walk;

use std::io;
use std::sync::Arc;

use wharf_spec::Midstate;
use zstd::bulk::Compressor;
use zstd::zstd_safe;

pub(super) use self::deflate::Deflate;
use super::frames::{Frame, FrameKey, KnownFrames};

/// How a layer is stored, without how hard to try.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LayerFormat {
    /// Plain tar.
    Uncompressed,
    /// gzip, which every client reads.
    #[default]
    Gzip,
    /// gzip with a table of contents, for clients that fetch single files (containerd's stargz snapshotter).
    Estargz,
    /// zstd.
    Zstd,
    /// zstd with a table of contents, for clients that fetch what changed (podman, CRI-O).
    ZstdChunked,
}

/// How a layer is stored, and how hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// As it is.
    Uncompressed,
    /// gzip at level `0..=9`.
    Gzip {
        /// Larger is smaller and slower.
        level: u32,
    },
    /// gzip at level `0..=9`, a member for each file's content, and a table of contents.
    Estargz {
        /// Larger is smaller and slower.
        level: u32,
    },
    /// zstd at level `1..=22`.
    Zstd {
        /// Larger is smaller and slower.
        level: i32,
    },
    /// zstd at level `1..=22`, a frame for each file's content, and a table of contents.
    ZstdChunked {
        /// Larger is smaller and slower.
        level: i32,
    },
}

impl Encoding {
    /// At this level of the format's own scale, or the nearest that there is.
    ///
    /// Without one, zstd 3, as most tools. gzip 1, four times as fast as the usual zlib 6: builds are made again and again,
    /// and whoever wants layers a few percent smaller says so.
    pub fn new(format: LayerFormat, level: Option<u32>) -> Self {
        let gzip = level.unwrap_or(1).min(9);
        let zstd = level.unwrap_or(3).clamp(1, 22).cast_signed();
        match format {
            LayerFormat::Uncompressed => Self::Uncompressed,
            LayerFormat::Gzip => Self::Gzip { level: gzip },
            LayerFormat::Estargz => Self::Estargz { level: gzip },
            LayerFormat::Zstd => Self::Zstd { level: zstd },
            LayerFormat::ZstdChunked => Self::ZstdChunked { level: zstd },
        }
    }

    /// What has to be undone to read it.
    pub const fn compression(self) -> wharf_spec::Compression {
        match self {
            Self::Uncompressed => wharf_spec::Compression::Uncompressed,
            Self::Gzip { .. } | Self::Estargz { .. } => wharf_spec::Compression::Gzip,
            Self::Zstd { .. } | Self::ZstdChunked { .. } => wharf_spec::Compression::Zstd,
        }
    }

    /// Bytes of tar per block. Part of the format: another size is another digest.
    pub(super) const fn block_size(self) -> usize {
        match self {
            Self::Uncompressed | Self::Gzip { .. } | Self::Estargz { .. } => 1 << 20,
            Self::Zstd { .. } | Self::ZstdChunked { .. } => 4 << 20,
        }
    }

    /// Whether each file's content is compressed by itself.
    pub(super) const fn has_seams(self) -> bool {
        matches!(self, Self::Estargz { .. } | Self::ZstdChunked { .. })
    }
}

/// A piece of the tar.
#[derive(Default)]
pub(super) struct Block {
    /// The bytes.
    pub(super) data: Vec<u8>,
    /// Memory for what becomes of them; what is in it does not count.
    pub(super) room: Vec<u8>,
    /// No block follows.
    pub(super) last: bool,
    /// What it is made of, where that is known.
    pub(super) key: Option<FrameKey>,
    /// The same, compressed before.
    pub(super) known: Option<(Arc<KnownFrames>, Frame)>,
    /// Where the diff id stands behind it, once it is hashed.
    pub(super) diff_id: Option<Midstate>,
    /// Where something begins that is compressed by itself, beside the block's beginning; ascending.
    pub(super) seams: Vec<usize>,
}

/// Something compressed by itself: its bytes of tar and of the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) tar_length: u64,
    pub(super) length: u64,
}

/// A compressed piece.
pub(super) struct Squeezed {
    /// What goes into the blob.
    pub(super) bytes: Vec<u8>,
    /// Checksum of what went in; only gzip wants it.
    pub(super) crc: crc32fast::Hasher,
    /// How many bytes went in.
    pub(super) tar_length: u64,
    /// What it is made of, where that is known.
    pub(super) key: Option<FrameKey>,
    /// Where the diff id stands behind it.
    pub(super) diff_id: Option<Midstate>,
    /// What it consists of, of encodings with seams.
    pub(super) parts: Vec<Part>,
    /// Where an earlier layer has the same bytes.
    pub(super) copied_from: Option<u64>,
    /// The other one of the block's two buffers.
    spent: Vec<u8>,
}

/// Buffers to be used again.
#[derive(Default)]
pub(super) struct Spare {
    /// Of blocks.
    pub(super) data: Vec<Vec<u8>>,
    /// Of what became of them.
    pub(super) rooms: Vec<Vec<u8>>,
}

impl Spare {
    /// Takes back what `squeezed` is made of, once its bytes are written.
    pub(super) fn put(&mut self, squeezed: Squeezed, encoding: Encoding) {
        let (data, room) = match encoding {
            Encoding::Uncompressed => (squeezed.bytes, squeezed.spent),
            Encoding::Gzip { .. } | Encoding::Estargz { .. } | Encoding::Zstd { .. } | Encoding::ZstdChunked { .. } => {
                (squeezed.spent, squeezed.bytes)
            }
        };
        self.data.push(data);
        self.rooms.push(room);
    }
}

/// Compresses blocks one at a time; every thread has its own.
pub(super) enum Squeezer {
    /// Nothing to do.
    Uncompressed,
    /// Raw deflate.
    Gzip(Deflate),
    /// Whole members.
    Estargz(Deflate),
    /// Whole frames.
    Zstd(Compressor<'static>),
    /// Whole frames.
    ZstdChunked(Compressor<'static>),
}

impl Squeezer {
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Uncompressed => Self::Uncompressed,
            Encoding::Gzip { level } => Self::Gzip(Deflate::new(level)?),
            Encoding::Estargz { level } => Self::Estargz(Deflate::new(level)?),
            Encoding::Zstd { level } => Self::Zstd(Compressor::new(level)?),
            Encoding::ZstdChunked { level } => Self::ZstdChunked(Compressor::new(level)?),
        })
    }

    pub(super) fn squeeze(&mut self, mut block: Block) -> io::Result<Squeezed> {
        let (mut crc, key, diff_id) = (crc32fast::Hasher::new(), block.key, block.diff_id);
        let tar_length = block.data.len() as u64;
        if let Self::Gzip(_) = self {
            crc.update(&block.data);
        }
        let mut room = std::mem::take(&mut block.room);
        let known = block.known.take().filter(|(frames, frame)| frames.read(frame, &mut room));
        let copied_from = known.as_ref().map(|(_, frame)| frame.offset);
        let mut parts = Vec::new();
        let bytes = match (known, self) {
            (_, Self::Uncompressed) => {
                return Ok(Squeezed {
                    bytes: block.data,
                    crc,
                    tar_length,
                    key: None,
                    diff_id,
                    parts,
                    copied_from,
                    spent: room,
                });
            }
            (Some(_), Self::ZstdChunked(_)) => {
                parts = zstd_parts(&room)?;
                room
            }
            (Some(_), Self::Gzip(_) | Self::Zstd(_) | Self::Estargz(_)) => room,
            (None, Self::Gzip(deflate)) => deflate.piece(&block.data, block.last)?,
            (None, Self::Zstd(compressor)) => {
                room.clear();
                // Of nothing, not even a frame.
                if !block.data.is_empty() {
                    room.reserve(zstd_safe::compress_bound(block.data.len()));
                    compressor.compress_to_buffer(&block.data, &mut room)?;
                }
                room
            }
            (None, Self::Estargz(deflate)) => {
                each_by_itself(&block, &mut parts, |piece, out| gzip_member(deflate, piece, out))?
            }
            (None, Self::ZstdChunked(compressor)) => each_by_itself(&block, &mut parts, |piece, out| {
                out.extend_from_slice(&compressor.compress(piece)?);
                Ok(())
            })?,
        };
        Ok(Squeezed { bytes, crc, tar_length, key, diff_id, parts, copied_from, spent: block.data })
    }
}

/// Compresses what lies between a block's seams, and notes how long each came out.
fn each_by_itself(
    block: &Block,
    parts: &mut Vec<Part>,
    mut compress: impl FnMut(&[u8], &mut Vec<u8>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(block.data.len() / 2);
    let mut begin = 0;
    for end in block.seams.iter().copied().chain([block.data.len()]) {
        let (piece, before) = (&block.data[begin..end], out.len());
        if !piece.is_empty() {
            compress(piece, &mut out)?;
            parts.push(Part { tar_length: piece.len() as u64, length: (out.len() - before) as u64 });
        }
        begin = end;
    }
    Ok(out)
}

/// One whole gzip member that holds `data`.
pub(super) fn gzip_member(deflate: &mut Deflate, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&GZIP_HEADER);
    out.extend_from_slice(&deflate.piece(data, true)?);
    out.extend_from_slice(&gzip_trailer(crc32fast::hash(data), data.len() as u64));
    Ok(())
}

/// The frames that `bytes` consist of, each of which says how much is in it.
fn zstd_parts(mut bytes: &[u8]) -> io::Result<Vec<Part>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let length = zstd_safe::find_frame_compressed_size(bytes).ok().filter(|length| *length <= bytes.len());
        let tar_length = zstd_safe::get_frame_content_size(bytes).ok().flatten();
        let (Some(length), Some(tar_length)) = (length, tar_length) else {
            return Err(io::Error::other("a frame of the last layer does not say how long it is"));
        };
        parts.push(Part { tar_length, length: length as u64 });
        bytes = &bytes[length..];
    }
    Ok(parts)
}

/// The ten bytes before the deflate data: no name, no time, "unknown" as operating system.
pub(super) const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// The eight bytes after it.
pub(super) fn gzip_trailer(crc: u32, length: u64) -> [u8; 8] {
    // The length modulo 2^32: its lower half.
    let mut trailer = [0; 8];
    trailer[..4].copy_from_slice(&crc.to_le_bytes());
    trailer[4..].copy_from_slice(&length.to_le_bytes()[..4]);
    trailer
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn blocks_join_into_one_member() {
        let text: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        let mut squeezer = Squeezer::new(Encoding::Gzip { level: 6 }).unwrap();
        let (mut blob, mut crc) = (GZIP_HEADER.to_vec(), crc32fast::Hasher::new());
        let pieces: Vec<&[u8]> = text.chunks(100_000).chain([&[][..]]).collect();
        for (n, piece) in pieces.iter().enumerate() {
            let block = Block { data: piece.to_vec(), last: n + 1 == pieces.len(), ..Block::default() };
            let done = squeezer.squeeze(block).unwrap();
            crc.combine(&done.crc);
            blob.extend_from_slice(&done.bytes);
        }
        blob.extend_from_slice(&gzip_trailer(crc.finalize(), text.len() as u64));
        let mut back = Vec::new();
        // One member: a reader that stops after the first sees everything.
        let mut reader = flate2::bufread::GzDecoder::new(blob.as_slice());
        reader.read_to_end(&mut back).unwrap();
        assert!(back == text);
        assert!(reader.into_inner().is_empty());
    }

    #[test]
    fn incompressible_blocks_survive() {
        let noise: Vec<u8> = (0..1 << 20_u32).map(|n: u32| n.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        for encoding in [Encoding::Gzip { level: 0 }, Encoding::Gzip { level: 1 }, Encoding::Gzip { level: 9 }] {
            let mut squeezer = Squeezer::new(encoding).unwrap();
            let block = Block { data: noise.clone(), last: true, ..Block::default() };
            let done = squeezer.squeeze(block).unwrap();
            let mut back = Vec::new();
            flate2::read::DeflateDecoder::new(done.bytes.as_slice()).read_to_end(&mut back).unwrap();
            assert!(back == noise);
        }
    }
}
