//! Records beside blobs and repositories: the queue of candidates, references, upload sessions.

use wharf_blobstore::{CANDIDATES as BLOBS, Candidate as BlobCandidate, Entry, Result as StoreResult, decode};

use super::{Check, Fate, Kind, PAGE};
use crate::repo::candidates::Candidate;
use crate::repo::holders::Entitlement;
use crate::repo::keys::CANDIDATES as MANIFESTS;

impl Check<'_> {
    /// What collectors will look at.
    pub(super) async fn queue(&mut self) -> StoreResult<()> {
        for prefix in [BLOBS, MANIFESTS] {
            let mut after = None::<String>;
            loop {
                let entries = self.page(prefix, after.as_deref()).await?;
                for entry in &entries {
                    let read = if prefix == BLOBS {
                        decode::<BlobCandidate>(&entry.key, &entry.record.value).map(|it| vec![it.digest])
                    } else {
                        decode::<Candidate>(&entry.key, &entry.record.value).map(|it| it.needs)
                    };
                    match read {
                        Ok(digests) => self.candidates.extend(digests),
                        Err(error) => self.damaged(entry, &error).await?,
                    }
                }
                match entries.last() {
                    Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                    Some(_) | None => break,
                }
            }
        }
        Ok(())
    }

    /// References whose holder is gone keep nothing; they only take room.
    pub(super) async fn references(&mut self) -> StoreResult<()> {
        let mut after = None::<String>;
        loop {
            let entries = self.page("refs/", after.as_deref()).await?;
            for entry in &entries {
                match self.repositories.entitlement(entry).await {
                    Ok(Entitlement::Dead) => {
                        let fate = self.remove(entry).await?;
                        self.found(Kind::DeadReference, &entry.key, "its holder is gone", fate);
                    }
                    // A holder that does not read is said where manifests are checked, and keeps what it holds.
                    Ok(Entitlement::Held | Entitlement::Pending(_)) | Err(_) => {}
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Upload sessions read as what they are.
    pub(super) async fn sessions(&mut self) -> StoreResult<()> {
        let mut after = None::<String>;
        loop {
            let entries = self.page("uploads/", after.as_deref()).await?;
            for entry in &entries {
                if let Err(error) = crate::repo::read_session(entry) {
                    self.damaged(entry, &error).await?;
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    pub(super) async fn damaged(&mut self, entry: &Entry, error: &wharf_blobstore::Error) -> StoreResult<()> {
        let fate = self.quarantine(entry).await?;
        debug_assert!(fate != Fate::Repaired);
        self.found(Kind::DamagedRecord, &entry.key, error.to_string(), fate);
        Ok(())
    }
}
