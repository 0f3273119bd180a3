//! How records' keys become names of objects in the bucket, so that the order of names by bytes is the order of keys.
//!
//! Names are plain ASCII, which every service lists and signs alike: letters, digits, `-`, `.`, `/`, `:` and `_` stand
//! for themselves, and every other byte is two hexadecimal digits behind a mark that sorts where the byte would. A key's
//! name ends in `!`, which sorts before everything else, so no name is another one's directory: services that keep
//! objects as files could not hold both.

use crate::RecordKey;

/// What a name ends in.
const END: u8 = b'!';

/// The mark of a byte that does not stand for itself.
fn mark(byte: u8) -> Option<u8> {
    match byte {
        b'-'..=b':' | b'A'..=b'Z' | b'_' | b'a'..=b'z' => None,
        0..b'-' => Some(END),
        b';'..=b'@' => Some(b';'),
        b'['..=b'^' => Some(b'^'),
        b'`' => Some(b'`'),
        b'{'..=255 => Some(b'~'),
    }
}

/// The beginning that names of all keys with this beginning have.
pub(super) fn prefix(text: &str) -> String {
    let mut name = String::with_capacity(text.len() + 1);
    for byte in text.bytes() {
        match mark(byte) {
            None => name.push(byte.into()),
            Some(mark) => {
                name.push(mark.into());
                for digit in [byte >> 4, byte & 15] {
                    name.extend(char::from_digit(digit.into(), 16));
                }
            }
        }
    }
    name
}

/// The name of the record with this key.
pub(super) fn name(text: &str) -> String {
    let mut name = prefix(text);
    name.push(END.into());
    name
}

/// Whether it consists of segments as keys do.
fn segments(text: &str) -> bool {
    text.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// The key with this name; `None` for what was never named here.
pub(super) fn key(name: &str) -> Option<RecordKey> {
    let mut rest = name.as_bytes().strip_suffix(&[END])?.iter().copied();
    let mut bytes = Vec::with_capacity(name.len());
    while let Some(byte) = rest.next() {
        if mark(byte).is_none() {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let value = u8::try_from(digit()? << 4 | digit()?).ok()?;
        if mark(value) != Some(byte) {
            return None;
        }
        bytes.push(value);
    }
    let text = String::from_utf8(bytes).ok()?;
    // Or else two names could stand for one key.
    (segments(&text) && self::name(&text) == name).then(|| RecordKey::new(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_can_be_read() {
        assert_eq!(name("repos/team/app/_tags/v1.0"), "repos/team/app/_tags/v1.0!");
        assert_eq!(name("refs/sha256:00ff/a"), "refs/sha256:00ff/a!");
        assert_eq!(name("k ~é"), "k!20~7e~c3~a9!");
        for foreign in ["", "!", "a", "a!2D!", "a!2d!", "a!2", "a!zz!", "a!61!", ".!", "a//b!", "A\u{e9}!"] {
            assert_eq!(key(foreign), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn every_key_has_a_name_of_its_own(text in "[^/]([a-z/\\PC]{0,20}[^/])?") {
            prop_assume!(segments(&text));
            let name = name(&text);
            prop_assert!(name.bytes().all(|byte| byte.is_ascii_graphic()));
            let key = key(&name).unwrap();
            prop_assert_eq!(key.as_str(), text.as_str());
        }

        #[test]
        fn names_are_ordered_as_keys(a in "[\\x00-\\x7fé~/]{1,6}", b in "[\\x00-\\x7fé~/]{1,6}") {
            prop_assert_eq!(name(&a).cmp(&name(&b)), a.as_bytes().cmp(b.as_bytes()));
            prop_assert_eq!(name(&a).starts_with(&prefix(&b)), a.starts_with(&b));
        }
    }
}
