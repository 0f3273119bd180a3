//! Writing one object: straight to its place, in parts while there is more than one of them, held in memory a few parts
//! at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::bucket::Bucket;
use super::documents::Part;
use super::multipart::{self, LAST, Multipart, SMALLEST, Sending, part_size};
use super::objects::object_name;
use super::unfinished::{Mark, Seen, State, Unfinished, ranges};
use crate::{Checkpoint, Error, Ids, ObjectKey, ObjectWriter, Result};

/// Parts on their way at once may hold this much, or there is one.
const ON_THEIR_WAY: usize = 24 << 20;

/// Numbers of parts are handed out in blocks that double from one to this many, so that few are wasted.
const LARGEST_BLOCK: u16 = 16;

/// Writes one object.
pub(super) struct S3Writer {
    bucket: Arc<Bucket>,
    ids: Arc<dyn Ids>,
    key: ObjectKey,
    /// What lies in the bucket; nothing while all of it is in memory.
    seen: Option<Seen>,
    /// Parts of ours that have arrived.
    parts: BTreeMap<u16, Part>,
    sending: Sending,
    /// Numbers handed out to us.
    numbers: std::ops::Range<u16>,
    block: u16,
    buffer: BytesMut,
    /// Somebody may go on with it: dropping the writer must leave it.
    kept: bool,
    /// Something failed, or was given up in the middle: bytes may be missing.
    broken: bool,
}

impl S3Writer {
    pub(super) fn new(bucket: Arc<Bucket>, ids: Arc<dyn Ids>, key: ObjectKey) -> Self {
        Self {
            bucket,
            ids,
            key,
            seen: None,
            parts: BTreeMap::new(),
            sending: Sending::new("upload to S3"),
            numbers: 0..0,
            block: 1,
            buffer: BytesMut::new(),
            kept: false,
            broken: false,
        }
    }

    /// Goes on from a checkpoint.
    pub(super) async fn resume(
        bucket: Arc<Bucket>,
        ids: Arc<dyn Ids>,
        key: ObjectKey,
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let mark = Mark::read(checkpoint)?;
        let unfinished = Unfinished { bucket: &bucket, key, ids: &*ids };
        let tail = async {
            match &mark.tail {
                Some(tail) => unfinished.read_tail(tail).await,
                None => Ok(Bytes::new()),
            }
        };
        let parts = sent_parts(&bucket, key, &mark);
        let (seen, tail, parts) = futures_util::try_join!(unfinished.open_state(), tail, parts)?;
        if mark.upload.is_some() && mark.upload != seen.state.upload {
            return Err(Error::UploadLost);
        }
        let mut writer = Self::new(bucket, ids, key);
        (writer.seen, writer.parts, writer.kept) = (Some(seen), parts, true);
        writer.buffer.extend_from_slice(&tail);
        Ok(writer)
    }

    /// Whoever comes in must go out well, or nobody comes in again.
    fn enter(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.broken, true) { Err(Error::UploadLost) } else { Ok(()) }
    }

    fn unfinished(&self) -> Unfinished<'_> {
        Unfinished { bucket: &self.bucket, key: self.key, ids: &*self.ids }
    }

    /// How long the part that is being filled becomes.
    fn part_size(&self) -> usize {
        let last = self.seen.as_ref().map_or(0, |seen| seen.state.next - 1);
        part_size(if self.numbers.is_empty() { last.saturating_add(1) } else { self.numbers.start })
    }

    /// A number for a part that nobody else has, and the upload it belongs to.
    async fn number(&mut self) -> Result<(u16, String)> {
        if self.numbers.is_empty() {
            let block = self.block;
            let seen = match self.seen.clone() {
                Some(seen) if seen.state.upload.is_some() => self.hand_out(seen, block).await?,
                seen => self.begin(seen, block).await?,
            };
            self.numbers = seen.state.next - block..seen.state.next;
            self.block = (block * 2).min(LARGEST_BLOCK);
            self.seen = Some(seen);
        }
        let upload = self.seen.as_ref().and_then(|seen| seen.state.upload.clone()).ok_or(Error::UploadLost)?;
        let number = self.numbers.start;
        self.numbers.start += 1;
        Ok((number, upload))
    }

    async fn hand_out(&self, seen: Seen, block: u16) -> Result<Seen> {
        let change = |state: &State| {
            let next = state.next.checked_add(block).filter(|next| *next <= LAST + 1);
            let next = next.ok_or_else(|| Error::Refused {
                doing: "upload to S3".to_owned(),
                problem: format!("an object has {LAST} parts at most; upload it in fewer chunks"),
            })?;
            Ok(State { next, ..state.clone() })
        };
        self.unfinished().change(seen, change).await
    }

    /// Begins the upload in parts, unless another writer of this object is faster.
    async fn begin(&self, seen: Option<Seen>, block: u16) -> Result<Seen> {
        let name = object_name(self.key);
        let upload = multipart::begin(&self.bucket, &name).await?;
        let begun = match seen {
            None => self.unfinished().begin(Some(upload.clone()), block).await,
            Some(seen) => {
                let ours = || Some(upload.clone());
                let change = |state: &State| {
                    Ok(State { upload: state.upload.clone().or_else(ours), next: state.next + block, ..state.clone() })
                };
                self.unfinished().change(seen, change).await
            }
        };
        if begun.as_ref().ok().and_then(|seen| seen.state.upload.as_ref()) != Some(&upload) {
            Multipart { bucket: &self.bucket, key: &name, upload: &upload }.abort().await?;
        }
        begun
    }

    /// Sends the buffer as a part, while others may still be on their way.
    async fn send_part(&mut self) -> Result<()> {
        let at_once = (ON_THEIR_WAY / self.part_size()).max(1);
        while self.sending.len() >= at_once {
            self.arrived().await?;
        }
        let (number, upload) = self.number().await?;
        let body = self.buffer.split().freeze();
        self.sending.begin(&self.bucket, (object_name(self.key), upload), (number, body));
        Ok(())
    }

    /// Waits for one of the parts on their way; `false` when there is none.
    async fn arrived(&mut self) -> Result<bool> {
        let Some(part) = self.sending.arrived().await? else { return Ok(false) };
        self.parts.insert(part.number, part);
        Ok(true)
    }

    /// Makes the object of the parts that were sent.
    async fn complete(&self, state: &State) -> Result<()> {
        let upload = state.upload.as_deref().ok_or(Error::UploadLost)?;
        let key = object_name(self.key);
        Multipart { bucket: &self.bucket, key: &key, upload }.complete(&self.parts).await
    }
}

/// The parts that a checkpoint covers, as the bucket has them.
async fn sent_parts(bucket: &Bucket, key: ObjectKey, mark: &Mark) -> Result<BTreeMap<u16, Part>> {
    let Some(upload) = &mark.upload else { return Ok(BTreeMap::new()) };
    let key = object_name(key);
    let mut sent = Multipart { bucket, key: &key, upload }.parts().await?;
    let covered = mark.numbers()?.into_iter().map(|number| Some((number, sent.remove(&number)?)));
    let covered: BTreeMap<u16, Part> = covered.collect::<Option<_>>().ok_or(Error::UploadLost)?;
    let length: u64 = covered.values().map(|part| part.size).sum();
    if length == mark.length { Ok(covered) } else { Err(Error::UploadLost) }
}

#[async_trait]
impl ObjectWriter for S3Writer {
    async fn write(&mut self, mut bytes: Bytes) -> Result<()> {
        self.enter()?;
        while !bytes.is_empty() {
            let room = self.part_size().saturating_sub(self.buffer.len());
            let piece = bytes.split_to(room.min(bytes.len()));
            self.buffer.extend_from_slice(&piece);
            if self.buffer.len() >= self.part_size() {
                self.send_part().await?;
            }
        }
        self.broken = false;
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Checkpoint> {
        self.enter()?;
        // Late parts are no small ones either, or many small chunks would use up the numbers.
        if self.buffer.len() >= SMALLEST.max(self.part_size() / 2) {
            self.send_part().await?;
        }
        while self.arrived().await? {}
        let tail = async {
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let bytes = Bytes::copy_from_slice(&self.buffer);
            self.unfinished().write_tail(bytes).await.map(Some)
        };
        let state = async {
            match &self.seen {
                Some(seen) => Ok(seen.clone()),
                None => self.unfinished().begin(None, 0).await,
            }
        };
        let (tail, seen) = futures_util::try_join!(tail, state)?;
        let upload = seen.state.upload.clone().filter(|_| !self.parts.is_empty());
        self.seen = Some(seen);
        (self.kept, self.broken) = (true, false);
        let mark = Mark {
            upload,
            parts: ranges(self.parts.keys().copied()),
            length: self.parts.values().map(|part| part.size).sum(),
            tail,
        };
        Ok(mark.checkpoint())
    }

    async fn finish(mut self: Box<Self>) -> Result<()> {
        self.enter()?;
        let in_parts = !self.parts.is_empty() || self.sending.len() > 0;
        while self.arrived().await? {}
        let Some(seen) = self.seen.clone() else {
            let bytes = self.buffer.split().freeze();
            self.bucket.write(&object_name(self.key), bytes).await?;
            self.broken = false;
            return Ok(());
        };
        // Whatever happens from here on, nobody else can go on with it.
        let claimed = self.unfinished().claim(seen).await?;
        let state = claimed.state.clone();
        self.seen = Some(claimed);
        if in_parts {
            if !self.buffer.is_empty() {
                self.send_part().await?;
                while self.arrived().await? {}
            }
            self.complete(&state).await?;
        } else {
            let bytes = self.buffer.split().freeze();
            self.bucket.write(&object_name(self.key), bytes).await?;
        }
        self.kept = true;
        // Another writer of the same object may have begun an upload in parts that is of no use now.
        let left = state.upload.filter(|_| !in_parts);
        if let Err(error) = self.unfinished().clear(left.as_deref()).await {
            // The object is there; what lies around of its upload can be removed later.
            tracing::warn!(key = %self.key, error = &error as &dyn std::error::Error, "an upload's remains stay on S3");
        }
        Ok(())
    }
}

impl Drop for S3Writer {
    fn drop(&mut self) {
        // Nobody knows of it, and nobody else would ever remove it. A process that is killed here leaves a state behind,
        // which `S3Objects::unfinished` finds.
        if self.kept || (self.seen.is_none() && !self.broken) {
            return;
        }
        let (bucket, ids, key) = (Arc::clone(&self.bucket), Arc::clone(&self.ids), self.key);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let unfinished = Unfinished { bucket: &bucket, key, ids: &*ids };
                if let Err(error) = unfinished.forget().await {
                    tracing::warn!(%key, error = &error as &dyn std::error::Error, "an unfinished upload stays on S3");
                }
            });
        }
    }
}
