//! What the same step made last time, and of what. Two files per step in the cache directory: under `frames/` the layer's
//! blob and where its compressed frames are, under `notes/` what its key was made of. Losing them costs time and
//! explanations, nothing else.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::Arc;

use wharf_blobstore::Blob;
use wharf_spec::Digest;

use super::key::{Facts, Key};
use super::memory;
use super::notes::Notes;
use super::solver::Solver;
use super::transport::{Earlier, Recipe, StoredLayer, blocking};
use crate::error::BuildError;
use crate::event::MissReason;
use crate::layer::{FrameTable, KnownFrames};
use crate::plan::{Memory, Step};
use crate::request::ContextSource;

/// Before the table: the blob's digest as text.
const DIGEST: usize = "sha256:".len() + 64;

impl Solver<'_> {
    /// How the layer of `step` is written: with the frames of the last one at hand.
    pub(super) async fn recipe(&self, step: &Step) -> Recipe {
        let taps = self.environment.taps.as_ref().filter(|_| self.is_in_image(step));
        Recipe { options: self.writer_options(), earlier: self.earlier(step).await, tap: taps.map(|tap| tap()) }
    }

    async fn earlier(&self, step: &Step) -> Option<Earlier> {
        let path = self.frames_path(step);
        let (digest, table) = blocking(move || {
            let bytes = fs::read(path).ok()?;
            let (digest, table) = bytes.split_at_checked(DIGEST)?;
            let digest: Digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
            Some((digest, FrameTable::decode(table)?))
        })
        .await?;
        let blob = self.depot.blobs().find(&digest).await.ok()?.filter(Blob::is_live)?;
        let file = File::open(self.depot.blobs().local_path(&blob)?).ok()?;
        Some(Earlier { digest, frames: Arc::new(KnownFrames::new(file, table)) })
    }

    /// Remembers the frames of a layer that was just stored.
    pub(super) fn keep_frames(&self, step: &Step, stored: &StoredLayer) {
        // One frame is compressed again sooner than its place is remembered.
        if stored.frames.len() < 2 {
            return;
        }
        let mut bytes = stored.descriptor.digest.to_string().into_bytes();
        bytes.extend(stored.frames.encode());
        // It is a help for next time; without it, the layer is compressed whole.
        let _ = self.depot.cache().write(&self.frames_path(step), &bytes);
    }

    /// Why the result under `key` is not known; `notes` is what the key is made of.
    pub(super) async fn why_missed(&self, step: &Step, key: Key, notes: &Notes) -> Result<Vec<MissReason>, BuildError> {
        if step.memory == Memory::Ignored {
            return Ok(vec![MissReason::Refused]);
        }
        if memory::recall(&self.environment.store, key).await?.is_some() {
            return Ok(vec![MissReason::Gone]);
        }
        let path = self.depot.cache().notes(&self.same_step(step));
        let Some(before) = blocking(move || Notes::decode(&fs::read(path).ok()?)).await else {
            return Ok(vec![MissReason::First]);
        };
        let reasons = notes.differences(&before);
        Ok(if reasons.is_empty() { vec![MissReason::Forgotten] } else { reasons })
    }

    /// Remembers what the key of a step that was just done is made of.
    pub(super) fn keep_notes(&self, step: &Step, notes: &Notes) {
        // Without it, the next miss is not explained.
        let _ = self.depot.cache().write(&self.depot.cache().notes(&self.same_step(step)), &notes.encode());
    }

    fn frames_path(&self, step: &Step) -> PathBuf {
        self.depot.cache().frames(&self.same_step(step))
    }

    /// The same for the same instruction of the same project.
    fn same_step(&self, step: &Step) -> String {
        let mut facts = Facts::of("same step");
        let context = match &self.request.context {
            Some(ContextSource::Directory(path)) => {
                path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string()
            }
            Some(ContextSource::Image(name)) => name.to_string(),
            None => String::new(),
        };
        facts.text("context", &context);
        facts.text("dockerfile", &self.request.dockerfile.name);
        facts.text("platform", &self.request.platform.to_string());
        if let Some(info) = self.plan.steps.get(step.id.0) {
            facts.text("stage", &info.stage);
            facts.text("step", &info.text);
        }
        facts.finish().hex()
    }
}
