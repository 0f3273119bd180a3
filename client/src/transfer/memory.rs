//! A repository in memory, for tests of whatever copies images.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use wharf_spec::{Descriptor, Digest, RawManifest, RepositoryName, Tag};

use super::{BlobBody, ByteStream, Error, ImageSink, ImageSource, Origin, Result, Target, verified};

/// A repository in memory. Clones share what they hold.
#[derive(Clone, Debug)]
pub struct MemoryRepository {
    name: RepositoryName,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    blobs: HashMap<Digest, Bytes>,
    manifests: HashMap<Digest, RawManifest>,
    tags: HashMap<Tag, Digest>,
}

impl MemoryRepository {
    /// An empty repository.
    pub fn new(name: RepositoryName) -> Self {
        Self { name, held: Arc::default() }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a blob in and describes it.
    pub fn add_blob(&self, media_type: &str, bytes: impl Into<Bytes>) -> Descriptor {
        let bytes = bytes.into();
        let descriptor = Descriptor::new(media_type, Digest::sha256(&bytes), bytes.len() as u64);
        self.held().blobs.insert(descriptor.digest, bytes);
        descriptor
    }

    /// Puts a manifest in, whether or not what it names is there.
    pub fn add_manifest(&self, manifest: RawManifest, tag: Option<&Tag>) -> Descriptor {
        let descriptor = manifest.descriptor();
        let mut held = self.held();
        if let Some(tag) = tag {
            held.tags.insert(tag.clone(), descriptor.digest);
        }
        held.manifests.insert(descriptor.digest, manifest);
        descriptor
    }

    /// The bytes of a blob.
    pub fn blob_bytes(&self, digest: &Digest) -> Option<Bytes> {
        self.held().blobs.get(digest).cloned()
    }

    /// What a tag points at.
    pub fn tagged(&self, tag: &Tag) -> Option<Digest> {
        self.held().tags.get(tag).copied()
    }
}

#[async_trait]
impl ImageSource for MemoryRepository {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        let held = self.held();
        let digest = match target {
            Target::Tag(tag) => held.tags.get(tag).copied(),
            Target::Digest(digest) => Some(*digest),
        };
        let found = digest.and_then(|digest| held.manifests.get(&digest));
        found.cloned().ok_or_else(|| Error::ManifestNotFound { origin: self.origin(), target: target.clone() })
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        let found = self.blob_bytes(&descriptor.digest);
        found.ok_or_else(|| Error::no_blob(self.origin(), descriptor))?.open(0).await
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let refers = |manifest: &&RawManifest| manifest.subject().is_some_and(|subject| subject.digest == *digest);
        Ok(self.held().manifests.values().filter(refers).map(RawManifest::descriptor).collect())
    }

    fn origin(&self) -> Origin {
        Origin::Store { repository: self.name.clone() }
    }
}

#[async_trait]
impl ImageSink for MemoryRepository {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.held().blobs.contains_key(&descriptor.digest))
    }

    async fn mount(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        let bytes = verified(descriptor, self.destination(), body.open(0).await?);
        let bytes: BytesMut = bytes.try_collect().await?;
        self.held().blobs.insert(descriptor.digest, bytes.freeze());
        Ok(())
    }

    async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        Ok(self.held().manifests.contains_key(digest))
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let missing = {
            let held = self.held();
            let blob = manifest.blobs().into_iter().find(|blob| !held.blobs.contains_key(&blob.digest));
            let known = |child: &Descriptor| {
                held.manifests.contains_key(&child.digest) || held.blobs.contains_key(&child.digest)
            };
            blob.or_else(|| manifest.children().iter().find(|child| !known(child))).cloned()
        };
        if let Some(missing) = missing.filter(|missing| missing.urls.is_empty()) {
            return Err(Error::no_blob(self.destination(), &missing));
        }
        self.add_manifest(manifest.clone(), tag);
        Ok(())
    }

    fn destination(&self) -> Origin {
        self.origin()
    }
}
