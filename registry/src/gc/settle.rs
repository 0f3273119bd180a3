//! One manifest whose references were about to come or to go: what became of it, and what is left to tidy up.

use wharf_blobstore::Entry;

use super::look::Verdict;
use super::{ROUNDS, Run};
use crate::repo::Result;
use crate::repo::candidates::{Candidate, Why};
use crate::repo::holders::Standing;
use crate::repo::keys;

impl Run<'_> {
    /// `true` when nothing is left to do.
    pub(super) async fn settle(&self, entry: &Entry) -> Result<bool> {
        let candidate: Candidate = wharf_blobstore::decode(&entry.key, &entry.record.value)?;
        for _ in 0..ROUNDS {
            if let Some(done) = self.settle_as_it_stands(&candidate).await? {
                return Ok(done);
            }
        }
        Ok(false)
    }

    /// `None` when others were quicker: it stands otherwise now.
    async fn settle_as_it_stands(&self, candidate: &Candidate) -> Result<Option<bool>> {
        let standing = self.repositories.standing(&candidate.record, &candidate.holder.to_string()).await?;
        match (standing, candidate.why) {
            (Standing::Live(_), Why::Push) => Ok(Some(true)),
            // Condemned by somebody who deletes it: that delete has a candidate of its own.
            (Standing::Condemned(_), Why::Push) => Ok(Some(true)),
            (Standing::Live(version) | Standing::Condemned(version), Why::Delete) => {
                self.give_up_delete(candidate, &version).await
            }
            (Standing::Pending(attempt), Why::Push | Why::Delete) => {
                if !self.is_old(candidate.at) || self.is_dry() {
                    return Ok(Some(false));
                }
                if !self.repositories.void(&attempt).await? {
                    return Ok(None);
                }
                self.tally().report.attempts += 1;
                self.tidy(candidate).await.map(Some)
            }
            (Standing::Over, Why::Push | Why::Delete) => self.tidy(candidate).await.map(Some),
        }
    }

    /// Whoever wanted to delete it has not done so. Should he still be about to, he has to begin again: only then may his
    /// candidate go.
    async fn give_up_delete(&self, candidate: &Candidate, version: &wharf_blobstore::Version) -> Result<Option<bool>> {
        if !self.is_old(candidate.at) || self.is_dry() {
            return Ok(Some(false));
        }
        let reaffirmed = self.repositories.reaffirm(&candidate.record, version).await?;
        self.tally().report.attempts += u64::from(reaffirmed);
        Ok(reaffirmed.then_some(true))
    }

    /// Its holder can never be published any more: what he held is looked at.
    async fn tidy(&self, candidate: &Candidate) -> Result<bool> {
        let name = keys::owner(candidate.record.as_str());
        if !self.is_dry() {
            self.repositories.drop_references(&candidate.needs, candidate.holder).await?;
            if let (Some(name), Some(subject), Ok(digest)) =
                (&name, &candidate.subject, candidate.record.name().parse())
            {
                self.repositories.forget_referrer(name, subject, &digest).await?;
            }
        }
        let mut done = true;
        for digest in &candidate.needs {
            let verdict = self.verdict(digest).await?;
            done &= verdict.is_final();
            if let (Verdict::Gone, Some(name), false) = (verdict, &name, self.is_dry()) {
                self.repositories.forget_old_link(name, digest).await?;
            }
        }
        Ok(done)
    }
}
