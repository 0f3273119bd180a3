//! Writing a stream of bits, the lowest of each byte first.

/// Bits on their way into bytes.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    /// How many of the bytes are written; behind them is room.
    length: usize,
    /// Those that are no whole byte yet, at most seven between calls.
    bits: u64,
    count: u32,
}

impl Writer {
    /// Begins another stream.
    pub(super) fn clear(&mut self) {
        (self.length, self.bits, self.count) = (0, 0, 0);
    }

    /// Makes sure that `more` bytes fit.
    pub(super) fn reserve(&mut self, more: usize) {
        // A flush writes a whole word, though it may keep only its first byte.
        let wanted = self.length + more + 16;
        if self.bytes.len() < wanted {
            self.bytes.resize(wanted, 0);
        }
    }

    /// Writes the lowest `count` of `bits`, at most 56, of which no other may be set. Without room for a whole
    /// word nothing is kept.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "called for every token")]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        self.bits |= bits << self.count;
        self.count += count;
        if let Some(room) = self.bytes.get_mut(self.length..self.length + 8) {
            room.copy_from_slice(&self.bits.to_le_bytes());
        }
        self.length += (self.count / 8) as usize;
        self.bits >>= self.count & !7;
        self.count &= 7;
    }

    /// Fills up the last byte.
    pub(super) fn align(&mut self) {
        self.put(0, self.padding_after(0));
    }

    /// How many bits are missing to a byte boundary after `count` more.
    pub(super) fn padding_after(&self, count: u32) -> u32 {
        (self.count + count).wrapping_neg() & 7
    }

    /// Whole bytes, at a byte boundary.
    pub(super) fn put_bytes(&mut self, bytes: &[u8]) {
        debug_assert_eq!(self.count, 0);
        self.reserve(bytes.len());
        self.bytes[self.length..][..bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    /// The whole bytes so far.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}
