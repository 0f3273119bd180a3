//! `build --push` sends each new layer of the image while it is being made, or as soon as it is, while later steps run. The
//! push at the end then finds them there; what failed here is tried again by it, and told by it.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_util::task::AbortOnDropHandle;
use wharf_blobstore::BlobStore;
use wharf_builder::{MadeLayer, Taps};
use wharf_client::registry::RemoteRepository;
use wharf_client::transfer::{
    BlobBody, ByteStream, Error as TransferError, ImageSink as _, Origin, Result as TransferResult,
};
use wharf_spec::{Descriptor, Digest, Reference};

use crate::ahead::Ahead;
use crate::failure::Failure;
use crate::session::Session;
use crate::stores::OpenStore;

/// Layers that are sent at once, as many as a push sends.
const AT_ONCE: usize = 4;

/// A registry is asked whether it has a layer that is larger; to ask would cost as much as to send.
const SMALL: u64 = 64 << 10;

/// Sends layers until it is told that there are no more. (That nobody could name one any more would not do: a build's
/// result keeps whoever is told of its events.)
pub struct Eager {
    layers: UnboundedSender<Option<MadeLayer>>,
    ahead: Option<Ahead>,
    sending: AbortOnDropHandle<()>,
}

impl Eager {
    /// Begins to send to the registries of `tags`.
    pub fn start(session: &Session, store: &OpenStore, tags: &[Reference]) -> Result<Self, Failure> {
        let mut repositories: Vec<RemoteRepository> = Vec::new();
        for tag in tags.iter().filter(|tag| tag.host.is_some()) {
            let repository = session.remote(tag)?.repository;
            if !repositories.iter().any(|known| known.host() == repository.host() && known.name() == repository.name())
            {
                repositories.push(repository);
            }
        }
        let (layers, made) = unbounded_channel();
        let blobs = store.repositories.store().blobs();
        // Ahead of the others, who are given what is in the store then.
        let ahead = repositories.first().map(|first| Ahead::to(first.clone()));
        let sending = AbortOnDropHandle::new(tokio::spawn(send_all(made, blobs, repositories, ahead.clone())));
        Ok(Self { layers, ahead, sending })
    }

    /// Who sees layers while they are written.
    pub fn taps(&self) -> Option<Taps> {
        self.ahead.as_ref().map(Ahead::taps)
    }

    /// Where layers are named.
    pub fn layers(&self) -> UnboundedSender<Option<MadeLayer>> {
        self.layers.clone()
    }

    /// Waits until every layer that was named is sent or has failed.
    pub async fn finish(self) {
        let Self { layers, sending, .. } = self;
        let _ = layers.send(None);
        // A panic there is no reason to fail: the push sends everything itself.
        let _ = sending.await;
    }
}

async fn send_all(
    made: UnboundedReceiver<Option<MadeLayer>>,
    blobs: BlobStore,
    repositories: Vec<RemoteRepository>,
    ahead: Option<Ahead>,
) {
    let (blobs, repositories, ahead) = (&blobs, &repositories, ahead.as_ref());
    let made = stream::unfold(made, |mut made| async move { made.recv().await.flatten().map(|layer| (layer, made)) });
    made.for_each_concurrent(AT_ONCE, |MadeLayer { digest, size, in_image }| async move {
        if !in_image {
            return;
        }
        let layer = Descriptor::new("application/octet-stream", digest, size);
        if let Some(ahead) = ahead {
            ahead.wait(&digest).await;
        }
        for repository in repositories {
            if let Err(error) = send(&layer, blobs, repository).await {
                tracing::info!("layer {} was not sent ahead: {error}", digest.short());
            }
        }
    })
    .await;
}

async fn send(layer: &Descriptor, blobs: &BlobStore, repository: &RemoteRepository) -> TransferResult<()> {
    if repository.took_lately(&layer.digest) || layer.size > SMALL && repository.has_blob(layer).await? {
        return Ok(());
    }
    repository.put_blob(layer, &StoredBlob { blobs: blobs.clone(), digest: layer.digest }).await
}

/// A blob of the store, which checked it when it came in.
struct StoredBlob {
    blobs: BlobStore,
    digest: Digest,
}

#[async_trait]
impl BlobBody for StoredBlob {
    async fn open(&self, offset: u64) -> TransferResult<ByteStream> {
        let gone = || TransferError::BlobNotFound { origin: Origin::Stream, digest: self.digest };
        let blob = self.blobs.find(&self.digest).await?.ok_or_else(gone)?;
        Ok(self.blobs.read(&blob, offset..blob.size).await?.map_err(TransferError::from).boxed())
    }
}
