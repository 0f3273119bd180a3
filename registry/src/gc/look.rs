//! One blob: is it needed, and if not, the steps of its end.
//!
//! Each round reads the blob's record, then its references, then takes one step against the version it read. A blob is
//! doomed only in a round that read it condemned *before* it read that there are no references: whoever publishes writes
//! his references before he reads the state, so one of the two sees the other.

use wharf_blobstore::{BlobState, BlobStore, BlobView, Change, Expect, RecordsExt as _};
use wharf_spec::Digest;

use super::{ROUNDS, Run};
use crate::repo::Result;
use crate::repo::holders::Entitlement;
use crate::repo::keys;

/// References read at once: few, which a store on disk reads without waking another thread. Most blobs have none or one.
const PAGE: usize = 32;

/// What was found out about a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no such blob (any more).
    Gone,
    /// It would be gone, were this not a dry run.
    WouldGo,
    /// A published manifest needs it.
    Needed,
    /// It is too early to say.
    Waiting,
}

impl Verdict {
    /// Whether nothing is left to do.
    pub(super) fn is_final(self) -> bool {
        match self {
            Self::Gone | Self::WouldGo | Self::Needed => true,
            Self::Waiting => false,
        }
    }
}

/// What the references to a blob come to.
enum Demand {
    Held,
    Pending,
    /// Others were quicker to change what one of them stands for.
    Unclear,
    None,
}

impl Run<'_> {
    /// Takes a blob as far towards its end as it may go.
    pub(super) async fn look(&self, digest: &Digest) -> Result<Verdict> {
        for _ in 0..ROUNDS {
            let Some(seen) = self.repositories.blobs.view(digest).await? else { return Ok(Verdict::Gone) };
            if let Some(verdict) = self.round(&seen).await? {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Waiting)
    }

    /// One step; `None` when there is more to do.
    async fn round(&self, seen: &BlobView) -> Result<Option<Verdict>> {
        let blobs = &self.repositories.blobs;
        if self.is_dry() {
            return self.foresee(seen).await.map(Some);
        }
        if !BlobStore::doomed_objects(seen).is_empty() {
            self.sweep(seen).await?;
            return Ok(None);
        }
        if let Some(dead) = seen.arriving.iter().find(|arriving| self.is_old(arriving.at)) {
            let voided = blobs.void(seen, dead.epoch).await?;
            self.tally().report.attempts += u64::from(voided);
            return Ok(None);
        }
        let arriving = !seen.arriving.is_empty();
        let Some(current) = seen.current else { return Ok(Some(Verdict::Waiting)) };
        // Only now: after the state was read.
        let demand = self.demand(&seen.digest).await?;
        let condemned = match current.state {
            BlobState::Condemned => true,
            BlobState::Live | BlobState::Deleting => false,
        };
        match demand {
            Demand::Unclear => Ok(None),
            Demand::Held | Demand::Pending if condemned => {
                blobs.spare(seen).await?;
                Ok(None)
            }
            // Its candidate will be dropped. Another collector that has seen no reference, and dies after it has condemned
            // the blob, would leave it so: he must look again first.
            Demand::Held if !arriving => Ok(blobs.affirm(seen).await?.then_some(Verdict::Needed)),
            Demand::Held | Demand::Pending => Ok(Some(Verdict::Waiting)),
            Demand::None if condemned => {
                blobs.doom(seen).await?;
                Ok(None)
            }
            Demand::None if arriving || !self.is_old(current.used_at) => Ok(Some(Verdict::Waiting)),
            Demand::None => {
                blobs.condemn(seen).await?;
                Ok(None)
            }
        }
    }

    /// What a run that is not dry would come to, as far as can be seen now.
    async fn foresee(&self, seen: &BlobView) -> Result<Verdict> {
        let dying = BlobStore::doomed_objects(seen);
        let dead = seen.arriving.iter().filter(|arriving| self.is_old(arriving.at)).map(|arriving| arriving.epoch);
        let objects: Vec<_> = dying.into_iter().chain(dead).collect();
        for object in objects {
            let size = self.repositories.store().objects.size(object).await?;
            self.tally().object(size);
        }
        let arriving = seen.arriving.iter().any(|arriving| !self.is_old(arriving.at));
        let Some(current) = seen.current else {
            return Ok(if arriving { Verdict::Waiting } else { Verdict::WouldGo });
        };
        let verdict = match self.demand(&seen.digest).await? {
            Demand::Held if !arriving => Verdict::Needed,
            Demand::None if !arriving && self.is_old(current.used_at) => Verdict::WouldGo,
            Demand::Held | Demand::Pending | Demand::Unclear | Demand::None => Verdict::Waiting,
        };
        if verdict == Verdict::WouldGo && current.state != BlobState::Deleting {
            self.tally().blob(seen.digest, current.size);
        }
        Ok(verdict)
    }

    /// Deletes bytes that nobody can need any more.
    async fn sweep(&self, seen: &BlobView) -> Result<()> {
        let mut stale = Vec::new();
        for object in &seen.stale {
            stale.push(self.repositories.store().objects.size(*object).await?);
        }
        if self.repositories.blobs.sweep(seen).await? {
            for size in stale {
                self.tally().object(size);
            }
            if let Some(current) = seen.current.filter(|current| current.state == BlobState::Deleting) {
                self.tally().blob(seen.digest, current.size);
            }
        }
        Ok(())
    }

    /// Whether anybody is entitled to a blob. References of the dead are removed on the way; a holder that is dying, or
    /// died long ago, loses his right before his reference goes.
    async fn demand(&self, digest: &Digest) -> Result<Demand> {
        let (prefix, mut after, mut pending) = (keys::references(digest), None::<String>, false);
        loop {
            let records = &self.repositories.store().records;
            let entries = records.list(&prefix, after.as_deref(), PAGE).await?;
            for entry in &entries {
                match self.repositories.entitlement(entry).await? {
                    Entitlement::Held => return Ok(Demand::Held),
                    Entitlement::Pending(attempt) if !self.is_old(attempt.since) => pending = true,
                    Entitlement::Pending(_) if self.is_dry() => {}
                    Entitlement::Pending(attempt) => {
                        if !self.repositories.void(&attempt).await? {
                            return Ok(Demand::Unclear);
                        }
                        self.tally().report.attempts += 1;
                        self.remove_reference(entry).await?;
                    }
                    Entitlement::Dead if self.is_dry() => {}
                    Entitlement::Dead => self.remove_reference(entry).await?,
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(if pending { Demand::Pending } else { Demand::None }),
            }
        }
    }

    async fn remove_reference(&self, entry: &wharf_blobstore::Entry) -> Result<()> {
        let expect = Expect::Version(entry.record.version.clone());
        let records = &self.repositories.store().records;
        records.swap(entry.key.clone(), expect, Change::Retire).await?;
        self.tally().report.references += 1;
        Ok(())
    }
}
