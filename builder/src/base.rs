//! The seam through which base images come: the builder asks, whoever calls it knows stores and registries.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use wharf_client::transfer::{self, ImageSource};
use wharf_spec::{Digest, ImageConfig, Platform, RawManifest, Reference};

use crate::policy::PolicyError;

/// What an image is called where it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageName {
    /// An image in the store or at a registry, as a `FROM` names it.
    Reference(Reference),
    /// An image in an OCI layout directory (`--build-context name=oci-layout://path[:tag][@digest]`).
    Layout {
        /// The directory.
        directory: PathBuf,
        /// Its tag or digest; the only image there when `None`.
        target: Option<transfer::Target>,
    },
    /// An image that was just made and needs no name: whoever gives base images knows it by its digest.
    Made {
        /// What it is called in messages.
        shown: String,
        /// Its manifest or index.
        digest: Digest,
    },
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(reference) => write!(f, "{reference}"),
            Self::Layout { directory, target: None } => write!(f, "oci-layout://{}", directory.display()),
            Self::Layout { directory, target: Some(transfer::Target::Tag(tag)) } => {
                write!(f, "oci-layout://{}:{tag}", directory.display())
            }
            Self::Layout { directory, target: Some(transfer::Target::Digest(digest)) } => {
                write!(f, "oci-layout://{}@{digest}", directory.display())
            }
            Self::Made { shown, .. } => f.write_str(shown),
        }
    }
}

/// An image as it was found: what it is, but not yet its layers.
#[derive(Clone)]
pub struct BaseImage {
    /// What the name turned out to mean, for messages: `docker.io/library/debian:12`.
    pub found: String,
    /// What its name means: its manifest, or the index that lists it.
    pub digest: Digest,
    /// Whether an index says that there are attestations of it.
    pub attested: bool,
    /// Its manifest; never an index.
    pub manifest: RawManifest,
    /// Its configuration, checked against the manifest.
    pub config: ImageConfig,
    /// Where its layers are, when one is needed.
    pub source: Arc<dyn ImageSource>,
}

/// Finds base images.
#[async_trait]
pub trait BaseImages: Send + Sync {
    /// The image `name` means for `platform`. Fetches the manifest and the configuration, no layer.
    async fn resolve(&self, name: &ImageName, platform: &Platform) -> Result<BaseImage, BaseError>;
}

/// Why there is no such image. The builder adds the place in the Dockerfile.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// It is in none of these places.
    #[error("image {name} not found")]
    NotFound {
        /// What was looked for.
        name: ImageName,
        /// Where, in this order.
        tried: Vec<String>,
    },
    /// It is there, but not for the platform.
    #[error("image {name} has no variant for {wanted}")]
    WrongPlatform {
        /// What was looked for.
        name: ImageName,
        /// For what.
        wanted: Platform,
        /// What it has.
        offered: Vec<Platform>,
    },
    /// It is there, but it is no image (a chart, a signature, …).
    #[error("{name} is not a container image: {reason}")]
    NotAnImage {
        /// What was looked for.
        name: ImageName,
        /// Why not.
        reason: String,
    },
    /// A source policy does not let it be used.
    #[error("image {name} may not be used: {source}")]
    Policy {
        /// What was looked for.
        name: ImageName,
        /// Why not.
        source: PolicyError,
    },
    /// It could not be fetched.
    #[error("could not fetch {name}")]
    Transfer {
        /// What was looked for.
        name: ImageName,
        /// Why.
        #[source]
        source: transfer::Error,
    },
}

/// For builds that have no images: nothing is found.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoImages;

#[async_trait]
impl BaseImages for NoImages {
    async fn resolve(&self, name: &ImageName, _platform: &Platform) -> Result<BaseImage, BaseError> {
        Err(BaseError::NotFound { name: name.clone(), tried: Vec::new() })
    }
}
