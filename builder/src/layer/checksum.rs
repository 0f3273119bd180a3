//! Digests of streams, as fast as the processor allows.
//!
//! Every byte of a layer is hashed two or three times, so hashing decides how fast layers are written where the
//! processor has no SHA instructions (most servers older than 2021): ring's assembler is more than twice as fast there
//! as portable code. [`wharf_spec::Hasher`] is for streams that are taken up again later, which ring cannot do.

use ring::digest::{Context, SHA256, SHA512};
use wharf_spec::{Algorithm, Digest};

/// A digest of everything so far.
#[derive(Clone)]
pub(crate) struct Checksum {
    algorithm: Algorithm,
    context: Context,
}

impl Checksum {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let context = Context::new(match algorithm {
            Algorithm::Sha256 => &SHA256,
            Algorithm::Sha512 => &SHA512,
        });
        Self { algorithm, context }
    }

    pub(crate) fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    pub(crate) fn finish(self) -> Digest {
        from_raw(self.algorithm, self.context.finish().as_ref())
            // A finished digest has the length of its algorithm.
            .unwrap_or_else(|| Digest::of(self.algorithm, &[]))
    }
}

/// The digest with these raw bytes, if they are as many as the algorithm has.
pub(crate) fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Option<Digest> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(8 + 2 * raw.len());
    text.push_str(algorithm.as_str());
    text.push(':');
    for byte in raw {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_the_other_implementation_says() {
        let text: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for length in [0, 1, 63, 64, 65, text.len()] {
                let mut checksum = Checksum::new(algorithm);
                text[..length].chunks(1000).for_each(|piece| checksum.update(piece));
                assert_eq!(checksum.finish(), Digest::of(algorithm, &text[..length]));
            }
        }
        assert_eq!(from_raw(Algorithm::Sha256, &[0; 31]), None);
    }
}
