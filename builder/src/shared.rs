//! Results of steps that are kept at other places: flat, one entry a key, asked for one by one when a step's own store does
//! not know it. Nothing is fetched but what a later step or the image needs.
//!
//! ```text
//! tag step-<key>  ->  manifest: artifact type, one layer, annotations diff id and creation time
//! ```
//!
//! An image may also say in an annotation of its own which steps its layers came from ([`inline_annotation`]).

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use wharf_client::transfer::ImageSource;
use wharf_spec::{Descriptor, Digest, Manifest, ManifestView, MediaKind, MediaType, RawManifest, Tag};

/// What the manifest of an entry says it is.
pub const STEP_TYPE: &str = "application/vnd.wharf.step.v1";
/// The configuration of an entry: there is none.
pub const EMPTY_CONFIG: &[u8] = b"{}";

const DIFF_ID: &str = "dev.wharf.step.diff-id";
const CREATED: &str = "dev.wharf.step.created";
const INLINE: &str = "dev.wharf.steps";

/// What a step made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepLayer {
    /// The step's key, in hexadecimal digits.
    pub key: String,
    /// The blob.
    pub layer: Descriptor,
    /// The digest of its tar.
    pub diff_id: Digest,
    /// Seconds since 1970.
    pub created: i64,
}

/// A result and where its layer can be had.
#[derive(Clone)]
pub struct SharedLayer {
    /// What the step made.
    pub made: StepLayer,
    /// Where it is.
    pub source: Arc<dyn ImageSource>,
}

/// A place that may know results.
#[async_trait]
pub trait StepCache: Send + Sync {
    /// The result under `key`. A place that cannot be asked knows nothing: it tells its owner, not the build.
    async fn find(&self, key: &str) -> Option<SharedLayer>;
}

/// The tag of an entry.
pub fn step_tag(key: &str) -> Option<Tag> {
    format!("step-{key}").parse().ok()
}

/// The manifest of an entry.
pub fn step_manifest(made: &StepLayer) -> RawManifest {
    let annotations =
        [(DIFF_ID.to_owned(), made.diff_id.to_string()), (CREATED.to_owned(), made.created.to_string())].into();
    RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: Some(MediaType::new(STEP_TYPE)),
        config: Descriptor::new(MediaType::OCI_EMPTY, Digest::sha256(EMPTY_CONFIG), EMPTY_CONFIG.len() as u64),
        layers: vec![made.layer.clone()],
        subject: None,
        annotations,
    })
}

/// What an entry's manifest says; `None` for manifests that are none.
pub fn read_step(key: &str, manifest: &RawManifest) -> Option<StepLayer> {
    let ManifestView::Manifest(manifest) = manifest.view() else { return None };
    let is_step = manifest.artifact_type.as_ref().is_some_and(|kind| kind.as_str() == STEP_TYPE);
    let [layer] = manifest.layers.as_slice() else { return None };
    if !is_step || !matches!(layer.media_type.kind(), MediaKind::Layer(_)) {
        return None;
    }
    Some(StepLayer {
        key: key.to_owned(),
        layer: layer.clone(),
        diff_id: manifest.annotations.get(DIFF_ID)?.parse().ok()?,
        created: manifest.annotations.get(CREATED)?.parse().ok()?,
    })
}

/// A step of an image, as its annotation says it.
#[derive(Serialize, Deserialize)]
struct Inline {
    key: String,
    layer: Digest,
    diff_id: Digest,
    created: i64,
}

/// The annotation that says which steps an image's layers came from: its name and value.
pub fn inline_annotation(steps: &[StepLayer]) -> (String, String) {
    let inline = |step: &StepLayer| Inline {
        key: step.key.clone(),
        layer: step.layer.digest,
        diff_id: step.diff_id,
        created: step.created,
    };
    let steps: Vec<Inline> = steps.iter().map(inline).collect();
    (INLINE.to_owned(), serde_json::to_string(&steps).unwrap_or_default())
}

/// The steps that an image says its layers came from.
pub fn inline_steps(image: &RawManifest) -> Vec<StepLayer> {
    let ManifestView::Manifest(manifest) = image.view() else { return Vec::new() };
    let listed = manifest.annotations.get(INLINE).and_then(|text| serde_json::from_str::<Vec<Inline>>(text).ok());
    let step = |inline: Inline| {
        let layer = manifest.layers.iter().find(|layer| layer.digest == inline.layer)?.clone();
        Some(StepLayer { key: inline.key, layer, diff_id: inline.diff_id, created: inline.created })
    };
    listed.unwrap_or_default().into_iter().filter_map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> StepLayer {
        StepLayer {
            key: "ab".repeat(32),
            layer: Descriptor::new(MediaType::layer(wharf_spec::Compression::Gzip).as_str(), Digest::sha256(b"l"), 1),
            diff_id: Digest::sha256(b"d"),
            created: 7,
        }
    }

    #[test]
    fn entries_round_trip() {
        let manifest = step_manifest(&made());
        assert_eq!(read_step(&made().key, &manifest), Some(made()));
        assert!(step_tag(&made().key).is_some());
    }

    #[test]
    fn an_image_is_no_entry_and_lists_only_layers_it_has() {
        let image = |annotation: (String, String)| {
            let ManifestView::Manifest(manifest) = step_manifest(&made()).view().clone() else { panic!("a manifest") };
            RawManifest::from_manifest(Manifest { artifact_type: None, annotations: [annotation].into(), ..manifest })
        };
        let other =
            StepLayer { layer: Descriptor::new(MediaType::OCI_EMPTY, Digest::sha256(b"elsewhere"), 1), ..made() };
        let image = image(inline_annotation(&[made(), other]));
        assert_eq!(inline_steps(&image), [made()]);
        assert_eq!(read_step(&made().key, &image), None);
    }
}
