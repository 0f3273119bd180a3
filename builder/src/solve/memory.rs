//! The step cache: one record per key, holding the layer a step made. Its bytes are a blob like any other.

use serde::{Deserialize, Serialize};
use wharf_blobstore::{Expect, Outcome, RecordsExt as _, Store};
use wharf_spec::{Descriptor, Digest};

use super::key::Key;
use super::layer::Layer;

/// How often a record that others write too is tried.
const ATTEMPTS: usize = 16;

/// The value of `cache/<key>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Remembered {
    layer: Descriptor,
    diff_id: Digest,
    /// Seconds since 1970.
    created: i64,
}

/// What is remembered under `key`. Whether the blob is still there is another question.
pub(crate) async fn recall(store: &Store, key: Key) -> wharf_blobstore::Result<Option<Layer>> {
    let found = store.records.get_json::<Remembered>(&key.record()).await?;
    Ok(found.map(|(remembered, _)| Layer {
        descriptor: remembered.layer,
        diff_id: remembered.diff_id,
        keys: vec![key],
        created: Some(remembered.created),
        source: None,
    }))
}

/// Remembers a layer under `key`, in place of whatever was.
pub(crate) async fn remember(store: &Store, key: Key, layer: &Layer) -> wharf_blobstore::Result<()> {
    let value = Remembered {
        layer: layer.descriptor.clone(),
        diff_id: layer.diff_id,
        created: layer.created.unwrap_or_default(),
    };
    for _ in 0..ATTEMPTS {
        let expect = match store.records.get(&key.record()).await? {
            Some(record) => Expect::Version(record.version),
            None => Expect::Absent,
        };
        match store.records.put_json(key.record(), expect, &value).await? {
            Outcome::Done(_) => return Ok(()),
            Outcome::Conflict => {}
        }
    }
    // Others remember the same thing; one of them will have done.
    Ok(())
}
