//! A repository of this store as a place images are copied from and to.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_client::transfer::{
    BlobBody, ByteStream, Error as TransferError, ImageSink, ImageSource, Origin, Result as TransferResult, Target,
};
use wharf_spec::{Descriptor, Digest, RawManifest, RepositoryName, Tag};

use super::{Error, Repositories};

/// A repository of the store.
#[derive(Clone, Debug)]
pub struct LocalRepository {
    repositories: Repositories,
    name: RepositoryName,
    by: Arc<str>,
}

impl LocalRepository {
    /// The repository `name`; `by` is written into the history of tags.
    pub fn new(repositories: Repositories, name: RepositoryName, by: &str) -> Self {
        Self { repositories, name, by: by.into() }
    }

    fn origin(&self) -> Origin {
        Origin::Store { repository: self.name.clone() }
    }

    fn failed(&self, error: Error) -> TransferError {
        TransferError::place(self.origin(), error)
    }
}

#[async_trait]
impl ImageSource for LocalRepository {
    async fn manifest(&self, target: &Target) -> TransferResult<RawManifest> {
        let stored = match target {
            Target::Tag(tag) => self.repositories.manifest_by_tag(&self.name, tag).await,
            Target::Digest(digest) => self.repositories.manifest(&self.name, digest).await,
        };
        let stored = stored.map_err(|error| match error {
            Error::UnknownManifest { .. } | Error::UnknownRepository(_) => {
                TransferError::ManifestNotFound { origin: self.origin(), target: target.clone() }
            }
            other => self.failed(other),
        })?;
        RawManifest::parse(stored.bytes.to_vec(), Some(&stored.media_type), stored.digest.algorithm())
            .map_err(|problem| TransferError::BadManifest { origin: self.origin(), target: target.clone(), problem })
    }

    async fn blob(&self, descriptor: &Descriptor) -> TransferResult<ByteStream> {
        let blob = self.repositories.blob(&self.name, &descriptor.digest).await.map_err(|error| match error {
            Error::UnknownBlob { digest, .. } => TransferError::BlobNotFound { origin: self.origin(), digest },
            other => self.failed(other),
        })?;
        let bytes =
            self.repositories.blobs.read(&blob, 0..blob.size).await.map_err(|error| self.failed(error.into()))?;
        let place = self.clone();
        Ok(bytes.map_err(move |error| place.failed(error.into())).boxed())
    }

    async fn referrers(&self, digest: &Digest) -> TransferResult<Vec<Descriptor>> {
        let (mut found, mut last) = (Vec::new(), None);
        loop {
            let page = self.repositories.referrers(&self.name, digest, None, last.as_ref()).await;
            let page = page.map_err(|error| self.failed(error))?;
            found.extend(page.referrers);
            match page.next {
                Some(next) => last = Some(next),
                None => return Ok(found),
            }
        }
    }

    fn origin(&self) -> Origin {
        self.origin()
    }
}

#[async_trait]
impl ImageSink for LocalRepository {
    async fn has_blob(&self, descriptor: &Descriptor) -> TransferResult<bool> {
        match self.repositories.blob(&self.name, &descriptor.digest).await {
            Ok(blob) => Ok(blob.is_live()),
            Err(Error::UnknownBlob { .. }) => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }

    async fn mount(&self, descriptor: &Descriptor, _origin: &Origin) -> TransferResult<bool> {
        // Whoever has the store open may read all of it, so any live blob of the store will do.
        let blob = self.repositories.blobs.find(&descriptor.digest).await.map_err(|error| self.failed(error.into()))?;
        let live = blob.is_some_and(|blob| blob.is_live());
        if live {
            self.repositories.link_blob(&self.name, &descriptor.digest).await.map_err(|error| self.failed(error))?;
        }
        Ok(live)
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> TransferResult<()> {
        let mut bytes = body.open(0).await?;
        let store = |error: wharf_blobstore::Error| self.failed(error.into());
        let mut upload = self.repositories.blobs.upload(descriptor.digest.algorithm()).await.map_err(store)?;
        while let Some(piece) = bytes.try_next().await? {
            upload.write(piece).await.map_err(store)?;
        }
        upload.commit(Some(descriptor.digest)).await.map_err(store)?;
        self.repositories.link_blob(&self.name, &descriptor.digest).await.map_err(|error| self.failed(error))
    }

    async fn has_manifest(&self, digest: &Digest) -> TransferResult<bool> {
        self.repositories.confirm_manifest(&self.name, digest).await.map_err(|error| self.failed(error))
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> TransferResult<()> {
        let pushed = self.repositories.put_manifest(
            &self.name,
            manifest,
            tag.map(std::slice::from_ref).unwrap_or_default(),
            &self.by,
        );
        pushed.await.map(|_| ()).map_err(|error| self.failed(error))
    }

    fn destination(&self) -> Origin {
        self.origin()
    }
}
