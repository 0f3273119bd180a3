//! Writing an object: small pieces are gathered, and written together. Whoever brings the bytes waits until the kernel has them, not
//! for the disk: that is for checkpoints and the end, which go elsewhere. A writer holds a piece at most.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::blocking::blocking;
use super::early::EarlyFlush;
use super::room::Room;
use super::unfinished::UnfinishedFile;
use crate::{Checkpoint, Error, ObjectKey, ObjectWriter, Result};

/// What is worth a call to the system. Smaller pieces are gathered.
const PIECE: usize = 256 << 10;

/// From this length on, copying a piece to gather it costs more than writing it by itself.
const WHOLE: usize = 32 << 10;

/// The most that is given to the kernel at once: while it copies, it does not let others have the processor. Less costs more time.
const STEP: usize = 256 << 10;

pub(super) struct EmbeddedWriter {
    key: ObjectKey,
    /// `None` after a write failed.
    unfinished: Option<UnfinishedFile>,
    gathered: BytesMut,
    /// Where the gathered bytes belong.
    offset: u64,
    room: Room,
    /// `None` when the disk gets everything at the end.
    early: Option<EarlyFlush>,
}

impl EmbeddedWriter {
    pub(super) fn new(key: ObjectKey, unfinished: UnfinishedFile, offset: u64) -> Self {
        Self {
            key,
            unfinished: Some(unfinished),
            gathered: BytesMut::new(),
            offset,
            room: Room::default(),
            early: None,
        }
    }

    fn put(&mut self, piece: &[u8]) -> Result<()> {
        let unfinished = self.unfinished.take().ok_or(Error::UploadLost)?;
        for step in piece.chunks(STEP) {
            self.put_step(&unfinished.file, step).map_err(|error| cannot(self.key, error))?;
        }
        if let Some(early) = &mut self.early {
            early.reached(self.offset, &unfinished.file).map_err(|error| cannot(self.key, error))?;
        }
        self.unfinished = Some(unfinished);
        Ok(())
    }

    fn put_step(&mut self, file: &File, step: &[u8]) -> io::Result<()> {
        self.room.provide(file, self.offset, step.len())?;
        file.write_all_at(step, self.offset)?;
        self.offset += step.len() as u64;
        Ok(())
    }

    fn put_gathered(&mut self) -> Result<()> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let piece = self.gathered.split();
        self.put(&piece)
    }

    /// Waits for what is being flushed already.
    async fn flushed(&mut self) -> Result<()> {
        match &mut self.early {
            Some(early) => early.settle().await.map_err(|error| cannot(self.key, error)),
            None => Ok(()),
        }
    }

    /// Brings everything to the file. This blocks.
    fn settle(mut self) -> Result<(Self, UnfinishedFile)> {
        self.put_gathered()?;
        let unfinished = self.unfinished.take().ok_or(Error::UploadLost)?;
        self.room.give_back(&unfinished.file, self.offset).map_err(|error| cannot(self.key, error))?;
        Ok((self, unfinished))
    }
}

#[async_trait]
impl ObjectWriter for EmbeddedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if bytes.len() >= WHOLE {
            self.put_gathered()?;
            return self.put(&bytes);
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() >= PIECE { self.put_gathered() } else { Ok(()) }
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.flushed().await?;
        let (unfinished, gathered) = (self.unfinished.take(), self.gathered.split());
        let taken = Self { unfinished, gathered, early: self.early.take(), ..*self };
        let (writer, mut unfinished, checkpoint) = blocking(move || {
            let (writer, mut unfinished) = taken.settle()?;
            let checkpoint = unfinished.checkpoint(writer.offset)?;
            Ok((writer, unfinished, checkpoint))
        })
        .await?;
        // Only now: a file whose checkpoint nobody came to know goes with its writer.
        unfinished.known = true;
        *self = Self { unfinished: Some(unfinished), ..writer };
        Ok(checkpoint)
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.flushed().await?;
        blocking(move || self.settle()?.1.finish()).await
    }

    fn flush_early(&mut self) {
        self.early.get_or_insert_default();
    }

    fn file(&self) -> Option<Arc<File>> {
        self.unfinished.as_ref().map(|unfinished| Arc::clone(&unfinished.file))
    }
}

fn cannot(key: ObjectKey, error: io::Error) -> Error {
    Error::io(format!("write object {key}"), error)
}

#[cfg(test)]
mod tests {
    use wharf_spec::{Algorithm, Digest};

    use super::*;

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

    #[tokio::test]
    async fn what_the_disk_gets_early_is_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = crate::embedded::open(directory.path()).unwrap().blobs();
        let bytes: Bytes = (0_u32..).flat_map(u32::to_le_bytes).take(20 << 20).collect();
        let mut upload = blobs.upload(Algorithm::Sha256).await.unwrap();
        upload.flush_early();
        for (number, piece) in bytes.chunks(1 << 20).enumerate() {
            upload.write(bytes.slice_ref(piece)).await.unwrap();
            if number == 9 {
                let state = upload.checkpoint().await.unwrap();
                upload.write(Bytes::from_static(b"lost")).await.unwrap();
                drop(upload);
                upload = blobs.resume(&state).await.unwrap();
                upload.flush_early();
            }
        }
        let digest = Digest::sha256(&bytes);
        upload.commit(Some(digest)).await.unwrap();
        let found = blobs.get(&digest, 1 << 30).await.unwrap().unwrap();
        assert!(found == bytes);
    }
}
