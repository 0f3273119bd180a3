//! One collector at a time, so that many servers of one store do not all do the same work. Nothing depends on it but
//! work: two that both believe to have it do no harm.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use wharf_blobstore::{Change, Expect, ObjectKey, Outcome, RecordKey, RecordsExt as _};

use crate::repo::{Repositories, Result};

/// The value of `gc/lease`.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    by: ObjectKey,
    /// Seconds since 1970.
    until: u64,
}

/// A process that collects now and then.
#[derive(Clone, Debug)]
pub struct Lease {
    repositories: Repositories,
    by: ObjectKey,
}

fn key() -> RecordKey {
    RecordKey::new("gc/lease")
}

impl Lease {
    /// A process that may ask for the lease.
    pub fn new(repositories: Repositories) -> Self {
        let by = ObjectKey::new(repositories.store().ids.fresh());
        Self { repositories, by }
    }

    /// Takes the lease, or renews it, for so long; `false` while somebody else has it.
    pub async fn take(&self, term: Duration) -> Result<bool> {
        let (records, now) = (&self.repositories.store().records, self.repositories.now());
        let expect = match records.get_json::<Held>(&key()).await? {
            Some((held, _)) if held.by != self.by && held.until > now => return Ok(false),
            Some((_, version)) => Expect::Version(version),
            None => Expect::Absent,
        };
        let held = Held { by: self.by, until: now + term.as_secs() };
        Ok(records.put_json(key(), expect, &held).await? != Outcome::Conflict)
    }

    /// Gives the lease back, so that nobody has to wait for its end.
    pub async fn release(&self) -> Result<()> {
        let records = &self.repositories.store().records;
        if let Some((held, version)) = records.get_json::<Held>(&key()).await?
            && held.by == self.by
        {
            records.swap(key(), Expect::Version(version), Change::Delete).await?;
        }
        Ok(())
    }
}
