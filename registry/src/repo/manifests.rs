//! Manifests: publishing, reading, deleting.
//!
//! The record of a manifest is `pending(holder)`, `live(holder)`, `condemned(holder)` or gone, and holds the manifest's exact bytes behind a
//! line of JSON. A holder is a fresh id per attempt to publish; it is part of the keys of the references the attempt
//! takes, so that tidying up after a dead attempt never takes the references of a later one.
//!
//! Deleting is publishing backwards: the record is condemned *before* is looked who needs the manifest, and an index is
//! published only after it has taken its references and *then* found every child live. One of the two sees the other, so
//! nothing that is published ever misses a child. A condemned manifest can still be pulled; a push makes it live again.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use wharf_blobstore::{
    Change, Error as StoreError, Expect, Outcome, RESTAMP, Record, RecordKey, RecordsExt as _, Version, Write,
};
use wharf_spec::{Digest, How, MediaType, RawManifest, RepositoryName, Tag};

use super::candidates::Why;
use super::content::{Needs, needs};
use super::mending::MENDER;
use super::{ATTEMPTS, Error, Precondition, Repositories, Result, keys, step_back};

/// Manifests that are read at once while listing; each may be some megabytes long.
const PAGE: usize = 50;

/// One attempt to publish.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Holder(wharf_blobstore::ObjectKey);

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where a manifest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Somebody is publishing it.
    Pending,
    /// It is published.
    Live,
    /// It is published, and somebody who wants to delete it is looking whether it is needed.
    Condemned,
}

impl State {
    fn is_published(self) -> bool {
        match self {
            Self::Live | Self::Condemned => true,
            Self::Pending => false,
        }
    }
}

/// The first line of the value of `repos/<name>/_manifests/<digest>`; the manifest's bytes follow when it is live.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Header {
    pub(super) state: State,
    pub(super) holder: Holder,
    pub(super) media_type: MediaType,
    /// Seconds since 1970.
    pub(super) pushed_at: u64,
    pub(super) pushed_by: String,
    /// When somebody last pushed it again or asked whether it is there; seconds since 1970, 0 for never.
    #[serde(default, skip_serializing_if = "is_never")]
    pub(super) confirmed_at: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_never(at: &u64) -> bool {
    *at == 0
}

/// A published manifest as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// Digest of the bytes.
    pub digest: Digest,
    /// Type it is served as.
    pub media_type: MediaType,
    /// The exact bytes.
    pub bytes: Bytes,
    /// When it was published, seconds since 1970.
    pub pushed_at: u64,
}

/// How publishing went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The manifest's digest.
    pub digest: Digest,
    /// What it is about, for `OCI-Subject`.
    pub subject: Option<Digest>,
}

/// A page of a repository's manifests.
pub type ManifestList = Vec<(Digest, MediaType)>;

impl Header {
    pub(super) fn is_published(&self) -> bool {
        self.state.is_published()
    }

    /// When somebody last wanted it to be here.
    pub(super) fn last_wanted(&self) -> u64 {
        self.pushed_at.max(self.confirmed_at)
    }

    pub(super) fn encode(&self, bytes: &[u8]) -> Bytes {
        let header = wharf_blobstore::encode(self);
        let mut value = BytesMut::with_capacity(header.len() + 1 + bytes.len());
        value.put(header);
        value.put_u8(b'\n');
        value.put(bytes);
        value.freeze()
    }

    pub(super) fn decode(key: &RecordKey, value: &Bytes) -> Result<(Self, Bytes), StoreError> {
        let corrupt = |problem: &str| StoreError::CorruptRecord { key: key.to_string(), problem: problem.to_owned() };
        let line = value.iter().position(|byte| *byte == b'\n').ok_or_else(|| corrupt("no header"))?;
        Ok((wharf_blobstore::decode(key, &value[..line])?, value.slice(line + 1..)))
    }
}

impl Repositories {
    /// Publishes a manifest under its digest and `tags`. When this returns, it is durable and everything it names is there.
    ///
    /// [`Error::Missing`] when it names content that `name` does not have; nothing changes then.
    pub async fn put_manifest(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        tags: &[Tag],
        by: &str,
    ) -> Result<Pushed> {
        self.put_manifest_if(name, manifest, tags, (&Precondition::None, by)).await
    }

    /// The same, if every one of `tags` is what the caller thinks it is, or points at the manifest already.
    pub async fn put_manifest_if(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        tags: &[Tag],
        (precondition, by): (&Precondition, &str),
    ) -> Result<Pushed> {
        self.may_move(name, tags, &manifest.digest(), precondition).await?;
        let subject = manifest.subject().map(|subject| subject.digest);
        for attempt in 0..ATTEMPTS {
            match self.attempt(name, manifest, tags, (precondition, by)).await {
                Ok(true) => return Ok(Pushed { digest: manifest.digest(), subject }),
                Ok(false) => step_back(attempt).await,
                Err(problem) => {
                    self.take_tags_back(name, tags, (&manifest.digest(), by)).await?;
                    return Err(problem);
                }
            }
        }
        self.take_tags_back(name, tags, (&manifest.digest(), by)).await?;
        Err(StoreError::Contended { key: keys::manifest(name, &manifest.digest()).to_string() }.into())
    }

    /// One attempt to publish. `false` when another push, a delete or a collector got in between.
    async fn attempt(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        tags: &[Tag],
        (precondition, by): (&Precondition, &str),
    ) -> Result<bool> {
        let needs = needs(manifest);
        match self.declare(name, manifest, &needs, by).await? {
            Declared::Live => {}
            Declared::Overtaken => return Ok(false),
            Declared::Pending(attempt) => {
                self.refer(name, manifest, &needs, attempt.holder).await?;
                // Step 3: only now is looked whether all of it is there.
                if let Err(problem) = self.check(name, &needs).await {
                    self.withdraw(name, manifest, &needs, attempt).await?;
                    return Err(problem);
                }
                if !self.acknowledge(name, manifest, &needs, attempt).await? {
                    return Ok(false);
                }
            }
        }
        // Also when it was live already: whoever published it may have died before these.
        self.record_referrer(name, manifest).await?;
        for tag in tags {
            self.move_tag(name, tag, &manifest.descriptor(), (precondition, by)).await?;
        }
        // A delete condemns the record first and looks at the tags after that; we moved the tags first and look at the
        // record after that. So one of us sees the other, and no tag is left pointing at nothing. (When all attempts are in
        // vain, the tags are taken back.)
        Ok(tags.is_empty() || self.is_reliable(name, &manifest.digest()).await?)
    }

    /// Step 1: the record becomes `pending(holder)`, unless the manifest is live: its references protect it then.
    async fn declare(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &Needs,
        by: &str,
    ) -> Result<Declared> {
        let key = keys::manifest(name, &manifest.digest());
        let header = Header {
            state: State::Pending,
            holder: Holder(wharf_blobstore::ObjectKey::new(self.store.ids.fresh())),
            media_type: manifest.media_type().clone(),
            pushed_at: self.now(),
            pushed_by: by.to_owned(),
            confirmed_at: 0,
        };
        let expect = match self.store.records.get(&key).await? {
            Some(record) => {
                let (found, bytes) = Header::decode(&key, &record.value)?;
                match found.state {
                    State::Live if self.is_fresh(&found) => return Ok(Declared::Live),
                    // Its references are all there. Whoever is deleting it, or died doing so, must begin again.
                    State::Live | State::Condemned => {
                        let revived = self.revive(key, found, &bytes, record.version).await?;
                        return Ok(if revived { Declared::Live } else { Declared::Overtaken });
                    }
                    // A dead attempt, or one that is slower than we are: taking over makes its commit fail.
                    State::Pending => Expect::Version(record.version),
                }
            }
            None => Expect::Absent,
        };
        let write = Write { key, expect, change: Change::Put(header.encode(&[])) };
        let candidate = self.candidate(name, manifest, needs, (header.holder, Why::Push));
        let outcomes = self.store.records.write(vec![write, Self::enter(name), candidate]).await?;
        Ok(match outcomes.into_iter().next() {
            Some(Outcome::Done(version)) => Declared::Pending(Attempt { holder: header.holder, version, header }),
            Some(Outcome::Conflict) | None => Declared::Overtaken,
        })
    }

    /// Step 2: references to everything the manifest needs, before anything is looked at.
    async fn refer(&self, name: &RepositoryName, manifest: &RawManifest, needs: &Needs, holder: Holder) -> Result<()> {
        let owner = Bytes::from(keys::manifest(name, &manifest.digest()).as_str().to_owned());
        let write = |digest: &Digest| Write {
            key: keys::reference(digest, holder),
            expect: Expect::Absent,
            change: Change::Put(owner.clone()),
        };
        if !needs.is_empty() {
            self.store.records.write(needs.keys().map(write).collect()).await?;
        }
        Ok(())
    }

    /// Step 4: `pending(holder) -> live(holder)`, the acknowledgement point. `false` when somebody took the attempt over or
    /// voided it: its references go, and whoever is there now has taken references of his own.
    async fn acknowledge(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &Needs,
        attempt: Attempt,
    ) -> Result<bool> {
        let key = keys::manifest(name, &manifest.digest());
        let live = Header { state: State::Live, ..attempt.header }.encode(manifest.bytes());
        match self.store.records.swap(key, Expect::Version(attempt.version), Change::Put(live)).await? {
            Outcome::Done(_) => Ok(true),
            Outcome::Conflict => {
                self.forget(references(needs, attempt.holder)).await?;
                Ok(false)
            }
        }
    }

    /// Takes an attempt back.
    async fn withdraw(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &Needs,
        attempt: Attempt,
    ) -> Result<()> {
        let key = keys::manifest(name, &manifest.digest());
        self.store.records.swap(key, Expect::Version(attempt.version), Change::Delete).await?;
        self.forget(references(needs, attempt.holder)).await
    }

    /// Removes references. Nobody writes a reference twice, so whatever version is there is the one meant.
    pub(super) async fn forget(&self, references: Vec<RecordKey>) -> Result<()> {
        let records = self.store.records.get_many(&references).await?;
        let write = |(key, record): (RecordKey, Option<Record>)| {
            record.map(|record| Write { key, expect: Expect::Version(record.version), change: Change::Retire })
        };
        let writes: Vec<_> = references.into_iter().zip(records).filter_map(write).collect();
        if !writes.is_empty() {
            self.store.records.write(writes).await?;
        }
        Ok(())
    }

    /// Whether a manifest's stamp is young enough to be left alone: what is pushed all day must not be written all day.
    fn is_fresh(&self, header: &Header) -> bool {
        self.now().saturating_sub(header.last_wanted()) < RESTAMP
    }

    /// `live | condemned -> live`, wanted now. `false` when somebody else wrote the record first.
    pub(super) async fn revive(&self, key: RecordKey, header: Header, bytes: &[u8], version: Version) -> Result<bool> {
        let live = Header { state: State::Live, confirmed_at: self.now(), ..header }.encode(bytes);
        let outcome = self.store.records.swap(key, Expect::Version(version), Change::Put(live)).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// Notes that somebody is about to rely on a manifest; `false` when it is not there.
    pub async fn confirm_manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let watched = self.policy.untagged_age(name).is_some();
        for attempt in 0..ATTEMPTS {
            let Some((header, bytes, version)) = self.live(name, digest).await? else { return Ok(false) };
            let enough = header.state == State::Live && (!watched || self.is_fresh(&header));
            if enough || self.revive(keys::manifest(name, digest), header, &bytes, version).await? {
                return Ok(true);
            }
            step_back(attempt).await;
        }
        Err(StoreError::Contended { key: keys::manifest(name, digest).to_string() }.into())
    }

    /// Whether the manifest can be relied on: it is there, and nobody is about to delete it.
    async fn is_reliable(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        Ok(self.live(name, digest).await?.is_some_and(|(header, _, _)| header.state == State::Live))
    }

    /// The published manifest with this digest.
    pub(super) async fn live(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<(Header, Bytes, Version)>> {
        let key = keys::manifest(name, digest);
        let Some(record) = self.store.records.get(&key).await? else { return Ok(None) };
        let (header, bytes) = Header::decode(&key, &record.value)?;
        Ok(header.state.is_published().then_some((header, bytes, record.version)))
    }

    /// The lengths of these manifests in bytes, in the order asked; `None` for those that are not published, or that
    /// somebody is about to delete: nothing may rely on them.
    pub(super) async fn published_sizes(&self, name: &RepositoryName, digests: &[Digest]) -> Result<Vec<Option<u64>>> {
        let keys: Vec<_> = digests.iter().map(|digest| keys::manifest(name, digest)).collect();
        let records = self.store.records.get_many(&keys).await?;
        let size = |(key, record): (&RecordKey, Option<Record>)| match record {
            Some(record) => {
                let (header, bytes) = Header::decode(key, &record.value)?;
                Ok((header.state == State::Live).then_some(bytes.len() as u64))
            }
            None => Ok(None),
        };
        keys.iter().zip(records).map(size).collect()
    }

    /// Reads a manifest by digest.
    pub async fn manifest(&self, name: &RepositoryName, digest: &Digest) -> Result<StoredManifest> {
        match self.live(name, digest).await? {
            Some((Header { media_type, pushed_at, .. }, bytes, _)) => {
                Ok(StoredManifest { digest: *digest, media_type, bytes, pushed_at })
            }
            None => Err(self.unknown_manifest(name, digest.to_string()).await?),
        }
    }

    /// Reads the manifest a tag points at.
    pub async fn manifest_by_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<StoredManifest> {
        for attempt in 0..ATTEMPTS {
            let Some(descriptor) = self.resolve(name, tag).await? else { break };
            if let Some((Header { media_type, pushed_at, .. }, bytes, _)) = self.live(name, &descriptor.digest).await? {
                return Ok(StoredManifest { digest: descriptor.digest, media_type, bytes, pushed_at });
            }
            // It moves and goes in this moment, or a push died that had moved it to what was being deleted.
            self.mend_tag(name, tag, self.stamp(MENDER, How::Rollback)).await?;
            step_back(attempt).await;
        }
        Err(self.unknown_manifest(name, tag.to_string()).await?)
    }

    /// The error for a manifest that is not there: perhaps nothing of the repository is.
    pub(super) async fn unknown_manifest(&self, name: &RepositoryName, reference: String) -> Result<Error> {
        let known = self.exists(name).await?;
        Ok(if known {
            Error::UnknownManifest { repository: name.clone(), reference }
        } else {
            Error::UnknownRepository(name.clone())
        })
    }

    /// Digests and types of a repository's manifests in ascending order, `limit` at most, after `last`.
    pub async fn manifests(&self, name: &RepositoryName, last: Option<&Digest>, limit: usize) -> Result<ManifestList> {
        let prefix = keys::manifests(name);
        let mut after = last.map(|last| format!("{prefix}{last}"));
        let mut found = Vec::new();
        while found.len() < limit {
            let wanted = (limit - found.len()).min(PAGE);
            let entries = self.store.records.list(&prefix, after.as_deref(), wanted).await?;
            for entry in &entries {
                let (header, _) = Header::decode(&entry.key, &entry.record.value)?;
                if let (true, Ok(digest)) = (header.state.is_published(), entry.key.name().parse()) {
                    found.push((digest, header.media_type));
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == wanted => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => break,
            }
        }
        Ok(found)
    }

    /// Deletes a manifest, and the tags that point at it. Its blobs go when nobody needs them. [`Error::InUse`] when an
    /// index of the same repository needs it.
    ///
    /// Earlier versions of tags that pointed at it stay in their history, marked as gone: whoever deletes by digest wants
    /// the content away, and a rollback must not find it.
    pub async fn delete_manifest(&self, name: &RepositoryName, digest: &Digest, by: &str) -> Result<()> {
        if self.live(name, digest).await?.is_none() {
            return Err(self.unknown_manifest(name, digest.to_string()).await?);
        }
        for attempt in 0..ATTEMPTS {
            // Gone after the first attempt: somebody else deleted it.
            let Some((header, bytes, version)) = self.live(name, digest).await? else { return Ok(()) };
            let manifest = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm())?;
            if self.delete_once(name, &manifest, (header, version), by).await? {
                return Ok(());
            }
            step_back(attempt).await;
        }
        Err(StoreError::Contended { key: keys::manifest(name, digest).to_string() }.into())
    }

    /// One attempt to delete. `false` when a push, another delete or a collector got in between.
    async fn delete_once(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        (header, version): (Header, Version),
        by: &str,
    ) -> Result<bool> {
        let digest = manifest.digest();
        let in_use = |needed_by| Error::InUse { repository: name.clone(), digest, needed_by };
        if let Some(needed_by) = self.needed_by(name, &digest).await? {
            return Err(in_use(needed_by));
        }
        let key = keys::manifest(name, &digest);
        let Some(version) = self.condemn(name, manifest, (&header, version)).await? else { return Ok(false) };
        let tags = match self.needed_by_any(name, &digest).await? {
            // An index was faster.
            Some(needed_by) => Err(in_use(needed_by)),
            None => self.tags_naming(name, &digest).await,
        };
        let tags = match tags {
            Ok(tags) => tags,
            Err(refused) => {
                // On a conflict somebody else has done the same, or is deleting it, too.
                self.reaffirm(&key, &version).await?;
                return Err(refused);
            }
        };
        // Before the record goes: a tag must never point at what is not there. Whoever moves a tag to it from here on finds it
        // condemned or gone: see `attempt`.
        for tag in tags {
            self.untag(name, &tag, &digest, by).await?;
        }
        if self.store.records.swap(key, Expect::Version(version), Change::Delete).await? == Outcome::Conflict {
            return Ok(false);
        }
        self.release(name, manifest, header.holder).await?;
        Ok(true)
    }

    /// Condemns a manifest, as whoever calls this; the record's version then, `None` when somebody else wrote it first.
    pub(super) async fn condemn(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        (header, version): (&Header, Version),
    ) -> Result<Option<Version>> {
        let key = keys::manifest(name, &manifest.digest());
        let condemned = Header { state: State::Condemned, ..header.clone() }.encode(manifest.bytes());
        let condemn = Write { key, expect: Expect::Version(version), change: Change::Put(condemned) };
        // With a candidate, so that whoever dies from here on leaves nothing that nobody finds.
        let candidate = self.candidate(name, manifest, &needs(manifest), (header.holder, Why::Delete));
        let outcomes = self.store.records.write(vec![condemn, candidate]).await?;
        Ok(match outcomes.into_iter().next() {
            Some(Outcome::Done(version)) => Some(version),
            Some(Outcome::Conflict) | None => None,
        })
    }

    /// Gives up what a manifest held, after its record has gone.
    pub(super) async fn release(&self, name: &RepositoryName, manifest: &RawManifest, holder: Holder) -> Result<()> {
        if let Some(subject) = manifest.subject() {
            self.forget_referrer(name, &subject.digest, &manifest.digest()).await?;
        }
        self.forget(references(&needs(manifest), holder)).await
    }
}

/// How step 1 went.
enum Declared {
    /// The manifest is published already.
    Live,
    /// The attempt may go on.
    Pending(Attempt),
    /// Somebody else declared in the same moment.
    Overtaken,
}

/// An attempt to publish that has been declared.
struct Attempt {
    holder: Holder,
    version: Version,
    header: Header,
}

/// The keys of an attempt's references.
fn references(needs: &Needs, holder: Holder) -> Vec<RecordKey> {
    needs.keys().map(|digest| keys::reference(digest, holder)).collect()
}
