//! Repositories: manifests and what they need, tags, referrers, the catalogue.

use std::collections::BTreeSet;

use bytes::Bytes;
use wharf_blobstore::{Entry, RecordKey, Result as StoreResult, decode, encode};
use wharf_spec::{Descriptor, Digest, How, RawManifest, RepositoryName, Tag};

use super::{Check, Fate, Kind, Mode, PAGE};
use crate::repo::{Inventory, Needed, Result, TagRecord, WayBack, keys};

/// Who repairs tags, in their histories.
const BY: &str = "fsck";

impl Check<'_> {
    pub(super) async fn repositories(&mut self) -> Result<()> {
        let (mut after, mut entered) = (None::<String>, BTreeSet::new());
        loop {
            let entries = self.page("repos/", after.as_deref()).await?;
            for entry in &entries {
                let Some((name, kind)) = place(&entry.key) else {
                    self.found(Kind::DamagedRecord, &entry.key, "its key is none of a repository's", Fate::Left);
                    continue;
                };
                match kind {
                    "_manifests" => self.manifest(&name, entry).await?,
                    "_tags" => self.tag(&name, entry).await?,
                    "_referrers" => self.referrer(&name, entry).await?,
                    // Links are access rights: derived only where a manifest needs them. What else may stand here is
                    // its owner's.
                    _ => {}
                }
                if entered.insert(name.clone()) {
                    self.catalog(&name).await?;
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn catalog(&mut self, name: &RepositoryName) -> StoreResult<()> {
        let key = keys::catalog(name);
        if self.store().records.get(&key).await?.is_none() {
            let fate = self.restore(key.clone(), Bytes::from_static(b"{}")).await?;
            self.found(Kind::MissingCatalogEntry, key, "the repository is not in the catalogue", fate);
        }
        Ok(())
    }

    async fn manifest(&mut self, name: &RepositoryName, entry: &Entry) -> StoreResult<()> {
        let inventory = match Inventory::read(entry) {
            Ok(Some(inventory)) => inventory,
            // Somebody is publishing it.
            Ok(None) => return Ok(()),
            Err(error) => {
                self.damaged.extend(entry.key.name().parse::<Digest>());
                let fate = self.quarantine(entry).await?;
                self.found(Kind::DamagedManifest, &entry.key, error.to_string(), fate);
                return Ok(());
            }
        };
        self.report.manifests += 1;
        for need in inventory.needs() {
            self.need(name, entry, &inventory, need).await?;
        }
        self.listed(name, entry, &inventory.manifest).await
    }

    /// Whether the manifest still is what it was: if not, what was found about it means nothing.
    async fn is_as_seen(&self, entry: &Entry) -> StoreResult<bool> {
        let now = self.store().records.get(&entry.key).await?;
        Ok(now.is_some_and(|now| now.version == entry.record.version))
    }

    async fn need(
        &mut self,
        name: &RepositoryName,
        entry: &Entry,
        inventory: &Inventory,
        need: Needed,
    ) -> StoreResult<()> {
        let digest = need.digest;
        let reference = inventory.reference(&digest);
        if self.store().records.get(&reference).await?.is_none() && self.is_as_seen(entry).await? {
            let owner = Bytes::from(entry.key.as_str().to_owned());
            let fate = self.restore(reference.clone(), owner).await?;
            self.found(Kind::MissingReference, reference, format!("{} needs {digest}", entry.key), fate);
        }
        let blob = self.repositories.blobs.find(&digest).await?;
        let manifest = self.store().records.get(&keys::manifest(name, &digest)).await?;
        let there = blob.is_some() && need.may_be_blob || manifest.is_some() && need.may_be_manifest;
        if !there && !need.may_be_elsewhere && self.is_as_seen(entry).await? {
            let problem = format!("it needs {digest}, which is not there: push that again");
            self.found(Kind::MissingContent, &entry.key, problem, Fate::Left);
        }
        if need.may_be_blob && blob.is_some() {
            let link = keys::blob_link(name, &digest);
            if self.store().records.get(&link).await?.is_none() && self.is_as_seen(entry).await? {
                let stamp = encode(&serde_json::json!({ "confirmed_at": self.repositories.now() }));
                let fate = self.restore(link.clone(), stamp).await?;
                self.found(Kind::MissingLink, link, format!("{} needs it", entry.key), fate);
            }
        }
        Ok(())
    }

    /// A manifest that has a subject is listed with it.
    async fn listed(&mut self, name: &RepositoryName, entry: &Entry, manifest: &RawManifest) -> StoreResult<()> {
        let Some(subject) = manifest.subject() else { return Ok(()) };
        let key = keys::referrer(name, &subject.digest, &manifest.digest());
        if self.store().records.get(&key).await?.is_none() && self.is_as_seen(entry).await? {
            let fate = self.restore(key.clone(), encode(&crate::repo::referrer_of(manifest))).await?;
            self.found(Kind::MissingReferrer, key, "the manifest is not listed with what it is about", fate);
        }
        Ok(())
    }

    async fn referrer(&mut self, name: &RepositoryName, entry: &Entry) -> StoreResult<()> {
        if let Err(error) = decode::<Descriptor>(&entry.key, &entry.record.value) {
            return self.damaged(entry, &error).await;
        }
        let digest: Option<Digest> = entry.key.name().parse().ok();
        let published = match digest {
            Some(digest) => self.store().records.get(&keys::manifest(name, &digest)).await?.is_some(),
            None => false,
        };
        if !published {
            // At the version that was read before the manifest was looked for: whoever publishes it writes this anew.
            let fate = self.remove(entry).await?;
            self.found(Kind::DeadReferrer, &entry.key, "the manifest is gone", fate);
        }
        Ok(())
    }

    async fn tag(&mut self, name: &RepositoryName, entry: &Entry) -> Result<()> {
        let record: TagRecord = match decode(&entry.key, &entry.record.value) {
            Ok(record) => record,
            Err(error) => return Ok(self.damaged(entry, &error).await?),
        };
        let Ok(tag) = entry.key.name().parse::<Tag>() else {
            self.found(Kind::DamagedRecord, &entry.key, "its key is no tag's", Fate::Left);
            return Ok(());
        };
        let seen = self.repositories.way_back(name, &record, &self.damaged).await?;
        let Some(back) = seen else { return Ok(()) };
        if !self.is_as_seen(entry).await? {
            return Ok(());
        }
        let (back, fate) = match self.mode {
            Mode::Look => (back, Fate::Found),
            Mode::Repair => match self.repositories.mend_tag(name, &tag, self.repositories.stamp(BY, How::Fsck)).await?
            {
                Some(done) => (done, Fate::Repaired),
                // Somebody else was faster, by pushing it again or by pulling it.
                None => return Ok(()),
            },
        };
        self.found(Kind::DanglingTag, &entry.key, words(&back, self.mode), fate);
        Ok(())
    }
}

/// What becomes of a tag.
fn words(WayBack { missing, to }: &WayBack, mode: Mode) -> String {
    let what = match (mode, to) {
        (Mode::Look, Some((version, digest))) => format!("version {version} ({digest}) can be brought back"),
        (Mode::Look, None) => "nothing of its history is left, so that it would be deleted".to_owned(),
        (Mode::Repair, Some((version, digest))) => format!("version {version} ({digest}) is back"),
        (Mode::Repair, None) => "nothing of its history is left, so it is deleted; the history stays".to_owned(),
    };
    format!("it points at {missing}, which is not there: {what}")
}

/// Whose record this is, and of what kind.
fn place(key: &RecordKey) -> Option<(RepositoryName, &str)> {
    let (name, rest) = key.as_str().strip_prefix("repos/")?.split_once("/_")?;
    let length = rest.find('/')? + 1;
    let start = "repos/".len() + name.len() + 1;
    Some((name.parse().ok()?, &key.as_str()[start..start + length]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_whose_records_are() {
        let key = RecordKey::new("repos/team/app/_manifests/sha256:00");
        let (name, kind) = place(&key).unwrap();
        assert_eq!((name.as_str(), kind), ("team/app", "_manifests"));
        for strange in ["repos/x", "repos/x/_tags", "repos/X/_tags/1", "blobs/x"] {
            assert_eq!(place(&RecordKey::new(strange)), None, "{strange}");
        }
    }
}
