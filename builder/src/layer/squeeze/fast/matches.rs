//! Finding what occurred before.
//!
//! For every hash of five bytes the last two places are known; the better of the two is taken, at once. The table is small
//! enough to stay in the nearest cache. Guarantees: what is found depends on the bytes of the span alone.

#![expect(clippy::cast_possible_truncation, reason = "places are known modulo 2^16, and lengths are small")]
#![expect(clippy::inline_always, reason = "one loop, which is a tenth slower when it calls")]

use super::tokens::{self, MOST_TOKENS, Tokens};

/// Bytes that are searched together. Nothing refers to what came before them.
pub(super) const SPAN: usize = 1 << 20;
/// Bytes of a block, without the rest of its last match.
const BLOCK: usize = 64 << 10;
/// The table has two places for each of `2^ORDER` hashes. With 14 layers are half a percent smaller and take 5 % longer.
const ORDER: u32 = 13;
const WINDOW: u16 = 1 << 15;
const LONGEST: usize = 258;
/// Shorter matches are not worth it.
const SHORTEST: u32 = 4;
/// How many equal bytes the first look can see, and the second after it.
const SEEN: u32 = 7;
const SEEN_MORE: usize = 16;
/// Bytes at the end that are not searched for.
const MARGIN: usize = 8;
/// Room to read behind the end.
const BEYOND: usize = 64;
/// Bytes without a match after which not everything is looked up any more.
const PATIENCE: usize = 96;

/// Searches one span after the other.
pub(super) struct Matcher {
    /// By hash, the last two places modulo 2^16, the later in the lower half.
    places: Box<[u32; 1 << ORDER]>,
    /// The span. A copy, of a size that makes checking every access unnecessary.
    bytes: Box<[u8; SPAN + BEYOND]>,
    length: usize,
}

/// What occurred before.
#[derive(Clone, Copy)]
struct Match {
    /// How many of the first [`SEEN`] bytes are the same; all of them may mean more.
    seen: u32,
    distance: u16,
}

#[inline(always)]
fn hash(word: u64) -> usize {
    ((word << 24).wrapping_mul(0x9E37_79B1_85EB_CA87) >> (64 - ORDER)) as usize
}

impl Matcher {
    pub(super) fn new() -> Self {
        Self {
            places: vec![0; 1 << ORDER].into_boxed_slice().try_into().expect("as many as that"),
            bytes: vec![0; SPAN + BEYOND].into_boxed_slice().try_into().expect("as many as that"),
            length: 0,
        }
    }

    /// Forgets everything and takes another span.
    pub(super) fn begin(&mut self, span: &[u8]) {
        self.places.fill(0);
        self.bytes[..span.len()].copy_from_slice(span);
        self.bytes[span.len()..][..BEYOND].fill(0);
        self.length = span.len();
    }

    #[inline(always)]
    fn load<const N: usize>(&self, at: usize) -> [u8; N] {
        const { assert!(N < BEYOND) };
        self.bytes[at & (SPAN - 1)..].first_chunk().copied().unwrap_or([0; N])
    }

    #[inline(always)]
    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.load(at))
    }

    /// The last two places with the hash of `word`, of which `at` is the next.
    #[inline(always)]
    fn exchange(&mut self, word: u64, at: usize) -> u32 {
        let place = &mut self.places[hash(word)];
        let before = *place;
        *place = before << 16 | u32::from(at as u16);
        before
    }

    /// The better of two places for a match at `at`, where `word` is.
    #[inline(always)]
    fn compare(&self, word: u64, at: usize, places: u32) -> Match {
        let now = at as u16;
        let (near, far) = (now.wrapping_sub(places as u16), now.wrapping_sub((places >> 16) as u16));
        let a = self.word(at.wrapping_sub(usize::from(near))) ^ word;
        let b = self.word(at.wrapping_sub(usize::from(far))) ^ word;
        if a as u32 != 0 && b as u32 != 0 {
            return Match { seen: 0, distance: 0 };
        }
        // A distance of 0 is too far, too: it becomes 65535.
        let seen = |differ: u64, distance: u16| {
            let seen = (differ | 1 << 63).trailing_zeros() / 8;
            if distance.wrapping_sub(1) < WINDOW { seen } else { 0 }
        };
        let (a, b) = (seen(a, near), seen(b, far));
        if b > a { Match { seen: b, distance: far } } else { Match { seen: a, distance: near } }
    }

    /// Turns bytes from `start` into tokens, for one block; returns where it stopped, which is further on.
    pub(super) fn search(&mut self, start: usize, tokens: &mut Tokens) -> usize {
        let end = self.length.min(start + BLOCK);
        let searched = end.min(self.length.saturating_sub(MARGIN));
        let (mut at, mut count, mut matched) = (start, tokens.count, start);
        // Two places at a time: both are looked up before either is decided about.
        while at < searched && count < MOST_TOKENS - 2 {
            let wide = u128::from_le_bytes(self.load(at));
            let (word, next) = (wide as u64, (wide >> 8) as u64);
            let here = self.exchange(word, at);
            let there = self.exchange(next, at + 1);
            let found = self.compare(word, at, here);
            if found.seen >= SHORTEST {
                at = self.copy(at, found, count, tokens);
                (matched, count) = (at, count + 1);
                continue;
            }
            let found = self.compare(next, at + 1, there);
            if found.seen >= SHORTEST {
                tokens.set(count, tokens::literal(word as u8));
                at = self.copy(at + 1, found, count + 1, tokens);
                (matched, count) = (at, count + 2);
                continue;
            }
            tokens.set(count, tokens::literals([word as u8, (word >> 8) as u8]));
            (at, count) = (at + 2, count + 1);
            if at - matched > PATIENCE {
                matched = self.skip(at, searched);
                tokens.count = count;
                tokens.run(&self.bytes[..], at, matched);
                at = matched;
            }
        }
        tokens.count = count;
        if at < searched || at >= end {
            return at;
        }
        tokens.run(&self.bytes[..], at, end);
        end
    }

    /// Writes a match as token number `count`; returns where it ends.
    #[inline(always)]
    fn copy(&mut self, at: usize, found: Match, count: usize, tokens: &mut Tokens) -> usize {
        let Match { seen, distance } = found;
        let (known, distance) = (SEEN as usize, usize::from(distance));
        // Done before it is known whether it is needed, as that cannot be foreseen.
        let (ours, theirs): ([u8; SEEN_MORE], _) = (self.load(at + known), self.load(at + known - distance));
        let differ = u128::from_le_bytes(ours) ^ u128::from_le_bytes(theirs);
        let mut length = seen as usize;
        if seen == SEEN {
            length = known + (differ.trailing_zeros() / 8) as usize;
        }
        if length == known + SEEN_MORE {
            length = self.extend(at, distance, length);
        }
        // Behind the end of the span there are no bytes to be the same.
        let length = length.min(self.length - at);
        tokens.set(count, tokens::copy(length as u32, distance as u32));
        // Knowing all places in between would make layers up to 4 % smaller, but take a fifth longer.
        let end = at + length;
        let _ = self.exchange(self.word(end - 1), end - 1);
        let _ = self.exchange(self.word(end - 2), end - 2);
        end
    }

    /// How long a match is of which `length` bytes are the same.
    fn extend(&self, at: usize, distance: usize, mut length: usize) -> usize {
        while length < LONGEST {
            let differ = self.word(at + length) ^ self.word(at + length - distance);
            if differ != 0 {
                return LONGEST.min(length + differ.trailing_zeros() as usize / 8);
            }
            length += 8;
        }
        LONGEST
    }

    /// Looks at ever fewer places, until there is a match or the end; returns where that is, known to be found there.
    #[cold]
    #[inline(never)]
    fn skip(&mut self, start: usize, end: usize) -> usize {
        // In sixteenths of a byte.
        let (mut at, mut step) = (start, 4 * 16);
        while at < end {
            let word = self.word(at);
            let places = self.exchange(word, at);
            let found = self.compare(word, at, places);
            if found.seen > SHORTEST {
                let distance = usize::from(found.distance);
                // Of what was skipped some may belong to it.
                while at > start && at > distance && self.bytes[at - 1] == self.bytes[at - 1 - distance] {
                    at -= 1;
                }
                let _ = self.exchange(self.word(at), at - distance);
                return at;
            }
            at += step / 16;
            step += 1;
        }
        end.max(start)
    }
}
