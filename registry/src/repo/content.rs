//! What a manifest names, and whether it is there.

use std::collections::BTreeMap;

use wharf_blobstore::Blob;
use wharf_spec::{Descriptor, Digest, MediaKind, RawManifest, RepositoryName};

use super::{Error, Repositories, Result};

/// As what a manifest needs some content, and how long it says the content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    kind: NeedKind,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NeedKind {
    /// A blob.
    Blob,
    /// A layer that may live elsewhere (OCI image-spec, "Non-Distributable Layers"; Docker's foreign layers).
    ForeignBlob,
    /// A manifest in the same repository.
    Manifest,
    /// An index may list anything: build caches list layers.
    Either,
}

/// Everything a manifest needs to be of use, each digest once. Its subject is not among it.
pub(super) type Needs = BTreeMap<Digest, Need>;

pub(super) fn needs(manifest: &RawManifest) -> Needs {
    let blob = |layer: &Descriptor| {
        let kind = layer.media_type.as_str();
        let foreign = !layer.urls.is_empty() && (kind.contains(".nondistributable.") || kind.contains(".foreign."));
        if foreign { NeedKind::ForeignBlob } else { NeedKind::Blob }
    };
    let child = |child: &Descriptor| match child.media_type.kind() {
        MediaKind::Manifest | MediaKind::Index => NeedKind::Manifest,
        MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => NeedKind::Either,
    };
    let blobs = manifest.blobs().into_iter().map(|named| (named.digest, Need { kind: blob(named), size: named.size }));
    let children =
        manifest.children().iter().map(|named| (named.digest, Need { kind: child(named), size: named.size }));
    blobs.chain(children).collect()
}

impl Repositories {
    /// Looks whether all of it is in the repository, can be relied on, and is as long as it should be.
    pub(super) async fn check(&self, name: &RepositoryName, needs: &Needs) -> Result<()> {
        let of_kind = |wanted: &[NeedKind]| -> Vec<Digest> {
            needs.iter().filter(|(_, need)| wanted.contains(&need.kind)).map(|(digest, _)| *digest).collect()
        };
        let blobs = of_kind(&[NeedKind::Blob, NeedKind::ForeignBlob, NeedKind::Either]);
        let manifests = of_kind(&[NeedKind::Manifest, NeedKind::Either]);
        for digest in &manifests {
            // One that was about to go stays: our reference to it is written already.
            self.confirm_manifest(name, digest).await?;
        }
        let mut there = BTreeMap::new();
        for (digest, blob) in blobs.iter().zip(self.reliable_blobs(name, &blobs).await?) {
            there.extend(blob.map(|Blob { size, .. }| (*digest, size)));
        }
        for (digest, size) in manifests.iter().zip(self.published_sizes(name, &manifests).await?) {
            there.extend(size.map(|size| (*digest, size)));
        }
        let mut missing = Vec::new();
        for (digest, need) in needs {
            match there.get(digest) {
                Some(actual) if *actual != need.size => {
                    return Err(Error::WrongSize { digest: *digest, said: need.size, actual: *actual });
                }
                None if need.kind != NeedKind::ForeignBlob => missing.push(*digest),
                Some(_) | None => {}
            }
        }
        if missing.is_empty() { Ok(()) } else { Err(Error::Missing { repository: name.clone(), digests: missing }) }
    }
}
