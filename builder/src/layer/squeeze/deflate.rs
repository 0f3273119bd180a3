//! A block of a layer as a piece of one deflate stream.
//!
//! Level 1 is our own ([`Fast`]). All others are libdeflate's, which is twice as fast as what can flush, but makes whole
//! streams only. A piece that others follow is such a stream whose last block no longer says that it is the last, and which
//! an empty stored block, as of a sync flush, takes to a byte boundary if it ended elsewhere. The [`Walker`] finds both
//! places. What was compressed before leaves no trace in a piece.

use std::io;

use libdeflater::{CompressionError, CompressionLvl, Compressor};

use super::fast::Fast;
use super::walk::{Seam, Walker};

/// Makes pieces.
pub(in crate::layer) enum Deflate {
    /// At level 1.
    Fast(Box<Fast>),
    /// At any other.
    Streams(Box<Streams>),
}

impl Deflate {
    /// At level `0..=9`.
    pub(in crate::layer) fn new(level: u32) -> io::Result<Self> {
        Ok(match level {
            1 => Self::Fast(Box::new(Fast::new())),
            _ => Self::Streams(Box::new(Streams::new(level)?)),
        })
    }

    /// Compresses `data` without reference to what came before. The `last` piece ends the stream.
    pub(super) fn piece(&mut self, data: &[u8], last: bool) -> io::Result<Vec<u8>> {
        match self {
            Self::Fast(fast) => Ok(fast.piece(data, last)),
            Self::Streams(streams) => streams.piece(data, last),
        }
    }
}

/// libdeflate's streams, opened at their ends.
pub(in crate::layer) struct Streams {
    compressor: Compressor,
    walker: Walker,
    /// Room for a whole stream, however badly it compresses.
    stream: Vec<u8>,
}

impl Streams {
    fn new(level: u32) -> io::Result<Self> {
        let level = CompressionLvl::new(level.min(9).cast_signed()).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(Self { compressor: Compressor::new(level), walker: Walker::new(), stream: Vec::new() })
    }

    fn piece(&mut self, data: &[u8], last: bool) -> io::Result<Vec<u8>> {
        let bound = self.compressor.deflate_compress_bound(data.len());
        if self.stream.len() < bound {
            self.stream.resize(bound, 0);
        }
        let length = self.compressor.deflate_compress(data, &mut self.stream);
        let length = length.map_err(|CompressionError::InsufficientSpace| io::ErrorKind::WriteZero)?;
        let stream = &self.stream[..length];
        if last {
            return Ok(stream.to_vec());
        }
        let seam = self.walker.walk(stream).filter(|seam| seam.end.div_ceil(8) == length);
        Ok(opened(stream, seam.ok_or_else(|| io::Error::other("libdeflate wrote no deflate stream"))?))
    }
}

/// `stream` with room for another one after it.
fn opened(stream: &[u8], seam: Seam) -> Vec<u8> {
    let mut piece = Vec::with_capacity(stream.len() + 5);
    piece.extend_from_slice(stream);
    piece[seam.last_block / 8] &= !(1 << (seam.last_block % 8));
    let used = seam.end % 8;
    if used > 0 {
        // Three zero bits begin a stored block; zeros fill its byte, and its length follows.
        let header = if used + 3 > 8 { &[0][..] } else { &[] };
        piece[seam.end / 8] &= (1 << used) - 1;
        piece.extend_from_slice(header);
        piece.extend_from_slice(&[0, 0, 0xff, 0xff]);
    }
    piece
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn pieces_of_every_level_and_length_join() {
        let mut data: Vec<u8> = (0..9_000_u32).flat_map(|n| format!("{},", n * n % 769).into_bytes()).collect();
        data.extend((0..70_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 15).to_le_bytes()[0]));
        let (text, noise) = data.split_at(30_000);
        let mut pieces: Vec<&[u8]> = vec![text, noise, &[], &[0; 50_000], text];
        pieces.extend((1..100).map(|length| &text[length * 7..length * 9]));
        pieces.extend((1..20).map(|length| &data[29_000..29_000 + length * 101]));
        for level in 0..=9 {
            let mut deflate = Deflate::new(level).unwrap();
            let (mut joined, mut ends) = (Vec::new(), BTreeSet::new());
            for (n, piece) in pieces.iter().enumerate() {
                let last = n + 1 == pieces.len();
                joined.extend(deflate.piece(piece, last).unwrap());
                let whole = deflate.piece(piece, true).unwrap();
                ends.insert(Walker::new().walk(&whole).unwrap().end % 8);
            }
            let mut back = Vec::new();
            let mut inflater = flate2::bufread::DeflateDecoder::new(joined.as_slice());
            inflater.read_to_end(&mut back).unwrap();
            assert!(back == pieces.concat(), "level {level}");
            assert!(inflater.into_inner().is_empty(), "level {level}");
            // Streams that end at each of a byte's bits were among them.
            assert_eq!(ends.len(), if level == 0 { 1 } else { 8 }, "level {level}");
        }
    }

    #[test]
    fn what_was_compressed_before_does_not_show() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|n| format!("{} ", n * 31 % 1009).into_bytes()).collect();
        for level in 0..=9 {
            let mut used = Deflate::new(level).unwrap();
            used.piece(&text[5..], false).unwrap();
            let again = used.piece(&text, false).unwrap();
            assert!(again == Deflate::new(level).unwrap().piece(&text, false).unwrap(), "level {level}");
        }
    }
}
