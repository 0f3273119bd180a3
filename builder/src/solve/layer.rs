//! Layers as the solver passes them around: what they are called and where they can be had, not their bytes.

use std::sync::Arc;

use wharf_client::transfer::ImageSource;
use wharf_spec::{Algorithm, Descriptor, Digest, Hasher, MediaKind, MediaType};

use super::key::Key;
use crate::base::BaseImage;
use crate::shared::StepLayer;

/// One layer of a stack.
#[derive(Clone)]
pub(crate) struct Layer {
    /// The blob.
    pub(crate) descriptor: Descriptor,
    /// The digest of its tar.
    pub(crate) diff_id: Digest,
    /// The keys under which it is known as a step's result; none for layers of images.
    pub(crate) keys: Vec<Key>,
    /// When a step made it, in seconds since 1970; unknown for layers of images.
    pub(crate) created: Option<i64>,
    /// Where it can be fetched if the store does not have it.
    pub(crate) source: Option<Arc<dyn ImageSource>>,
}

impl Layer {
    /// What a step made, for others, once for each key; nothing for layers of images.
    pub(crate) fn shared(&self) -> Vec<StepLayer> {
        let step = |key: &Key| StepLayer {
            key: key.hex(),
            layer: self.descriptor.clone(),
            diff_id: self.diff_id,
            created: self.created.unwrap_or_default(),
        };
        self.keys.iter().map(step).collect()
    }
}

/// A file system as a stack of layers, lowest first.
#[derive(Clone, Default)]
pub(crate) struct Stack {
    layers: Vec<Layer>,
}

/// An image whose manifest and configuration do not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its manifest lists {layers} layers and its configuration {diff_ids}")]
pub(crate) struct Disagreement {
    layers: usize,
    diff_ids: usize,
}

impl Stack {
    /// The layers of an image.
    pub(crate) fn of_image(image: &BaseImage) -> Result<Self, Disagreement> {
        let descriptors: Vec<&Descriptor> = image.manifest.blobs().into_iter().skip(1).collect();
        let diff_ids = &image.config.rootfs.diff_ids;
        if descriptors.len() != diff_ids.len() {
            return Err(Disagreement { layers: descriptors.len(), diff_ids: diff_ids.len() });
        }
        let layer = |(descriptor, diff_id): (&Descriptor, &Digest)| Layer {
            descriptor: in_oci_words(descriptor),
            diff_id: *diff_id,
            keys: Vec::new(),
            created: None,
            source: Some(Arc::clone(&image.source)),
        };
        Ok(Self { layers: descriptors.into_iter().zip(diff_ids).map(layer).collect() })
    }

    /// The layers, lowest first.
    pub(crate) fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The stack with one more layer on top.
    pub(crate) fn with(&self, layer: Layer) -> Self {
        let mut layers = self.layers.clone();
        layers.push(layer);
        Self { layers }
    }

    /// The lowest `count` layers.
    pub(crate) fn lowest(&self, count: usize) -> Self {
        Self { layers: self.layers[..count].to_vec() }
    }

    /// What the file system is: equal for equal content, however it came about.
    pub(crate) fn identity(&self) -> Digest {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        for layer in &self.layers {
            hasher.update(layer.diff_id.to_string().as_bytes());
            hasher.update(b"\n");
        }
        hasher.finish()
    }
}

/// A layer's descriptor as an OCI manifest lists it: Docker's names for the same formats are translated.
fn in_oci_words(descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = Descriptor { data: None, platform: None, ..descriptor.clone() };
    if descriptor.media_type.as_str().starts_with("application/vnd.docker.")
        && !descriptor.media_type.as_str().contains(".foreign.")
        && let MediaKind::Layer(compression) = descriptor.media_type.kind()
    {
        descriptor.media_type = MediaType::layer(compression);
    }
    descriptor
}
