//! What an object that holds a record looks like.
//!
//! ```text
//! wharf record <32 hexadecimal digits>\n<value>     a record
//! wharf gone <32 hexadecimal digits>\n              a tombstone: the record was deleted
//! ```
//!
//! The digits are fresh for every write, so no two writes have one entity tag, whatever they write. A tombstone has a
//! length that no record has, so a listing tells them apart.

use bytes::Bytes;

use crate::Ids;

const RECORD: &[u8] = b"wharf record ";
const GONE: &[u8] = b"wharf gone ";
const ID: usize = 32;

/// The length of every tombstone in bytes.
pub(super) const TOMBSTONE: u64 = (GONE.len() + ID + 1) as u64;

const _: () = assert!(GONE.len() < RECORD.len(), "or else an empty record could be as short as a tombstone");

/// A record's value, or a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Record(Bytes),
    Gone,
}

impl Content {
    /// Puts it into an envelope that nothing else has.
    pub(super) fn seal(&self, ids: &dyn Ids) -> Bytes {
        let (start, value): (&[u8], &[u8]) = match self {
            Self::Record(value) => (RECORD, value),
            Self::Gone => (GONE, &[]),
        };
        let id = format!("{:032x}\n", u128::from_be_bytes(ids.fresh()));
        [start, id.as_bytes(), value].concat().into()
    }

    /// Takes it out; `None` when this is no envelope.
    pub(super) fn open(body: &Bytes) -> Option<Self> {
        let after = |start: &[u8]| {
            let rest = body.strip_prefix(start)?;
            let (id, rest) = rest.split_at_checked(ID)?;
            (id.iter().all(u8::is_ascii_hexdigit) && rest.first() == Some(&b'\n')).then_some(start.len() + ID + 1)
        };
        match (after(RECORD), after(GONE)) {
            (Some(start), _) => Some(Self::Record(body.slice(start..))),
            (None, Some(length)) => (body.len() == length).then_some(Self::Gone),
            (None, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RandomIds;

    #[test]
    fn what_was_sealed_is_opened_and_never_sealed_alike() {
        for value in ["", "value", "\n"] {
            let content = Content::Record(Bytes::from(value));
            let sealed = content.seal(&RandomIds);
            assert_eq!(Content::open(&sealed), Some(content.clone()));
            assert_ne!(sealed.len() as u64, TOMBSTONE);
            assert_ne!(sealed, content.seal(&RandomIds));
        }
        let gone = Content::Gone.seal(&RandomIds);
        assert_eq!((gone.len() as u64, Content::open(&gone)), (TOMBSTONE, Some(Content::Gone)));
    }

    #[test]
    fn what_is_no_envelope_is_not_opened() {
        for body in ["", "wharf record ", "wharf record 0123\nx", "wharf gone 00000000000000000000000000000000\nx"] {
            assert_eq!(Content::open(&Bytes::from(body)), None, "{body}");
        }
    }
}
