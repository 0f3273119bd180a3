//! What an object that holds a record looks like.
//!
//! ```text
//! wharf record <32 hexadecimal digits>[ <16>]...\n<value>     a record
//! wharf gone <32 hexadecimal digits>\n                        a tombstone: the record was deleted
//! ```
//!
//! The digits are fresh for every write, so no two writes have one entity tag, whatever they write. After those of a
//! record come the first 16 of each write before it, the newest first: see `lineage.rs`. A tombstone has a length that no
//! record has, so a listing tells them apart, and no room for them.

use bytes::Bytes;

use super::lineage::Lineage;
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
    /// Puts it into an envelope that nothing else has, to be written over what has this lineage. Returns its own, too.
    pub(super) fn seal(&self, over: &Lineage, ids: &dyn Ids) -> (Bytes, Lineage) {
        let id = u128::from_be_bytes(ids.fresh());
        let lineage = over.then((id >> 64) as u64);
        let body = match self {
            Self::Record(value) => {
                let head = format!("{id:032x}{}\n", lineage.earlier());
                [RECORD, head.as_bytes(), value].concat()
            }
            Self::Gone => [GONE, format!("{id:032x}\n").as_bytes()].concat(),
        };
        (body.into(), lineage)
    }

    /// Takes it out, with as much of its lineage as is written there; `None` when this is no envelope.
    pub(super) fn open(body: &Bytes) -> Option<(Self, Lineage)> {
        let (start, gone) = if body.starts_with(RECORD) { (RECORD.len(), false) } else { (GONE.len(), true) };
        if gone && (!body.starts_with(GONE) || body.len() as u64 != TOMBSTONE) {
            return None;
        }
        let end = start + body[start..].iter().position(|byte| *byte == b'\n')?;
        let (id, earlier) = std::str::from_utf8(&body[start..end]).ok()?.split_at_checked(ID)?;
        let hexadecimal = id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let newest = hexadecimal.then(|| u64::from_str_radix(&id[..16], 16).ok())??;
        let lineage = Lineage::parse(newest, earlier)?;
        let content = if gone { Self::Gone } else { Self::Record(body.slice(end + 1..)) };
        Some((content, lineage))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RandomIds;

    #[test]
    fn what_was_sealed_is_opened_and_never_sealed_alike() {
        let mut over = Lineage::nothing();
        for value in ["", "value", "\n"] {
            let content = Content::Record(Bytes::from(value));
            let (sealed, lineage) = content.seal(&over, &RandomIds);
            assert_eq!(Content::open(&sealed), Some((content.clone(), lineage.clone())));
            assert_ne!(sealed.len() as u64, TOMBSTONE);
            assert_ne!(sealed, content.seal(&over, &RandomIds).0);
            over = lineage;
        }
        let (gone, lineage) = Content::Gone.seal(&over, &RandomIds);
        let (content, after) = Content::open(&gone).unwrap();
        assert_eq!((gone.len() as u64, content), (TOMBSTONE, Content::Gone));
        assert_eq!((after.has(&lineage), over.has(&lineage)), (Some(true), Some(false)));
    }

    #[test]
    fn records_of_before_there_were_lineages_are_opened() {
        let sealed = Bytes::from("wharf record 000000000000000100000000000000ff\nvalue");
        let lineage = Lineage::default().then(1);
        assert_eq!(Content::open(&sealed), Some((Content::Record(Bytes::from("value")), lineage)));
    }

    #[test]
    fn what_is_no_envelope_is_not_opened() {
        for body in [
            "",
            "wharf record ",
            "wharf record 0123\nx",
            "wharf record 00000000000000000000000000000000",
            "wharf record 00000000000000000000000000000000 0\nx",
            "wharf record 0000000000000000000000000000000\u{e4}\nx",
            "wharf gone 00000000000000000000000000000000\nx",
            "wharf gone 0000000000000000\n0000000000000000",
        ] {
            assert_eq!(Content::open(&Bytes::from(body)), None, "{body}");
        }
    }
}
