//! Opening a bucket: is it a store, can this version use it, and does the service keep the promise that everything here
//! stands on? All of it with one object whose content never changes, so that a service that breaks the promise breaks
//! nothing by it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::bucket::{Bucket, Condition, Written};
use crate::{Error, Result};

/// The object.
const MARKER: &str = "wharf-store.json";
const FORMAT: &str = "wharf-s3-store";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    format: String,
    version: u32,
}

/// An entity tag that no object has.
const STALE: &str = "00000000000000000000000000000000";

pub(super) async fn open(bucket: &Bucket) -> Result<()> {
    let marker = Marker { format: FORMAT.to_owned(), version: VERSION };
    let body: Bytes = serde_json::to_vec(&marker).expect("a marker is plain data").into();
    match bucket.read_small(MARKER).await.map_err(|error| unusable(bucket, explain(&error)))? {
        Some((_, found)) => check(bucket, &found)?,
        None => {
            bucket
                .write_if(MARKER, Condition::Absent, body.clone())
                .await
                .map_err(|error| unusable(bucket, explain(&error)))?;
        }
    }
    for (condition, name) in [(Condition::Absent, "If-None-Match: *"), (Condition::Tag(STALE), "If-Match")] {
        match bucket.write_if(MARKER, condition, body.clone()).await {
            Ok(Written::Refused | Written::Doubtful) => {}
            Ok(Written::Done(_)) => {
                return Err(unusable(
                    bucket,
                    format!(
                        "the service ignores `{name}` when it writes an object; without conditional writes, two \
                         writers overwrite each other and images are lost. Use a service or a version of it that has them"
                    ),
                ));
            }
            Err(error) => {
                return Err(unusable(bucket, format!("a conditional write (`{name}`) failed: {}", explain(&error))));
            }
        }
    }
    Ok(())
}

fn check(bucket: &Bucket, found: &[u8]) -> Result<()> {
    let marker: Marker =
        serde_json::from_slice(found).map_err(|error| unusable(bucket, format!("{MARKER} is damaged: {error}")))?;
    if marker.format != FORMAT {
        return Err(unusable(bucket, format!("{MARKER} says it is a {}", marker.format)));
    }
    if marker.version != VERSION {
        return Err(unusable(bucket, "it was made by a newer version of Wharf; use that version".to_owned()));
    }
    Ok(())
}

fn unusable(bucket: &Bucket, reason: String) -> Error {
    Error::Unusable { path: bucket.place().to_owned(), reason }
}

/// Without what [`Error::Unusable`] says already.
fn explain(error: &Error) -> String {
    match error {
        Error::Refused { problem, .. } | Error::Unavailable { problem, .. } => problem.clone(),
        other => other.to_string(),
    }
}
