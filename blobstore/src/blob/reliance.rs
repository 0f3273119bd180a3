//! Relying on blobs that one does not refer to, as a build does on the layers of steps that it finds done.

use wharf_spec::Digest;

use super::record::{BlobRecord, Current};
use super::{ATTEMPTS, BlobState, BlobStore, RESTAMP, blob_key};
use crate::{Change, Error, Expect, Outcome, Result, Write, encode};

impl BlobStore {
    /// Whether all of these are live, for somebody who is about to rely on them. Then that is noted, to the hour, and no
    /// collector takes them before its grace period is over again.
    pub async fn rely_on(&self, digests: &[Digest]) -> Result<bool> {
        let mut keys: Vec<_> = digests.iter().map(blob_key).collect();
        keys.sort_unstable();
        keys.dedup();
        for _ in 0..ATTEMPTS {
            let (mut notes, now) = (Vec::new(), self.now());
            for (key, found) in keys.iter().zip(self.store.records.get_many(&keys).await?) {
                let Some(found) = found else { return Ok(false) };
                let record: BlobRecord = crate::decode(key, &found.value)?;
                let Some(current) = record.current.filter(|current| current.state == BlobState::Live) else {
                    return Ok(false);
                };
                if now.saturating_sub(current.used_at) >= RESTAMP {
                    let record = BlobRecord { current: Some(Current { used_at: now, ..current }), ..record };
                    let expect = Expect::Version(found.version);
                    notes.push(Write { key: key.clone(), expect, change: Change::Put(encode(&record)) });
                }
            }
            // Nothing to note, or all of it is noted: whoever condemns one of them from here on has seen the note.
            if notes.is_empty() || !self.store.records.write(notes).await?.contains(&Outcome::Conflict) {
                return Ok(true);
            }
        }
        Err(Error::Contended { key: keys.first().map(ToString::to_string).unwrap_or_default() })
    }
}
