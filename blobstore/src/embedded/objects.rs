//! Objects as files.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

use super::blocking::blocking;
use super::directory::Directory;
use super::housekeeping::untouched;
use super::layout::{LAST_SHARD, Layout, shard_of};
use super::read::read;
use super::unfinished::{UnfinishedFile, remove_partial};
use super::write::EmbeddedWriter;
use crate::{ByteStream, Checkpoint, Error, ObjectKey, ObjectWriter, Objects, Result, Unfinished};

/// Objects as files of a directory. Cloning is cheap; clones share everything.
#[derive(Clone, Debug)]
pub struct EmbeddedObjects {
    pub(super) place: Arc<Place>,
}

/// The directories, and what their users share.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) layout: Layout,
    pub(super) partial: Directory,
    shards: Vec<Directory>,
}

impl Place {
    pub(super) fn shard(&self, key: ObjectKey) -> &Directory {
        &self.shards[usize::from(shard_of(key))]
    }
}

impl EmbeddedObjects {
    pub(super) fn new(layout: Layout) -> Self {
        let partial = Directory::new(layout.partial());
        let shards = (0..=LAST_SHARD).map(|shard| Directory::new(layout.shard(shard))).collect();
        Self { place: Arc::new(Place { layout, partial, shards }) }
    }
}

#[async_trait]
impl Objects for EmbeddedObjects {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>> {
        let place = Arc::clone(&self.place);
        let unfinished = blocking(move || UnfinishedFile::create(&place, key)).await?;
        Ok(Box::new(EmbeddedWriter::new(key, unfinished, 0)))
    }

    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>> {
        let (place, checkpoint) = (Arc::clone(&self.place), checkpoint.clone());
        let (unfinished, offset) = blocking(move || UnfinishedFile::resume(&place, key, &checkpoint)).await?;
        Ok(Box::new(EmbeddedWriter::new(key, unfinished, offset)))
    }

    async fn abandon(&self, key: ObjectKey) -> Result<()> {
        let place = Arc::clone(&self.place);
        blocking(move || remove_partial(&place, key)).await
    }

    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>> {
        let place = Arc::clone(&self.place);
        blocking(move || untouched(&place, before)).await
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>> {
        let path = self.place.layout.object(key);
        blocking(move || match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(format!("look at object {key}"), error)),
        })
        .await
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
        read(self.place.layout.object(key), key, range).await
    }

    async fn delete(&self, key: ObjectKey) -> Result<()> {
        let place = Arc::clone(&self.place);
        blocking(move || {
            let cannot = |error| Error::io(format!("delete object {key}"), error);
            match fs::remove_file(place.layout.object(key)) {
                Ok(()) => {}
                // Still made durable below: whoever deleted it may have been killed before doing so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(cannot(error)),
            }
            // An object that came back after a crash would have no record any more, and nobody would find it.
            place.shard(key).sync().map_err(cannot)
        })
        .await
    }

    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
        let place = Arc::clone(&self.place);
        blocking(move || list(&place.layout, after, limit)).await
    }

    fn local_path(&self, key: ObjectKey) -> Option<PathBuf> {
        Some(self.place.layout.object(key))
    }
}

fn list(layout: &Layout, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
    let mut listed = Vec::new();
    for shard in after.map_or(0, shard_of)..=LAST_SHARD {
        if listed.len() >= limit {
            break;
        }
        let cannot = |error| Error::io(format!("list {}", layout.shard(shard).display()), error);
        let mut keys = Vec::new();
        for entry in fs::read_dir(layout.shard(shard)).map_err(cannot)? {
            let name = entry.map_err(cannot)?.file_name();
            keys.extend(name.to_str().and_then(|name| name.parse::<ObjectKey>().ok()));
        }
        keys.retain(|key| after.is_none_or(|after| *key > after));
        keys.sort_unstable();
        listed.extend(keys.into_iter().take(limit - listed.len()));
    }
    Ok(listed)
}
