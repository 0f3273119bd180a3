//! What the builder calls things among its own: the content of a file, a compressed frame, the inputs of a step.
//!
//! Nothing of it gets into an image, where OCI asks for SHA-256, so it can be the hash that costs least: BLAKE3, which takes a
//! tenth of the time where processors have no SHA instructions, and no more where they have.

use std::fmt;

/// A name made of content: two things with one fingerprint are the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; Self::WIDTH]);

impl Fingerprint {
    /// Length in bytes.
    pub const WIDTH: usize = 32;

    /// The fingerprint of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(blake3::hash(content).into())
    }

    /// The raw bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::WIDTH] {
        &self.0
    }

    /// As lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl From<[u8; Self::WIDTH]> for Fingerprint {
    fn from(raw: [u8; Self::WIDTH]) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// Small pieces are put together up to so many bytes: of many at once, BLAKE3 takes a fraction of the time.
const TOGETHER: usize = 16 << 10;

/// Makes a [`Fingerprint`] piece by piece.
#[derive(Clone, Debug, Default)]
pub struct Fingerprinter {
    hasher: blake3::Hasher,
    gathered: Vec<u8>,
}

impl Fingerprinter {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if self.gathered.len() + bytes.len() < TOGETHER {
            self.gathered.extend_from_slice(bytes);
            return;
        }
        self.hasher.update(&self.gathered);
        self.gathered.clear();
        self.hasher.update(bytes);
    }

    /// Takes in bytes and how many there are, so that no two lists of fields look alike.
    pub fn field(&mut self, bytes: &[u8]) {
        self.update(&(bytes.len() as u64).to_le_bytes());
        self.update(bytes);
    }

    /// The fingerprint of everything taken in, which is forgotten: what comes next is another thing.
    pub fn take(&mut self) -> Fingerprint {
        let fingerprint = self.finish();
        if self.hasher.count() > 0 {
            self.hasher.reset();
        }
        self.gathered.clear();
        fingerprint
    }

    /// The fingerprint of everything taken in.
    pub fn finish(&self) -> Fingerprint {
        if self.hasher.count() == 0 {
            return Fingerprint::of(&self.gathered);
        }
        Fingerprint(self.hasher.clone().update(&self.gathered).finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_show_and_fields_do() {
        let mut pieces = Fingerprinter::new();
        pieces.update(b"ab");
        pieces.update(b"c");
        assert_eq!(pieces.finish(), Fingerprint::of(b"abc"));
        let long: Vec<u8> = (0_u16..).flat_map(u16::to_le_bytes).take(3 * TOGETHER).collect();
        for length in [1, 1000, TOGETHER - 1, TOGETHER, TOGETHER + 1, long.len()] {
            let mut pieces = Fingerprinter::new();
            for thing in [&long[..], &long[..300], &[], &long] {
                for piece in thing.chunks(length) {
                    pieces.update(piece);
                }
                assert_eq!(pieces.finish(), Fingerprint::of(thing), "{length}");
                assert_eq!(pieces.take(), Fingerprint::of(thing), "{length}");
            }
        }
        let of = |fields: [&[u8]; 2]| {
            let mut fingerprinter = Fingerprinter::new();
            for field in fields {
                fingerprinter.field(field);
            }
            fingerprinter.finish()
        };
        assert_ne!(of([b"ab", b"c"]), of([b"a", b"bc"]));
        assert_eq!(Fingerprint::from(*of([b"a", b""]).as_bytes()), of([b"a", b""]));
        assert_eq!(Fingerprint::of(b"").hex().len(), 64);
    }
}
