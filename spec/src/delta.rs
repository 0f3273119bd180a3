//! A blob as what is new in it: how Wharf sends a layer to Wharf that is nearly one which is there.
//!
//! Registries that take deltas say so when an upload begins, with [`MEDIA_TYPE`] in `Accept-Patch` (RFC 5789, section 3.1). A chunk
//! of that type names its base, a blob of the same repository, in the header [`BASE`]. Its bytes are steps, and each makes the
//! blob's next bytes. A step is a number of eight bytes, highest first, and what follows it:
//!
//! * without its highest bit, the number is a length, and so many bytes follow;
//! * with it, the rest of the number is a length, and the place of so many bytes in the base follows, in eight bytes, too.
//!
//! What steps copy only goes up in the base, so that a delta makes no more than it brings and its base has.

/// The media type of a delta.
pub const MEDIA_TYPE: &str = "application/vnd.wharf.delta.v1";

/// The header that names the digest of a delta's base.
pub const BASE: &str = "wharf-delta-base";

/// Set in the number of a step that copies.
const COPY: u64 = 1 << 63;

/// How a step begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many bytes follow.
    New(u64),
    /// The place of so many bytes follows.
    Copy(u64),
}

impl Step {
    /// What this number means.
    pub fn decode(number: [u8; 8]) -> Self {
        let number = u64::from_be_bytes(number);
        if number & COPY == 0 { Self::New(number) } else { Self::Copy(number & !COPY) }
    }
}

/// Before `length` new bytes.
pub fn new(length: u64) -> [u8; 8] {
    (length & !COPY).to_be_bytes()
}

/// In place of `length` bytes that lie at `from` in the base.
pub fn copy(from: u64, length: u64) -> [u8; 16] {
    let mut step = [0; 16];
    step[..8].copy_from_slice(&(COPY | length).to_be_bytes());
    step[8..].copy_from_slice(&from.to_be_bytes());
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_what_they_were() {
        for length in [0, 1, 1 << 40, COPY - 1] {
            assert_eq!(Step::decode(new(length)), Step::New(length));
            let step = copy(77, length);
            let (number, from) = step.split_first_chunk().unwrap();
            assert_eq!((Step::decode(*number), from), (Step::Copy(length), &77_u64.to_be_bytes()[..]));
        }
    }
}
