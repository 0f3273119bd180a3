//! A flat place in memory, for tests of whatever uses one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use super::{FlatName, FlatPlace};
use crate::transfer::{BlobBody, ByteStream, Result};

/// A flat place in memory. Clones share what they hold.
#[derive(Clone, Debug, Default)]
pub struct FlatMemory {
    held: Arc<Mutex<HashMap<FlatName, Bytes>>>,
}

impl FlatMemory {
    fn held(&self) -> MutexGuard<'_, HashMap<FlatName, Bytes>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Loses something, as places do that remove what is old.
    pub fn lose(&self, name: &FlatName) {
        self.held().remove(name);
    }
}

#[async_trait]
impl FlatPlace for FlatMemory {
    async fn has(&self, name: &FlatName, size: u64) -> Result<bool> {
        Ok(self.held().get(name).is_some_and(|bytes| bytes.len() as u64 == size))
    }

    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>> {
        let found = self.held().get(name).cloned();
        match found {
            Some(bytes) => bytes.open(0).await.map(Some),
            None => Ok(None),
        }
    }

    async fn write(&self, name: &FlatName, _size: u64, body: &dyn BlobBody) -> Result<()> {
        let bytes: BytesMut = body.open(0).await?.try_collect().await?;
        self.held().insert(name.clone(), bytes.freeze());
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }
}
