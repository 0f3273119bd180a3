//! Uploads that nobody goes on with: sessions that nobody has continued for long, and unfinished objects that no session
//! names, because whoever wrote or forgot them died in between.
//!
//! Age decides only when this is tried. Whoever goes on with an upload that is being forgotten is told that it is lost, and
//! nothing that was acknowledged as a blob is touched: a finished object is not unfinished.

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use wharf_blobstore::{Entry, ObjectKey};

use super::uploads::Session;
use super::{Repositories, Result, keys};

/// Sessions looked at in one step.
const PAGE: usize = 500;

/// Uploads that were forgotten, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// How many.
    pub uploads: u64,
    /// Bytes that had arrived of them.
    pub bytes: u64,
}

impl Expired {
    fn count(&mut self, bytes: u64) {
        self.uploads += 1;
        self.bytes += bytes;
    }
}

/// What is done about them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Count,
    Forget,
}

impl Repositories {
    /// Forgets uploads that nobody has continued for `age` seconds.
    pub async fn purge_uploads(&self, age: u64) -> Result<Expired> {
        self.expire(age, Then::Forget).await
    }

    /// What [`Repositories::purge_uploads`] would forget now.
    pub async fn expired_uploads(&self, age: u64) -> Result<Expired> {
        self.expire(age, Then::Count).await
    }

    async fn expire(&self, age: u64, then: Then) -> Result<Expired> {
        let before = UNIX_EPOCH + Duration::from_secs(self.now().saturating_sub(age));
        // First what lies there, then who has a right to it: a session is written after its bytes.
        let unfinished = self.store.objects.unfinished(before).await?;
        let mut expired = Expired::default();
        let named = self.expire_sessions(age, then, &mut expired).await?;
        for unfinished in unfinished.iter().filter(|unfinished| !named.contains(&unfinished.key)) {
            if then == Then::Forget {
                self.store.objects.abandon(unfinished.key).await?;
            }
            expired.count(unfinished.bytes);
        }
        Ok(expired)
    }

    /// Every object that a session names.
    async fn expire_sessions(&self, age: u64, then: Then, expired: &mut Expired) -> Result<HashSet<ObjectKey>> {
        let (mut after, mut named) = (None::<String>, HashSet::new());
        loop {
            let entries = self.store.records.list(keys::UPLOADS, after.as_deref(), PAGE).await?;
            for entry in &entries {
                let session: Session = wharf_blobstore::decode(&entry.key, &entry.record.value)?;
                named.extend(session.epoch());
                if self.now().saturating_sub(session.touched_at) >= age && self.let_go(entry, &session, then).await? {
                    expired.count(session.size());
                }
            }
            match entries.last() {
                Some(entry) if entries.len() == PAGE => after = Some(entry.key.as_str().to_owned()),
                Some(_) | None => return Ok(named),
            }
        }
    }

    async fn let_go(&self, entry: &Entry, session: &Session, then: Then) -> Result<bool> {
        match then {
            Then::Count => Ok(true),
            Then::Forget => self.drop_session(entry.key.clone(), session, entry.record.version.clone()).await,
        }
    }
}
