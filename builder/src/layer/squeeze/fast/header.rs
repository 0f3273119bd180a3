//! The two codes that a block brings with it (RFC 1951, 3.2.7).

use super::blocks::{Both, LITERALS};
use super::huffman;
use super::writer::Writer;

const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// The longest word of the code in which lengths are written.
const LONGEST: usize = 7;

/// Lengths of words, in a code of their own.
pub(super) struct Header {
    /// Symbols, and the number behind each.
    symbols: Vec<(u8, u8)>,
    /// How long the symbols' words are.
    lengths: [u8; 19],
    literals: usize,
    distances: usize,
    /// How many of `lengths` are written.
    written: usize,
    /// What it takes, without the three bits before it.
    pub(super) bits: usize,
}

impl Header {
    pub(super) fn new(all: &Both<u8>) -> Self {
        let used = |lengths: &[u8]| lengths.iter().rposition(|length| *length > 0).map_or(0, |last| last + 1);
        let (literals, distances) = (used(&all[..LITERALS]).max(257), used(&all[LITERALS..]).max(1));
        // One list: a repetition may go on from the first to the second.
        let mut joined = *all;
        joined.copy_within(LITERALS..LITERALS + distances, literals);
        let symbols = shorten(&joined[..literals + distances]);
        let mut counts = [0; 19];
        for (symbol, _) in &symbols {
            counts[usize::from(*symbol)] += 1;
        }
        let mut lengths = [0; 19];
        huffman::lengths(&counts, LONGEST, &mut lengths);
        let written = ORDER.iter().rposition(|symbol| lengths[*symbol] > 0).map_or(4, |last| (last + 1).max(4));
        let words =
            symbols.iter().map(|(symbol, _)| usize::from(lengths[usize::from(*symbol)]) + extra(*symbol) as usize);
        let bits = 14 + written * 3 + words.sum::<usize>();
        Self { symbols, lengths, literals, distances, written, bits }
    }

    /// There must be room.
    pub(super) fn write(&self, out: &mut Writer) {
        let counts = (self.literals - 257) | (self.distances - 1) << 5 | (self.written - 4) << 10;
        out.put(counts as u64, 14);
        for symbol in &ORDER[..self.written] {
            out.put(u64::from(self.lengths[*symbol]), 3);
        }
        let mut words = [0; 19];
        huffman::words(&self.lengths, &mut words);
        for (symbol, number) in &self.symbols {
            let length = u32::from(self.lengths[usize::from(*symbol)]);
            out.put(u64::from(words[usize::from(*symbol)]) | u64::from(*number) << length, length + extra(*symbol));
        }
    }
}

/// How many bits a symbol's number has.
fn extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// Lengths, with symbols for repetitions.
fn shorten(lengths: &[u8]) -> Vec<(u8, u8)> {
    let mut symbols = Vec::with_capacity(lengths.len());
    for same in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (same[0], same.len());
        if length > 0 {
            symbols.push((length, 0));
            left -= 1;
        }
        while left >= 3 {
            let (symbol, least, most) = match (length, left) {
                (0, 11..) => (18, 11, 138),
                (0, _) => (17, 3, 10),
                _ => (16, 3, 6),
            };
            let now = left.min(most);
            symbols.push((symbol, u8::try_from(now - least).unwrap_or(u8::MAX)));
            left -= now;
        }
        symbols.extend(std::iter::repeat_n((length, 0), left));
    }
    symbols
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_short() {
        assert_eq!(shorten(&[0; 139]), [(18, 127), (0, 0)]);
        assert_eq!(shorten(&[0; 10]), [(17, 7)]);
        assert_eq!(shorten(&[5; 10]), [(5, 0), (16, 3), (16, 0)]);
        assert_eq!(shorten(&[1, 0, 0, 2, 2, 2]), [(1, 0), (0, 0), (0, 0), (2, 0), (2, 0), (2, 0)]);
    }
}
