//! The format of `docker save`: `manifest.json` lists images, each with a configuration, layers and names.
//!
//! It has no manifests and, before Docker 25, no digests of layers; both are worked out here from the bytes.

use std::collections::BTreeMap;
use std::io::Read as _;

use serde::{Deserialize, Serialize};
use wharf_spec::{
    Algorithm, Compression, Descriptor, Digest, Hasher, ImageConfig, Manifest, MediaType, RawManifest, Reference,
};

use super::scan::{Contents, Span};
use crate::transfer::MAX_MANIFEST;

pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// What Docker before 1.10 reads: repository to tag to layer.
pub(super) const REPOSITORIES_FILE: &str = "repositories";

const BUFFER: usize = 256 << 10;

/// An image in `manifest.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    pub(super) config: String,
    #[serde(default)]
    pub(super) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(super) layers: Vec<String>,
}

/// An image with everything worked out.
pub(super) struct Assembled {
    pub(super) manifest: RawManifest,
    /// Where its blobs are.
    pub(super) blobs: Vec<(Digest, Span)>,
    pub(super) names: Vec<String>,
}

/// Reads an image's layers once, to learn what they are. `Err` says what is wrong with the archive.
pub(super) fn assemble(contents: &Contents, image: &DockerImage) -> Result<Assembled, String> {
    let missing = |name: &str| format!("{name}, which {MANIFEST_FILE} names, is not in it");
    let config_span = contents.find(&image.config).ok_or_else(|| missing(&image.config))?;
    let config_bytes = contents
        .read(&image.config, MAX_MANIFEST)
        .map_err(|error| error.to_string())?
        .ok_or_else(|| missing(&image.config))?;
    let config: ImageConfig = serde_json::from_slice(&config_bytes)
        .map_err(|error| format!("{} is no valid image configuration: {error}", image.config))?;
    if config.rootfs.diff_ids.len() != image.layers.len() {
        let (says, has) = (config.rootfs.diff_ids.len(), image.layers.len());
        return Err(format!("the configuration {} has {says} layers, {MANIFEST_FILE} lists {has}", image.config));
    }
    let config_digest = Digest::sha256(&config_bytes);
    let mut blobs = vec![(config_digest, config_span)];
    let mut layers = Vec::new();
    for (name, diff_id) in image.layers.iter().zip(&config.rootfs.diff_ids) {
        let span = contents.find(name).ok_or_else(|| missing(name))?;
        let layer = examine(contents, span).map_err(|error| format!("{name} in it cannot be read: {error}"))?;
        // A plain layer is its own diff id; a compressed one is checked by whoever unpacks it.
        if layer.compression == Compression::Uncompressed && layer.digest != *diff_id {
            return Err(format!("{name} has digest {}, its configuration says {diff_id}", layer.digest));
        }
        blobs.push((layer.digest, span));
        layers.push(Descriptor::new(MediaType::layer(layer.compression).as_str(), layer.digest, span.length));
    }
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config: Descriptor::new(MediaType::OCI_CONFIG, config_digest, config_span.length),
        layers,
        subject: None,
        annotations: BTreeMap::new(),
    };
    let names = image.repo_tags.clone().unwrap_or_default();
    Ok(Assembled { manifest: RawManifest::from_manifest(manifest), blobs, names })
}

struct Examined {
    digest: Digest,
    compression: Compression,
}

fn examine(contents: &Contents, span: Span) -> std::io::Result<Examined> {
    let mut file = contents.open(span)?;
    let mut hasher = Hasher::new(Algorithm::Sha256);
    let mut buffer = vec![0; BUFFER];
    let mut compression = None;
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        compression.get_or_insert_with(|| recognise(&buffer[..length]));
        hasher.update(&buffer[..length]);
    }
    Ok(Examined { digest: hasher.finish(), compression: compression.unwrap_or(Compression::Uncompressed) })
}

fn recognise(start: &[u8]) -> Compression {
    match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
        _ => Compression::Uncompressed,
    }
}

/// An image as Docker finds it in an archive whose blobs lie as in an OCI layout.
pub(super) fn entry(manifest: &Manifest, reference: Option<&Reference>) -> DockerImage {
    let path = |descriptor: &Descriptor| crate::layout::index::blob_path(&descriptor.digest);
    DockerImage {
        config: path(&manifest.config),
        repo_tags: Some(reference.map(familiar).into_iter().collect()),
        layers: manifest.layers.iter().map(path).collect(),
    }
}

/// A name as Docker shows it: `docker.io/library/debian:12` is `debian:12`.
pub(super) fn familiar(reference: &Reference) -> String {
    let text = reference.to_string();
    let short = text.strip_prefix("docker.io/").unwrap_or(&text);
    short.strip_prefix("library/").unwrap_or(short).to_owned()
}
