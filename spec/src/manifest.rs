//! Manifests and indexes (OCI image-spec "Image Manifest", "Image Index"; Docker schema 2), always beside their bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Algorithm, Descriptor, Digest, MediaKind, MediaType};

/// An image manifest, OCI or Docker schema 2.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own type; Docker requires it, OCI recommends it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// For artifacts: what this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(default)]
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about (a signature, an SBOM, …).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// An image index: one image for several platforms, or a set of artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// For artifacts: what this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<MediaType>,
    /// What it lists.
    #[serde(default)]
    pub manifests: Vec<Descriptor>,
    /// The manifest that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free-form metadata.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The parsed view of a manifest's bytes.
#[expect(clippy::large_enum_variant, reason = "manifests are held one at a time, and mostly are images")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestView {
    /// An image or artifact manifest.
    Manifest(Manifest),
    /// An index.
    Index(Index),
}

/// A manifest exactly as it was received or written, its digest, and the parsed view.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawManifest {
    bytes: Vec<u8>,
    digest: Digest,
    media_type: MediaType,
    view: ManifestView,
}

/// Why bytes are no manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of a manifest's shape.
    #[error("not a valid manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// Not version 2.
    #[error("manifest schema version {0} is not supported: push schema version 2")]
    SchemaVersion(u32),
    /// A media type that is neither a manifest's nor an index's.
    #[error("media type `{0}` is not a manifest type")]
    MediaType(MediaType),
    /// The bytes say one type and the sender another.
    #[error("the manifest says it is `{inside}`, but was sent as `{outside}`")]
    MediaTypeMismatch {
        /// `mediaType` in the JSON.
        inside: MediaType,
        /// The `Content-Type` it came with.
        outside: MediaType,
    },
    /// Both `layers` and `manifests`: clients would disagree about what it is (OCI image-spec, CVE-2021-41190).
    #[error("a manifest cannot have both `layers` and `manifests`")]
    Ambiguous,
}

/// The fields by which a manifest is recognised before it is parsed as what it is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: u32,
    media_type: Option<MediaType>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    manifests: Option<serde::de::IgnoredAny>,
}

impl RawManifest {
    /// Parses `bytes`. `outside` is the type it was sent or stored as, where there is one.
    pub fn parse(bytes: Vec<u8>, outside: Option<&MediaType>, algorithm: Algorithm) -> Result<Self, ManifestError> {
        let probe: Probe = serde_json::from_slice(&bytes)?;
        if probe.schema_version != 2 {
            return Err(ManifestError::SchemaVersion(probe.schema_version));
        }
        if probe.manifests.is_some() && (probe.layers.is_some() || probe.config.is_some()) {
            return Err(ManifestError::Ambiguous);
        }
        let media_type = match (outside, probe.media_type) {
            (Some(outside), Some(inside)) if *outside != inside => {
                return Err(ManifestError::MediaTypeMismatch { inside, outside: outside.clone() });
            }
            (Some(given), _) => given.clone(),
            (None, Some(inside)) => inside,
            (None, None) if probe.manifests.is_some() => MediaType::new(MediaType::OCI_INDEX),
            (None, None) => MediaType::new(MediaType::OCI_MANIFEST),
        };
        let view = match media_type.kind() {
            MediaKind::Manifest => ManifestView::Manifest(serde_json::from_slice(&bytes)?),
            MediaKind::Index => ManifestView::Index(serde_json::from_slice(&bytes)?),
            MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => {
                return Err(ManifestError::MediaType(media_type));
            }
        };
        let digest = Digest::of(algorithm, &bytes);
        Ok(Self { bytes, digest, media_type, view })
    }

    /// Writes a manifest of our own making; its bytes are final from here on.
    pub fn from_manifest(manifest: Manifest) -> Self {
        let media_type = manifest.media_type.clone().unwrap_or_else(|| MediaType::new(MediaType::OCI_MANIFEST));
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        Self { digest: Digest::sha256(&bytes), bytes, media_type, view: ManifestView::Manifest(manifest) }
    }

    /// Writes an index of our own making; its bytes are final from here on.
    pub fn from_index(index: Index) -> Self {
        let media_type = index.media_type.clone().unwrap_or_else(|| MediaType::new(MediaType::OCI_INDEX));
        let bytes = serde_json::to_vec(&index).expect("an index is plain data");
        Self { digest: Digest::sha256(&bytes), bytes, media_type, view: ManifestView::Index(index) }
    }

    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The type it is stored and served as.
    pub fn media_type(&self) -> &MediaType {
        &self.media_type
    }

    /// The parsed view.
    pub fn view(&self) -> &ManifestView {
        &self.view
    }

    /// A descriptor naming it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::new(self.media_type.as_str(), self.digest, self.bytes.len() as u64)
    }

    /// The blobs it cannot be used without (configuration and layers); none for an index.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        match &self.view {
            ManifestView::Manifest(manifest) => std::iter::once(&manifest.config).chain(&manifest.layers).collect(),
            ManifestView::Index(_) => Vec::new(),
        }
    }

    /// The manifests it lists; none for an image.
    pub fn children(&self) -> &[Descriptor] {
        match &self.view {
            ManifestView::Manifest(_) => &[],
            ManifestView::Index(index) => &index.manifests,
        }
    }

    /// The manifest it is about.
    pub fn subject(&self) -> Option<&Descriptor> {
        match &self.view {
            ManifestView::Manifest(manifest) => manifest.subject.as_ref(),
            ManifestView::Index(index) => index.subject.as_ref(),
        }
    }

    /// Its annotations.
    pub fn annotations(&self) -> &BTreeMap<String, String> {
        match &self.view {
            ManifestView::Manifest(manifest) => &manifest.annotations,
            ManifestView::Index(index) => &index.annotations,
        }
    }

    /// `artifactType` as the referrers list shows it: the manifest's own, else its configuration's type; an index
    /// has none unless it says so (distribution-spec, "Listing Referrers").
    pub fn artifact_type(&self) -> Option<&MediaType> {
        match &self.view {
            ManifestView::Manifest(manifest) => manifest
                .artifact_type
                .as_ref()
                .filter(|own| !own.as_str().is_empty())
                .or(Some(&manifest.config.media_type)),
            ManifestView::Index(index) => index.artifact_type.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str, outside: Option<&str>) -> Result<RawManifest, ManifestError> {
        RawManifest::parse(json.as_bytes().to_vec(), outside.map(MediaType::new).as_ref(), Algorithm::Sha256)
    }

    fn config() -> String {
        format!(r#"{{"mediaType":"{}","digest":"{}","size":2}}"#, MediaType::OCI_CONFIG, Digest::sha256(b"{}"))
    }

    #[test]
    fn bytes_are_kept_as_they_are() {
        let json =
            format!("{{ \"schemaVersion\": 2,\n \"unknown\": [1], \"config\": {}, \"layers\": [] }}\n", config());
        let raw = parse(&json, Some(MediaType::OCI_MANIFEST)).unwrap();
        assert_eq!(raw.bytes(), json.as_bytes());
        assert_eq!(raw.digest(), Digest::sha256(json.as_bytes()));
        assert_eq!(raw.blobs().len(), 1);
        assert_eq!(raw.artifact_type().unwrap().as_str(), MediaType::OCI_CONFIG);
    }

    #[test]
    fn a_manifest_that_two_clients_could_read_differently_is_refused() {
        let both = format!(r#"{{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}}"#, config());
        assert!(matches!(parse(&both, None), Err(ManifestError::Ambiguous)));
        let index = format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, MediaType::OCI_INDEX);
        assert!(matches!(parse(&index, Some(MediaType::OCI_MANIFEST)), Err(ManifestError::MediaTypeMismatch { .. })));
        assert!(matches!(parse(r#"{"schemaVersion":1}"#, None), Err(ManifestError::SchemaVersion(1))));
        assert!(matches!(parse("[]", None), Err(ManifestError::Json(_))));
        assert!(matches!(parse(r#"{"schemaVersion":2}"#, Some("text/plain")), Err(ManifestError::MediaType(_))));
    }

    #[test]
    fn the_type_is_recognised_when_nobody_says_it() {
        let raw = parse(r#"{"schemaVersion":2,"manifests":[]}"#, None).unwrap();
        assert_eq!(raw.media_type().as_str(), MediaType::OCI_INDEX);
    }
}
