//! Uploads of bytes that are hashed where they are made.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use wharf_spec::Digest;

use super::{Blob, BlobStore};
use crate::{ObjectKey, ObjectWriter, Result};

/// An upload of bytes whose maker hashes them on their way here: they are not hashed a second time. Only for bytes made in
/// this process; what comes from elsewhere is verified ([`BlobStore::upload`]).
pub struct OwnUpload {
    store: BlobStore,
    epoch: ObjectKey,
    writer: Box<dyn ObjectWriter>,
    size: u64,
}

impl OwnUpload {
    /// Takes in the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.size += bytes.len() as u64;
        self.writer.write(bytes).await
    }

    /// The file that takes the bytes in, for whoever reads along: see [`ObjectWriter::file`].
    pub fn file(&self) -> Option<Arc<File>> {
        self.writer.file()
    }

    /// Ends the upload: the bytes are durable, then visible as `digest`, which their maker vouches for.
    pub async fn commit(self, digest: Digest) -> Result<Blob> {
        let Self { store, epoch, writer, size } = self;
        if let Some(blob) = store.find(&digest).await?.filter(Blob::is_live) {
            // Nothing was finished, so dropping the writer leaves nothing.
            return Ok(blob);
        }
        store.announce(digest, epoch).await?;
        writer.finish().await?;
        store.commit(digest, epoch, size).await
    }
}

impl BlobStore {
    /// Begins an upload of bytes that this process makes and hashes itself.
    pub async fn own_upload(&self) -> Result<OwnUpload> {
        let epoch = ObjectKey::new(self.store.ids.fresh());
        let mut writer = self.store.objects.create(epoch).await?;
        // Whoever builds is the only one who waits for this disk.
        writer.flush_early();
        Ok(OwnUpload { store: self.clone(), epoch, writer, size: 0 })
    }
}
