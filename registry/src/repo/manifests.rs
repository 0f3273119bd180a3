//! Manifests: publishing, reading, deleting.
//!
//! The record of a manifest is `pending(holder)`, `live(holder)` or gone, and holds the manifest's exact bytes behind a
//! line of JSON. A holder is a fresh id per attempt to publish; it is part of the keys of the references the attempt
//! takes, so that tidying up after a dead attempt never takes the references of a later one.

use std::fmt;

use bytes::{BufMut as _, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use wharf_blobstore::{
    Change, Error as StoreError, Expect, Outcome, Record, RecordKey, RecordsExt as _, Version, Write,
};
use wharf_spec::{Digest, MediaType, RawManifest, RepositoryName, Tag};

use super::tags::How;
use super::{ATTEMPTS, Error, Repositories, Result, keys};

/// One attempt to publish.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Holder(wharf_blobstore::ObjectKey);

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
enum State {
    /// Somebody is publishing it.
    Pending,
    /// It is published.
    Live,
}

/// The first line of the value of `repos/<name>/_manifests/<digest>`; the manifest's bytes follow when it is live.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    state: State,
    holder: Holder,
    media_type: MediaType,
    /// Seconds since 1970.
    pushed_at: u64,
    pushed_by: String,
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
    fn encode(&self, bytes: &[u8]) -> Bytes {
        let header = wharf_blobstore::encode(self);
        let mut value = BytesMut::with_capacity(header.len() + 1 + bytes.len());
        value.put(header);
        value.put_u8(b'\n');
        value.put(bytes);
        value.freeze()
    }

    fn decode(key: &RecordKey, value: &Bytes) -> Result<(Self, Bytes), StoreError> {
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
        let needs = needs(manifest);
        if let Some(attempt) = self.declare(name, manifest, by).await? {
            self.refer(name, manifest, &needs, attempt.holder).await?;
            let missing = self.missing(name, manifest).await?;
            if !missing.is_empty() {
                self.withdraw(name, manifest, &needs, attempt).await?;
                return Err(Error::Missing { repository: name.clone(), digests: missing });
            }
            self.acknowledge(name, manifest, attempt).await?;
        }
        // Also when it was live already: whoever published it may have died before these.
        self.record_referrer(name, manifest).await?;
        for tag in tags {
            self.move_tag(name, tag, &manifest.descriptor(), How::Push, by).await?;
        }
        let subject = manifest.subject().map(|subject| subject.digest);
        Ok(Pushed { digest: manifest.digest(), subject })
    }

    /// Step 1: the record becomes `pending(holder)`. `None` when the manifest is live: its references protect it.
    async fn declare(&self, name: &RepositoryName, manifest: &RawManifest, by: &str) -> Result<Option<Attempt>> {
        let key = keys::manifest(name, &manifest.digest());
        let header = Header {
            state: State::Pending,
            holder: Holder(wharf_blobstore::ObjectKey::new(self.store.ids.fresh())),
            media_type: manifest.media_type().clone(),
            pushed_at: self.now(),
            pushed_by: by.to_owned(),
        };
        for _ in 0..ATTEMPTS {
            let found = self.store.records.get(&key).await?;
            let expect = match found {
                Some(record) => match Header::decode(&key, &record.value)? {
                    (Header { state: State::Live, .. }, _) => return Ok(None),
                    // A dead attempt, or one that is slower than we are: taking over makes its commit fail.
                    (Header { state: State::Pending, .. }, _) => Expect::Version(record.version),
                },
                None => Expect::Absent,
            };
            let put = Change::Put(header.encode(&[]));
            let write = Write { key: key.clone(), expect, change: put };
            let outcomes = self.store.records.write(vec![write, Self::enter(name)]).await?;
            if let Some(Outcome::Done(version)) = outcomes.into_iter().next() {
                return Ok(Some(Attempt { holder: header.holder, version, header }));
            }
        }
        Err(StoreError::Contended { key: key.to_string() }.into())
    }

    /// Step 2: references to everything the manifest needs, before anything is looked at.
    async fn refer(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &[Digest],
        holder: Holder,
    ) -> Result<()> {
        let owner = Bytes::from(keys::manifest(name, &manifest.digest()).as_str().to_owned());
        let write = |digest: &Digest| Write {
            key: keys::reference(digest, holder),
            expect: Expect::Absent,
            change: Change::Put(owner.clone()),
        };
        self.store.records.write(needs.iter().map(write).collect()).await?;
        Ok(())
    }

    /// Step 3: what of it `name` does not have.
    async fn missing(&self, name: &RepositoryName, manifest: &RawManifest) -> Result<Vec<Digest>> {
        let blobs = distinct(manifest.blobs().into_iter().filter(|blob| blob.urls.is_empty()).map(|blob| blob.digest));
        let mut missing = self.missing_blobs(name, &blobs).await?;
        for child in distinct(manifest.children().iter().map(|child| child.digest)) {
            if self.live(name, &child).await?.is_none() {
                missing.push(child);
            }
        }
        Ok(missing)
    }

    /// Step 4: `pending(holder) -> live(holder)`, the acknowledgement point.
    async fn acknowledge(&self, name: &RepositoryName, manifest: &RawManifest, attempt: Attempt) -> Result<()> {
        let key = keys::manifest(name, &manifest.digest());
        let live = Header { state: State::Live, ..attempt.header }.encode(manifest.bytes());
        let outcome = self.store.records.swap(key.clone(), Expect::Version(attempt.version), Change::Put(live)).await?;
        match outcome {
            Outcome::Done(_) => Ok(()),
            Outcome::Conflict => {
                // Somebody took our attempt over or voided it: our references go; theirs protect the content.
                let references = needs(manifest).iter().map(|digest| keys::reference(digest, attempt.holder)).collect();
                self.forget(references).await?;
                match self.live(name, &manifest.digest()).await? {
                    Some(_) => Ok(()),
                    None => Err(StoreError::Contended { key: key.to_string() }.into()),
                }
            }
        }
    }

    /// Takes an attempt back.
    async fn withdraw(
        &self,
        name: &RepositoryName,
        manifest: &RawManifest,
        needs: &[Digest],
        attempt: Attempt,
    ) -> Result<()> {
        let key = keys::manifest(name, &manifest.digest());
        self.store.records.swap(key, Expect::Version(attempt.version), Change::Delete).await?;
        self.forget(needs.iter().map(|digest| keys::reference(digest, attempt.holder)).collect()).await
    }

    /// Removes references. Nobody writes a reference twice, so whatever version is there is the one meant.
    async fn forget(&self, references: Vec<RecordKey>) -> Result<()> {
        let records = self.store.records.get_many(&references).await?;
        let write = |(key, record): (RecordKey, Option<Record>)| {
            record.map(|record| Write { key, expect: Expect::Version(record.version), change: Change::Delete })
        };
        let writes: Vec<_> = references.into_iter().zip(records).filter_map(write).collect();
        if !writes.is_empty() {
            self.store.records.write(writes).await?;
        }
        Ok(())
    }

    /// The published manifest with this digest.
    async fn live(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<(Header, Bytes, Version)>> {
        let key = keys::manifest(name, digest);
        let Some(record) = self.store.records.get(&key).await? else { return Ok(None) };
        let (header, bytes) = Header::decode(&key, &record.value)?;
        Ok((header.state == State::Live).then_some((header, bytes, record.version)))
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
        match self.resolve(name, tag).await? {
            Some(descriptor) => self.manifest(name, &descriptor.digest).await,
            None => Err(self.unknown_manifest(name, tag.to_string()).await?),
        }
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
        let after = last.map(|last| keys::manifest(name, last));
        let after = after.as_ref().map(RecordKey::as_str);
        let entries = self.store.records.list(&keys::manifests(name), after, limit).await?;
        let mut list = Vec::with_capacity(entries.len());
        for entry in entries {
            let (header, _) = Header::decode(&entry.key, &entry.record.value)?;
            if let (State::Live, Ok(digest)) = (header.state, entry.key.name().parse()) {
                list.push((digest, header.media_type));
            }
        }
        Ok(list)
    }

    /// Deletes a manifest, and the tags that point at it. Its blobs go when nobody needs them.
    pub async fn delete_manifest(&self, name: &RepositoryName, digest: &Digest, by: &str) -> Result<()> {
        let key = keys::manifest(name, digest);
        let Some((header, bytes, version)) = self.live(name, digest).await? else {
            return Err(self.unknown_manifest(name, digest.to_string()).await?);
        };
        // Tags first: a tag must never point at what is not there.
        self.untag_all(name, digest, by).await?;
        if self.store.records.swap(key, Expect::Version(version), Change::Delete).await? == Outcome::Conflict {
            // Somebody else deleted it.
            return Ok(());
        }
        let manifest = RawManifest::parse(bytes.to_vec(), Some(&header.media_type), digest.algorithm())?;
        self.forget_referrer(name, &manifest).await?;
        self.forget(needs(&manifest).iter().map(|digest| keys::reference(digest, header.holder)).collect()).await
    }
}

/// An attempt to publish that has been declared.
struct Attempt {
    holder: Holder,
    version: Version,
    header: Header,
}

/// Everything a manifest needs to be of use: blobs and listed manifests, each once.
fn needs(manifest: &RawManifest) -> Vec<Digest> {
    distinct(manifest.blobs().into_iter().chain(manifest.children()).map(|descriptor| descriptor.digest))
}

fn distinct(digests: impl Iterator<Item = Digest>) -> Vec<Digest> {
    let mut list: Vec<_> = digests.collect();
    list.sort_unstable();
    list.dedup();
    list
}
