//! The trait for bytes.

use std::fmt::Debug;
use std::fs::File;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::{ObjectKey, Result};

/// Bytes as they are read, in pieces of at most a megabyte. An error ends the stream.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Where an unfinished object stands, for [`Objects::resume`]: opaque text of the engine that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Checkpoint(pub String);

/// An object that was begun and not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The key it would get.
    pub key: ObjectKey,
    /// How many bytes lie there for its sake.
    pub bytes: u64,
}

/// Immutable bytes under fresh keys.
///
/// An object is invisible until its writer has finished, and then complete and durable: it survives kill -9 and power
/// loss. It never changes; deleting and reading race freely (a reader that has started may finish or fail, but never
/// sees other bytes). Nobody creates a key twice.
#[async_trait]
pub trait Objects: Debug + Send + Sync + 'static {
    /// Begins a new object. A writer dropped before its first checkpoint leaves nothing behind.
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>>;

    /// Goes on with an object that was checkpointed, perhaps by another process; bytes written after the checkpoint are
    /// dropped. [`crate::Error::UploadLost`] when it was abandoned, finished or never there.
    ///
    /// Several writers may go on with one object, from the same checkpoint or from different ones; none ever finds bytes
    /// of another among its own, and what a checkpoint covers never changes. One of them at most can finish; the others
    /// are told [`crate::Error::UploadLost`].
    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>>;

    /// Forgets an unfinished object and its bytes, whatever was checkpointed of it; whoever still writes it fails. A
    /// finished one stays. Forgetting what is not there is fine.
    async fn abandon(&self, key: ObjectKey) -> Result<()>;

    /// Unfinished objects of which something lies there and that nobody has written to since `before`, by the clock of
    /// whatever keeps them, in ascending order of keys. An upload session may name one, somebody may be about to go on
    /// with it, or it was left behind by a writer that died.
    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>>;

    /// Length of a finished object in bytes, or `None` when there is none.
    async fn size(&self, key: ObjectKey) -> Result<Option<u64>>;

    /// Reads `range` of a finished object, which must lie inside it. `None` when there is none.
    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>>;

    /// Deletes a finished object. Deleting what is not there is fine.
    async fn delete(&self, key: ObjectKey) -> Result<()>;

    /// Keys of finished objects in ascending order, `limit` at most, after `after`.
    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>>;

    /// The file that holds the finished object, on engines that keep one file per object; it may not be there.
    fn local_path(&self, key: ObjectKey) -> Option<PathBuf>;

    /// An address under which anybody may `GET` the finished object (whole, or one range of it) without credentials
    /// while it is `valid`, on engines that have such; it may not be there.
    async fn url(&self, _key: ObjectKey, _valid: Duration) -> Result<Option<String>> {
        Ok(None)
    }
}

/// Writes one object.
#[async_trait]
pub trait ObjectWriter: Send + Sync {
    /// Appends bytes. After an error the writer can only be dropped.
    async fn write(&mut self, bytes: Bytes) -> Result<()>;

    /// Makes everything written so far durable (not visible), and says how to go on from here.
    async fn checkpoint(&mut self) -> Result<Checkpoint>;

    /// Makes the object durable and visible under its key.
    async fn finish(self: Box<Self>) -> Result<()>;

    /// Has the disk begin with the bytes as they come, so that little is left for it at the end, on engines that leave them to the
    /// kernel otherwise. Whoever else waits for the disk waits longer.
    fn flush_early(&mut self) {}

    /// The file that takes the bytes in, from the first on and in their order, on engines that keep one file per object: for
    /// whoever reads along. What was written last may not have arrived there.
    fn file(&self) -> Option<Arc<File>> {
        None
    }
}
