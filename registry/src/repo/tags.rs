//! Tags are versions: one record holds what a tag points at now, a version number that only grows, and its history.
//! Pushing, rolling back and deleting are one compare-and-swap on that record.

use serde::{Deserialize, Serialize};
use wharf_blobstore::{Expect, Outcome, RecordsExt as _, Version};
use wharf_spec::{Descriptor, Digest, RepositoryName, Tag};

use super::{ATTEMPTS, Error, Repositories, Result, keys};

/// Versions of a tag that are remembered.
const HISTORY: usize = 100;

/// Tags that are read at once while listing.
const PAGE: usize = 1000;

/// The value of `repos/<name>/_tags/<tag>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagRecord {
    /// What the tag points at; nothing after it was deleted.
    pub current: Option<Descriptor>,
    /// Number of the newest version; the first is 1.
    pub version: u64,
    /// The versions remembered, newest first.
    pub history: Vec<TagVersion>,
}

/// What a list needs of a [`TagRecord`]: its history may be long.
#[derive(Deserialize)]
struct Pointer {
    current: Option<Descriptor>,
}

/// One version of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagVersion {
    /// Its number.
    pub version: u64,
    /// What the tag pointed at; nothing when it was deleted.
    pub descriptor: Option<Descriptor>,
    /// Seconds since 1970.
    pub at: u64,
    /// Who did it.
    pub by: String,
    /// What was done.
    pub how: How,
}

/// What made a version of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// A manifest was pushed.
    Push,
    /// An earlier version was brought back.
    Rollback,
    /// The tag was deleted.
    Delete,
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

    async fn tag_record(&self, name: &RepositoryName, tag: &Tag) -> Result<Option<(TagRecord, Version)>> {
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

    /// Makes `tag` point at `descriptor`, which must be published. Pointing at it already is no new version.
    pub(super) async fn move_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        descriptor: &Descriptor,
        how: How,
        by: &str,
    ) -> Result<()> {
        self.change_tag(name, tag, |record| {
            let same = record.current.as_ref().is_some_and(|current| current.digest == descriptor.digest);
            (!same).then(|| TagVersion {
                version: record.version + 1,
                descriptor: Some(descriptor.clone()),
                at: self.now(),
                by: by.to_owned(),
                how,
            })
        })
        .await
        .map(|_| ())
    }

    /// Deletes a tag; its manifest and history stay.
    pub async fn delete_tag(&self, name: &RepositoryName, tag: &Tag, by: &str) -> Result<()> {
        let deleted =
            self.change_tag(name, tag, |record| record.current.is_some().then(|| self.deletion(record, by))).await?;
        if deleted { Ok(()) } else { Err(self.unknown_manifest(name, tag.to_string()).await?) }
    }

    /// Deletes every tag that points at `digest`.
    pub(super) async fn untag_all(&self, name: &RepositoryName, digest: &Digest, by: &str) -> Result<()> {
        for (tag, _) in self.tags(name, None, usize::MAX).await?.into_iter().filter(|(_, to)| to.digest == *digest) {
            self.change_tag(name, &tag, |record| {
                let points = record.current.as_ref().is_some_and(|current| current.digest == *digest);
                points.then(|| self.deletion(record, by))
            })
            .await?;
        }
        Ok(())
    }

    fn deletion(&self, record: &TagRecord, by: &str) -> TagVersion {
        let (version, by) = (record.version + 1, by.to_owned());
        TagVersion { version, descriptor: None, at: self.now(), by, how: How::Delete }
    }

    /// Appends the version that `next` makes of the record as it is; `false` when it makes none.
    async fn change_tag(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        next: impl Fn(&TagRecord) -> Option<TagVersion>,
    ) -> Result<bool> {
        let key = keys::tag(name, tag);
        for _ in 0..ATTEMPTS {
            let (mut record, expect) = match self.tag_record(name, tag).await? {
                Some((record, version)) => (record, Expect::Version(version)),
                None => (TagRecord::default(), Expect::Absent),
            };
            let Some(version) = next(&record) else { return Ok(false) };
            record.version = version.version;
            record.current.clone_from(&version.descriptor);
            record.history.insert(0, version);
            record.history.truncate(HISTORY);
            match self.store.records.put_json(key.clone(), expect, &record).await? {
                Outcome::Done(_) => return Ok(true),
                Outcome::Conflict => {}
            }
        }
        Err(Error::TagContended(tag.clone()))
    }
}
