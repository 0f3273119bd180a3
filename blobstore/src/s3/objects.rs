//! [`Objects`] in a bucket.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::bucket::Bucket;
use super::listing::{Listing, PAGE};
use super::unfinished::{UNFINISHED, Unfinished};
use super::writer::S3Writer;
use super::{multipart, reader};
use crate::{ByteStream, Checkpoint, Ids, ObjectKey, ObjectWriter, Objects, Result};

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

    fn of(&self, key: ObjectKey) -> Unfinished<'_> {
        Unfinished { bucket: &self.bucket, key, ids: &*self.ids }
    }

    /// Every unfinished object of which something lies in the bucket, in ascending order of keys, with the time when its
    /// state was last written, as the service tells it (RFC 3339). An upload session may name it, somebody may be
    /// writing to it right now, or it is left over.
    pub async fn unfinished(&self) -> Result<Vec<(ObjectKey, String)>> {
        let mut found: Vec<(ObjectKey, String)> = Vec::new();
        let mut listing = Listing::new(&self.bucket, UNFINISHED, None);
        while !listing.ended() {
            for listed in listing.next(PAGE).await? {
                let name = listed.key.strip_prefix(UNFINISHED).unwrap_or_default();
                let key = name.split('.').next().and_then(|key| key.parse().ok());
                if let Some(key) = key.filter(|key| found.last().is_none_or(|(last, _)| last != key)) {
                    found.push((key, listed.last_modified));
                }
            }
        }
        Ok(found)
    }

    /// Every upload in parts that the service has under way here, by its object's key, a thousand at most: those of
    /// unfinished objects, and those of writers that were killed before they could leave a trace of theirs. Services
    /// remove these after a while where the bucket has such a rule.
    pub async fn uploads(&self) -> Result<Vec<ObjectKey>> {
        multipart::under_way(&self.bucket, OBJECTS)
            .await
            .map(|keys| keys.iter().filter_map(|key| key.strip_prefix(OBJECTS)?.parse().ok()).collect())
    }

    /// Forgets an unfinished object, whatever its checkpoint. A writer that still holds it will fail.
    pub async fn forget_unfinished(&self, key: ObjectKey) -> Result<()> {
        self.of(key).forget().await
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

    async fn abandon(&self, key: ObjectKey, _checkpoint: &Checkpoint) -> Result<()> {
        self.of(key).forget().await
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
