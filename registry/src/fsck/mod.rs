//! Checking a store: every digest, every link, every reference; and repairing what can be derived from the rest.
//!
//! Runs while others use the store. What is derived (references, links, referrers, the catalogue, candidates) is built
//! anew; what is damaged is put into quarantine, where it is out of use and kept; what cannot be explained is left alone.
//! Nothing that any record still names is ever deleted.

mod blobs;
mod records;
mod report;
mod repositories;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use wharf_blobstore::{
    Change, Entry, Expect, ObjectKey, Outcome, RecordKey, RecordsExt as _, Result as StoreResult, Store,
};
use wharf_spec::Digest;

pub use report::{Fate, Finding, Kind, Report};

use crate::repo::{Repositories, Result};

/// Records, and keys of objects, read at once.
const PAGE: usize = 500;

/// Where damaged records are kept.
const QUARANTINE: &str = "quarantine/";

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything is looked at.
    Look,
    /// What can be is repaired.
    Repair,
}

/// Something was just looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// So many bytes have been read and hashed so far.
    Read(u64),
    /// Something is wrong.
    Found(&'a Finding),
}

/// A check under way.
struct Check<'a> {
    repositories: &'a Repositories,
    mode: Mode,
    report: Report,
    events: &'a mut (dyn FnMut(Event<'_>) + Send),
    /// Objects that records name.
    explained: BTreeSet<ObjectKey>,
    /// Blobs that collectors will look at.
    candidates: BTreeSet<Digest>,
    /// Blobs and manifests that are not what their digests say.
    damaged: BTreeSet<Digest>,
}

/// Checks a store.
pub async fn check(
    repositories: &Repositories,
    mode: Mode,
    events: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Report> {
    let mut check = Check {
        repositories,
        mode,
        report: Report::default(),
        events,
        explained: BTreeSet::new(),
        candidates: BTreeSet::new(),
        damaged: BTreeSet::new(),
    };
    // Objects before the records that explain them: an upload is entered in a record before its object is there.
    let objects = check.objects().await?;
    check.queue().await?;
    check.blobs().await?;
    check.repositories().await?;
    check.references().await?;
    check.sessions().await?;
    check.unexplained(&objects).await?;
    Ok(check.report)
}

impl Check<'_> {
    fn store(&self) -> &Store {
        self.repositories.store()
    }

    fn found(&mut self, kind: Kind, place: impl ToString, problem: impl Into<String>, fate: Fate) {
        let finding = Finding { kind, place: place.to_string(), problem: problem.into(), fate };
        (self.events)(Event::Found(&finding));
        self.report.findings.push(finding);
    }

    /// One page of records; what follows it begins after the last key.
    async fn page(&mut self, prefix: &str, after: Option<&str>) -> StoreResult<Vec<Entry>> {
        let entries = self.store().records.list(prefix, after, PAGE).await?;
        self.report.records += entries.len() as u64;
        Ok(entries)
    }

    /// Puts a record that is no good into quarantine; `Left` when it has changed meanwhile.
    async fn quarantine(&self, entry: &Entry) -> StoreResult<Fate> {
        if self.mode == Mode::Look {
            return Ok(Fate::Found);
        }
        let records = &self.store().records;
        let key = RecordKey::new(format!("{QUARANTINE}{}", entry.key));
        let expect = match records.get(&key).await? {
            Some(older) => Expect::Version(older.version),
            None => Expect::Absent,
        };
        // Kept first, removed then.
        if records.swap(key, expect, Change::Put(entry.record.value.clone())).await? == Outcome::Conflict {
            return Ok(Fate::Left);
        }
        let expect = Expect::Version(entry.record.version.clone());
        let removed = records.swap(entry.key.clone(), expect, Change::Delete).await?;
        Ok(if removed == Outcome::Conflict { Fate::Left } else { Fate::Quarantined })
    }

    /// Writes a record that is missing.
    async fn restore(&self, key: RecordKey, value: impl Into<bytes::Bytes>) -> StoreResult<Fate> {
        if self.mode == Mode::Look {
            return Ok(Fate::Found);
        }
        // A conflict means that somebody else has written it just now.
        self.store().records.swap(key, Expect::Absent, Change::Put(value.into())).await?;
        Ok(Fate::Repaired)
    }

    /// Removes a record that is explained and of no use: left behind by somebody who died.
    async fn remove(&self, entry: &Entry) -> StoreResult<Fate> {
        if self.mode == Mode::Look {
            return Ok(Fate::Harmless);
        }
        let expect = Expect::Version(entry.record.version.clone());
        self.store().records.swap(entry.key.clone(), expect, Change::Delete).await?;
        Ok(Fate::Repaired)
    }
}
