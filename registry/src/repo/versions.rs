//! What a tag's record says, as plain data: appending a version, finding one to go back to, forgetting old ones. No
//! store here; `tags.rs` swaps the record.
//!
//! What [`TagRecord::history`] keeps and does not mark as gone can be gone back to: those manifests are roots, which
//! nothing but an explicit delete by digest takes away. Such a delete marks the versions first (see `manifests.rs`).

use serde::{Deserialize, Serialize};
use wharf_spec::{Descriptor, Digest, Earlier, How, TagVersion};

/// The value of `repos/<name>/_tags/<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// What the tag points at; nothing after it was deleted.
    pub current: Option<Descriptor>,
    /// Number of the newest version; the first is 1.
    pub version: u64,
    /// The versions remembered, newest first. The newest is always among them.
    pub history: Vec<TagVersion>,
    /// Somebody found that the manifest it points at is not there, and is about to look again (see `mending.rs`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) doubted: bool,
}

/// Who changes a tag, when, and by doing what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stamp<'a> {
    pub(super) at: u64,
    pub(super) by: &'a str,
    pub(super) how: How,
}

/// Why there is nothing to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWayBack {
    /// No such version, or it is no longer remembered.
    #[error("there is no version {0} in its history")]
    NoVersion(u64),
    /// No version remembered pointed at this manifest.
    #[error("no version in its history is {0}")]
    NoDigest(Digest),
    /// The version is the tag's deletion.
    #[error("version {0} is its deletion, which has no content")]
    Deletion(u64),
    /// The version's manifest was deleted by digest.
    #[error("the manifest of version {0} was deleted; push it again")]
    Gone(u64),
    /// Nothing is older.
    #[error("there is nothing older in its history")]
    NothingOlder,
    /// Only a deleted tag can be restored.
    #[error("it is not deleted; a rollback brings earlier versions back")]
    NotDeleted,
    /// Everything a deleted tag pointed at is gone.
    #[error("nothing that it pointed at is left")]
    NothingLeft,
}

/// A version to bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) descriptor: Descriptor,
    /// The version it comes from.
    pub(super) origin: u64,
}

impl TagRecord {
    /// Adds a version. Whoever adds one looks first whether it would change anything.
    pub(super) fn append(&mut self, descriptor: Option<Descriptor>, from: Option<u64>, stamp: Stamp<'_>) {
        let Stamp { at, by, how } = stamp;
        self.version += 1;
        self.doubted = false;
        if let Some(descriptor) = &descriptor {
            // It is here again, so what was marked can be gone back to.
            let same =
                |entry: &&mut TagVersion| entry.descriptor.as_ref().is_some_and(|to| to.digest == descriptor.digest);
            self.history.iter_mut().filter(same).for_each(|entry| entry.gone = false);
        }
        self.current.clone_from(&descriptor);
        let version = TagVersion { version: self.version, descriptor, at, by: by.to_owned(), how, from, gone: false };
        self.history.insert(0, version);
    }

    /// Whether the tag points at this manifest.
    pub fn points_at(&self, digest: &Digest) -> bool {
        self.current.as_ref().is_some_and(|current| current.digest == *digest)
    }

    /// Every manifest that must stay: what the tag points at, and what it can go back to.
    pub fn roots(&self) -> impl Iterator<Item = Digest> {
        let kept = self.history.iter().filter_map(TagVersion::kept).chain(&self.current);
        kept.map(|descriptor| descriptor.digest)
    }

    /// Finds where a rollback goes.
    pub(super) fn find(&self, earlier: Earlier) -> Result<Found, NoWayBack> {
        let entry = match earlier {
            Earlier::OneBack => return self.one_back(),
            Earlier::Version(number) => {
                self.history.iter().find(|entry| entry.version == number).ok_or(NoWayBack::NoVersion(number))?
            }
            Earlier::Digest(digest) => {
                let is = |entry: &&TagVersion| entry.descriptor.as_ref().is_some_and(|to| to.digest == digest);
                self.history.iter().find(is).ok_or(NoWayBack::NoDigest(digest))?
            }
        };
        let descriptor = entry.descriptor.clone().ok_or(NoWayBack::Deletion(entry.version))?;
        if entry.gone {
            return Err(NoWayBack::Gone(entry.version));
        }
        Ok(Found { descriptor, origin: entry.origin() })
    }

    /// The newest kept version that is older than where the tag stands, and something else. A tag that was rolled back
    /// stands where it was rolled back to, so doing so again leads further back.
    fn one_back(&self) -> Result<Found, NoWayBack> {
        if self.current.is_none() {
            return self.last_content();
        }
        let stands = self.history.first().map_or(self.version, TagVersion::origin);
        let older = self.history.iter().filter(|entry| entry.version < stands);
        let found = older.filter_map(|entry| Some((entry.kept()?, entry.origin())));
        let mut other = found.filter(|(descriptor, _)| !self.points_at(&descriptor.digest));
        let (descriptor, origin) = other.next().ok_or(NoWayBack::NothingOlder)?;
        Ok(Found { descriptor: descriptor.clone(), origin })
    }

    /// What a deleted tag pointed at last.
    pub(super) fn before_deletion(&self) -> Result<Found, NoWayBack> {
        if self.current.is_some() { Err(NoWayBack::NotDeleted) } else { self.last_content() }
    }

    fn last_content(&self) -> Result<Found, NoWayBack> {
        let mut kept = self.history.iter().filter_map(|entry| Some((entry.kept()?, entry.origin())));
        let (descriptor, origin) = kept.next().ok_or(NoWayBack::NothingLeft)?;
        Ok(Found { descriptor: descriptor.clone(), origin })
    }

    /// Marks the versions that pointed at a manifest which is being deleted; whether there were any.
    pub(super) fn mark_gone(&mut self, digest: &Digest) -> bool {
        let mut marked = false;
        for entry in &mut self.history {
            if entry.kept().is_some_and(|to| to.digest == *digest) {
                entry.gone = true;
                marked = true;
            }
        }
        marked
    }

    /// Forgets the oldest versions above `keep`, never the newest one; whether there were any.
    pub(super) fn trim(&mut self, keep: usize) -> bool {
        let before = self.history.len();
        self.history.truncate(keep.max(1));
        self.history.len() < before
    }

    /// Forgets versions that something else took the place of before `limit` (seconds since 1970); whether there were any.
    pub(super) fn expire(&mut self, limit: u64) -> bool {
        let before = self.history.len();
        let replaced: Vec<u64> = self.history.iter().map(|entry| entry.at).collect();
        // The newer neighbour's time is when a version stopped to count.
        let mut index = 0;
        self.history.retain(|_| {
            let keep = index == 0 || replaced[index - 1] >= limit;
            index += 1;
            keep
        });
        self.history.len() < before
    }

    /// Whether nothing is left that could be brought back: the tag was deleted before `limit`, and nothing else is
    /// remembered.
    pub(super) fn is_spent(&self, limit: u64) -> bool {
        self.current.is_none() && self.history.iter().all(|entry| entry.kept().is_none() && entry.at < limit)
    }
}

#[cfg(test)]
mod tests {
    use wharf_spec::MediaType;

    use super::*;

    fn to(text: &str) -> Descriptor {
        Descriptor::new(MediaType::OCI_MANIFEST, Digest::sha256(text.as_bytes()), 1)
    }

    fn stamp(at: u64, how: How) -> Stamp<'static> {
        Stamp { at, by: "ann", how }
    }

    /// A tag that pointed at each of these in turn, at the seconds 1, 2, 3, …; `-` is a deletion.
    fn record(texts: &[&str]) -> TagRecord {
        let mut record = TagRecord::default();
        for (text, at) in texts.iter().zip(1..) {
            match *text {
                "-" => record.append(None, None, stamp(at, How::Delete)),
                text => record.append(Some(to(text)), None, stamp(at, How::Push)),
            }
        }
        record
    }

    fn back(record: &mut TagRecord) -> Result<u64, NoWayBack> {
        let Found { descriptor, origin } = record.find(Earlier::OneBack)?;
        record.append(Some(descriptor), Some(origin), stamp(9, How::Rollback));
        Ok(origin)
    }

    #[test]
    fn going_back_again_leads_further_back() {
        let mut record = record(&["a", "b", "b", "c"]);
        assert_eq!(back(&mut record), Ok(3));
        assert_eq!(back(&mut record), Ok(1), "version 2 is the same as where it stands");
        assert_eq!(back(&mut record), Err(NoWayBack::NothingOlder));
        // Forward again is by number.
        assert_eq!(record.find(Earlier::Version(4)).unwrap().descriptor, to("c"));
        record.append(Some(to("d")), None, stamp(9, How::Push));
        assert_eq!(back(&mut record), Ok(1), "before `d` it was `a`");
    }

    #[test]
    fn what_cannot_be_gone_back_to_is_said() {
        let mut tag = record(&["a", "-", "b", "c"]);
        assert_eq!(tag.find(Earlier::Version(2)), Err(NoWayBack::Deletion(2)));
        assert_eq!(tag.find(Earlier::Version(7)), Err(NoWayBack::NoVersion(7)));
        assert_eq!(tag.find(Earlier::Digest(to("x").digest)), Err(NoWayBack::NoDigest(to("x").digest)));
        assert!(tag.mark_gone(&to("b").digest) && !tag.mark_gone(&to("b").digest));
        assert_eq!(tag.find(Earlier::Version(3)), Err(NoWayBack::Gone(3)));
        assert_eq!(back(&mut tag), Ok(1), "what is gone is stepped over");
        assert_eq!(tag.before_deletion(), Err(NoWayBack::NotDeleted));
        // Pushed again, it can be gone back to.
        tag.append(Some(to("b")), None, stamp(9, How::Push));
        assert_eq!(tag.find(Earlier::Version(3)).unwrap().descriptor, to("b"));
    }

    #[test]
    fn a_deleted_tag_comes_back_as_it_was() {
        let mut record = record(&["a", "b", "-"]);
        assert_eq!(record.before_deletion().unwrap().origin, 2);
        assert_eq!(record.find(Earlier::OneBack).unwrap().origin, 2);
        record.mark_gone(&to("b").digest);
        assert_eq!(record.before_deletion().unwrap().origin, 1);
        record.mark_gone(&to("a").digest);
        assert_eq!(record.before_deletion(), Err(NoWayBack::NothingLeft));
    }

    #[test]
    fn versions_are_forgotten_by_number_and_by_age_but_never_the_newest() {
        let numbers = |record: &TagRecord| record.history.iter().map(|entry| entry.version).collect::<Vec<_>>();
        let mut old = record(&["a", "b", "c", "d"]);
        assert!(old.trim(3) && !old.trim(3));
        assert_eq!(numbers(&old), [4, 3, 2]);
        assert!(old.trim(0));
        assert_eq!(numbers(&old), [4]);
        // "b" was replaced at second 3.
        let mut aged = record(&["a", "b", "c", "d"]);
        assert!(!aged.expire(2));
        assert!(aged.expire(4));
        assert_eq!(numbers(&aged), [4, 3]);
        assert!(aged.expire(99));
        assert_eq!((numbers(&aged), aged.is_spent(99)), (vec![4], false));
        let mut deleted = record(&["a", "-"]);
        assert!(!deleted.is_spent(99) && deleted.expire(99));
        assert_eq!((numbers(&deleted), deleted.is_spent(2), deleted.is_spent(3)), (vec![2], false, true));
    }
}
