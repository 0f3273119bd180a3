//! Compression of one block of a layer, so that many threads can work on one layer and its bytes depend on none of it.
//!
//! gzip: blocks of up to 1 MiB become pieces of **one** gzip member. Each is raw deflate that refers to nothing before it
//! and ends at a byte boundary, the last one with the final marker ([`deflate`]). zstd: each block of up to 4 MiB is a
//! frame of its own; readers of zstd take frames one after the other. So a block that is the same in the next layer is the
//! same piece of it, and is copied instead of compressed ([`super::frames`]).

mod bits;
mod deflate;
mod steps;
mod walk;

use std::io;
use std::sync::Arc;

use wharf_spec::Midstate;
use zstd::bulk::Compressor;

use self::deflate::Deflate;
use super::frames::{Frame, FrameKey, KnownFrames};

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
    /// zstd at level `1..=22`.
    Zstd {
        /// Larger is smaller and slower.
        level: i32,
    },
}

impl Encoding {
    /// zstd 3, as most tools. gzip 1, three times as fast as the usual zlib 6: builds are made again and again, and whoever
    /// wants layers a few percent smaller says so.
    pub const fn of(compression: wharf_spec::Compression) -> Self {
        match compression {
            wharf_spec::Compression::Uncompressed => Self::Uncompressed,
            wharf_spec::Compression::Gzip => Self::Gzip { level: 1 },
            wharf_spec::Compression::Zstd => Self::Zstd { level: 3 },
        }
    }

    /// The same without the level.
    pub const fn compression(self) -> wharf_spec::Compression {
        match self {
            Self::Uncompressed => wharf_spec::Compression::Uncompressed,
            Self::Gzip { .. } => wharf_spec::Compression::Gzip,
            Self::Zstd { .. } => wharf_spec::Compression::Zstd,
        }
    }

    /// Bytes of tar per block. Part of the format: another size is another digest.
    pub(super) const fn block_size(self) -> usize {
        match self {
            Self::Uncompressed | Self::Gzip { .. } => 1 << 20,
            Self::Zstd { .. } => 4 << 20,
        }
    }
}

/// A piece of the tar.
#[derive(Default)]
pub(super) struct Block {
    /// The bytes.
    pub(super) data: Vec<u8>,
    /// No block follows.
    pub(super) last: bool,
    /// What it is made of, where that is known.
    pub(super) key: Option<FrameKey>,
    /// The same, compressed before.
    pub(super) known: Option<(Arc<KnownFrames>, Frame)>,
    /// Where the diff id stands behind it, once it is hashed.
    pub(super) diff_id: Option<Midstate>,
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
    /// The buffer that held the block, if `bytes` is another.
    spent: Option<Vec<u8>>,
}

impl Squeezed {
    /// A buffer to be used again, once the bytes are written.
    pub(super) fn recycle(self) -> Vec<u8> {
        self.spent.unwrap_or(self.bytes)
    }
}

/// Compresses blocks one at a time; every thread has its own.
pub(super) enum Squeezer {
    /// Nothing to do.
    Uncompressed,
    /// Raw deflate.
    Gzip(Deflate),
    /// Whole frames.
    Zstd(Compressor<'static>),
}

impl Squeezer {
    pub(super) fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Uncompressed => Self::Uncompressed,
            Encoding::Gzip { level } => Self::Gzip(Deflate::new(level)?),
            Encoding::Zstd { level } => Self::Zstd(Compressor::new(level)?),
        })
    }

    pub(super) fn squeeze(&mut self, block: Block) -> io::Result<Squeezed> {
        let (mut crc, key, diff_id) = (crc32fast::Hasher::new(), block.key, block.diff_id);
        let tar_length = block.data.len() as u64;
        if let Self::Gzip(_) = self {
            crc.update(&block.data);
        }
        let known = block.known.as_ref().and_then(|(frames, frame)| frames.read(frame));
        let bytes = match (known, self) {
            (_, Self::Uncompressed) => {
                return Ok(Squeezed { bytes: block.data, crc, tar_length, key: None, diff_id, spent: None });
            }
            (Some(bytes), Self::Gzip(_) | Self::Zstd(_)) => bytes,
            (None, Self::Gzip(deflate)) => deflate.piece(&block.data, block.last)?,
            (None, Self::Zstd(_)) if block.data.is_empty() => Vec::new(),
            (None, Self::Zstd(compressor)) => compressor.compress(&block.data)?,
        };
        Ok(Squeezed { bytes, crc, tar_length, key, diff_id, spent: Some(block.data) })
    }
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
