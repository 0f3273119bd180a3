//! Copying an image from any source to any sink: blobs in parallel, then manifests, children before parents, the tag
//! last. What the sink has is not moved again.

use async_trait::async_trait;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wharf_spec::{Descriptor, Platform, RawManifest, Tag};

use super::plan::{Plan, Route, plan};
use super::verify::skip_bytes;
use super::{BlobBody, ByteStream, Events, ImageSink, ImageSource, Result, Target, TransferEvent, verified};

/// Which images of an index are copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Platforms {
    /// The index as it is, with everything in it.
    #[default]
    All,
    /// Only these. For one platform the tag then points at its image; for several, at a smaller index with a digest of
    /// its own. A target that is no index is copied as it is.
    Only(Vec<Platform>),
}

/// How to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOptions {
    /// Which images of an index.
    pub platforms: Platforms,
    /// Whether signatures, SBOMs and other manifests that refer to what is copied come along.
    pub referrers: bool,
    /// How many blobs at once.
    pub jobs: usize,
}

impl Default for CopyOptions {
    fn default() -> Self {
        Self { platforms: Platforms::All, referrers: false, jobs: 4 }
    }
}

/// What a copy did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyReport {
    /// What the target resolved to at the source.
    pub source: Descriptor,
    /// What the tag points at in the sink; differs from `source` when platforms were chosen.
    pub root: Descriptor,
    /// Manifests that were put because the sink lacked them.
    pub manifests: usize,
    /// Blobs whose bytes were moved.
    pub copied: usize,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Blobs that the sink took from another of its repositories.
    pub mounted: usize,
    /// Blobs that the sink had.
    pub existing: usize,
}

/// Copies what `target` names at `source` to `sink`, and points `tag` at it when there is one.
///
/// On an error nothing that was there before is harmed: the tag is moved last, by one call.
pub async fn copy(
    (source, target): (&dyn ImageSource, &Target),
    (sink, tag): (&dyn ImageSink, Option<&Tag>),
    options: &CopyOptions,
    events: &Events,
) -> Result<CopyReport> {
    let route = Route { source, sink, options, events };
    let Plan { source: resolved, root, manifests, blobs } = plan(&route, target).await?;
    events(TransferEvent::Planned {
        manifests: manifests.len(),
        blobs: blobs.len(),
        bytes: blobs.iter().map(|blob| blob.size).sum(),
    });
    let mut report = CopyReport {
        source: resolved,
        root: root.descriptor(),
        manifests: manifests.len(),
        copied: 0,
        copied_bytes: 0,
        mounted: 0,
        existing: 0,
    };
    let route = &route;
    let mut outcomes = stream::iter(blobs)
        .map(|blob| async move { move_blob(route, &blob).await.map(|outcome| (blob, outcome)) })
        .buffer_unordered(options.jobs.max(1))
        .boxed();
    while let Some((blob, outcome)) = outcomes.try_next().await? {
        report.count(&blob, outcome);
    }
    put_manifests(route, &manifests, &root, tag).await?;
    Ok(report)
}

/// How a blob came to be in the sink.
#[derive(Clone, Copy)]
enum Outcome {
    Copied,
    Mounted,
    Existing,
    Skipped,
}

impl CopyReport {
    fn count(&mut self, blob: &Descriptor, outcome: Outcome) {
        match outcome {
            Outcome::Copied => {
                self.copied += 1;
                self.copied_bytes += blob.size;
            }
            Outcome::Mounted => self.mounted += 1,
            Outcome::Existing => self.existing += 1,
            Outcome::Skipped => {}
        }
    }
}

/// Layers that must not be passed on stay where their `urls` say, as every client leaves them.
fn stays_away(blob: &Descriptor) -> bool {
    let media_type = blob.media_type.as_str();
    !blob.urls.is_empty() && (media_type.contains(".nondistributable.") || media_type.contains(".foreign."))
}

async fn move_blob(route: &Route<'_>, blob: &Descriptor) -> Result<Outcome> {
    let Route { source, sink, events, .. } = route;
    if stays_away(blob) {
        events(TransferEvent::BlobSkipped(blob.clone()));
        return Ok(Outcome::Skipped);
    }
    if sink.has_blob(blob).await? {
        events(TransferEvent::BlobExists(blob.clone()));
        return Ok(Outcome::Existing);
    }
    for origin in std::iter::once(source.origin()).chain(source.elsewhere(&blob.digest)) {
        if sink.mount(blob, &origin).await? {
            events(TransferEvent::BlobMounted { descriptor: blob.clone(), from: origin });
            return Ok(Outcome::Mounted);
        }
    }
    events(TransferEvent::BlobStarted(blob.clone()));
    sink.put_blob(blob, &SourceBody { source: *source, blob, events }).await?;
    events(TransferEvent::BlobDone(blob.clone()));
    Ok(Outcome::Copied)
}

/// A blob of a source, read again whenever a retry needs it.
struct SourceBody<'a> {
    source: &'a dyn ImageSource,
    blob: &'a Descriptor,
    events: &'a Events,
}

#[async_trait]
impl BlobBody for SourceBody<'_> {
    async fn open(&self, offset: u64) -> Result<ByteStream> {
        // Read from the start even when only the end is wanted: the whole is what has a digest.
        let bytes = verified(self.blob, self.source.origin(), self.source.blob(self.blob).await?);
        let (events, digest, mut done) = (self.events.clone(), self.blob.digest, offset);
        let count = move |piece: &bytes::Bytes| {
            done += piece.len() as u64;
            events(TransferEvent::BlobProgress { digest, done });
        };
        Ok(skip_bytes(bytes, offset).inspect_ok(count).boxed())
    }
}

/// Puts the manifests in their order, and the root with its tag last.
async fn put_manifests(
    route: &Route<'_>,
    manifests: &[RawManifest],
    root: &RawManifest,
    tag: Option<&Tag>,
) -> Result<()> {
    for manifest in manifests {
        // With a tag the root comes last, so that whoever sees the tag finds what refers to it, too.
        if tag.is_none() || manifest.digest() != root.digest() {
            put_manifest(route, manifest, None).await?;
        }
    }
    match tag {
        Some(tag) => put_manifest(route, root, Some(tag)).await,
        None => Ok(()),
    }
}

async fn put_manifest(route: &Route<'_>, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
    route.sink.put_manifest(manifest, tag).await?;
    (route.events)(TransferEvent::ManifestDone { descriptor: manifest.descriptor(), tag: tag.cloned() });
    Ok(())
}
