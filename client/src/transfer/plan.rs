//! What a copy has to move: every manifest behind the root, children first, and every blob once.

use std::collections::HashSet;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use wharf_spec::{Descriptor, Digest, Index, ManifestView, MediaKind, RawManifest};

use super::platform::offered_platforms;
use super::{
    CopyOptions, Error, Events, ImageSink, ImageSource, Platforms, Result, Target, TransferEvent, choose_platform,
};

/// Indexes within indexes; two are common, more are not.
const MAX_DEPTH: usize = 8;

/// Manifests held in memory at once, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What is to be moved.
pub(super) struct Plan {
    /// What the target resolved to.
    pub(super) source: Descriptor,
    /// What the tag will point at.
    pub(super) root: RawManifest,
    /// Manifests the sink lacks, each after everything it names; the root only when the sink lacks it.
    pub(super) manifests: Vec<RawManifest>,
    /// Blobs of those manifests, each once, the largest first.
    pub(super) blobs: Vec<Descriptor>,
}

/// Reads what there is and asks the sink what it has.
pub(super) async fn plan(route: &Route<'_>, target: &Target) -> Result<Plan> {
    let resolved = route.source.manifest(target).await?;
    let source = resolved.descriptor();
    let root = select(route, resolved).await?;
    let mut walk = Walk { route, seen: HashSet::new(), held: 0, manifests: Vec::new(), blobs: Vec::new() };
    walk.visit(root.clone(), 0).await?;
    let Walk { manifests, mut blobs, .. } = walk;
    // The longest transfer starts first, so that it is not what everybody waits for at the end.
    blobs.sort_by_key(|blob| (std::cmp::Reverse(blob.size), blob.digest));
    Ok(Plan { source, root, manifests, blobs })
}

/// From where to where, and how.
pub(super) struct Route<'a> {
    pub(super) source: &'a dyn ImageSource,
    pub(super) sink: &'a dyn ImageSink,
    pub(super) options: &'a CopyOptions,
    pub(super) events: &'a Events,
}

/// Leaves out the platforms nobody asked for. One platform left is an image of its own; several are a smaller index.
async fn select(route: &Route<'_>, resolved: RawManifest) -> Result<RawManifest> {
    let (ManifestView::Index(index), Platforms::Only(wanted)) = (resolved.view(), &route.options.platforms) else {
        return Ok(resolved);
    };
    let mut chosen: Vec<&Descriptor> = Vec::new();
    for platform in wanted {
        let entry = choose_platform(index, platform).ok_or_else(|| Error::NoSuchPlatform {
            origin: route.source.origin(),
            wanted: platform.clone(),
            offered: offered_platforms(index),
        })?;
        if !chosen.iter().any(|known| known.digest == entry.digest) {
            chosen.push(entry);
        }
    }
    for platform in offered_platforms(index) {
        if !chosen.iter().any(|entry| entry.platform.as_ref() == Some(&platform)) {
            (route.events)(TransferEvent::PlatformSkipped(platform));
        }
    }
    match chosen.as_slice() {
        [only] => route.source.manifest(&Target::Digest(only.digest)).await,
        several => Ok(RawManifest::from_index(reduced(index, several))),
    }
}

/// `index` with only the chosen images and the attestations about them, in the old order.
fn reduced(index: &Index, chosen: &[&Descriptor]) -> Index {
    let kept = |digest: &str| chosen.iter().any(|entry| entry.digest.to_string() == digest);
    let stays = |entry: &&Descriptor| kept(&entry.digest.to_string()) || entry.attests().is_some_and(kept);
    Index { manifests: index.manifests.iter().filter(stays).cloned().collect(), ..index.clone() }
}

struct Walk<'a> {
    route: &'a Route<'a>,
    seen: HashSet<Digest>,
    held: u64,
    manifests: Vec<RawManifest>,
    blobs: Vec<Descriptor>,
}

impl Walk<'_> {
    /// Notes everything behind `manifest`, then the manifest, then what refers to it.
    fn visit(&mut self, manifest: RawManifest, depth: usize) -> BoxFuture<'_, Result<()>> {
        async move {
            let digest = manifest.digest();
            if !self.seen.insert(digest) {
                return Ok(());
            }
            if depth > MAX_DEPTH {
                return Err(Error::TooDeep { origin: self.route.source.origin(), digest });
            }
            if self.route.sink.has_manifest(&digest).await? {
                (self.route.events)(TransferEvent::ManifestExists(manifest.descriptor()));
            } else {
                self.hold(&manifest)?;
                self.descend(&manifest, depth).await?;
                self.manifests.push(manifest);
            }
            if self.route.options.referrers {
                let referrers = self.route.source.referrers(&digest).await?;
                self.visit_all(&referrers, depth).await?;
            }
            Ok(())
        }
        .boxed()
    }

    async fn descend(&mut self, manifest: &RawManifest, depth: usize) -> Result<()> {
        let mut children = Vec::new();
        for child in manifest.children() {
            match child.media_type.kind() {
                MediaKind::Manifest | MediaKind::Index => children.push(child.clone()),
                // An index may list anything; what is no manifest is stored as a blob.
                MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => self.note_blob(child),
            }
        }
        self.visit_all(&children, depth).await?;
        for blob in manifest.blobs() {
            self.note_blob(blob);
        }
        Ok(())
    }

    async fn visit_all(&mut self, descriptors: &[Descriptor], depth: usize) -> Result<()> {
        let route = self.route;
        let wanted: Vec<Target> = descriptors
            .iter()
            .filter(|descriptor| !self.seen.contains(&descriptor.digest))
            .map(|descriptor| Target::Digest(descriptor.digest))
            .collect();
        // Read ahead a few at a time: each costs a round trip.
        let ahead = route.options.jobs.max(1);
        let mut manifests = stream::iter(wanted)
            .map(|target| async move { route.source.manifest(&target).await })
            .buffered(ahead)
            .boxed();
        while let Some(manifest) = manifests.try_next().await? {
            self.visit(manifest, depth + 1).await?;
        }
        Ok(())
    }

    fn note_blob(&mut self, blob: &Descriptor) {
        if self.seen.insert(blob.digest) {
            self.blobs.push(blob.clone());
        }
    }

    fn hold(&mut self, manifest: &RawManifest) -> Result<()> {
        self.held += manifest.bytes().len() as u64;
        if self.held > MAX_BYTES {
            return Err(Error::TooManyManifests { origin: self.route.source.origin(), limit: MAX_BYTES });
        }
        Ok(())
    }
}
