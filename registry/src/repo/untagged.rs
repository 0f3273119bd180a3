//! Deleting manifests that nothing names, while others push.
//!
//! A manifest that may go is first condemned: its record says so, it can still be read, but nobody may rely on it any
//! more. Only then is looked once more who names it. Whoever publishes a tag or an index writes that before he reads the
//! manifest's record, we write the record before we read tags and references: one of us sees the other. A push that
//! finds it condemned makes it live again, and our last step then fails. A run that dies leaves manifests condemned; the
//! next one decides about them anew, and a garbage collector makes them live again.

use std::collections::HashSet;

use wharf_blobstore::{Change, Expect, Outcome, RecordsExt as _, Version};
use wharf_spec::{Digest, RawManifest, RepositoryName};

use super::manifests::{Header, State};
use super::{Repositories, Result, keys};

/// Manifests read at once; each may be some megabytes long.
const PAGE: usize = 50;

impl Repositories {
    /// Manifests of a repository that nothing names: no version of a tag in `roots`, no index, and no subject that is
    /// there; and that nobody has pushed or asked for since `limit` (seconds since 1970).
    pub(super) async fn unnamed(
        &self,
        name: &RepositoryName,
        roots: &HashSet<Digest>,
        limit: u64,
    ) -> Result<Vec<Digest>> {
        let prefix = keys::manifests(name);
        let (mut found, mut after) = (Vec::new(), None::<String>);
        loop {
            let entries = self.store.records.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &entries {
                let (header, bytes) = Header::decode(&entry.key, &entry.record.value)?;
                let Ok(digest) = entry.key.name().parse::<Digest>() else { continue };
                let old = header.last_wanted() < limit && header.state != State::Pending;
                if old && !roots.contains(&digest) && !self.is_named(name, &digest, &header, &bytes).await? {
                    found.push(digest);
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(found),
            }
        }
    }

    async fn is_named(&self, name: &RepositoryName, digest: &Digest, header: &Header, bytes: &[u8]) -> Result<bool> {
        if self.needed_by(name, digest).await?.is_some() {
            return Ok(true);
        }
        // What does not parse was accepted by another version: nobody here can say what it is about.
        let Ok(manifest) = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm()) else {
            return Ok(true);
        };
        match manifest.subject() {
            Some(subject) => Ok(self.live(name, &subject.digest).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Condemns a manifest that nobody has wanted since `limit`; the record's version then, which only we know.
    pub(super) async fn condemn_old(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        limit: u64,
    ) -> Result<Option<Version>> {
        let Some((header, bytes, version)) = self.live(name, digest).await? else { return Ok(None) };
        if header.last_wanted() >= limit {
            return Ok(None);
        }
        let manifest = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm())?;
        self.condemn(name, &manifest, (&header, version)).await
    }

    /// The last look at a manifest that we condemned: it goes, or, when something names it, is live again. Whether it
    /// went. Roots must have been read after it was condemned.
    pub(super) async fn decide(
        &self,
        name: &RepositoryName,
        (digest, ours): (&Digest, &Version),
        roots: &HashSet<Digest>,
    ) -> Result<bool> {
        let key = keys::manifest(name, digest);
        let Some((header, bytes, version)) = self.live(name, digest).await? else { return Ok(false) };
        // Written by somebody else since: what we know of the tags is older than that.
        if version != *ours {
            return Ok(false);
        }
        let manifest = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm())?;
        let subject = match manifest.subject() {
            Some(subject) => self.live(name, &subject.digest).await?.is_some(),
            None => false,
        };
        if roots.contains(digest) || subject || self.needed_by_any(name, digest).await?.is_some() {
            // A conflict means that a push has made it live, or somebody else is deleting it.
            self.revive(key, header, &bytes, version).await?;
            return Ok(false);
        }
        if self.store.records.swap(key, Expect::Version(version), Change::Delete).await? == Outcome::Conflict {
            return Ok(false);
        }
        self.release(name, &manifest, header.holder).await?;
        Ok(true)
    }
}
