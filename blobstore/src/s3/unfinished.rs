//! Unfinished objects, as far as the bucket keeps them, so that any process can go on with them.
//!
//! ```text
//! unfinished/<epoch>          who may do what: `State`
//! unfinished/<epoch>.<id>     the last bytes of one checkpoint, which were too few for a part
//! ```
//!
//! All writers of one object share one upload in parts, but no part: numbers of parts are handed out by compare-and-swap
//! on the state, and a number is never handed out twice. So no writer overwrites what another one's checkpoint covers;
//! a checkpoint names its parts by their numbers, and the rest of the parts is dropped when the upload is completed.
//! Whoever finishes claims the state first, for ever: there is one finisher at most.

use std::fmt::Write as _;
use std::ops::RangeInclusive;

use bytes::Bytes;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Condition, Written};
use super::documents::Upload;
use super::listing::{Listing, PAGE};
use super::multipart::{LAST, Multipart, under_way};
use super::objects::object_name;
use crate::{Checkpoint, Error, Ids, ObjectKey, Result};

/// Where unfinished objects lie.
pub(super) const UNFINISHED: &str = "unfinished/";

/// How often a compare-and-swap is tried.
const ATTEMPTS: usize = 64;

/// The value of `unfinished/<epoch>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// The upload in parts, once there is one.
    pub(super) upload: Option<String>,
    /// The first number of a part that is nobody's.
    pub(super) next: u16,
    /// Somebody is finishing or forgetting it.
    #[serde(default)]
    pub(super) claimed: bool,
    /// Makes every write unlike any other; whoever writes sets it.
    pub(super) id: String,
}

/// A state as it lies in the bucket.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) state: State,
    tag: String,
}

/// What a checkpoint says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The upload that its parts belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<String>,
    /// Its parts' numbers, `1-4,9`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) parts: String,
    /// How many bytes its parts hold.
    pub(super) length: u64,
    /// Bytes after its parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tail: Option<Tail>,
}

/// The object that holds the bytes after a checkpoint's parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    pub(super) id: String,
    pub(super) length: u64,
}

impl Mark {
    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint(serde_json::to_string(self).expect("a mark is plain data"))
    }

    /// Any other text was never given out.
    pub(super) fn read(checkpoint: &Checkpoint) -> Result<Self> {
        serde_json::from_str(&checkpoint.0).map_err(|_| Error::UploadLost)
    }

    /// The numbers of its parts, in order.
    pub(super) fn numbers(&self) -> Result<Vec<u16>> {
        let mut numbers: Vec<u16> = Vec::new();
        for range in self.parts.split(',').filter(|range| !range.is_empty()) {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let bounds: RangeInclusive<u16> = match (first.parse(), last.parse()) {
                (Ok(first), Ok(last)) if first >= 1 && last <= LAST => first..=last,
                _ => return Err(Error::UploadLost),
            };
            numbers.extend(bounds);
        }
        if numbers.is_sorted_by(|a, b| a < b) { Ok(numbers) } else { Err(Error::UploadLost) }
    }
}

/// Numbers in ascending order, as ranges.
pub(super) fn ranges(numbers: impl Iterator<Item = u16>) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let mut text = String::new();
    for (first, last) in ranges {
        let separator = if text.is_empty() { "" } else { "," };
        let written =
            if first == last { write!(text, "{separator}{first}") } else { write!(text, "{separator}{first}-{last}") };
        written.expect("text can be written");
    }
    text
}

/// An unfinished object in the bucket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unfinished<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) key: ObjectKey,
    pub(super) ids: &'a dyn Ids,
}

impl Unfinished<'_> {
    fn name(&self) -> String {
        format!("{UNFINISHED}{}", self.key)
    }

    fn fresh(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.ids.fresh()))
    }

    /// The state, which must be there and nobody's.
    pub(super) async fn open_state(&self) -> Result<Seen> {
        self.state().await?.filter(|seen| !seen.state.claimed).ok_or(Error::UploadLost)
    }

    async fn state(&self) -> Result<Option<Seen>> {
        let Some((tag, body)) = self.bucket.read_small(&self.name()).await? else { return Ok(None) };
        let state = serde_json::from_slice(&body)
            .map_err(|error| Error::CorruptRecord { key: self.name(), problem: error.to_string() })?;
        Ok(Some(Seen { state, tag }))
    }

    async fn write(&self, condition: Condition<'_>, state: State) -> Result<Option<Seen>> {
        let state = State { id: self.fresh(), ..state };
        let body = serde_json::to_vec(&state).expect("a state is plain data");
        match self.bucket.write_if(&self.name(), condition, body.into()).await? {
            Written::Done(tag) => Ok(Some(Seen { state, tag })),
            Written::Refused => Ok(None),
            Written::Doubtful => match self.state().await?.filter(|seen| seen.state.id == state.id) {
                Some(ours) => Ok(Some(ours)),
                None => Err(Written::unknown()),
            },
        }
    }

    /// The first state of an object, with so many numbers of parts handed out.
    pub(super) async fn begin(&self, upload: Option<String>, numbers: u16) -> Result<Seen> {
        let state = State { upload, next: 1 + numbers, claimed: false, id: String::new() };
        // Nobody creates a key twice, so whoever was there first was no friend.
        self.write(Condition::Absent, state).await?.ok_or(Error::UploadLost)
    }

    /// Changes a state that is nobody's, from what was seen of it last.
    pub(super) async fn change(&self, mut seen: Seen, change: impl Fn(&State) -> Result<State>) -> Result<Seen> {
        for _ in 0..ATTEMPTS {
            if let Some(written) = self.write(Condition::Tag(&seen.tag), change(&seen.state)?).await? {
                return Ok(written);
            }
            seen = self.open_state().await?;
        }
        Err(Error::Contended { key: self.name() })
    }

    /// Makes the object ours alone, to finish or to forget it.
    pub(super) async fn claim(&self, seen: Seen) -> Result<Seen> {
        self.change(seen, |state| Ok(State { claimed: true, ..state.clone() })).await
    }

    fn tail_name(&self, id: &str) -> String {
        format!("{}.{id}", self.name())
    }

    /// Keeps the bytes after the last part.
    pub(super) async fn write_tail(&self, bytes: Bytes) -> Result<Tail> {
        let tail = Tail { id: self.fresh(), length: bytes.len() as u64 };
        self.bucket.write(&self.tail_name(&tail.id), bytes).await?;
        Ok(tail)
    }

    pub(super) async fn read_tail(&self, tail: &Tail) -> Result<Bytes> {
        if tail.id.len() != 32 || !tail.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::UploadLost);
        }
        let found = self.bucket.read_small(&self.tail_name(&tail.id)).await?;
        let bytes = found.map(|(_, bytes)| bytes).filter(|bytes| bytes.len() as u64 == tail.length);
        bytes.ok_or(Error::UploadLost)
    }

    /// The upload in parts that its state names.
    pub(super) async fn upload(&self) -> Result<Option<String>> {
        Ok(self.state().await?.and_then(|seen| seen.state.upload))
    }

    /// Forgets an object whatever its state, unless it is finished.
    pub(super) async fn forget(&self) -> Result<()> {
        let Some(seen) = self.state().await? else {
            // Its writer was killed before it could write one, or whoever forgot it, before he was done.
            let name = object_name(self.key);
            for Upload { key, id, .. } in under_way(self.bucket, &name).await? {
                if key == name {
                    Multipart { bucket: self.bucket, key: &name, upload: &id }.abort().await?;
                }
            }
            return self.clear(None).await;
        };
        let mut upload = seen.state.upload.clone();
        if !seen.state.claimed {
            match self.claim(seen).await {
                Ok(claimed) => upload = claimed.state.upload,
                // Somebody else has finished or forgotten it meanwhile.
                Err(Error::UploadLost) => {}
                Err(error) => return Err(error),
            }
        }
        self.clear(upload.as_deref()).await
    }

    /// Removes what lies around of an object that is finished, or that nobody will finish.
    pub(super) async fn clear(&self, upload: Option<&str>) -> Result<()> {
        if let Some(upload) = upload {
            let key = object_name(self.key);
            Multipart { bucket: self.bucket, key: &key, upload }.abort().await?;
        }
        let mut listing = Listing::new(self.bucket, &(self.name() + "."), None);
        while !listing.ended() {
            let tails = listing.next(PAGE).await?;
            try_join_all(tails.iter().map(|tail| self.bucket.delete(&tail.key))).await?;
        }
        // Last, so that whoever is interrupted can be followed by another.
        self.bucket.delete(&self.name()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_kept_as_ranges() {
        for (numbers, text) in
            [(vec![], ""), (vec![1], "1"), (vec![1, 2, 3], "1-3"), (vec![1, 2, 5, 7, 8, 9, 10_000], "1-2,5,7-9,10000")]
        {
            assert_eq!(ranges(numbers.iter().copied()), text);
            let mark = Mark { parts: text.to_owned(), ..Mark::default() };
            assert_eq!(mark.numbers().unwrap(), numbers);
        }
        for nonsense in ["0", "x", "1-", "3-1,2", "1,1", "10001", "5,2", "1-99999", "-"] {
            let mark = Mark { parts: nonsense.to_owned(), ..Mark::default() };
            let numbers = mark.numbers();
            assert!(matches!(numbers, Err(Error::UploadLost)) || nonsense == "3-1,2", "{nonsense}: {numbers:?}");
        }
    }

    #[test]
    fn checkpoints_read_what_was_written_and_no_nonsense() {
        let tail = Some(Tail { id: "00".repeat(16), length: 7 });
        let mark = Mark { upload: Some("u".to_owned()), parts: "1-3".to_owned(), length: 9, tail };
        assert_eq!(Mark::read(&mark.checkpoint()).unwrap(), mark);
        for nonsense in ["", "x", "../../etc/passwd", "7", "[]"] {
            assert!(matches!(Mark::read(&Checkpoint(nonsense.to_owned())), Err(Error::UploadLost)), "{nonsense}");
        }
    }
}
