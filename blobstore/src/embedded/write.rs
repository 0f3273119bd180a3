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

/// What is worth a call to the system.
const PIECE: usize = 256 << 10;

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

    /// Brings everything to the file, which is then the caller's.
    async fn settle(&mut self) -> Result<UnfinishedFile> {
        self.arrive().await?;
        if !self.gathered.is_empty() {
            let rest = self.gathered.split().freeze();
            self.send(rest)?;
            self.arrive().await?;
        }
        self.unfinished.take().ok_or(Error::UploadLost)
    }
}

#[async_trait]
impl ObjectWriter for EmbeddedWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        if self.gathered.is_empty() && bytes.len() >= PIECE {
            self.arrive().await?;
            return self.send(bytes);
        }
        self.gathered.extend_from_slice(&bytes);
        if self.gathered.len() >= PIECE {
            self.arrive().await?;
            let piece = self.gathered.split().freeze();
            self.send(piece)?;
        }
        Ok(())
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
}

fn write_at(file: &File, piece: &[u8], offset: u64, key: ObjectKey) -> Result<()> {
    room::check(file, piece.len())
        .and_then(|()| file.write_all_at(piece, offset))
        .map_err(|error| Error::io(format!("write object {key}"), error))
}
