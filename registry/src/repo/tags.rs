//! Tags are versions: one record holds what a tag points at now, a version number that only grows, and its history.
//! Pushing, rolling back, deleting and restoring are one compare-and-swap on that record.

use serde::Deserialize;
use wharf_blobstore::{Change, Expect, Outcome, RecordsExt as _, Version, encode};
use wharf_spec::{Descriptor, Digest, Earlier, How, RepositoryName, Tag, TagVersion};

use super::versions::{Found, NoWayBack, Stamp, TagRecord};
use super::{ATTEMPTS, Error, Precondition, Repositories, Result, keys, step_back};

/// Tags that are read at once while listing.
const PAGE: usize = 1000;

/// What an edit did to a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// Nothing.
    Unchanged,
    /// It is to be written.
    Changed,
    /// There is nothing left to remember: it goes.
    Forgotten,
}

/// What a list needs of a [`TagRecord`]: its history may be long.
#[derive(Deserialize)]
struct Pointer {
    current: Option<Descriptor>,
}

impl Repositories {
    /// What a tag points at; `None` when there is no such tag (any more).
    pub async fn resolve(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<Descriptor>> {
        Ok(self.tag_record(name, tag).await?.and_then(|(record, _)| record.current))
    }

    /// A tag with its history; `None` when there never was one.
    pub async fn tag(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<TagRecord>> {
        Ok(self.tag_record(name, tag).await?.map(|(record, _)| record))
    }

    /// A tag with its history, or the error that there never was one.
    pub async fn history(&self, name: &RepositoryName, tag: &Tag) -> Result<TagRecord> {
        match self.tag(name, tag).await? {
            Some(record) => Ok(record),
            None => Err(self.unknown_manifest(name, tag.to_string()).await?),
        }
    }

    pub(super) async fn tag_record(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<(TagRecord, Version)>> {
        Ok(self.store.records.get_json(&keys::tag(name, tag)).await?)
    }

    /// Tags in ascending order by bytes, `limit` at most, after `last` (which need not exist).
    pub async fn tags(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Tag, Descriptor)>> {
        let prefix = keys::tags(name);
        let mut after = last.map(|last| format!("{prefix}{last}"));
        let mut tags = Vec::new();
        while tags.len() < limit {
            let wanted = (limit - tags.len()).min(PAGE);
            let entries = self.store.records.list(&prefix, after.as_deref(), wanted).await?;
            let complete = entries.len() < wanted;
            after = entries.last().map(|entry| entry.key.as_str().to_owned()).or(after);
            for entry in entries {
                let record: Pointer = wharf_blobstore::decode(&entry.key, &entry.record.value)?;
                if let (Ok(tag), Some(current)) = (entry.key.name().parse(), record.current) {
                    tags.push((tag, current));
                }
            }
            if complete {
                break;
            }
        }
        Ok(tags)
    }

    /// Tags with their history, also deleted ones, in ascending order by bytes, `limit` at most, after `last`.
    pub(super) async fn tag_records(
        &self,
        name: &RepositoryName,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Tag, TagRecord)>> {
        let prefix = keys::tags(name);
        let after = last.map(|last| format!("{prefix}{last}"));
        let mut tags = Vec::new();
        for entry in self.store.records.list(&prefix, after.as_deref(), limit).await? {
            let tag = entry.key.name().parse().map_err(|error: wharf_spec::NameError| {
                wharf_blobstore::Error::CorruptRecord { key: entry.key.to_string(), problem: error.to_string() }
            })?;
            tags.push((tag, wharf_blobstore::decode(&entry.key, &entry.record.value)?));
        }
        Ok(tags)
    }

    /// Makes `tag` point at `descriptor`, which must be published. Pointing at it already is no new version.
    pub(super) async fn move_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        descriptor: &Descriptor,
        (precondition, by): (&Precondition, &str),
    ) -> Result<()> {
        self.edit_tag(name, tag, |record| {
            if record.points_at(&descriptor.digest) {
                // Whoever doubts it finds the record written, and the manifest published before that.
                return Ok(if std::mem::take(&mut record.doubted) { Edit::Changed } else { Edit::Unchanged });
            }
            precondition.check(tag, record)?;
            self.may_change(name, tag, record)?;
            record.append(Some(descriptor.clone()), None, self.stamp(by, How::Push));
            Ok(Edit::Changed)
        })
        .await
        .map(|_| ())
    }

    /// Looks whether a push could move these tags, before anything is published. Moving them looks again.
    pub(super) async fn may_move(
        &self,
        name: &RepositoryName,
        tags: &[Tag],
        digest: &Digest,
        precondition: &Precondition,
    ) -> Result<()> {
        if matches!(precondition, Precondition::None) && !self.policy.has_immutable(name) {
            return Ok(());
        }
        for tag in tags {
            let record = self.tag(name, tag).await?.unwrap_or_default();
            if !record.points_at(digest) {
                precondition.check(tag, &record)?;
                self.may_change(name, tag, &record)?;
            }
        }
        Ok(())
    }

    /// A rule may forbid to move or delete a tag that is there.
    fn may_change(&self, name: &RepositoryName, tag: &Tag, record: &TagRecord) -> Result<()> {
        match &record.current {
            Some(current) if self.policy.is_immutable(name, tag) => {
                Err(Error::Immutable { repository: name.clone(), tag: tag.clone(), digest: current.digest })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Every tag that points at `digest` or could go back to it. Refused when an immutable one points at it.
    pub(super) async fn tags_naming(&self, name: &RepositoryName, digest: &Digest) -> Result<Vec<Tag>> {
        let (mut naming, mut last) = (Vec::new(), None::<Tag>);
        loop {
            let page = self.tag_records(name, last.as_ref().map(Tag::as_str), PAGE).await?;
            let full = page.len() == PAGE;
            last = page.last().map(|(tag, _)| tag.clone());
            for (tag, record) in page {
                if record.points_at(digest) {
                    self.may_change(name, &tag, &record)?;
                }
                if record.roots().any(|root| root == *digest) {
                    naming.push(tag);
                }
            }
            if !full {
                return Ok(naming);
            }
        }
    }

    /// Brings an earlier version of a tag back, as a new version. To where it stands already is no new version.
    pub async fn rollback(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        earlier: Earlier,
        (precondition, by): (&Precondition, &str),
    ) -> Result<TagRecord> {
        let find = |record: &TagRecord| record.find(earlier);
        self.bring_back(name, tag, find, (precondition, self.stamp(by, How::Rollback))).await
    }

    /// Brings a deleted tag back, pointing at what it pointed at last.
    pub async fn restore_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        (precondition, by): (&Precondition, &str),
    ) -> Result<TagRecord> {
        self.bring_back(name, tag, TagRecord::before_deletion, (precondition, self.stamp(by, How::Restore))).await
    }

    /// One compare-and-swap, and a look at the manifest after it. One that is being deleted is marked as gone before its
    /// record goes, so the swap itself refuses it; only a push that died in between can have entered it since. Then the tag
    /// goes on to what is there.
    async fn bring_back(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        find: impl Fn(&TagRecord) -> Result<Found, NoWayBack>,
        (precondition, stamp): (&Precondition, Stamp<'_>),
    ) -> Result<TagRecord> {
        self.history(name, tag).await?;
        let record = self
            .edit_tag(name, tag, |record| {
                precondition.check(tag, record)?;
                let Found { descriptor, origin } =
                    find(record).map_err(|problem| Error::NoWayBack { tag: tag.clone(), problem })?;
                if record.points_at(&descriptor.digest) {
                    return Ok(Edit::Unchanged);
                }
                self.may_change(name, tag, record)?;
                record.append(Some(descriptor), Some(origin), stamp);
                Ok(Edit::Changed)
            })
            .await?;
        if let Some(current) = &record.current
            && !self.confirm_manifest(name, &current.digest).await?
        {
            let origin = record.history.first().map_or(record.version, TagVersion::origin);
            self.mend_tag(name, tag, stamp).await?;
            return Err(Error::NoWayBack { tag: tag.clone(), problem: NoWayBack::Gone(origin) });
        }
        Ok(record)
    }

    /// Deletes a tag; its manifest and history stay.
    pub async fn delete_tag(&self, name: &RepositoryName, tag: &Tag, by: &str) -> Result<()> {
        self.delete_tag_if(name, tag, (&Precondition::None, by)).await
    }

    /// Deletes a tag, if it is what the caller thinks it is.
    pub async fn delete_tag_if(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        (precondition, by): (&Precondition, &str),
    ) -> Result<()> {
        if self.resolve(name, tag).await?.is_none() {
            return Err(self.unknown_manifest(name, tag.to_string()).await?);
        }
        self.edit_tag(name, tag, |record| {
            precondition.check(tag, record)?;
            self.may_change(name, tag, record)?;
            Ok(self.delete_record(record, by, How::Delete))
        })
        .await
        .map(|_| ())
    }

    pub(super) fn delete_record(&self, record: &mut TagRecord, by: &str, how: How) -> Edit {
        if record.current.is_none() {
            return Edit::Unchanged;
        }
        record.append(None, None, self.stamp(by, how));
        Edit::Changed
    }

    /// After a push that failed, perhaps after it had moved tags: those that point at what is not there go back to what is.
    pub(super) async fn take_tags_back(
        &self,
        name: &RepositoryName,
        tags: &[Tag],
        (digest, by): (&Digest, &str),
    ) -> Result<()> {
        for tag in tags {
            if self.resolve(name, tag).await?.is_some_and(|current| current.digest == *digest) {
                self.mend_tag(name, tag, self.stamp(by, How::Rollback)).await?;
            }
        }
        Ok(())
    }

    /// Deletes the tag if it points at `digest`, and marks its versions that did.
    pub(super) async fn untag(&self, name: &RepositoryName, tag: &Tag, digest: &Digest, by: &str) -> Result<TagRecord> {
        self.edit_tag(name, tag, |record| {
            let marked = record.mark_gone(digest);
            if record.points_at(digest) {
                return Ok(self.delete_record(record, by, How::Delete));
            }
            Ok(if marked { Edit::Changed } else { Edit::Unchanged })
        })
        .await
    }

    pub(crate) fn stamp<'a>(&self, by: &'a str, how: How) -> Stamp<'a> {
        Stamp { at: self.now(), by, how }
    }

    /// Changes a tag's record in one compare-and-swap, again as long as others come first; the record as it is then.
    pub(super) async fn edit_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        edit: impl Fn(&mut TagRecord) -> Result<Edit>,
    ) -> Result<TagRecord> {
        let key = keys::tag(name, tag);
        for attempt in 0..ATTEMPTS {
            let found = self.tag_record(name, tag).await?;
            let (mut record, expect) = match found {
                Some((record, version)) => (record, Expect::Version(version)),
                None => (TagRecord::default(), Expect::Absent),
            };
            let change = match edit(&mut record)? {
                Edit::Unchanged => return Ok(record),
                Edit::Changed => {
                    record.trim(self.policy.history);
                    Change::Put(encode(&record))
                }
                Edit::Forgotten => Change::Delete,
            };
            match self.store.records.swap(key.clone(), expect, change).await? {
                Outcome::Done(_) => return Ok(record),
                Outcome::Conflict => step_back(attempt).await,
            }
        }
        Err(Error::TagContended(tag.clone()))
    }
}
