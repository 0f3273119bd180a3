//! A repository at a flat place: manifests by tag are entries, everything else is a blob.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use wharf_spec::{Algorithm, Descriptor, Digest, MediaType, RawManifest, Tag};

use super::{FlatName, FlatPlace};
use crate::transfer::{
    BlobBody, ByteStream, Error, ImageSink, ImageSource, MAX_MANIFEST, Origin, Result, Target, parse_manifest,
};

/// What everybody who has no configuration writes as one: it need not be kept.
const EMPTY: &[u8] = b"{}";

/// A repository at a flat place. Clones are the same repository.
#[derive(Clone, Debug)]
pub struct FlatRepository {
    place: Arc<dyn FlatPlace>,
}

impl FlatRepository {
    /// The repository at this place.
    pub fn new(place: impl FlatPlace + 'static) -> Self {
        Self { place: Arc::new(place) }
    }

    /// Whether a tag's entry is there and has this length; one that was put and is removed when it is old becomes young.
    pub async fn has_entry(&self, tag: &Tag, manifest: &RawManifest) -> Result<bool> {
        self.place.has(&FlatName::Entry(tag.clone()), manifest.bytes().len() as u64).await
    }

    fn is_empty_config(descriptor: &Descriptor) -> bool {
        descriptor.media_type.as_str() == MediaType::OCI_EMPTY && descriptor.digest == Digest::sha256(EMPTY)
    }

    /// A manifest's bytes, no longer than one may be.
    async fn small(&self, name: &FlatName, target: &Target) -> Result<Vec<u8>> {
        let not_found = || Error::ManifestNotFound { origin: self.origin(), target: target.clone() };
        let mut stream = self.place.read(name).await?.ok_or_else(not_found)?;
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.try_next().await? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > MAX_MANIFEST {
                return Err(Error::HugeManifest { origin: self.origin(), target: target.clone() });
            }
        }
        Ok(bytes.into())
    }
}

#[async_trait]
impl ImageSource for FlatRepository {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        match target {
            Target::Tag(tag) => {
                let bytes = self.small(&FlatName::Entry(tag.clone()), target).await?;
                let bad = |problem| Error::BadManifest { origin: self.origin(), target: target.clone(), problem };
                RawManifest::parse(bytes, None, Algorithm::Sha256).map_err(bad)
            }
            Target::Digest(digest) => {
                let bytes = self.small(&FlatName::Blob(*digest), target).await?;
                parse_manifest(bytes, &Descriptor::new("", *digest, 0), target, &self.origin())
            }
        }
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        if Self::is_empty_config(descriptor) {
            return Bytes::from_static(EMPTY).open(0).await;
        }
        let found = self.place.read(&FlatName::Blob(descriptor.digest)).await?;
        found.ok_or_else(|| Error::no_blob(self.origin(), descriptor))
    }

    async fn referrers(&self, _digest: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::Place(self.place.place())
    }
}

#[async_trait]
impl ImageSink for FlatRepository {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        if Self::is_empty_config(descriptor) {
            return Ok(true);
        }
        self.place.has(&FlatName::Blob(descriptor.digest), descriptor.size).await
    }

    async fn mount(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        self.place.write(&FlatName::Blob(descriptor.digest), descriptor.size, body).await
    }

    /// Not worth a request: manifests are small, and written whenever they are to be there.
    async fn has_manifest(&self, _digest: &Digest) -> Result<bool> {
        Ok(false)
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let name = match tag {
            Some(tag) => FlatName::Entry(tag.clone()),
            None => FlatName::Blob(manifest.digest()),
        };
        let bytes = Bytes::copy_from_slice(manifest.bytes());
        self.place.write(&name, bytes.len() as u64, &bytes).await
    }

    fn destination(&self) -> Origin {
        self.origin()
    }
}
