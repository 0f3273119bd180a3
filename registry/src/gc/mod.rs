//! Garbage collection: blobs that no manifest needs, what dead pushes and deletes left behind, uploads nobody continues.
//!
//! It runs while others push, pull and delete, in any number of processes at once, and may die anywhere. Every step is one
//! compare-and-swap; no step depends on a clock, which decides only *when* something is tried. Cost follows the
//! candidates (`candidates/…`: written by every upload, push and delete), never the size of the store.
//!
//! A candidate is dropped only when it has been seen, after it was written, that nothing is left to do for it: its blob
//! is gone, or a published manifest needs it. See `look.rs` for blobs and `settle.rs` for manifests.

mod lease;
mod look;
mod report;
mod settle;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use wharf_blobstore::{
    CANDIDATES as BLOBS, Candidate as BlobCandidate, Change, Entry, Expect, ObjectKey, RecordsExt as _,
};
use wharf_spec::Digest;

pub use lease::Lease;
use look::Verdict;
pub use report::{Event, Report};

use crate::repo::keys::CANDIDATES as MANIFESTS;
use crate::repo::{Repositories, Result};

/// Candidates read at once. What was found out about a blob is trusted for those of one page only: a later candidate may
/// have been written because of what happened since.
const PAGE: usize = 500;

/// What a collector does, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Nothing is tried on what is younger: a blob that was lately uploaded or asked for, a push under way.
    pub grace: Duration,
    /// Uploads that nobody has continued for so long are forgotten.
    pub upload_expiry: Duration,
    /// Whether to say what would be freed, and change nothing.
    pub mode: Mode,
    /// How long to wait after each candidate, so that others get their turn.
    pub pause: Duration,
}

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Garbage is deleted.
    Collect,
    /// Garbage is counted.
    DryRun,
}

impl Default for Policy {
    fn default() -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self { grace: day, upload_expiry: day, mode: Mode::Collect, pause: Duration::ZERO }
    }
}

/// Collects garbage.
#[derive(Clone, Debug)]
pub struct Collector {
    repositories: Repositories,
    policy: Policy,
}

/// One pass over the candidates.
struct Run<'a> {
    repositories: &'a Repositories,
    policy: Policy,
    now: u64,
    report: Report,
    events: &'a mut (dyn FnMut(Event) + Send),
    /// What was found out about blobs since the page of candidates was read.
    known: HashMap<Digest, Verdict>,
}

impl Collector {
    /// A collector of the store of these repositories.
    pub fn new(repositories: Repositories, policy: Policy) -> Self {
        Self { repositories, policy }
    }

    /// Looks at every candidate once. A run that ends early, however it ends, leaves nothing that the next does not find.
    pub async fn run(&self, events: &mut (dyn FnMut(Event) + Send)) -> Result<Report> {
        let (repositories, policy) = (&self.repositories, self.policy);
        let (report, known) = (Report::default(), HashMap::new());
        let mut run = Run { repositories, policy, now: repositories.now(), report, events, known };
        let expiry = policy.upload_expiry.as_secs();
        let expired = match policy.mode {
            Mode::Collect => repositories.purge_uploads(expiry).await?,
            Mode::DryRun => repositories.expired_uploads(expiry).await?,
        };
        (run.report.uploads, run.report.bytes) = (expired.uploads, expired.bytes);
        run.pages(MANIFESTS).await?;
        run.pages(BLOBS).await?;
        Ok(run.report)
    }
}

impl Run<'_> {
    /// Whether something that happened at `at` is old enough to be given up.
    fn is_old(&self, at: u64) -> bool {
        self.now.saturating_sub(at) >= self.policy.grace.as_secs()
    }

    fn is_dry(&self) -> bool {
        self.policy.mode == Mode::DryRun
    }

    async fn pages(&mut self, prefix: &str) -> Result<()> {
        let mut after = None::<String>;
        loop {
            let records = &self.repositories.store().records;
            let entries = records.list(prefix, after.as_deref(), PAGE).await?;
            // A dry run drops no candidate, and counts nothing twice.
            if !self.is_dry() {
                self.known.clear();
            }
            for entry in &entries {
                self.candidate(prefix, entry).await?;
                if !self.policy.pause.is_zero() {
                    tokio::time::sleep(self.policy.pause).await;
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    async fn candidate(&mut self, prefix: &str, entry: &Entry) -> Result<()> {
        let done = if prefix == MANIFESTS { self.settle(entry).await? } else { self.upload(entry).await? };
        self.report.candidates += 1;
        if done && !self.is_dry() {
            let expect = Expect::Version(entry.record.version.clone());
            self.repositories.store().records.swap(entry.key.clone(), expect, Change::Retire).await?;
        }
        if !done {
            self.report.waiting += 1;
        }
        (self.events)(Event::Looked { candidates: self.report.candidates, bytes: self.report.bytes });
        Ok(())
    }

    /// A blob that an upload was about to bring.
    async fn upload(&mut self, entry: &Entry) -> Result<bool> {
        let candidate: BlobCandidate = wharf_blobstore::decode(&entry.key, &entry.record.value)?;
        if !self.is_old(candidate.at) {
            return Ok(false);
        }
        let done = self.verdict(&candidate.digest).await?.is_final();
        let epoch = candidate.object.or_else(|| entry.key.name().parse().ok());
        if let (true, Some(epoch)) = (done, epoch) {
            self.late(&candidate.digest, epoch).await?;
        }
        Ok(done)
    }

    /// An upload that was given up while it lived may have finished its object after that. An object that the blob's record
    /// does not name (any more) is nobody's: a commit takes only what stands there.
    async fn late(&mut self, digest: &Digest, epoch: ObjectKey) -> Result<()> {
        let named = self.repositories.blobs.view(digest).await?.is_some_and(|seen| seen.names(epoch));
        let objects = &self.repositories.store().objects;
        if named {
            return Ok(());
        }
        if let Some(size) = objects.size(epoch).await? {
            if !self.is_dry() {
                objects.delete(epoch).await?;
            }
            self.report.objects += 1;
            self.report.bytes += size;
        }
        Ok(())
    }

    /// [`Run::look`], once for all candidates of a page.
    async fn verdict(&mut self, digest: &Digest) -> Result<Verdict> {
        if let Some(known) = self.known.get(digest) {
            return Ok(*known);
        }
        let verdict = self.look(digest).await?;
        self.known.insert(*digest, verdict);
        Ok(verdict)
    }
}
