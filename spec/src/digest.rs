//! Content digests: `sha256:<64 hex>` and `sha512:<128 hex>` (OCI image-spec, "Digests").

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

use crate::sha256;

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the algorithm everyone must support and Wharf's own default.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Length of the raw digest in bytes.
    pub const fn width(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(DigestError::UnknownAlgorithm(text.chars().take(32).collect())),
        }
    }
}

/// The digest of some content: an algorithm and that many bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    // Always zero beyond `algorithm.width()`, so that the derived equality and order are those of the text form.
    bytes: [u8; 64],
}

/// Why a text is no digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// No `:` between algorithm and value.
    #[error("a digest is written `sha256:` and 64 lower-case hexadecimal digits")]
    Malformed,
    /// An algorithm that Wharf does not verify.
    #[error("digest algorithm `{0}` is not supported: use sha256 or sha512")]
    UnknownAlgorithm(String),
    /// The right algorithm, but not the right number of lower-case hexadecimal digits.
    #[error("a {algorithm} digest has {} lower-case hexadecimal digits", algorithm.width() * 2)]
    BadValue {
        /// The algorithm named before the colon.
        algorithm: Algorithm,
    },
}

/// Content that is not what its digest says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("content has digest {actual}, expected {expected}")]
pub struct DigestMismatch {
    /// What was promised.
    pub expected: Digest,
    /// What the bytes hash to.
    pub actual: Digest,
}

impl Digest {
    /// The digest of `content`.
    pub fn of(algorithm: Algorithm, content: &[u8]) -> Self {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(content);
        hasher.finish()
    }

    /// The SHA-256 digest of `content`.
    pub fn sha256(content: &[u8]) -> Self {
        Self::of(Algorithm::Sha256, content)
    }

    fn from_raw(algorithm: Algorithm, raw: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes[..raw.len()].copy_from_slice(raw);
        Self { algorithm, bytes }
    }

    /// Which algorithm.
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw digest, 32 or 64 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.algorithm.width()]
    }

    /// The value after the colon, in lower-case hexadecimal.
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(self.algorithm.width() * 2);
        push_hex(&mut hex, self.as_bytes());
        hex
    }

    /// The first twelve hexadecimal digits, as `docker images` shows them.
    pub fn short(&self) -> String {
        let mut hex = String::with_capacity(12);
        push_hex(&mut hex, &self.bytes[..6]);
        hex
    }

    /// Checks `content` against this digest.
    pub fn verify(&self, content: &[u8]) -> Result<(), DigestMismatch> {
        let actual = Self::of(self.algorithm, content);
        if actual == *self { Ok(()) } else { Err(DigestMismatch { expected: *self, actual }) }
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm, self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, value) = text.split_once(':').ok_or(DigestError::Malformed)?;
        let algorithm: Algorithm = algorithm.parse()?;
        let bad = || DigestError::BadValue { algorithm };
        let value = value.as_bytes();
        if value.len() != algorithm.width() * 2 {
            return Err(bad());
        }
        let mut bytes = [0; 64];
        for (byte, pair) in bytes.iter_mut().zip(value.chunks_exact(2)) {
            let (high, low) = (hex_value(pair[0]), hex_value(pair[1]));
            *byte = (high.ok_or_else(bad)? << 4) | low.ok_or_else(bad)?;
        }
        Ok(Self { algorithm, bytes })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes a stream piece by piece; its state can be stored and taken up again in another process.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256 so far.
    Sha256(Sha256),
    /// SHA-512 so far.
    Sha512(Sha512),
}

/// The stored state of a [`Hasher`]: opaque bytes in lower-case hexadecimal, for a record that must outlive the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HasherState {
    algorithm: String,
    state: String,
}

/// Where a SHA-256 stands between two blocks: with the number of blocks, all that is needed to go on from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Midstate([u32; 8]);

impl Midstate {
    /// Length of the stored form in bytes.
    pub const WIDTH: usize = 32;

    /// The stored form.
    pub fn to_bytes(self) -> [u8; Self::WIDTH] {
        let mut bytes = [0; Self::WIDTH];
        put_words(&mut bytes, self.0);
        bytes
    }

    /// Reads the stored form; any bytes are one.
    pub fn from_bytes(bytes: [u8; Self::WIDTH]) -> Self {
        Self(words(&bytes))
    }
}

impl Hasher {
    /// A hasher that has seen nothing.
    pub fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    /// Takes in the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => {
                let rest = in_pairs(hasher, bytes);
                hasher.update(rest);
            }
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of everything taken in.
    pub fn finish(self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::from_raw(Algorithm::Sha256, &hasher.finalize()),
            Self::Sha512(hasher) => Digest::from_raw(Algorithm::Sha512, &hasher.finalize()),
        }
    }

    /// The state to store beside the bytes hashed so far.
    pub fn save(&self) -> HasherState {
        let (algorithm, raw) = match self {
            Self::Sha256(hasher) => (Algorithm::Sha256, hasher.serialize().to_vec()),
            Self::Sha512(hasher) => (Algorithm::Sha512, hasher.serialize().to_vec()),
        };
        let mut state = String::with_capacity(raw.len() * 2);
        push_hex(&mut state, &raw);
        HasherState { algorithm: algorithm.to_string(), state }
    }

    /// Where a SHA-256 stands after the last whole block of 64 bytes; `None` for another algorithm.
    pub fn midstate(&self) -> Option<Midstate> {
        match self {
            Self::Sha256(hasher) => Some(Midstate(words(&hasher.serialize()))),
            Self::Sha512(_) => None,
        }
    }

    /// The SHA-256 that has taken in `blocks` blocks of 64 bytes and stands at `midstate`.
    pub fn resume(midstate: Midstate, blocks: u64) -> Self {
        let mut saved = Sha256::new().serialize();
        put_words(&mut saved, midstate.0);
        saved[COUNT].copy_from_slice(&blocks.to_le_bytes());
        Self::Sha256(Sha256::deserialize(&saved).expect("only words and a number have changed"))
    }

    /// Takes up a stored state; `None` when it was not written by [`Hasher::save`].
    pub fn restore(saved: &HasherState) -> Option<Self> {
        let digits = saved.state.as_bytes();
        let raw: Vec<u8> = digits
            .chunks(2)
            .map(|pair| Some((hex_value(pair[0])? << 4) | hex_value(*pair.get(1)?)?))
            .collect::<Option<_>>()?;
        match saved.algorithm.parse().ok()? {
            Algorithm::Sha256 => {
                let state = SerializedState::<Sha256>::try_from(raw.as_slice()).ok()?;
                Sha256::deserialize(&state).ok().map(Self::Sha256)
            }
            Algorithm::Sha512 => {
                let state = SerializedState::<Sha512>::try_from(raw.as_slice()).ok()?;
                Sha512::deserialize(&state).ok().map(Self::Sha512)
            }
        }
    }
}

/// From so many bytes on, the way through [`sha256::compress`] is worth it.
const MANY: usize = 1024;

/// Takes in as many bytes as go through the fast way, and says which are left.
///
/// A hasher's state is eight words, the number of blocks so far, and bytes of a block that is not complete: so it can be taken
/// out between two blocks, brought forward and put back.
fn in_pairs<'a>(hasher: &mut Sha256, bytes: &'a [u8]) -> &'a [u8] {
    if bytes.len() < MANY {
        return bytes;
    }
    let incomplete = usize::from(hasher.serialize()[BUFFERED]);
    let (begin, bytes) = bytes.split_at((64 - incomplete) % 64);
    hasher.update(begin);
    let (pairs, rest) = bytes.as_chunks();
    let mut saved = hasher.serialize();
    let mut state = words(&saved);
    if !sha256::compress(&mut state, pairs) {
        return bytes;
    }
    put_words(&mut saved, state);
    let blocks = u64::from_le_bytes(saved[COUNT].try_into().expect("eight bytes")) + 2 * pairs.len() as u64;
    saved[COUNT].copy_from_slice(&blocks.to_le_bytes());
    *hasher = Sha256::deserialize(&saved).expect("only words and a number have changed");
    rest
}

fn words(saved: &[u8]) -> [u32; 8] {
    let mut words = [0; 8];
    for (word, bytes) in words.iter_mut().zip(saved.as_chunks().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn put_words(saved: &mut [u8], words: [u32; 8]) {
    for (word, bytes) in words.iter().zip(saved.as_chunks_mut().0) {
        *bytes = word.to_le_bytes();
    }
}

/// Where a saved state has the number of blocks, and the number of bytes of the incomplete one.
const COUNT: std::ops::Range<usize> = 32..40;
const BUFFERED: usize = 40;

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha256(_) => "Hasher(sha256)",
            Self::Sha512(_) => "Hasher(sha512)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_form_round_trips() {
        for text in [EMPTY.to_owned(), format!("sha512:{}", "0f".repeat(64))] {
            assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        }
        assert_eq!(Digest::sha256(b"").to_string(), EMPTY);
        assert_eq!(Digest::sha256(b"").short(), "e3b0c44298fc");
    }

    #[test]
    fn bad_digests_say_what_is_wrong() {
        let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
        for (text, error) in [
            ("", DigestError::Malformed),
            ("e3b0", DigestError::Malformed),
            ("md5:00", DigestError::UnknownAlgorithm("md5".into())),
            ("sha256:00", DigestError::BadValue { algorithm: Algorithm::Sha256 }),
            (&upper, DigestError::BadValue { algorithm: Algorithm::Sha256 }),
            (&EMPTY.replace("sha256", "sha512"), DigestError::BadValue { algorithm: Algorithm::Sha512 }),
        ] {
            assert_eq!(text.parse::<Digest>().unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn pieces_of_any_length_give_one_digest() {
        let bytes: Vec<u8> = (0_u32..20_000).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        let whole = Digest::from_raw(Algorithm::Sha256, &Sha256::digest(&bytes));
        for first in [0, 1, 63, 64, 65, 127, 128, 200] {
            for second in [MANY - 1, MANY, MANY + 1, 4096, 4097, 10_000] {
                let mut hasher = Hasher::new(Algorithm::Sha256);
                hasher.update(&bytes[..first]);
                hasher.update(&bytes[first..first + second]);
                let mut hasher = Hasher::restore(&hasher.save()).unwrap();
                hasher.update(&bytes[first + second..]);
                assert_eq!(hasher.finish(), whole, "{first} and {second}");
            }
        }
    }

    #[test]
    fn hashing_goes_on_between_two_blocks() {
        let bytes: Vec<u8> = (0_u32..9000).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[1]).collect();
        for length in [0, 64, 4096, 8000] {
            let mut hasher = Hasher::new(Algorithm::Sha256);
            hasher.update(&bytes[..length]);
            let blocks = length / 64;
            let midstate = Midstate::from_bytes(hasher.midstate().unwrap().to_bytes());
            let mut resumed = Hasher::resume(midstate, blocks as u64);
            resumed.update(&bytes[64 * blocks..]);
            assert_eq!(resumed.finish(), Digest::sha256(&bytes));
        }
        assert_eq!(Hasher::new(Algorithm::Sha512).midstate(), None);
    }

    #[test]
    fn hashing_goes_on_after_a_restart() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"the first part and ");
            let saved = serde_json::to_string(&hasher.save()).unwrap();
            let mut resumed = Hasher::restore(&serde_json::from_str(&saved).unwrap()).unwrap();
            resumed.update(b"the second");
            assert_eq!(resumed.finish(), Digest::of(algorithm, b"the first part and the second"));
        }
        let garbage = HasherState { algorithm: "sha256".into(), state: "zz".into() };
        assert!(Hasher::restore(&garbage).is_none());
    }
}
