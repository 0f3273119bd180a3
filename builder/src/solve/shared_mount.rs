//! Cache mounts that travel with a shared cache: an entry like a step's, under a key made of the cache's id.
//!
//! One that is empty here is filled from there before its first use; after a build, those that its steps wrote to are packed
//! for whoever sends them. Their content never counts for a result, so whose copy is newer does not matter.

use std::path::Path;

use super::cache_mount::take_slot;
use super::depot::{overlay_and_ownership, unpack_options};
use super::key::{Facts, Key};
use super::layer::Layer;
use super::solver::Solver;
use super::transport::{BlobReader, Recipe, StoreLayerError, blocking, store_layer};
use crate::dockerfile::mount::CacheSharing;
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::layer::{
    DiffError, DiffOptions, Encoding, Expected, LayerFormat, Tree, WriteError, WriterOptions, unpack, write_upper,
};
use crate::shared::StepLayer;

/// Under what a cache is shared.
fn key(id: &str) -> Key {
    let mut facts = Facts::of("cache mount");
    facts.text("id", id);
    facts.finish()
}

impl Solver<'_> {
    /// Fills `directory`, which is empty, with what another place has of a cache; says whether there was any.
    pub(super) async fn import_mount(&self, id: &str, directory: &Path) -> Result<bool, BuildError> {
        if !self.request.mounts.import {
            return Ok(false);
        }
        let Some(layer) = self.shared(key(id)).await else { return Ok(false) };
        let compression = super::compression(&layer)?;
        let blob = self.depot.fetch(&layer, None).await?;
        let reader = BlobReader::open(self.depot.blobs(), &blob).await?;
        let expected = Expected { digest: None, size: Some(blob.size), diff_id: Some(layer.diff_id) };
        let (dest, digest) = (directory.to_owned(), blob.digest);
        let unpacked = blocking(move || unpack(reader, compression, expected, &dest, unpack_options())).await;
        unpacked.map_err(|source| super::LayerFault::Unpack { digest, source })?;
        Ok(true)
    }

    /// The caches that steps of this build wrote to, as layers of the store; and what could not be packed.
    pub(crate) async fn pack_mounts(&self) -> Result<(Vec<StepLayer>, Vec<Diagnostic>), BuildError> {
        let used = std::mem::take(&mut *self.used_mounts());
        let (mut packed, mut missed) = (Vec::new(), Vec::new());
        for (id, span) in used {
            match self.pack(&id, span).await? {
                Ok(layer) => packed.extend(layer),
                Err(diagnostic) => missed.push(diagnostic),
            }
        }
        Ok((packed, missed))
    }

    async fn pack(&self, id: &str, span: Span) -> Result<Result<Vec<StepLayer>, Diagnostic>, BuildError> {
        // Whoever has it to himself finishes first.
        let taken = take_slot(&self.depot.cache().mount(id), CacheSharing::Shared).await;
        let (lock, slot) = taken.map_err(|source| BuildError::io(format!("open the cache `{id}`"), source))?;
        let (overlay, ownership) = overlay_and_ownership();
        let diff = DiffOptions { overlay, ownership, ignore: Vec::new() };
        let options = WriterOptions::new(Encoding::new(LayerFormat::Zstd, None));
        let _memory = self.memory_for(&options).await?;
        let stored = store_layer(self.depot.blobs(), Recipe { options, earlier: None, tap: None }, move |writer| {
            write_upper(&slot.join("data"), &Tree::new(), &diff, writer).map_err(Unpacked)
        });
        let stored = stored.await;
        drop(lock);
        match stored {
            Ok(stored) => {
                stored.blob.commit().await?;
                let diff_id = stored.digests.diff_id;
                let keys = vec![key(id)];
                let layer =
                    Layer { descriptor: stored.descriptor, diff_id, keys, created: Some(self.clock()), source: None };
                Ok(Ok(layer.shared()))
            }
            Err(StoreLayerError::Store(error)) => Err(error.into()),
            Err(StoreLayerError::Fill(Unpacked(error))) => {
                let title = format!("the cache `{id}` is not shared this time");
                Ok(Err(Diagnostic::warning(title, span).note(error.to_string())))
            }
        }
    }
}

/// Why a directory cannot be packed.
struct Unpacked(DiffError);

impl From<WriteError> for Unpacked {
    fn from(error: WriteError) -> Self {
        Self(DiffError::Write(error))
    }
}
