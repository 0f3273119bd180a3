//! Tags that point at what is not there: a push moved the tag to a manifest that was being deleted, and was killed before it
//! looked again; or the manifest's record was damaged and put aside. Such a tag goes back to the newest version of its
//! history that is whole, by whoever comes by first: a reader, a push that fails, `wharf fsck --repair`.
//!
//! Nobody's push is undone by that. A push publishes a manifest first and moves the tag then; when the tag is in place
//! already, it does not write it. So whoever mends marks the tag as *doubted* before he looks at the manifest once
//! more, and takes the tag away only if nobody has written its record since; a push that finds the mark takes it off. One
//! of the two sees the other. (`registry/tests/model` has this, and what goes wrong without each step.)

use std::collections::BTreeSet;

use wharf_blobstore::{Change, Expect, Outcome, RecordsExt as _, encode};
use wharf_spec::{Digest, RawManifest, RepositoryName, Tag, TagVersion};

use super::content::needs;
use super::manifests::Header;
use super::tags::Edit;
use super::versions::{Stamp, TagRecord};
use super::{ATTEMPTS, Repositories, Result, keys, step_back};

/// Who brings a tag back that a reader found to point at nothing.
pub(super) const MENDER: &str = "wharf";

/// Where a tag goes that points at what is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WayBack {
    /// What it points at.
    pub(crate) missing: Digest,
    /// The version that is brought back, and what it pointed at; `None` when nothing of the history is left, so that the
    /// tag is deleted.
    pub(crate) to: Option<(u64, Digest)>,
}

impl Repositories {
    /// Where a tag would go; `None` when what it points at is there, or it points at nothing. What is `damaged` counts as
    /// not being there.
    pub(crate) async fn way_back(
        &self,
        name: &RepositoryName,
        record: &TagRecord,
        damaged: &BTreeSet<Digest>,
    ) -> Result<Option<WayBack>> {
        let Some(current) = &record.current else { return Ok(None) };
        let missing = current.digest;
        if !damaged.contains(&missing) && self.live(name, &missing).await?.is_some() {
            return Ok(None);
        }
        let mut looked_at = BTreeSet::from([missing]);
        for entry in &record.history {
            if let Some(earlier) = entry.kept()
                && looked_at.insert(earlier.digest)
                && self.is_complete(name, &earlier.digest, damaged).await?
            {
                return Ok(Some(WayBack { missing, to: Some((entry.origin(), earlier.digest)) }));
            }
        }
        Ok(Some(WayBack { missing, to: None }))
    }

    /// Takes a tag away from what is not there; what was done, if anything had to be.
    pub(crate) async fn mend_tag(&self, name: &RepositoryName, tag: &Tag, stamp: Stamp<'_>) -> Result<Option<WayBack>> {
        let (mut done, none) = (None, BTreeSet::new());
        for attempt in 0..ATTEMPTS {
            let Some(record) = self.tag(name, tag).await? else { break };
            let Some(WayBack { missing, .. }) = self.way_back(name, &record, &none).await? else { break };
            self.doubt(name, tag, &missing).await?;
            let Some((mut record, version)) = self.tag_record(name, tag).await? else { break };
            if !record.doubted || !record.points_at(&missing) {
                continue;
            }
            // Only now it counts: a push that has not seen the doubt has published the manifest before.
            match self.way_back(name, &record, &none).await? {
                None => self.trust(name, tag, &missing).await?,
                Some(back) => {
                    go_back(&mut record, &back, stamp);
                    record.trim(self.policy().history);
                    let expect = Expect::Version(version);
                    let key = keys::tag(name, tag);
                    let swapped = self.store().records.swap(key, expect, Change::Put(encode(&record))).await?;
                    if swapped != Outcome::Conflict {
                        done = Some(back);
                    }
                }
            }
            step_back(attempt).await;
        }
        Ok(done)
    }

    async fn doubt(&self, name: &RepositoryName, tag: &Tag, missing: &Digest) -> Result<()> {
        self.edit_tag(name, tag, |record| {
            if !record.points_at(missing) || record.doubted {
                return Ok(Edit::Unchanged);
            }
            record.doubted = true;
            Ok(Edit::Changed)
        })
        .await
        .map(|_| ())
    }

    /// It is there after all.
    async fn trust(&self, name: &RepositoryName, tag: &Tag, there: &Digest) -> Result<()> {
        let trust = |record: &mut TagRecord| {
            let doubted = record.points_at(there) && std::mem::take(&mut record.doubted);
            Ok(if doubted { Edit::Changed } else { Edit::Unchanged })
        };
        self.edit_tag(name, tag, trust).await.map(|_| ())
    }

    /// Whether a manifest is published and everything it needs is there, also what its children need.
    async fn is_complete(&self, name: &RepositoryName, digest: &Digest, damaged: &BTreeSet<Digest>) -> Result<bool> {
        let (mut waiting, mut seen) = (vec![*digest], BTreeSet::from([*digest]));
        while let Some(digest) = waiting.pop() {
            let key = keys::manifest(name, &digest);
            let Some(record) = self.store.records.get(&key).await? else { return Ok(false) };
            // What does not read is no place to go back to; that it does not is said where manifests are checked.
            let Ok((header, bytes)) = Header::decode(&key, &record.value) else { return Ok(false) };
            let parsed = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm());
            let Some(manifest) = parsed.ok().filter(|_| header.is_published() && !damaged.contains(&digest)) else {
                return Ok(false);
            };
            for (digest, need) in needs(&manifest) {
                let need = need.as_needed(digest);
                let there = !damaged.contains(&digest);
                if there && need.may_be_blob && self.blobs.find(&digest).await?.is_some() || need.may_be_elsewhere {
                    continue;
                }
                if !need.may_be_manifest {
                    return Ok(false);
                }
                waiting.extend(seen.insert(digest).then_some(digest));
            }
        }
        Ok(true)
    }
}

/// The new version.
fn go_back(record: &mut TagRecord, WayBack { missing, to }: &WayBack, stamp: Stamp<'_>) {
    record.mark_gone(missing);
    let descriptor = |digest| record.history.iter().filter_map(TagVersion::kept).find(|kept| kept.digest == digest);
    let to = to.and_then(|(version, digest)| Some((version, descriptor(digest)?.clone())));
    match to {
        Some((version, descriptor)) => record.append(Some(descriptor), Some(version), stamp),
        None => record.append(None, None, stamp),
    }
}
