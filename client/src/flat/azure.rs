//! A container of Azure Blob Storage as a flat place.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_blobstore::azure::AzureFiles;

use super::{FlatName, FlatPlace, Paths};
use crate::transfer::{BlobBody, ByteStream, Error, Result};

/// Files of a container.
#[derive(Clone, Debug)]
pub struct AzurePlace {
    files: AzureFiles,
    paths: Paths,
}

impl AzurePlace {
    /// Entries and blobs below these paths.
    pub fn new(files: AzureFiles, paths: Paths) -> Self {
        Self { files, paths }
    }
}

#[async_trait]
impl FlatPlace for AzurePlace {
    async fn has(&self, name: &FlatName, size: u64) -> Result<bool> {
        for path in self.paths.of(name) {
            if self.files.size(&path).await? != Some(size) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>> {
        for path in self.paths.of(name) {
            if let Some(bytes) = self.files.read(&path).await? {
                return Ok(Some(bytes.map_err(Error::from).boxed()));
            }
        }
        Ok(None)
    }

    async fn write(&self, name: &FlatName, size: u64, body: &dyn BlobBody) -> Result<()> {
        for path in self.paths.of(name) {
            let written: Result<()> = self.files.write(&path, body.open(0).await?).await;
            if let Err(error) = written {
                // Of two who write one blob in blocks, the first to finish takes the blocks of the other.
                let there = matches!(name, FlatName::Blob(_)) && self.files.size(&path).await? == Some(size);
                if !there {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn place(&self) -> String {
        self.files.place()
    }
}
