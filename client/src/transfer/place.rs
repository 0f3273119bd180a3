//! The two traits that a place implements.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use wharf_spec::{Descriptor, Digest, RawManifest, Tag};

use super::{Origin, Result, Target};

/// A blob's bytes as they arrive. An error ends the stream.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A place images are read from: one repository, one layout, one archive.
#[async_trait]
pub trait ImageSource: Send + Sync {
    /// The manifest or index `target` names; its bytes have been checked against the digest asked for.
    /// [`super::Error::ManifestNotFound`] when there is none.
    async fn manifest(&self, target: &Target) -> Result<RawManifest>;

    /// The bytes of a blob, streamed. They need not have been checked: [`copy`](super::copy) passes every stream through
    /// [`verified`](super::verified), and whoever reads a blob himself does the same.
    /// [`super::Error::BlobNotFound`] when there is none.
    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream>;

    /// Descriptors of the manifests whose `subject` is `digest`; none where the place has no such notion.
    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>>;

    /// Where this is.
    fn origin(&self) -> Origin;

    /// Where else the blob is known to be, for sinks that need not be sent what is near them.
    fn elsewhere(&self, _digest: &Digest) -> Vec<Origin> {
        Vec::new()
    }
}

/// A place images are written to.
///
/// Blobs come before the manifests that name them, children before the index that lists them. Blobs are put in parallel.
#[async_trait]
pub trait ImageSink: Send + Sync {
    /// Whether the blob is there and can be relied on by the next manifest.
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool>;

    /// Makes a blob of `origin` readable here without moving its bytes. `false` when that cannot be done: the bytes
    /// are then put. Never an error because `origin` is elsewhere or may not be read.
    async fn mount(&self, descriptor: &Descriptor, origin: &Origin) -> Result<bool>;

    /// Stores a blob. The bytes are checked against the descriptor's digest before anybody can see them.
    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()>;

    /// Whether the manifest is there, with everything it needs.
    async fn has_manifest(&self, digest: &Digest) -> Result<bool>;

    /// Stores a manifest whose blobs and children have been put, and points `tag` at it when there is one.
    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()>;

    /// Where this is.
    fn destination(&self) -> Origin;
}

/// A blob's bytes, as often as they are needed: a retry opens them again.
#[async_trait]
pub trait BlobBody: Send + Sync {
    /// The bytes from `offset` to the end. The stream fails when the whole does not have the promised digest and size,
    /// before it yields the last piece.
    async fn open(&self, offset: u64) -> Result<ByteStream>;
}

/// Bytes in memory.
#[async_trait]
impl BlobBody for Bytes {
    async fn open(&self, offset: u64) -> Result<ByteStream> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let rest = self.slice_ref(rest);
        Ok(futures_util::stream::once(std::future::ready(Ok(rest))).boxed())
    }
}
