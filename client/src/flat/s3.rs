//! A bucket as a flat place.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_blobstore::s3::{FileFacts, S3Files};
use wharf_blobstore::{Clock, SystemClock};

use super::{FlatName, FlatPlace, Paths};
use crate::transfer::{BlobBody, ByteStream, Error, Result};

/// Files of a bucket.
#[derive(Clone, Debug)]
pub struct S3Place {
    files: S3Files,
    paths: Paths,
    refresh: Duration,
    clock: Arc<dyn Clock>,
}

impl S3Place {
    /// Entries and blobs below these paths. What is found when it is to be written, and is older than `refresh`, becomes
    /// young again: a rule of the bucket that deletes what is old leaves what is used.
    pub fn new(files: S3Files, paths: Paths, refresh: Duration) -> Self {
        Self { files, paths, refresh, clock: Arc::new(SystemClock) }
    }

    async fn keep_young(&self, path: &str, facts: FileFacts) -> Result<()> {
        let age = facts.modified.and_then(|modified| self.clock.now().duration_since(modified).ok());
        if age.is_some_and(|age| age > self.refresh) {
            self.files.touch(path, facts.size).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl FlatPlace for S3Place {
    async fn has(&self, name: &FlatName, size: u64) -> Result<bool> {
        for path in self.paths.of(name) {
            match self.files.facts(&path).await? {
                Some(facts) if facts.size == size => self.keep_young(&path, facts).await?,
                Some(_) | None => return Ok(false),
            }
        }
        Ok(true)
    }

    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>> {
        for path in self.paths.of(name) {
            if let Some(bytes) = self.files.read(&path, u64::MAX).await? {
                return Ok(Some(bytes.map_err(Error::from).boxed()));
            }
        }
        Ok(None)
    }

    async fn write(&self, name: &FlatName, _size: u64, body: &dyn BlobBody) -> Result<()> {
        for path in self.paths.of(name) {
            self.files.write(&path, body.open(0).await?).await?;
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.files.place().to_owned()
    }
}
