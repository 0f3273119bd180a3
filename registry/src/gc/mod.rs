//! Garbage collection: blobs that no manifest needs, what dead pushes and deletes left behind, uploads nobody continues.
//!
//! It runs while others push, pull and delete, in any number of processes at once, and may die anywhere. Every step is one
//! compare-and-swap; no step depends on a clock, which decides only *when* something is tried. Cost follows the
//! candidates (`candidates/…`: written by every upload, push and delete), never the size of the store.
//!
//! A run looks at several candidates at once, so that their steps share the store's commits; to each other they are what
//! other collectors would be.
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
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::sync::OnceCell;
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

/// Candidates looked at beside each other: so many share what one flush of the store costs, and what they ask of a bucket is little.
const AT_ONCE: NonZero<usize> = NonZero::new(32).unwrap();

/// How often others may get in between before a candidate is left for the next run.
const ROUNDS: usize = 32;

/// What a collector does, and how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Nothing is tried on what is younger: a blob that was lately uploaded or asked for, a push under way.
    pub grace: Duration,
    /// Uploads that nobody has continued for so long are forgotten.
    pub upload_expiry: Duration,
    /// Whether to say what would be freed, and change nothing.
    pub mode: Mode,
    /// How many candidates are looked at beside each other.
    pub at_once: NonZero<usize>,
    /// How long to wait after these, so that others get their turn.
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
        Self { grace: day, upload_expiry: day, mode: Mode::Collect, at_once: AT_ONCE, pause: Duration::ZERO }
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
    tally: Mutex<Tally<'a>>,
    /// What was found out about blobs since the page of candidates was read, or is being found out.
    known: Mutex<HashMap<Digest, Arc<OnceCell<Verdict>>>>,
}

/// What was done so far, and who is told.
struct Tally<'a> {
    report: Report,
    events: &'a mut (dyn FnMut(Event) + Send),
}

impl Collector {
    /// A collector of the store of these repositories.
    pub fn new(repositories: Repositories, policy: Policy) -> Self {
        Self { repositories, policy }
    }

    /// Looks at every candidate once. A run that ends early, however it ends, leaves nothing that the next does not find.
    pub async fn run(&self, events: &mut (dyn FnMut(Event) + Send)) -> Result<Report> {
        let (repositories, policy) = (&self.repositories, self.policy);
        let expiry = policy.upload_expiry.as_secs();
        let expired = match policy.mode {
            Mode::Collect => repositories.purge_uploads(expiry).await?,
            Mode::DryRun => repositories.expired_uploads(expiry).await?,
        };
        let report = Report { uploads: expired.uploads, bytes: expired.bytes, ..Report::default() };
        let tally = Mutex::new(Tally { report, events });
        let run = Run { repositories, policy, now: repositories.now(), tally, known: Mutex::default() };
        run.pages(MANIFESTS).await?;
        run.pages(BLOBS).await?;
        Ok(run.tally.into_inner().unwrap_or_else(PoisonError::into_inner).report)
    }
}

impl<'a> Run<'a> {
    /// Whether something that happened at `at` is old enough to be given up.
    fn is_old(&self, at: u64) -> bool {
        self.now.saturating_sub(at) >= self.policy.grace.as_secs()
    }

    fn is_dry(&self) -> bool {
        self.policy.mode == Mode::DryRun
    }

    fn tally(&self) -> MutexGuard<'_, Tally<'a>> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Digest, Arc<OnceCell<Verdict>>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pages(&self, prefix: &str) -> Result<()> {
        let mut after = None::<String>;
        loop {
            let records = &self.repositories.store().records;
            let entries = records.list(prefix, after.as_deref(), PAGE).await?;
            // A dry run drops no candidate, and counts nothing twice.
            if !self.is_dry() {
                self.known().clear();
            }
            for entries in entries.chunks(self.policy.at_once.get()) {
                try_join_all(entries.iter().map(|entry| self.candidate(prefix, entry))).await?;
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

    async fn candidate(&self, prefix: &str, entry: &Entry) -> Result<()> {
        let done = if prefix == MANIFESTS { self.settle(entry).await? } else { self.upload(entry).await? };
        if done && !self.is_dry() {
            let expect = Expect::Version(entry.record.version.clone());
            self.repositories.store().records.swap(entry.key.clone(), expect, Change::Retire).await?;
        }
        self.tally().looked(done);
        Ok(())
    }

    /// A blob that an upload was about to bring.
    async fn upload(&self, entry: &Entry) -> Result<bool> {
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
    async fn late(&self, digest: &Digest, epoch: ObjectKey) -> Result<()> {
        let named = self.repositories.blobs.view(digest).await?.is_some_and(|seen| seen.names(epoch));
        let objects = &self.repositories.store().objects;
        if named {
            return Ok(());
        }
        if let Some(size) = objects.size(epoch).await? {
            if !self.is_dry() {
                objects.delete(epoch).await?;
            }
            self.tally().object(Some(size));
        }
        Ok(())
    }

    /// [`Run::look`], once for all candidates of a page.
    async fn verdict(&self, digest: &Digest) -> Result<Verdict> {
        let known = Arc::clone(self.known().entry(*digest).or_default());
        known.get_or_try_init(|| self.look(digest)).await.copied()
    }
}

impl Tally<'_> {
    fn looked(&mut self, done: bool) {
        self.report.candidates += 1;
        self.report.waiting += u64::from(!done);
        let Report { candidates, bytes, .. } = self.report;
        (self.events)(Event::Looked { candidates, bytes });
    }

    /// An object that was deleted; none when it was not there.
    fn object(&mut self, size: Option<u64>) {
        self.report.objects += u64::from(size.is_some());
        self.report.bytes += size.unwrap_or_default();
    }

    fn blob(&mut self, digest: Digest, bytes: u64) {
        self.report.blobs += 1;
        self.report.bytes += bytes;
        (self.events)(Event::Freed { digest, bytes });
    }
}
