//! Which repository may read which blob. Bytes are shared by all repositories; the right to read them is not.

use serde::{Deserialize, Serialize};
use wharf_blobstore::{Blob, Change, Expect, Outcome, RESTAMP, RecordsExt as _, Write, encode};
use wharf_spec::{Digest, RepositoryName};

use super::{ATTEMPTS, Error, Repositories, Result, keys};

/// How many references, and then how many repositories, are looked at to find one that already holds a blob.
const MOUNT_CANDIDATES: usize = 1000;

/// When a link is stamped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    /// When its stamp is older than [`RESTAMP`].
    IfOld,
    /// In any case: whoever brought the blob must find it, even when a collector is about to remove an old link.
    Always,
}

/// The value of `repos/<name>/_blobs/<digest>`.
#[derive(Debug, Serialize, Deserialize)]
struct Link {
    /// When somebody last relied on it, seconds since 1970.
    confirmed_at: u64,
}

impl Repositories {
    /// A blob that `name` may read. Condemned ones are readable, but not to be relied on: see [`Blob::is_live`].
    pub async fn blob(&self, name: &RepositoryName, digest: &Digest) -> Result<Blob> {
        let unknown = || Error::UnknownBlob { repository: name.clone(), digest: *digest };
        let link = self.store.records.get(&keys::blob_link(name, digest)).await?;
        match link {
            Some(_) => self.blobs.find(digest).await?.ok_or_else(unknown),
            None => Err(unknown()),
        }
    }

    /// Gives `name` the right to read a blob of the store.
    pub async fn link_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        self.link(name, digest, Stamp::IfOld).await
    }

    pub(super) async fn link(&self, name: &RepositoryName, digest: &Digest, stamp: Stamp) -> Result<()> {
        let writes = self.link_writes(name, digest, stamp).await?;
        if !writes.is_empty() {
            // A conflict means that somebody else did the same just now.
            self.store.records.write(writes).await?;
        }
        Ok(())
    }

    /// The writes that link `digest` into `name`: none when it is linked and its stamp is fresh.
    /// Also notes that the blob is about to be relied on.
    pub(super) async fn link_writes(&self, name: &RepositoryName, digest: &Digest, stamp: Stamp) -> Result<Vec<Write>> {
        let (key, now) = (keys::blob_link(name, digest), self.now());
        let expect = match self.store.records.get_json::<Link>(&key).await? {
            Some((link, _)) if stamp == Stamp::IfOld && now.saturating_sub(link.confirmed_at) < RESTAMP => {
                return Ok(Vec::new());
            }
            Some((_, version)) => Expect::Version(version),
            None => Expect::Absent,
        };
        let link = Write { key, expect, change: Change::Put(encode(&Link { confirmed_at: now })) };
        Ok([link, Self::enter(name)].into_iter().chain(self.blobs.note_use(digest).await?).collect())
    }

    /// Mounts a blob of `from` into `name`. `false` when `from` has no such blob, or a collector is about to take it.
    pub async fn mount(&self, name: &RepositoryName, from: &RepositoryName, digest: &Digest) -> Result<bool> {
        match self.blob(from, digest).await {
            Ok(blob) if blob.is_live() => {
                self.link_blob(name, digest).await?;
                Ok(true)
            }
            Ok(_) | Err(Error::UnknownBlob { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Repositories that hold `digest`, for a mount that names none. The caller mounts from one it may read. Bounded: the
    /// repositories whose manifests name it, which finds every base layer; then those at the front of the catalogue.
    pub async fn holders(&self, digest: &Digest) -> Result<Vec<RepositoryName>> {
        if self.blobs.find(digest).await?.is_none() {
            return Ok(Vec::new());
        }
        let entries = self.store.records.list(&keys::references(digest), None, MOUNT_CANDIDATES).await?;
        let mut names: Vec<_> =
            entries.iter().filter_map(|entry| keys::owner(std::str::from_utf8(&entry.record.value).ok()?)).collect();
        names.extend(self.list(None, MOUNT_CANDIDATES).await?);
        names.sort();
        names.dedup();
        let links: Vec<_> = names.iter().map(|name| keys::blob_link(name, digest)).collect();
        let links = self.store.records.get_many(&links).await?;
        Ok(names.into_iter().zip(links).filter(|(_, link)| link.is_some()).map(|(name, _)| name).collect())
    }

    /// Takes `name`'s right to read a blob away. The bytes go when nobody needs them. [`Error::InUse`] when a manifest of
    /// `name` needs it.
    pub async fn delete_blob(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        // A link without a blob behind it is left over from one that was collected.
        self.blob(name, digest).await?;
        self.refuse_needed(name, digest).await?;
        self.unlink(name, digest).await?;
        // Once more, for a manifest that was published meanwhile: it took its references before it looked for the link.
        let again = self.refuse_needed(name, digest).await;
        if again.is_err() {
            self.link(name, digest, Stamp::Always).await?;
        }
        again
    }

    async fn refuse_needed(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        match self.needed_by(name, digest).await? {
            Some(needed_by) => Err(Error::InUse { repository: name.clone(), digest: *digest, needed_by }),
            None => Ok(()),
        }
    }

    async fn unlink(&self, name: &RepositoryName, digest: &Digest) -> Result<()> {
        let key = keys::blob_link(name, digest);
        for _ in 0..ATTEMPTS {
            let Some(record) = self.store.records.get(&key).await? else { return Ok(()) };
            let outcome = self.store.records.swap(key.clone(), Expect::Version(record.version), Change::Delete).await?;
            // On a conflict it has just been stamped again.
            if matches!(outcome, Outcome::Done(_)) {
                return Ok(());
            }
        }
        Err(wharf_blobstore::Error::Contended { key: key.to_string() }.into())
    }

    /// Removes the link to a blob that is gone. A young one stays: whoever made it may be about to bring the blob, and
    /// whoever relies on an old one stamps it first.
    pub(crate) async fn forget_old_link(&self, name: &RepositoryName, digest: &Digest) -> Result<bool> {
        let key = keys::blob_link(name, digest);
        let Some((link, version)) = self.store.records.get_json::<Link>(&key).await? else { return Ok(false) };
        if self.now().saturating_sub(link.confirmed_at) < RESTAMP || self.blobs.view(digest).await?.is_some() {
            return Ok(false);
        }
        let outcome = self.store.records.swap(key, Expect::Version(version), Change::Delete).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// Those of these blobs that are live and `name` may read, in the order asked.
    pub(super) async fn reliable_blobs(&self, name: &RepositoryName, digests: &[Digest]) -> Result<Vec<Option<Blob>>> {
        let links: Vec<_> = digests.iter().map(|digest| keys::blob_link(name, digest)).collect();
        let links = self.store.records.get_many(&links).await?;
        let blobs = self.blobs.find_many(digests).await?;
        let reliable = |(blob, link): (Option<Blob>, Option<_>)| blob.filter(|blob| link.is_some() && blob.is_live());
        Ok(blobs.into_iter().zip(links).map(reliable).collect())
    }
}
