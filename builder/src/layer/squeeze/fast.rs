//! Deflate at level 1 (RFC 1951): 1.6 times as fast as libdeflate's, for layers 1 to 6 % larger.
//!
//! [`matches`] takes the first match it sees and writes tokens; [`tokens`] counts them; [`blocks`] writes them as they are.
//! Guarantees: a piece depends on its bytes alone, whatever was compressed before; it ends at a byte boundary; it is never
//! more than ten bytes in 60 kB longer than what went in. What cannot be compressed is noticed quickly, and stored.

mod blocks;
mod header;
mod huffman;
mod matches;
mod tokens;
mod writer;

use self::blocks::BlockWriter;
use self::matches::{Matcher, SPAN};
use self::tokens::Tokens;
use self::writer::Writer;

/// Makes pieces.
pub(in crate::layer) struct Fast {
    matcher: Matcher,
    tokens: Tokens,
    blocks: BlockWriter,
    out: Writer,
}

impl Fast {
    pub(super) fn new() -> Self {
        Self { matcher: Matcher::new(), tokens: Tokens::new(), blocks: BlockWriter::new(), out: Writer::default() }
    }

    /// Compresses `data` without reference to what came before. The `last` piece ends the stream; another one ends with an
    /// empty stored block, as after a sync flush.
    pub(super) fn piece(&mut self, data: &[u8], last: bool) -> Vec<u8> {
        self.out.clear();
        let mut left = data.len();
        for span in data.chunks(SPAN) {
            self.matcher.begin(span);
            let mut at = 0;
            while at < span.len() {
                self.tokens.clear();
                let end = self.matcher.search(at, &mut self.tokens);
                self.tokens.tally();
                left -= end - at;
                self.blocks.write(span, at..end, &self.tokens, last && left == 0, &mut self.out);
                at = end;
            }
        }
        if !last || data.is_empty() {
            blocks::write_stored(&[], last, &mut self.out);
        }
        self.out.reserve(0);
        self.out.align();
        self.out.written().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;

    /// Both readers make `data` of it again, and it is not much longer.
    fn check(fast: &mut Fast, data: &[u8]) -> usize {
        let whole = fast.piece(data, true);
        let mut back = vec![0; data.len()];
        let length = libdeflater::Decompressor::new().deflate_decompress(&whole, &mut back).unwrap();
        assert!(length == data.len() && back == data);
        let open = fast.piece(data, false);
        assert_eq!(open[open.len() - 4..], [0, 0, 0xff, 0xff]);
        let joined = [open, fast.piece(data, true)].concat();
        let (mut twice, mut reader) = (Vec::new(), flate2::bufread::DeflateDecoder::new(joined.as_slice()));
        reader.read_to_end(&mut twice).unwrap();
        assert!(twice == [data, data].concat());
        assert!(reader.into_inner().is_empty());
        assert!(whole.len() <= data.len() + 10 * (1 + data.len() / 60_000), "{} of {}", whole.len(), data.len());
        whole.len()
    }

    fn noise(length: u32) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[1]
        };
        (0..length).map(|_| next()).collect()
    }

    fn text(lines: u32) -> Vec<u8> {
        (0..lines).flat_map(|n| format!("{} {}\n", n.wrapping_mul(n) % 977, n / 13).into_bytes()).collect()
    }

    #[test]
    fn every_short_length() {
        let (mut fast, text, noise) = (Fast::new(), text(40), noise(100));
        for length in 0..100 {
            for data in [&text[..length], &noise[..length], &text[7..7 + length], &[7; 100][..length]] {
                check(&mut fast, data);
            }
        }
    }

    #[test]
    fn zeros_and_long_repetitions() {
        let mut fast = Fast::new();
        for length in [257, 258, 259, 260, 516, 65_535, 65_536, 65_537, SPAN - 1, SPAN, SPAN + 1] {
            assert!(check(&mut fast, &vec![0; length]) < 50 + length / 200);
            let period: Vec<u8> = (0..length).map(|n| [1, 2, 3, 4, 5, 6, 7][n % 7]).collect();
            assert!(check(&mut fast, &period) < 60 + length / 200);
        }
    }

    #[test]
    fn noise_is_stored_and_matches_behind_it_are_found() {
        let (mut fast, noise) = (Fast::new(), noise(1 << 20));
        assert!(check(&mut fast, &noise) > noise.len());
        // Another copy just within reach of a distance, and one just out of reach.
        for (part, compresses) in [(32_768, true), (32_769, false)] {
            let twice = noise[..part].repeat(2);
            assert_eq!(check(&mut fast, &twice) < twice.len() * 3 / 5, compresses, "{part}");
        }
        check(&mut fast, &[&text(9_000)[..], &noise[..90_000], &text(9_000), &noise[..300]].concat());
    }

    #[test]
    fn literals_of_every_frequency() {
        // Each twice as frequent as the next, without matches: words of 14 bits.
        let noise = noise(1 << 20);
        let skewed: Vec<u8> = noise
            .as_chunks::<4>()
            .0
            .iter()
            .map(|four| u32::from_le_bytes(*four).leading_zeros().to_le_bytes()[0])
            .collect();
        let mut fast = Fast::new();
        assert!(check(&mut fast, &skewed) < skewed.len() * 2 / 5);
        let text = text(60_000);
        assert!(check(&mut fast, &text) < text.len() / 2);
    }

    #[test]
    fn what_was_compressed_before_does_not_show() {
        let (text, noise) = (text(30_000), noise(200_000));
        let mut used = Fast::new();
        for data in [&text[3..], &noise, &text[..9], &noise[..70_000], &text] {
            assert!(used.piece(data, false) == Fast::new().piece(data, false));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive(parts in proptest::collection::vec((any::<u8>(), 1..9_u8, 1..3000_usize), 1..12)) {
            let mut data = Vec::new();
            for (n, (start, width, length)) in parts.into_iter().enumerate() {
                let mut state = u32::from(start) + 1;
                data.extend((0..length).map(|_| {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    start.wrapping_add(u8::try_from(state >> (32 - u32::from(width))).unwrap_or(0))
                }));
                if n % 3 == 2 {
                    data.extend_from_within(data.len() / 3..);
                }
            }
            check(&mut Fast::new(), &data);
        }
    }
}
