//! Deleting manifests that nothing names, while others push.
//!
//! A manifest that may go is first condemned: its record says so, it can still be read, but nobody may rely on it any
//! more. Only then is looked once more who names it. Whoever publishes a tag or an index writes that before he reads the
//! manifest's record, we write the record before we read tags and references: one of us sees the other. A push that
//! finds it condemned makes it live again, and our last step then fails. A run that dies leaves manifests condemned; the
//! next one decides about them anew.

use std::collections::HashSet;

use wharf_blobstore::{Change, Expect, Outcome, RecordsExt as _};
use wharf_spec::{Digest, RawManifest, RepositoryName};

use super::manifests::{Header, State};
use super::{Repositories, Result, keys};

/// References and manifests read at once.
const PAGE: usize = 500;
const MANIFESTS: usize = 50;

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
            let entries = self.store.records.list(&prefix, after.as_deref(), MANIFESTS).await?;
            for entry in &entries {
                let (header, bytes) = Header::decode(&entry.key, &entry.record.value)?;
                let Ok(digest) = entry.key.name().parse::<Digest>() else { continue };
                let old = header.last_wanted() < limit && header.state != State::Pending;
                if old && !roots.contains(&digest) && !self.is_named(name, &digest, &header, &bytes).await? {
                    found.push(digest);
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == MANIFESTS => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(found),
            }
        }
    }

    async fn is_named(&self, name: &RepositoryName, digest: &Digest, header: &Header, bytes: &[u8]) -> Result<bool> {
        if self.is_referenced(name, digest).await? {
            return Ok(true);
        }
        // What does not parse was accepted by another version: nobody here can say what it is about.
        let Ok(manifest) = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm()) else {
            return Ok(true);
        };
        match manifest.subject() {
            Some(subject) => self.is_published(name, &subject.digest).await,
            None => Ok(false),
        }
    }

    /// Whether an index of this repository lists it, or is about to.
    async fn is_referenced(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let (prefix, ours) = (keys::references(digest), keys::manifests(name));
        let mut after = None::<String>;
        loop {
            let entries = self.store.records.list(&prefix, after.as_deref(), PAGE).await?;
            if entries.iter().any(|entry| entry.record.value.starts_with(ours.as_bytes())) {
                return Ok(true);
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(false),
            }
        }
    }

    /// `live -> condemned`. `false` when it is not there any more, or somebody has wanted it since `limit`.
    pub(super) async fn condemn(&self, name: &RepositoryName, digest: &Digest, limit: u64) -> Result<bool> {
        let key = keys::manifest(name, digest);
        let Some((header, bytes, version)) = self.found(name, digest).await? else { return Ok(false) };
        if header.last_wanted() >= limit {
            return Ok(false);
        }
        if header.state == State::Condemned {
            return Ok(true);
        }
        let condemned = Header { state: State::Condemned, ..header }.encode(&bytes);
        let outcome = self.store.records.swap(key, Expect::Version(version), Change::Put(condemned)).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// The last look at a condemned manifest: it goes, or, when something names it, is live again. Whether it went.
    pub(super) async fn decide(&self, name: &RepositoryName, digest: &Digest, roots: &HashSet<Digest>) -> Result<bool> {
        let key = keys::manifest(name, digest);
        let Some((header, bytes, version)) = self.found(name, digest).await? else { return Ok(false) };
        if header.state != State::Condemned {
            return Ok(false);
        }
        if roots.contains(digest) || self.is_named(name, digest, &header, &bytes).await? {
            // A conflict means that a push has made it live, or another run has deleted it.
            self.revive(key, header, &bytes, version).await?;
            return Ok(false);
        }
        if self.store.records.swap(key, Expect::Version(version), Change::Delete).await? == Outcome::Conflict {
            return Ok(false);
        }
        self.tidy_after(name, digest, &header, &bytes).await?;
        Ok(true)
    }
}
