//! Images for tests.

use std::collections::BTreeMap;

use wharf_client::transfer::MemoryRepository;
use wharf_spec::{Descriptor, Digest, Index, Manifest, MediaType, Platform, RawManifest, Tag};

pub(crate) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

pub(crate) fn repository(name: &str) -> MemoryRepository {
    MemoryRepository::new(name.parse().unwrap())
}

/// Bytes that do not repeat soon, so that a shifted or doubled piece changes them.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

pub(crate) fn manifest_of(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
    Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config,
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// An image with these layers, plain; its configuration names them.
pub(crate) fn add_image(place: &MemoryRepository, layers: &[Vec<u8>], name: Option<&Tag>) -> RawManifest {
    let diff_ids: Vec<Digest> = layers.iter().map(|layer| Digest::sha256(layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": diff_ids }
    });
    let config = place.add_blob(MediaType::OCI_CONFIG, config.to_string());
    let layers = layers.iter().map(|layer| place.add_blob(MediaType::OCI_LAYER, layer.clone())).collect();
    let manifest = RawManifest::from_manifest(manifest_of(config, layers));
    place.add_manifest(manifest.clone(), name);
    manifest
}

/// An index with an image for each architecture; they share their first layer.
pub(crate) fn add_index(place: &MemoryRepository, architectures: &[&str], name: &Tag) -> RawManifest {
    let shared = noise(1, 3000);
    let entries = architectures.iter().enumerate().map(|(at, architecture)| {
        let own = noise(at as u64 + 2, 1000 + at);
        let image = add_image(place, &[shared.clone(), own], None);
        Descriptor { platform: Some(Platform::linux(architecture)), ..image.descriptor() }
    });
    let index = RawManifest::from_index(index_of(entries.collect()));
    place.add_manifest(index.clone(), Some(name));
    index
}

pub(crate) fn index_of(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: BTreeMap::new(),
    }
}

/// A signature-like artifact about `subject`.
pub(crate) fn add_referrer(place: &MemoryRepository, subject: &RawManifest, content: &str) -> RawManifest {
    let config = place.add_blob(MediaType::OCI_EMPTY, "{}");
    let layer = place.add_blob("text/plain", content.to_owned());
    let mut manifest = manifest_of(config, vec![layer]);
    manifest.artifact_type = Some(MediaType::new("application/vnd.example.signature"));
    manifest.subject = Some(subject.descriptor());
    let manifest = RawManifest::from_manifest(manifest);
    place.add_manifest(manifest.clone(), None);
    manifest
}
