//! The primitive types of the SSH protocols (RFC 4251, section 5): numbers, and strings with their length before them.

/// Bytes that are read from their beginning. `None` is an end that came too soon.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    pub(super) fn number(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A positive number of any length, without the zero byte that says that it is positive.
    pub(super) fn big(&mut self) -> Option<&'a [u8]> {
        let bytes = self.string()?;
        let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
        Some(&bytes[zeroes..])
    }
}

pub(super) fn put_number(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_be_bytes());
}

pub(super) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, u32::try_from(bytes.len()).expect("nothing here is that long"));
    out.extend_from_slice(bytes);
}

/// A positive number: without leading zeroes, but with one where the first bit would make it negative.
pub(super) fn put_big(out: &mut Vec<u8>, bytes: &[u8]) {
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut positive = Vec::with_capacity(bytes.len() + 1);
    if bytes.get(zeroes).is_some_and(|first| first & 0x80 != 0) {
        positive.push(0);
    }
    positive.extend_from_slice(&bytes[zeroes..]);
    put_string(out, &positive);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_positive_and_short() {
        for (bytes, expected) in [
            (&[0x80_u8, 1][..], &[0_u8, 0, 0, 3, 0, 0x80, 1][..]),
            (&[0, 0, 5], &[0, 0, 0, 1, 5]),
            (&[0], &[0, 0, 0, 0]),
        ] {
            let mut out = Vec::new();
            put_big(&mut out, bytes);
            assert_eq!(out, expected);
            let stripped: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
            assert_eq!(Reader(&out).big(), Some(&stripped[..]));
        }
        assert_eq!(Reader(&[0, 0, 0, 9, 1]).string(), None, "it is not that long");
    }
}
