//! Referrers: manifests about another manifest (distribution-spec, "Listing Referrers").

use wharf_blobstore::{Change, Expect, Outcome, RecordsExt as _, decode, encode};
use wharf_spec::{Algorithm, Descriptor, Digest, ManifestView, MediaType, RawManifest, RepositoryName, Tag};

use super::inventory::referrer_of;
use super::{ATTEMPTS, Error, Repositories, Result, keys};

/// Descriptors on one page, and about how many bytes their annotations may have together: clients take 4 MiB.
const PAGE: usize = 500;
const PAGE_BYTES: usize = 2 << 20;

/// Entries read at once.
const BATCH: usize = 50;

/// A page of referrers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReferrerPage {
    /// The referrers.
    pub referrers: Vec<Descriptor>,
    /// Where the next page begins, when there is one.
    pub next: Option<Digest>,
}

impl Repositories {
    /// Manifests about `subject`, in ascending order of digest, after `last`; only those of `artifact_type`, if given.
    /// The first page also has what clients of older registries recorded under the fallback tag.
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        artifact_type: Option<&MediaType>,
        last: Option<&Digest>,
    ) -> Result<ReferrerPage> {
        let prefix = keys::referrers(name, subject);
        let mut after = last.map(|last| format!("{prefix}{last}"));
        let (mut page, mut bytes) = (ReferrerPage::default(), 0);
        while page.next.is_none() {
            let entries = self.store.records.list(&prefix, after.as_deref(), BATCH).await?;
            let digests: Vec<_> = entries.iter().filter_map(|entry| entry.key.name().parse().ok()).collect();
            let published = self.published_sizes(name, &digests).await?;
            for (entry, published) in entries.iter().zip(published) {
                let too_long = bytes + entry.record.value.len() > PAGE_BYTES && !page.referrers.is_empty();
                if page.referrers.len() == PAGE || too_long {
                    page.next = page.referrers.last().map(|referrer: &Descriptor| referrer.digest);
                    break;
                }
                // One that is not published is left over from a delete that did not end.
                if published.is_some() {
                    bytes += entry.record.value.len();
                    page.referrers.push(decode(&entry.key, &entry.record.value)?);
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == BATCH => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => break,
            }
        }
        if last.is_none() {
            self.add_fallback(name, subject, &mut page.referrers).await?;
        }
        if let Some(wanted) = artifact_type {
            page.referrers.retain(|referrer| referrer.artifact_type.as_ref() == Some(wanted));
        }
        Ok(page)
    }

    /// Adds the descriptors of the index under the fallback tag that are not listed yet.
    async fn add_fallback(&self, name: &RepositoryName, subject: &Digest, list: &mut Vec<Descriptor>) -> Result<()> {
        let Some(tag) = fallback_tag(subject) else { return Ok(()) };
        let stored = match self.manifest_by_tag(name, &tag).await {
            Ok(stored) => stored,
            Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let parsed = RawManifest::parse(stored.bytes.to_vec(), Some(&stored.media_type), Algorithm::Sha256);
        if let Ok(manifest) = parsed
            && let ManifestView::Index(index) = manifest.view()
        {
            let keys: Vec<_> =
                index.manifests.iter().map(|referrer| keys::referrer(name, subject, &referrer.digest)).collect();
            let listed = self.store.records.get_many(&keys).await?;
            let unlisted = index.manifests.iter().zip(listed).filter(|(_, listed)| listed.is_none());
            list.extend(unlisted.map(|(referrer, _)| referrer.clone()));
        }
        Ok(())
    }

    /// Lists `manifest` among the referrers of its subject, if it has one.
    pub(super) async fn record_referrer(&self, name: &RepositoryName, manifest: &RawManifest) -> Result<()> {
        let Some(subject) = manifest.subject() else { return Ok(()) };
        let descriptor = referrer_of(manifest);
        let key = keys::referrer(name, &subject.digest, &manifest.digest());
        // Written anew when it is there: somebody who saw the manifest gone before this push may be about to remove it.
        for _ in 0..ATTEMPTS {
            let expect = match self.store.records.get(&key).await? {
                Some(record) => Expect::Version(record.version),
                None => Expect::Absent,
            };
            let outcome = self.store.records.swap(key.clone(), expect, Change::Put(encode(&descriptor))).await?;
            if outcome != Outcome::Conflict {
                return Ok(());
            }
        }
        Err(wharf_blobstore::Error::Contended { key: key.to_string() }.into())
    }

    /// Takes a manifest off its subject's list, unless it is published.
    pub(crate) async fn forget_referrer(&self, name: &RepositoryName, subject: &Digest, digest: &Digest) -> Result<()> {
        let key = keys::referrer(name, subject, digest);
        // Seen before the manifest is looked for: whoever publishes it after that writes this anew.
        let Some(record) = self.store.records.get(&key).await? else { return Ok(()) };
        if self.live(name, digest).await?.is_none() {
            self.store.records.swap(key, Expect::Version(record.version), Change::Delete).await?;
        }
        Ok(())
    }
}

/// The tag under which clients of registries without this list keep it: `<algorithm>-<encoded>`, 32 and 64 characters at
/// most (distribution-spec, "Referrers Tag Schema").
fn fallback_tag(subject: &Digest) -> Option<Tag> {
    let hex = subject.hex();
    format!("{}-{}", subject.algorithm(), &hex[..hex.len().min(64)]).parse().ok()
}
