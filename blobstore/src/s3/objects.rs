//! [`Objects`] in a bucket.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::bucket::Bucket;
use super::listing::{Listing, PAGE};
use super::unfinished::Unfinished as Traces;
use super::writer::S3Writer;
use super::{housekeeping, reader};
use crate::{ByteStream, Checkpoint, Ids, ObjectKey, ObjectWriter, Objects, Result, Unfinished};

/// Where finished objects lie.
pub(super) const OBJECTS: &str = "objects/";

/// The name of this finished object.
pub(super) fn object_name(key: ObjectKey) -> String {
    format!("{OBJECTS}{key}")
}

/// Objects in a bucket. Cloning is cheap; clones share connections.
#[derive(Clone, Debug)]
pub struct S3Objects {
    bucket: Arc<Bucket>,
    ids: Arc<dyn Ids>,
}

impl S3Objects {
    pub(super) fn new(bucket: Arc<Bucket>, ids: Arc<dyn Ids>) -> Self {
        Self { bucket, ids }
    }

    fn of(&self, key: ObjectKey) -> Traces<'_> {
        Traces { bucket: &self.bucket, key, ids: &*self.ids }
    }
}

#[async_trait]
impl Objects for S3Objects {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>> {
        Ok(Box::new(S3Writer::new(Arc::clone(&self.bucket), Arc::clone(&self.ids), key)))
    }

    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>> {
        let writer = S3Writer::resume(Arc::clone(&self.bucket), Arc::clone(&self.ids), key, checkpoint).await?;
        Ok(Box::new(writer))
    }

    async fn abandon(&self, key: ObjectKey) -> Result<()> {
        self.of(key).forget().await
    }

    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>> {
        housekeeping::untouched(&self.bucket, &*self.ids, before).await
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>> {
        self.bucket.size(&object_name(key)).await
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
        reader::read(Arc::clone(&self.bucket), object_name(key), range).await
    }

    async fn delete(&self, key: ObjectKey) -> Result<()> {
        self.bucket.delete(&object_name(key)).await
    }

    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
        let after = after.map(object_name);
        let mut listing = Listing::new(&self.bucket, OBJECTS, after.as_deref());
        let mut keys = Vec::new();
        while keys.len() < limit && !listing.ended() {
            let page = listing.next((limit - keys.len()).min(PAGE)).await?;
            let named = page.iter().filter_map(|listed| listed.key.strip_prefix(OBJECTS)?.parse::<ObjectKey>().ok());
            keys.extend(named);
        }
        Ok(keys)
    }

    fn local_path(&self, _key: ObjectKey) -> Option<PathBuf> {
        None
    }

    async fn url(&self, key: ObjectKey, valid: Duration) -> Result<Option<String>> {
        self.bucket.presigned(&object_name(key), valid, "application/octet-stream").await.map(Some)
    }
}
