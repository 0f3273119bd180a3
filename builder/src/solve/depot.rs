//! Layers' bytes, in whichever form a step needs them: as a blob in the store, as an index, unpacked for an overlay, or
//! single files. Each form is made on first need and once, however many ask.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;
use futures_util::future::try_join_all;
use wharf_blobstore::{Blob, BlobStore};
use wharf_client::transfer::verified;
use wharf_spec::{Compression, Digest, MediaKind};

use super::cache_dir::CacheDir;
use super::layer::{Layer, Stack};
use super::report::Reporter;
use super::settling::Settling;
use super::together::Together;
use super::transport::{BlobReader, blocking};
use crate::error::BuildError;
use crate::event::StepId;
use crate::layer::{
    Expected, LayerIndex, LayerPath, OverlayXattr, Ownership, TarError, TarLimits, Tree, UnpackError, UnpackOptions,
    adopt_parents, unpack,
};
use crate::sandbox::Tier;

/// Layers' bytes. Cloning is cheap.
#[derive(Clone)]
pub(crate) struct Depot {
    inner: Arc<Inner>,
}

struct Inner {
    blobs: BlobStore,
    cache: Arc<CacheDir>,
    reporter: Arc<Reporter>,
    together: Together,
    indexes: Mutex<HashMap<Digest, Arc<LayerIndex>>>,
    trees: Mutex<HashMap<Digest, Arc<Tree>>>,
    /// Layers that the cache knows to be in use.
    used: Mutex<HashSet<Digest>>,
    settling: Settling,
}

/// Why a layer is not what its image says.
#[derive(Debug, thiserror::Error)]
pub enum LayerFault {
    /// Its blob is nowhere: neither in the store nor at a registry.
    #[error("the layer {digest} is gone from the store")]
    Gone {
        /// The blob.
        digest: Digest,
    },
    /// Its type is none that can be unpacked.
    #[error("the layer {digest} is of type {media_type}, which cannot be unpacked")]
    Type {
        /// The blob.
        digest: Digest,
        /// Its media type.
        media_type: String,
    },
    /// It is damaged, or not what the configuration lists.
    #[error("the layer {digest} cannot be read")]
    Damaged {
        /// The blob.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: TarError,
    },
    /// It is another one than the configuration lists.
    #[error("the layer {digest} does not hold what the image's configuration says")]
    WrongContent {
        /// The blob.
        digest: Digest,
    },
    /// It cannot be unpacked.
    #[error("the layer {digest} cannot be unpacked")]
    Unpack {
        /// The blob.
        digest: Digest,
        /// Why.
        #[source]
        source: UnpackError,
    },
}

impl Depot {
    pub(crate) fn new(blobs: BlobStore, cache: Arc<CacheDir>, reporter: Arc<Reporter>, together: Together) -> Self {
        let (indexes, trees) = (Mutex::default(), Mutex::default());
        let (used, settling) = (Mutex::default(), Settling::default());
        Self { inner: Arc::new(Inner { blobs, cache, reporter, together, indexes, trees, used, settling }) }
    }

    pub(crate) fn blobs(&self) -> &BlobStore {
        &self.inner.blobs
    }

    pub(crate) fn cache(&self) -> &Arc<CacheDir> {
        &self.inner.cache
    }

    /// Layers on their way into the store.
    pub(super) fn settling(&self) -> &Settling {
        &self.inner.settling
    }

    /// Whether every layer can be had: live in the store, or at a registry. What is in the store stays there for a while then.
    pub(crate) async fn has(&self, stack: &Stack) -> Result<bool, BuildError> {
        let local = stack.layers().iter().filter(|layer| layer.source.is_none()).map(|layer| layer.descriptor.digest);
        let local: Vec<Digest> = local.filter(|digest| !self.inner.settling.knows(digest)).collect();
        Ok(self.inner.blobs.rely_on(&local).await?)
    }

    /// The layer's blob, fetched if the store does not have it. `step` is who needs it.
    pub(crate) async fn fetch(&self, layer: &Layer, step: Option<StepId>) -> Result<Blob, BuildError> {
        let digest = layer.descriptor.digest;
        let _turn = self.inner.together.fetches.lock(digest).await;
        self.inner.settling.wait(&digest).await;
        if let Some(blob) = self.inner.blobs.find(&digest).await?.filter(Blob::is_live) {
            return Ok(blob);
        }
        let Some(source) = &layer.source else { return Err(LayerFault::Gone { digest }.into()) };
        let stream = source.blob(&layer.descriptor).await?;
        let mut stream = verified(&layer.descriptor, source.origin(), stream);
        let mut upload = self.inner.blobs.upload(digest.algorithm()).await?;
        self.inner.reporter.fetching(step, &layer.descriptor, 0);
        while let Some(piece) = stream.try_next().await? {
            upload.write(piece).await?;
            self.inner.reporter.fetching(step, &layer.descriptor, upload.size());
        }
        Ok(upload.commit(Some(digest)).await?)
    }

    /// Makes every layer's blob live in the store.
    pub(crate) async fn fetch_all(&self, stack: &Stack) -> Result<(), BuildError> {
        try_join_all(stack.layers().iter().map(|layer| self.fetch(layer, None))).await?;
        Ok(())
    }

    /// What the layer holds.
    pub(crate) async fn index(&self, layer: &Layer, step: Option<StepId>) -> Result<Arc<LayerIndex>, BuildError> {
        let diff_id = layer.diff_id;
        let _turn = self.inner.together.unpacks.lock(diff_id).await;
        if let Some(index) = lock(&self.inner.indexes).get(&diff_id) {
            return Ok(Arc::clone(index));
        }
        let path = self.inner.cache.index(&diff_id);
        // A damaged file, or one of another version, is as good as none.
        let stored = blocking(move || LayerIndex::decode(&fs::read(path).ok()?).ok()).await;
        let index = match stored {
            Some(index) => index,
            None => self.read_index(layer, step).await?,
        };
        Ok(self.know(diff_id, index))
    }

    async fn read_index(&self, layer: &Layer, step: Option<StepId>) -> Result<LayerIndex, BuildError> {
        let compression = compression(layer)?;
        let blob = self.fetch(layer, step).await?;
        let reader = BlobReader::open(&self.inner.blobs, &blob).await?;
        let digest = blob.digest;
        let read = blocking(move || LayerIndex::from_tar(reader, compression, TarLimits::default())).await;
        let (diff_id, index) = read.map_err(|source| LayerFault::Damaged { digest, source })?;
        if diff_id != layer.diff_id {
            return Err(LayerFault::WrongContent { digest }.into());
        }
        self.keep_index(diff_id, &index)?;
        Ok(index)
    }

    fn keep_index(&self, diff_id: Digest, index: &LayerIndex) -> Result<(), BuildError> {
        let path = self.inner.cache.index(&diff_id);
        let written = self.inner.cache.write(&path, &index.encode());
        written.map_err(|source| BuildError::io(format!("write {}", path.display()), source))
    }

    fn know(&self, diff_id: Digest, index: LayerIndex) -> Arc<LayerIndex> {
        let index = Arc::new(index);
        lock(&self.inner.indexes).insert(diff_id, Arc::clone(&index));
        index
    }

    /// Takes in the index of a layer that was just made.
    pub(crate) fn learn(&self, diff_id: Digest, index: LayerIndex) -> Result<(), BuildError> {
        self.keep_index(diff_id, &index)?;
        self.know(diff_id, index);
        Ok(())
    }

    /// What a stack looks like.
    pub(crate) async fn tree(&self, stack: &Stack, step: Option<StepId>) -> Result<Arc<Tree>, BuildError> {
        let mut tree = Arc::new(Tree::new());
        for (at, layer) in stack.layers().iter().enumerate() {
            let identity = stack.lowest(at + 1).identity();
            if let Some(known) = lock(&self.inner.trees).get(&identity) {
                tree = Arc::clone(known);
                continue;
            }
            let index = self.index(layer, step).await?;
            let below = Arc::clone(&tree);
            tree = blocking(move || {
                let mut tree = Tree::clone(&below);
                tree.push(&index);
                Arc::new(tree)
            })
            .await;
            lock(&self.inner.trees).insert(identity, Arc::clone(&tree));
        }
        Ok(tree)
    }

    /// The directories that an overlay is made of, lowest first.
    pub(crate) async fn unpacked(&self, stack: &Stack, step: Option<StepId>) -> Result<Vec<PathBuf>, BuildError> {
        // An overlay cannot say that a layer hides everything below it: what is hidden is left out.
        let mut first = 0;
        for (at, layer) in stack.layers().iter().enumerate() {
            if self.index_if_known(layer).is_some_and(|index| index.hides_everything_below()) {
                first = at;
            }
        }
        for layer in stack.layers() {
            if lock(&self.inner.used).insert(layer.diff_id) {
                self.inner.cache.used(&layer.diff_id);
            }
        }
        let layers = stack.layers().iter().enumerate().skip(first);
        let unpacked = try_join_all(layers.map(|(at, layer)| self.unpack_layer(layer, stack.lowest(at), step))).await?;
        let hiding = unpacked.iter().rposition(|(_, hides)| *hides).unwrap_or(0);
        Ok(unpacked.into_iter().skip(hiding).map(|(path, _)| path).collect())
    }

    fn index_if_known(&self, layer: &Layer) -> Option<Arc<LayerIndex>> {
        lock(&self.inner.indexes).get(&layer.diff_id).cloned()
    }

    /// Where a layer is unpacked already, if it is.
    pub(crate) fn where_unpacked(&self, layer: &Layer, below: &Stack) -> Option<PathBuf> {
        let cache = &self.inner.cache;
        let shared = cache.snapshot(&layer.diff_id);
        let own = || cache.snapshot_on(&layer.diff_id, &below.identity());
        if shared.is_dir() { Some(shared) } else { Some(own()).filter(|own| own.is_dir()) }
    }

    /// The directory of one layer, and whether it hides everything below it.
    async fn unpack_layer(
        &self,
        layer: &Layer,
        below: Stack,
        step: Option<StepId>,
    ) -> Result<(PathBuf, bool), BuildError> {
        if let Some(path) = self.where_unpacked(layer, &below) {
            let hides = self.index(layer, step).await?.hides_everything_below();
            return Ok((path, hides));
        }
        let compression = compression(layer)?;
        let blob = self.fetch(layer, step).await?;
        let turn = self.inner.together.unpacks.lock(layer.diff_id).await;
        if let Some(path) = self.where_unpacked(layer, &below) {
            drop(turn);
            let hides = self.index(layer, step).await?.hides_everything_below();
            return Ok((path, hides));
        }
        let reader = BlobReader::open(&self.inner.blobs, &blob).await?;
        let scratch = self.scratch("unpack")?;
        let (options, digest) = (unpack_options(), blob.digest);
        let expected = Expected { digest: None, size: Some(blob.size), diff_id: Some(layer.diff_id) };
        let dest = scratch.clone();
        let unpacked = blocking(move || unpack(reader, compression, expected, &dest, options)).await;
        let unpacked = unpacked.map_err(|source| LayerFault::Unpack { digest, source })?;
        self.keep_index(layer.diff_id, &unpacked.index)?;
        let index = self.know(layer.diff_id, unpacked.index);
        drop(turn);
        let place = if unpacked.implied.is_empty() {
            self.inner.cache.snapshot(&layer.diff_id)
        } else {
            let tree = Box::pin(self.tree(&below, step)).await?;
            adopt(scratch.clone(), unpacked.implied, tree, options.ownership)
                .await
                .map_err(|source| LayerFault::Unpack { digest, source })?;
            self.inner.cache.snapshot_on(&layer.diff_id, &below.identity())
        };
        self.settle(scratch, place.clone()).await?;
        Ok((place, index.hides_everything_below()))
    }

    /// Makes a finished upper directory the unpacked form of the layer that was made from it.
    pub(crate) async fn adopt_upper(&self, diff_id: Digest, upper: PathBuf) -> Result<(), BuildError> {
        self.settle(upper, self.inner.cache.snapshot(&diff_id)).await
    }

    async fn settle(&self, from: PathBuf, to: PathBuf) -> Result<(), BuildError> {
        let doing = format!("move a layer to {}", to.display());
        let cache = Arc::clone(&self.inner.cache);
        blocking(move || cache.settle(&from, &to)).await.map_err(|source| BuildError::io(doing, source))
    }

    /// The directory that all sandboxes of this build have in common.
    pub(crate) fn shared(&self) -> Result<PathBuf, BuildError> {
        self.inner.cache.shared().map_err(|source| BuildError::io("make a directory in the cache", source))
    }

    /// A new directory for this build alone.
    pub(crate) fn scratch(&self, what: &str) -> Result<PathBuf, BuildError> {
        self.inner.cache.scratch(what).map_err(|source| BuildError::io("make a directory in the cache", source))
    }
}

async fn adopt(
    directory: PathBuf,
    implied: Vec<LayerPath>,
    tree: Arc<Tree>,
    ownership: Ownership,
) -> Result<(), UnpackError> {
    blocking(move || adopt_parents(&directory, &implied, &tree, ownership)).await
}

/// How layers are unpacked by whoever this process is.
pub(crate) fn unpack_options() -> UnpackOptions {
    let (overlay, ownership) = overlay_and_ownership();
    UnpackOptions { overlay, ownership, limits: TarLimits::default() }
}

/// How an overlay marks things, and whether files can belong to others, for whoever this process is.
pub(crate) fn overlay_and_ownership() -> (OverlayXattr, Ownership) {
    match Tier::current() {
        Tier::Root => (OverlayXattr::Trusted, Ownership::Real),
        Tier::UserNamespaceSubuid => (OverlayXattr::User, Ownership::Real),
        Tier::UserNamespaceSingle | Tier::None { .. } => (OverlayXattr::User, Ownership::Squashed),
    }
}

pub(crate) fn compression(layer: &Layer) -> Result<Compression, LayerFault> {
    match layer.descriptor.media_type.kind() {
        MediaKind::Layer(compression) => Ok(compression),
        MediaKind::Manifest | MediaKind::Index | MediaKind::Config | MediaKind::Unknown => Err(LayerFault::Type {
            digest: layer.descriptor.digest,
            media_type: layer.descriptor.media_type.to_string(),
        }),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
