//! Reading a stream of bits, the lowest of each byte first. After the end come zeros, for a while.

/// A place in a stream.
#[derive(Clone, Copy)]
pub(super) struct Bits<'a> {
    stream: &'a [u8],
    /// The next byte.
    at: usize,
    /// Bits of the bytes before. Those above `count` are right, too, but not counted.
    buffer: u64,
    count: u32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(stream: &'a [u8]) -> Self {
        Self { stream, at: 0, buffer: 0, count: 0 }
    }

    /// How many bits were consumed.
    pub(super) fn position(&self) -> usize {
        self.at * 8 - self.count as usize
    }

    /// Makes at least 56 bits ready. `None` when more were consumed than there are.
    #[inline]
    pub(super) fn refill(&mut self) -> Option<()> {
        let word = match self.stream.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(word) => u64::from_le_bytes(*word),
            None => self.last_word()?,
        };
        self.buffer |= word << self.count;
        self.at += (63 - self.count as usize) / 8;
        self.count |= 0b11_1000;
        Some(())
    }

    // By value, so that whoever refills can keep everything in registers.
    #[cold]
    fn last_word(self) -> Option<u64> {
        let rest = self.stream.get(self.at..).unwrap_or_default();
        let bytes = std::array::from_fn(|n| rest.get(n).copied().unwrap_or(0));
        (self.position() <= self.stream.len() * 8).then_some(u64::from_le_bytes(bytes))
    }

    /// The next bits, of those that are ready.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "under a mask of 16 bits")]
    pub(super) fn peek(&self, mask: u16) -> usize {
        (self.buffer & u64::from(mask)) as usize
    }

    /// Takes bits that are ready.
    #[inline]
    pub(super) fn consume(&mut self, bits: u32) {
        self.buffer >>= bits;
        self.count -= bits;
    }

    /// The next bits, at most 15, as a number.
    pub(super) fn read(&mut self, bits: u32) -> Option<usize> {
        self.refill()?;
        let value = self.peek((1 << bits) - 1);
        self.consume(bits);
        Some(value)
    }

    /// Goes to byte `at`.
    pub(super) fn seek(&mut self, at: usize) {
        *self = Self { at, ..Self::new(self.stream) };
    }
}
