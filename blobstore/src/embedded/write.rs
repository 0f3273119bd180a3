//! Writing an object: small pieces are gathered, and one gathered piece is on its way to the disk while the next one is
//! gathered. A writer holds two pieces at most, beside one that its caller made larger.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use tokio::task::JoinHandle;

use super::blocking::{blocking, joined};
use super::room;
use super::unfinished::UnfinishedFile;
use crate::{Checkpoint, Error, ObjectKey, ObjectWriter, Result};

/// What is worth a call to the system. Smaller pieces are gathered.
const PIECE: usize = 256 << 10;

/// From this length on, copying a piece to gather it costs more than writing it by itself.
const WHOLE: usize = PIECE / 2;

pub(super) struct EmbeddedWriter {
    key: ObjectKey,
    /// `None` while a call has it, and for good after that call failed or was given up.
    unfinished: Option<UnfinishedFile>,
    gathered: BytesMut,
    /// Where the gathered bytes belong.
    offset: u64,
    on_its_way: Option<JoinHandle<Result<()>>>,
}

impl EmbeddedWriter {
    pub(super) fn new(key: ObjectKey, unfinished: UnfinishedFile, offset: u64) -> Self {
        Self { key, unfinished: Some(unfinished), gathered: BytesMut::new(), offset, on_its_way: None }
    }

    /// Sends a piece on its way; the one before has arrived.
    fn send(&mut self, piece: Bytes) -> Result<()> {
        let file = Arc::clone(&self.unfinished.as_ref().ok_or(Error::UploadLost)?.file);
        let (key, offset) = (self.key, self.offset);
        self.offset += piece.len() as u64;
        self.on_its_way = Some(tokio::task::spawn_blocking(move || write_at(&file, &piece, offset, key)));
        Ok(())
    }

    /// Waits for the piece that is on its way. A caller may give up waiting and ask again.
    async fn arrive(&mut self) -> Result<()> {
        let Some(handle) = self.on_its_way.as_mut() else { return Ok(()) };
        let arrived = joined(handle).await;
        self.on_its_way = None;
        if arrived.is_err() {
            self.unfinished = None;
        }
        arrived
    }

    /// Sends what was gathered on its way.
    async fn send_gathered(&mut self) -> Result<()> {
        self.arrive().await?;
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = self.gathered.split().freeze();
        self.send(piece)
    }

    /// Brings everything to the file, which is then the caller's.
    async fn settle(&mut self) -> Result<UnfinishedFile> {
        self.send_gathered().await?;
        self.arrive().await?;
        self.unfinished.take().ok_or(Error::UploadLost)
    }
}

#[async_trait]
impl ObjectWriter for EmbeddedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.len() >= WHOLE {
            self.send_gathered().await?;
            self.arrive().await?;
            return self.send(bytes);
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() >= PIECE { self.send_gathered().await } else { Ok(()) }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        let mut unfinished = self.settle().await?;
        let length = self.offset;
        let (mut unfinished, checkpoint) = blocking(move || {
            let checkpoint = unfinished.checkpoint(length)?;
            Ok((unfinished, checkpoint))
        })
        .await?;
        // Only now: a file whose checkpoint nobody came to know goes with its writer.
        unfinished.known = true;
        self.unfinished = Some(unfinished);
        Ok(checkpoint)
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        let unfinished = self.settle().await?;
        blocking(move || unfinished.finish()).await
    }

    fn file(&self) -> Option<Arc<File>> {
        self.unfinished.as_ref().map(|unfinished| Arc::clone(&unfinished.file))
    }
}

fn write_at(file: &File, piece: &[u8], offset: u64, key: ObjectKey) -> Result<()> {
    room::check(file, piece.len())
        .and_then(|()| file.write_all_at(piece, offset))
        .map_err(|error| Error::io(format!("write object {key}"), error))
}

#[cfg(test)]
mod tests {
    use wharf_spec::{Algorithm, Digest};

    use super::*;

    /// Through an upload, which gathers by itself, to the file.
    #[tokio::test]
    async fn pieces_of_all_lengths_come_out_in_their_order() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = crate::embedded::open(directory.path()).unwrap().blobs();
        let bytes: Vec<u8> = (0_u32..).flat_map(u32::to_le_bytes).take(8 * PIECE).collect();
        let few = [1, WHOLE, 10, PIECE, WHOLE - 1, WHOLE - 1, WHOLE - 1, PIECE + 5, WHOLE + 1, 3];
        for (round, checkpoint_after) in [usize::MAX, 2, 5].into_iter().enumerate() {
            let mut upload = blobs.upload(Algorithm::Sha256).await.unwrap();
            // Other bytes each time: those of a blob that is there already are not taken.
            let bytes = &bytes[round..];
            let mut at = 0;
            for (number, length) in few.into_iter().enumerate() {
                upload.write(Bytes::copy_from_slice(&bytes[at..at + length])).await.unwrap();
                at += length;
                if number == checkpoint_after {
                    let state = upload.checkpoint().await.unwrap();
                    drop(upload);
                    upload = blobs.resume(&state).await.unwrap();
                }
            }
            let digest = Digest::sha256(&bytes[..at]);
            upload.commit(Some(digest)).await.unwrap();
            let found = blobs.get(&digest, 1 << 30).await.unwrap().unwrap();
            assert!(found == bytes[..at], "{checkpoint_after}");
        }
    }
}
