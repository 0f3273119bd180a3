//! Making what was built visible: in the store, under its names, and elsewhere, without a name.

use std::collections::BTreeMap;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wharf_client::transfer::{ByteStream, Error, ImageSource, Origin, Result as TransferResult, Target};
use wharf_registry::repo::Repositories;
use wharf_spec::{Descriptor, Digest, RawManifest, Reference, Tag};

use crate::built::Built;
use crate::failure::Failure;
use crate::images::{BY, destination};
use crate::stores::OpenStore;

/// Blobs that are linked at once: the engine writes their records together.
const LINKED_AT_ONCE: usize = 16;

/// Publishes an image whose blobs are in the store under `name`: nothing is copied.
pub async fn publish(store: &OpenStore, image: &RawManifest, name: &Reference) -> Result<(), Failure> {
    put(store, image, name, name.tag_or_latest().as_slice()).await
}

/// The same for what may be an index: what it lists comes first.
pub async fn publish_built(store: &OpenStore, built: &Built, name: &Reference) -> Result<(), Failure> {
    for child in &built.children {
        put(store, child, name, &[]).await?;
    }
    publish(store, &built.root, name).await
}

async fn put(store: &OpenStore, manifest: &RawManifest, name: &Reference, tags: &[Tag]) -> Result<(), Failure> {
    let failed = |error: wharf_registry::repo::Error| Failure::new(format!("could not publish {name}")).because(error);
    let repository = destination(name)?;
    let links = manifest.blobs().into_iter().map(|blob| store.repositories.link_blob(&repository, &blob.digest));
    stream::iter(links).buffer_unordered(LINKED_AT_ONCE).try_collect::<()>().await.map_err(failed)?;
    store.repositories.put_manifest(&repository, manifest, tags, BY).await.map_err(failed)?;
    Ok(())
}

/// A manifest whose blobs are in the store, as a source for copies, whether or not it has a name.
pub struct Made {
    repositories: Repositories,
    image: RawManifest,
    /// What it lists, when it is an index.
    children: Vec<RawManifest>,
}

impl Made {
    /// The image or artifact with this manifest.
    pub fn new(store: &OpenStore, image: RawManifest) -> Self {
        Self { repositories: store.repositories.clone(), image, children: Vec::new() }
    }

    /// What a build made.
    pub fn of(store: &OpenStore, built: &Built) -> Self {
        Self { children: built.children.clone(), ..Self::new(store, built.root.clone()) }
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.image.digest()
    }

    /// What to ask this source for.
    pub fn target(&self) -> Target {
        Target::Digest(self.image.digest())
    }
}

/// A source that knows which repositories its bases came from: a registry that has them is not sent their layers.
pub struct Based<S> {
    source: S,
    homes: BTreeMap<Digest, Vec<Origin>>,
}

impl<S> Based<S> {
    /// Of what was built.
    pub fn new(source: S, built: &Built) -> Self {
        let mut homes: BTreeMap<Digest, Vec<Origin>> = BTreeMap::new();
        for base in built.parts.iter().flat_map(|part| &part.result.bases) {
            let Ok(Reference { host: Some(host), repository, .. }) = base.name.parse() else { continue };
            let home = Origin::Registry { host, repository };
            for layer in &base.layers {
                let homes = homes.entry(*layer).or_default();
                if !homes.contains(&home) {
                    homes.push(home.clone());
                }
            }
        }
        Self { source, homes }
    }
}

#[async_trait]
impl<S: ImageSource> ImageSource for Based<S> {
    async fn manifest(&self, target: &Target) -> TransferResult<RawManifest> {
        self.source.manifest(target).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> TransferResult<ByteStream> {
        self.source.blob(descriptor).await
    }

    async fn referrers(&self, digest: &Digest) -> TransferResult<Vec<Descriptor>> {
        self.source.referrers(digest).await
    }

    fn origin(&self) -> Origin {
        self.source.origin()
    }

    fn elsewhere(&self, digest: &Digest) -> Vec<Origin> {
        self.homes.get(digest).cloned().unwrap_or_default()
    }
}

#[async_trait]
impl ImageSource for Made {
    async fn manifest(&self, target: &Target) -> TransferResult<RawManifest> {
        let all = std::iter::once(&self.image).chain(&self.children);
        let found = all.into_iter().find(|manifest| Target::Digest(manifest.digest()) == *target);
        found.cloned().ok_or_else(|| Error::ManifestNotFound { origin: self.origin(), target: target.clone() })
    }

    async fn blob(&self, descriptor: &Descriptor) -> TransferResult<ByteStream> {
        let blobs = self.repositories.store().blobs();
        let blob = blobs.find(&descriptor.digest).await?.ok_or_else(|| Error::no_blob(self.origin(), descriptor))?;
        Ok(blobs.read(&blob, 0..blob.size).await?.map_err(Error::from).boxed())
    }

    async fn referrers(&self, _digest: &Digest) -> TransferResult<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Stream
    }
}
