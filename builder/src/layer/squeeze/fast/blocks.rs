//! Writing one block in the cheapest of the three ways (RFC 1951, 3.2.3 to 3.2.6).

#![expect(clippy::cast_possible_truncation, reason = "symbols and lengths are small")]

use std::ops::Range;

use super::header::Header;
use super::huffman;
use super::tokens::{NOTHING, Tokens};
use super::writer::Writer;

/// The literal code: literals, the end of the block, lengths, and two symbols that only the fixed code has.
pub(super) const LITERALS: usize = 288;
/// The distance code.
pub(super) const DISTANCES: usize = 30;
const END: usize = 256;
/// So that four of them fit into a flush.
const LONGEST_LITERAL: usize = 14;
const LONGEST_DISTANCE: usize = 15;
/// Bytes of a stored block.
const MOST_STORED: usize = 65535;

/// One number for each symbol of both codes.
pub(super) type Both<T> = [T; LITERALS + DISTANCES];

/// For each length less three: its symbol less [`END`], and how many bits follow.
const LENGTHS: [(u8, u8); 256] = {
    let mut table = [(29, 0); 256];
    let mut at: usize = 0;
    while at < 255 {
        let extra = if at < 8 { 0 } else { at.ilog2() as u8 - 2 };
        table[at] = (4 * extra + 1 + (at >> extra) as u8, extra);
        at += 1;
    }
    table
};

/// How the fixed code's words are long.
const FIXED: Both<u8> = {
    let mut lengths = [8; LITERALS + DISTANCES];
    let mut at = 144;
    while at < lengths.len() {
        lengths[at] = match at {
            144..256 => 9,
            256..280 => 7,
            280..288 => 8,
            _ => 5,
        };
        at += 1;
    }
    lengths
};

const fn distance_extra(symbol: usize) -> u32 {
    if symbol < 4 { 0 } else { symbol as u32 / 2 - 1 }
}

/// Writes one block after the other.
pub(super) struct BlockWriter {
    /// What to write for a token's first symbol: the bits, and above the lowest 24 how many there are.
    first: [u32; 512],
    /// The same for its second: 16 bits for the word, 8 for its length, 8 for that and of the bits behind it.
    second: [u32; 512],
    /// As a first one.
    end: u32,
}

impl BlockWriter {
    pub(super) fn new() -> Self {
        Self { first: [0; 512], second: [0; 512], end: 0 }
    }

    /// Writes the block that is `data[span]` and that `tokens` describe.
    pub(super) fn write(&mut self, data: &[u8], span: Range<usize>, tokens: &Tokens, last: bool, out: &mut Writer) {
        let counts = symbol_counts(tokens);
        let mut lengths = [0; LITERALS + DISTANCES];
        huffman::lengths(&counts[..LITERALS], LONGEST_LITERAL, &mut lengths[..LITERALS]);
        huffman::lengths(&counts[LITERALS..], LONGEST_DISTANCE, &mut lengths[LITERALS..]);
        let header = Header::new(&lengths);
        let extra = extra_bits(&counts);
        let dynamic = header.bits + extra + cost(&counts, &lengths);
        let fixed = extra + cost(&counts, &FIXED);
        let coded = dynamic.min(fixed);
        if stored_bits(span.len(), out) <= 3 + coded {
            return write_stored(&data[span], last, out);
        }
        out.reserve(coded / 8 + 16);
        if fixed <= dynamic {
            out.put(u64::from(last) | 1 << 1, 3);
            self.take(&FIXED);
        } else {
            out.put(u64::from(last) | 2 << 1, 3);
            header.write(out);
            self.take(&lengths);
        }
        let (mut done, all) = (0, tokens.all());
        for run in &tokens.runs {
            self.tokens(&all[done..run.after], out);
            self.literals(&data[run.start..run.end], out);
            done = run.after;
        }
        self.tokens(&all[done..], out);
        out.put(u64::from(self.end & 0xffff), self.end >> 24);
    }

    /// Makes the tables for codes with these lengths.
    fn take(&mut self, lengths: &Both<u8>) {
        let mut words = [0; LITERALS + DISTANCES];
        huffman::words(&lengths[..LITERALS], &mut words[..LITERALS]);
        huffman::words(&lengths[LITERALS..], &mut words[LITERALS..]);
        let word = |symbol| (u32::from(words[symbol]), u32::from(lengths[symbol]));
        for literal in 0..256 {
            let (bits, length) = word(literal);
            self.first[literal] = bits | length << 24;
            self.second[literal] = bits | length << 16 | length << 24;
        }
        let (bits, length) = word(END);
        self.end = bits | length << 24;
        for (at, (symbol, extra)) in (0_u32..).zip(LENGTHS) {
            let (bits, length) = word(END + usize::from(symbol));
            let rest = at & ((1 << extra) - 1);
            self.first[256 + at as usize] = bits | rest << length | (length + u32::from(extra)) << 24;
        }
        for symbol in 0..DISTANCES {
            let (bits, length) = word(LITERALS + symbol);
            self.second[256 + symbol] = bits | length << 16 | (length + distance_extra(symbol)) << 24;
        }
        self.second[NOTHING as usize] = 0;
    }

    fn tokens(&self, tokens: &[u32], out: &mut Writer) {
        for token in tokens {
            let first = self.first[(token & 511) as usize];
            let second = self.second[(token >> 9 & 511) as usize];
            let extra = u64::from(token >> 18);
            let length = first >> 24;
            let bits = u64::from(second & 0xffff) | extra << (second >> 16 & 31);
            out.put(u64::from(first & 0xff_ffff) | bits << length, length + (second >> 24));
        }
    }

    fn literals(&self, literals: &[u8], out: &mut Writer) {
        let (fours, rest) = literals.as_chunks::<4>();
        for four in fours {
            let (mut bits, mut length) = (0, 0);
            for literal in four {
                let word = self.first[usize::from(*literal)];
                bits |= u64::from(word & 0xffff) << length;
                length += word >> 24;
            }
            out.put(bits, length);
        }
        for literal in rest {
            let word = self.first[usize::from(*literal)];
            out.put(u64::from(word & 0xffff), word >> 24);
        }
    }
}

fn symbol_counts(tokens: &Tokens) -> Both<u32> {
    let mut counts = [0; LITERALS + DISTANCES];
    for (literal, count) in counts[..256].iter_mut().enumerate() {
        *count = tokens.first[literal] + tokens.second[literal];
    }
    counts[END] = 1;
    for ((symbol, _), count) in LENGTHS.iter().zip(&tokens.first[256..]) {
        counts[END + usize::from(*symbol)] += count;
    }
    counts[LITERALS..].copy_from_slice(&tokens.second[256..256 + DISTANCES]);
    counts
}

/// How many bits the words take.
fn cost(counts: &Both<u32>, lengths: &Both<u8>) -> usize {
    counts.iter().zip(lengths).map(|(count, length)| *count as usize * usize::from(*length)).sum()
}

/// How many bits follow the words.
fn extra_bits(counts: &Both<u32>) -> usize {
    let lengths = (265..285).map(|symbol| counts[symbol] as usize * ((symbol - 261) / 4));
    let distances = (0..DISTANCES).map(|symbol| counts[LITERALS + symbol] as usize * distance_extra(symbol) as usize);
    lengths.sum::<usize>() + distances.sum::<usize>()
}

fn stored_bits(size: usize, out: &Writer) -> usize {
    let blocks = size.div_ceil(MOST_STORED).max(1);
    3 + out.padding_after(3) as usize + 32 + (blocks - 1) * 40 + size * 8
}

/// Writes `data` as it is, at least one block of it (3.2.4).
pub(super) fn write_stored(data: &[u8], last: bool, out: &mut Writer) {
    let mut rest = data;
    loop {
        let (now, more) = rest.split_at(rest.len().min(MOST_STORED));
        out.reserve(16);
        out.put(u64::from(last && more.is_empty()), 3);
        out.align();
        let length = now.len() as u64;
        out.put(length | (length ^ 0xffff) << 16, 32);
        out.put_bytes(now);
        rest = more;
        if rest.is_empty() {
            return;
        }
    }
}
