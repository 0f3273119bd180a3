//! Where the last block of a deflate stream begins, and at which bit the stream ends (RFC 1951).
//!
//! Only the symbols themselves tell where they end, so each is decoded, but no further than to know how long it is: there
//! is no output and no window. Guarantees: any input gets an answer, in time linear in its length; what an inflater
//! accepts is accepted, with the same end. Not all else is refused: where distances point to is not looked at.

use super::bits::Bits;
use super::steps::{MOST_SYMBOLS, STEPS_PER_REFILL, State, Steps};

/// Two places in a stream, in bits from its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seam {
    /// The last block: its first bit says that it is the last.
    pub(super) last_block: usize,
    /// The first bit that does not belong to the stream.
    pub(super) end: usize,
}

/// Walks through one stream after the other.
pub(super) struct Walker {
    steps: Steps,
}

/// The words of a block's two codes: how long they are, and how many belong to the first.
struct Codes {
    lengths: [u8; MOST_SYMBOLS],
    literals: usize,
}

impl Walker {
    pub(super) fn new() -> Self {
        Self { steps: Steps::new() }
    }

    /// Finds the seam of the stream that `bytes` begin with; `None` if they begin with none.
    pub(super) fn walk(&mut self, bytes: &[u8]) -> Option<Seam> {
        let mut bits = Bits::new(bytes);
        loop {
            let last_block = bits.position();
            let last = bits.read(1)? == 1;
            match bits.read(2)? {
                0 => bits.seek(end_of_stored(bytes, bits.position())?),
                1 => self.symbols(&mut bits, &Codes::fixed())?,
                2 => {
                    let codes = self.codes(&mut bits)?;
                    self.symbols(&mut bits, &codes)?;
                }
                _ => return None,
            }
            if last {
                let end = bits.position();
                return (end <= bytes.len() * 8).then_some(Seam { last_block, end });
            }
        }
    }

    /// Reads the codes at the beginning of a block (3.2.7).
    fn codes(&mut self, bits: &mut Bits) -> Option<Codes> {
        const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
        let (literals, distances) = (257 + bits.read(5)?, 1 + bits.read(5)?);
        let mut words = [0; 19];
        for &symbol in &ORDER[..4 + bits.read(4)?] {
            words[symbol] = u8::try_from(bits.read(3)?).ok()?;
        }
        // A code of its own, in the other's table. Nothing follows here: the state after a step is the symbol.
        let table = State::literals(&words);
        self.steps.fill(table, &words, |symbol| Some((0, State { first: symbol, mask: 1 })))?;
        let mut all = [0; MOST_SYMBOLS];
        let lengths = all.get_mut(..literals + distances)?;
        let mut done = 0;
        while done < lengths.len() {
            bits.refill()?;
            let step = self.steps.next(table, bits).filter(|step| step.then != State::INVALID)?;
            bits.consume(step.bits);
            let (length, times) = match step.then.first {
                16 => (*lengths.get(done.checked_sub(1)?)?, 3 + bits.read(2)?),
                17 => (0, 3 + bits.read(3)?),
                18 => (0, 11 + bits.read(7)?),
                length => (u8::try_from(length).ok()?, 1),
            };
            lengths.get_mut(done..done + times)?.fill(length);
            done += times;
        }
        Some(Codes { lengths: all, literals })
    }

    /// Walks through the symbols of a block.
    fn symbols(&mut self, bits: &mut Bits, codes: &Codes) -> Option<()> {
        let (first, second) = codes.lengths.split_at_checked(codes.literals)?;
        let (literal, distance) = (State::literals(first), State::distances(second));
        self.steps.clear();
        self.steps.fill(literal, first, |symbol| match symbol {
            0..256 => Some((0, literal)),
            256 => Some((0, State::END)),
            257..265 | 285 => Some((0, distance)),
            265..285 => Some((u32::from(symbol - 261) / 4, distance)),
            _ => None,
        })?;
        self.steps.fill(distance, second, |symbol| match symbol {
            0..4 => Some((0, literal)),
            4..30 => Some((u32::from(symbol - 2) / 2, literal)),
            _ => None,
        })?;
        self.steps.pair_literals(literal);
        let mut state = literal;
        // A copy of its own can stay in registers.
        let mut here = *bits;
        while state != State::END {
            here.refill()?;
            for _ in 0..STEPS_PER_REFILL {
                let step = self.steps.next(state, &here)?;
                here.consume(step.bits);
                state = step.then;
            }
            if state == State::INVALID {
                return None;
            }
        }
        *bits = here;
        Some(())
    }
}

impl Codes {
    /// Those of blocks that bring none (3.2.6).
    fn fixed() -> Self {
        let mut lengths = [8; MOST_SYMBOLS];
        lengths[144..256].fill(9);
        lengths[256..280].fill(7);
        lengths[288..].fill(5);
        Self { lengths, literals: 288 }
    }
}

/// The byte after a stored block whose header ends at bit `position` (3.2.4).
fn end_of_stored(bytes: &[u8], position: usize) -> Option<usize> {
    let start = position.div_ceil(8);
    let [a, b, not_a, not_b] = *bytes.get(start..)?.first_chunk()?;
    let end = start + 4 + usize::from(u16::from_le_bytes([a, b]));
    ([!a, !b] == [not_a, not_b] && end <= bytes.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
    use proptest::prelude::*;

    use super::*;

    /// What an inflater makes of a stream: its output, whether it ended, and how many bytes were read.
    fn inflate(bytes: &[u8]) -> Option<(Vec<u8>, bool, usize)> {
        let (mut inflater, mut out) = (Decompress::new(false), Vec::with_capacity(64));
        loop {
            let taken = usize::try_from(inflater.total_in()).unwrap();
            let status = inflater.decompress_vec(&bytes[taken..], &mut out, FlushDecompress::None).ok()?;
            let ended = status == Status::StreamEnd;
            if ended || out.len() < out.capacity() {
                return Some((out, ended, usize::try_from(inflater.total_in()).unwrap()));
            }
            out.reserve(out.capacity());
        }
    }

    fn deflate(data: &[u8], level: u32, chunk: usize, flush: FlushCompress) -> Vec<u8> {
        let mut deflater = Compress::new(Compression::new(level), false);
        let mut stream = Vec::with_capacity(2 * data.len() + 1024);
        for part in data.chunks(chunk) {
            stream.reserve(2 * part.len() + 1024);
            deflater.compress_vec(part, &mut stream, flush).unwrap();
        }
        stream.reserve(data.len() + 1024);
        let status = deflater.compress_vec(&[], &mut stream, FlushCompress::Finish).unwrap();
        assert_eq!(status, Status::StreamEnd);
        stream
    }

    /// The seam is where the inflater says, and without the mark on its last block the stream goes on.
    fn check(stream: &[u8]) {
        let (out, ended, length) = inflate(stream).unwrap();
        assert!(ended);
        let seam = Walker::new().walk(stream).unwrap();
        assert_eq!(seam.end.div_ceil(8), length);
        let mut open = stream[..length].to_vec();
        let mark = 1 << (seam.last_block % 8);
        assert_ne!(open[seam.last_block / 8] & mark, 0);
        open[seam.last_block / 8] &= !mark;
        // Whatever the last byte's other bits say must not matter.
        if !seam.end.is_multiple_of(8) {
            open[length - 1] &= (1 << (seam.end % 8)) - 1;
        }
        // At exactly that bit another block begins: an empty one of the fixed code, the last.
        open.extend_from_slice(&[0; 2]);
        for (n, bit) in [1, 1, 0, 0, 0, 0, 0, 0, 0, 0].into_iter().enumerate() {
            open[(seam.end + n) / 8] |= bit << ((seam.end + n) % 8);
        }
        let (again, ended, _) = inflate(&open).unwrap();
        assert!(ended);
        assert!(again == out);
    }

    #[test]
    fn streams_written_by_hand() {
        // Fixed code, nothing in it; the same with a length and the nearest distance; stored, empty and not.
        for stream in [&[3, 0][..], &[0x4b, 0x04, 0x02, 0x00], &[1, 0, 0, 0xff, 0xff], &[1, 1, 0, 0xfe, 0xff, 7]] {
            check(stream);
        }
        let walk = |stream: &[u8]| Walker::new().walk(stream);
        assert_eq!(walk(&[3, 0]), Some(Seam { last_block: 0, end: 10 }));
        assert_eq!(walk(&[0, 0, 0, 0xff, 0xff, 3, 0, 9, 9]), Some(Seam { last_block: 40, end: 50 }));
        // Nothing; no such kind of block; a length that contradicts itself; a block cut off; none that is the last.
        for bad in [&[][..], &[7, 0], &[1, 0, 0, 0, 0], &[1, 9, 0, 0xf6, 0xff, 1], &[3], &[0, 0, 0, 0xff, 0xff]] {
            assert_eq!(walk(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn long_streams_of_every_kind() {
        let noise: Vec<u8> = (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
        let text: Vec<u8> = (0..60_000_u32).flat_map(|n| format!("{} ", n * n % 977).into_bytes()).collect();
        // Very uneven: words of up to 15 bits.
        let uneven: Vec<u8> =
            noise.iter().zip(&text).map(|(a, b)| (a.leading_zeros().to_le_bytes()[0] * 31) ^ (b & 1)).collect();
        for data in [&noise, &text, &uneven, &vec![7; 300_000]] {
            for level in [0, 1, 6, 9] {
                check(&deflate(data, level, usize::MAX, FlushCompress::None));
                check(&deflate(data, level, 5_000, FlushCompress::Sync));
            }
            for level in 0..=12 {
                let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(level).unwrap());
                let mut stream = vec![0; compressor.deflate_compress_bound(data.len())];
                let length = compressor.deflate_compress(data, &mut stream).unwrap();
                check(&stream[..length]);
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..600), kind in 0..4_u8) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = *first & !6 | kind << 1;
            }
            let seam = Walker::new().walk(&bytes);
            if let Some((_, true, length)) = inflate(&bytes) {
                prop_assert_eq!(seam.map(|seam| seam.end.div_ceil(8)), Some(length));
            }
            if let Some(seam) = seam {
                prop_assert!(seam.last_block < seam.end && seam.end <= bytes.len() * 8);
            }
        }

        #[test]
        fn damaged_streams_get_an_answer(
            data in proptest::collection::vec(0..40_u8, 0..4000),
            level in 1..9_u32,
            damage in proptest::collection::vec(any::<(proptest::sample::Index, u8)>(), 0..4),
            cut in any::<proptest::sample::Index>(),
        ) {
            let mut stream = deflate(&data, level, 1000, FlushCompress::Partial);
            check(&stream);
            prop_assert_eq!(Walker::new().walk(&stream[..cut.index(stream.len())]), None);
            for (place, value) in damage {
                let place = place.index(stream.len());
                stream[place] = value;
            }
            let seam = Walker::new().walk(&stream);
            if let Some((_, true, length)) = inflate(&stream) {
                prop_assert_eq!(seam.map(|seam| seam.end.div_ceil(8)), Some(length));
            }
        }
    }
}
