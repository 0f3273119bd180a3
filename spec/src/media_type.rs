//! Media types of images, as OCI and Docker (schema 2) name them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A media type without parameters. Any text is one: registries store artifacts of types they have never heard of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MediaType(String);

/// What a media type means to a registry or a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// An image manifest.
    Manifest,
    /// An image index (a manifest list).
    Index,
    /// An image configuration.
    Config,
    /// A tar layer and its compression.
    Layer(Compression),
    /// Something else.
    Unknown,
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Plain tar.
    Uncompressed,
    /// gzip, which every client reads.
    #[default]
    Gzip,
    /// zstd.
    Zstd,
}

impl MediaType {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image configuration.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, uncompressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// The empty JSON object used as configuration of artifacts.
    pub const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// Docker schema 2 manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image configuration.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, uncompressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// Docker layer, zstd.
    pub const DOCKER_LAYER_ZSTD: &str = "application/vnd.docker.image.rootfs.diff.tar.zstd";
    // Layers that must not be pushed on, and foreign ones, decode like their plain twins.
    const FOREIGN_LAYER: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
    const FOREIGN_LAYER_GZIP: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    const FOREIGN_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd";
    const DOCKER_FOREIGN_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    /// Anything.
    pub const OCTET_STREAM: &str = "application/octet-stream";

    /// What a client asks for when it wants any manifest, best first.
    pub const MANIFESTS: [&str; 4] = [Self::OCI_INDEX, Self::OCI_MANIFEST, Self::DOCKER_LIST, Self::DOCKER_MANIFEST];

    /// Takes a `Content-Type` or a `mediaType`; parameters after `;` are dropped.
    pub fn new(text: &str) -> Self {
        Self(text.split(';').next().unwrap_or_default().trim().to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The OCI layer type for `compression`.
    pub fn layer(compression: Compression) -> Self {
        Self::new(match compression {
            Compression::Uncompressed => Self::OCI_LAYER,
            Compression::Gzip => Self::OCI_LAYER_GZIP,
            Compression::Zstd => Self::OCI_LAYER_ZSTD,
        })
    }

    /// What it means.
    pub fn kind(&self) -> MediaKind {
        match self.0.as_str() {
            Self::OCI_MANIFEST | Self::DOCKER_MANIFEST => MediaKind::Manifest,
            Self::OCI_INDEX | Self::DOCKER_LIST => MediaKind::Index,
            Self::OCI_CONFIG | Self::DOCKER_CONFIG => MediaKind::Config,
            Self::OCI_LAYER | Self::DOCKER_LAYER | Self::FOREIGN_LAYER => MediaKind::Layer(Compression::Uncompressed),
            Self::OCI_LAYER_GZIP
            | Self::DOCKER_LAYER_GZIP
            | Self::FOREIGN_LAYER_GZIP
            | Self::DOCKER_FOREIGN_LAYER_GZIP => MediaKind::Layer(Compression::Gzip),
            Self::OCI_LAYER_ZSTD | Self::DOCKER_LAYER_ZSTD | Self::FOREIGN_LAYER_ZSTD => {
                MediaKind::Layer(Compression::Zstd)
            }
            _ => MediaKind::Unknown,
        }
    }
}

impl From<&str> for MediaType {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_dropped() {
        assert_eq!(MediaType::new("application/json; charset=utf-8").as_str(), "application/json");
    }

    #[test]
    fn kinds_are_known_in_both_dialects() {
        assert_eq!(MediaType::new(MediaType::DOCKER_LIST).kind(), MediaKind::Index);
        assert_eq!(MediaType::layer(Compression::Zstd).kind(), MediaKind::Layer(Compression::Zstd));
        assert_eq!(MediaType::new("application/vnd.cncf.helm.config.v1+json").kind(), MediaKind::Unknown);
    }
}
