//! The value of `blobs/<digest>`: where a blob stands, uploads of it that are about to finish, and objects of it whose
//! bytes are still to be deleted. A record with none of these is deleted.

use serde::{Deserialize, Serialize};

use super::BlobState;
use crate::ObjectKey;

/// The value of `blobs/<digest>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub(super) struct BlobRecord {
    /// The blob's bytes; none while there are only uploads under way or bytes to delete.
    pub(super) current: Option<Current>,
    /// Objects whose bytes are still to be deleted. None of them ever becomes current again.
    pub(super) stale: Vec<ObjectKey>,
    /// Uploads that were about to finish when they were entered here; only one that still is may become current.
    pub(super) arriving: Vec<Arriving>,
}

/// A blob's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Current {
    /// Where it stands.
    pub state: BlobState,
    /// The object that holds it.
    pub epoch: ObjectKey,
    /// Its length in bytes.
    pub size: u64,
    /// When somebody last said that he is about to rely on it, to the hour; seconds since 1970.
    pub used_at: u64,
}

/// An upload that is about to finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arriving {
    /// The object it writes.
    pub epoch: ObjectKey,
    /// When it said so, seconds since 1970.
    pub at: u64,
}

impl BlobRecord {
    pub(super) fn is_empty(&self) -> bool {
        self.current.is_none() && self.stale.is_empty() && self.arriving.is_empty()
    }

    /// Takes an upload off the list of those under way; `false` when it is not there: a collector has voided it.
    pub(super) fn take_arriving(&mut self, epoch: ObjectKey) -> bool {
        let before = self.arriving.len();
        self.arriving.retain(|arriving| arriving.epoch != epoch);
        self.arriving.len() < before
    }
}

/// [`BlobRecord`] as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<BlobState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<ObjectKey>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    used_at: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    stale: Vec<ObjectKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arriving: Vec<Arriving>,
}

/// A record that says one half of where a blob stands.
#[derive(Debug, thiserror::Error)]
#[error("state, epoch and size belong together")]
pub(super) struct Halved;

impl TryFrom<Stored> for BlobRecord {
    type Error = Halved;

    fn try_from(stored: Stored) -> Result<Self, Halved> {
        let Stored { state, epoch, size, used_at, stale, arriving } = stored;
        let current = match (state, epoch, size) {
            (Some(state), Some(epoch), Some(size)) => {
                Some(Current { state, epoch, size, used_at: used_at.unwrap_or_default() })
            }
            (None, None, None) => None,
            (Some(_) | None, Some(_) | None, Some(_) | None) => return Err(Halved),
        };
        Ok(Self { current, stale, arriving })
    }
}

impl From<BlobRecord> for Stored {
    fn from(record: BlobRecord) -> Self {
        let BlobRecord { current, stale, arriving } = record;
        Self {
            state: current.map(|it| it.state),
            epoch: current.map(|it| it.epoch),
            size: current.map(|it| it.size),
            used_at: current.map(|it| it.used_at),
            stale,
            arriving,
        }
    }
}
