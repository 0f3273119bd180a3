//! The engine for S3 and services like it: everything in one bucket, for any number of processes on any number of
//! machines, with no database beside it.
//!
//! It stands on two promises of the service: what was written is seen by every read and listing that begins afterwards,
//! and an object is written on a condition (`If-None-Match: *`, `If-Match`). The second one is tried whenever a store is
//! opened; a service that does not keep it is refused.
//!
//! # Layout
//!
//! ```text
//! wharf-store.json                 format and version: see `probe.rs`
//! objects/<epoch>                  finished objects; an upload goes straight there, in parts when it is large
//! unfinished/<epoch>, .<id>        unfinished objects that can be taken up again: see `unfinished.rs`
//! records/<name>                   records, and tombstones of deleted ones: see `names.rs` and `envelope.rs`
//! ```
//!
//! Requests that fail for a while are tried again with growing pauses, for a bounded time. One that was not answered may
//! have been carried out, also later: every write is such that a repetition does no harm, and nothing is reported as
//! refused that may have happened.
//!
//! This module knows nothing of digests, and of records only that they have keys and values.

mod bucket;
mod config;
mod documents;
mod envelope;
mod foreign;
mod housekeeping;
mod lineage;
mod listing;
mod multipart;
mod names;
mod objects;
mod placing;
mod probe;
mod reader;
mod recent;
mod records;
mod retry;
pub(crate) mod transport;
mod unfinished;
mod writer;

use std::sync::Arc;

pub use config::{BadS3Url, Encryption, Patience, S3Config};
pub use foreign::S3Files;
pub use objects::S3Objects;
pub use placing::FileFacts;
pub use records::S3Records;

use crate::{Ids, RandomIds, Result, Store};

/// Opens the store at this place, which is made if there is none. The bucket must be there.
pub async fn open(config: &S3Config) -> Result<Store> {
    let (objects, records) = open_engines(config).await?;
    Ok(Store::new(objects, records))
}

/// [`open`], for whoever needs what only this engine offers.
pub async fn open_engines(config: &S3Config) -> Result<(S3Objects, S3Records)> {
    let bucket = Arc::new(bucket::Bucket::new(config)?);
    probe::open(&bucket).await?;
    let ids: Arc<dyn Ids> = Arc::new(RandomIds);
    Ok((S3Objects::new(Arc::clone(&bucket), Arc::clone(&ids)), S3Records::new(bucket, ids)))
}
