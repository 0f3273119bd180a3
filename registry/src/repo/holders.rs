//! Who holds a reference, and whether he still may. A reference names its holder's own record; that record decides, and a
//! holder loses his right only by compare-and-swap on it. No clock is asked here.

use wharf_blobstore::{Change, Entry, Expect, Outcome, RecordKey, RecordsExt as _, Result as StoreResult, Version};
use wharf_spec::{Digest, RepositoryName};

use super::manifests::{Header, Holder, State};
use super::{ATTEMPTS, Error, Repositories, Result, keys};

/// References read at once.
const PAGE: usize = 100;

/// What a reference is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entitlement {
    /// Its holder is published and needs the content.
    Held,
    /// Its holder is being published.
    Pending(PendingHolder),
    /// Its holder can never be published any more.
    Dead,
}

/// An attempt to publish that has neither succeeded nor failed so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PendingHolder {
    pub(crate) record: RecordKey,
    version: Version,
    /// When it began, seconds since 1970.
    pub(crate) since: u64,
}

/// Where a manifest's record stands, seen from one of its holders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// This holder's, and published.
    Live(Version),
    /// This holder's, published, and somebody is deleting it or died doing so.
    Condemned(Version),
    /// This holder's, on its way.
    Pending(PendingHolder),
    /// Gone, or another holder's.
    Over,
}

impl Repositories {
    /// Where the manifest of this record stands for `holder`.
    pub(crate) async fn standing(&self, record: &RecordKey, holder: &str) -> StoreResult<Standing> {
        let Some(found) = self.store.records.get(record).await? else { return Ok(Standing::Over) };
        let (header, _) = Header::decode(record, &found.value)?;
        if header.holder.to_string() != holder {
            return Ok(Standing::Over);
        }
        Ok(match header.state {
            State::Live => Standing::Live(found.version),
            State::Condemned => Standing::Condemned(found.version),
            State::Pending => {
                let (record, version, since) = (record.clone(), found.version, header.pushed_at);
                Standing::Pending(PendingHolder { record, version, since })
            }
        })
    }

    /// What a record under `refs/` is worth. Holders of a kind that is not known here count as entitled.
    pub(crate) async fn entitlement(&self, reference: &Entry) -> StoreResult<Entitlement> {
        let owner = std::str::from_utf8(&reference.record.value).unwrap_or_default();
        if keys::owner(owner).is_none() {
            return Ok(Entitlement::Held);
        }
        let standing = self.standing(&RecordKey::new(owner), reference.key.name()).await?;
        Ok(match standing {
            Standing::Live(_) | Standing::Condemned(_) => Entitlement::Held,
            Standing::Pending(pending) => Entitlement::Pending(pending),
            Standing::Over => Entitlement::Dead,
        })
    }

    /// Makes an attempt fail: its record goes, so that it cannot be acknowledged. `false` when it has moved on meanwhile.
    pub(crate) async fn void(&self, pending: &PendingHolder) -> StoreResult<bool> {
        let expect = Expect::Version(pending.version.clone());
        let outcome = self.store.records.swap(pending.record.clone(), expect, Change::Delete).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// Writes a manifest's record again as live, so that a delete that began before, and may never end, must fail.
    pub(crate) async fn reaffirm(&self, record: &RecordKey, version: &Version) -> StoreResult<bool> {
        let Some(found) = self.store.records.get(record).await?.filter(|found| found.version == *version) else {
            return Ok(false);
        };
        let (header, bytes) = Header::decode(record, &found.value)?;
        let live = Header { state: State::Live, ..header }.encode(&bytes);
        let outcome =
            self.store.records.swap(record.clone(), Expect::Version(found.version), Change::Put(live)).await?;
        Ok(outcome != Outcome::Conflict)
    }

    /// The manifest of `name` that needs this content, if one does. Attempts to publish one are passed over.
    pub(super) async fn needed_by(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Digest>> {
        self.search(name, digest, |_| async { Ok(()) }).await
    }

    /// The same for content that is condemned: attempts that were under way when it was are made to fail, for they may
    /// have found it live.
    pub(super) async fn needed_by_any(&self, name: &RepositoryName, digest: &Digest) -> Result<Option<Digest>> {
        for _ in 0..ATTEMPTS {
            let moved = std::sync::atomic::AtomicBool::new(false);
            let found = self
                .search(name, digest, |pending| {
                    let moved = &moved;
                    async move {
                        if !self.void(&pending).await? {
                            moved.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                        Ok(())
                    }
                })
                .await?;
            if found.is_some() || !moved.into_inner() {
                return Ok(found);
            }
        }
        Err(wharf_blobstore::Error::Contended { key: keys::references(digest) }.into())
    }

    async fn search<F: Future<Output = Result<()>>>(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        on_pending: impl Fn(PendingHolder) -> F,
    ) -> Result<Option<Digest>> {
        let prefix = keys::references(digest);
        let mut after = None::<String>;
        loop {
            let entries = self.store.records.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &entries {
                let owner = std::str::from_utf8(&entry.record.value).unwrap_or_default();
                if keys::owner(owner).as_ref() != Some(name) {
                    continue;
                }
                match self.entitlement(entry).await? {
                    Entitlement::Held => {
                        return RecordKey::new(owner).name().parse().map(Some).map_err(|_| damaged(entry));
                    }
                    Entitlement::Pending(pending) => on_pending(pending).await?,
                    Entitlement::Dead => {}
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(None),
            }
        }
    }

    /// Removes the references that an attempt took.
    pub(crate) async fn drop_references(&self, needs: &[Digest], holder: Holder) -> Result<()> {
        self.forget(needs.iter().map(|digest| keys::reference(digest, holder)).collect()).await
    }
}

fn damaged(entry: &Entry) -> Error {
    let problem = "it names no manifest".to_owned();
    wharf_blobstore::Error::CorruptRecord { key: entry.key.to_string(), problem }.into()
}
