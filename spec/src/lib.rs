//! The words everyone in Wharf shares, as the OCI specifications and Docker use them: digests, repository names,
//! references, media types, manifests, image configurations, platforms and wire errors.
//!
//! Everything here is parsed once at the edge into types that cannot be wrong. Nothing in this crate does I/O, waits,
//! reads the clock or looks at the environment, and nothing re-serialises a manifest to learn its digest: raw bytes are
//! kept beside the parsed view ([`RawManifest`]).

mod config;
pub mod delta;
mod descriptor;
mod digest;
mod error;
mod manifest;
mod media_type;
mod name;
mod platform;
mod reference;
mod sha256;
mod version;

pub use config::{ContainerConfig, Empty, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use digest::{Algorithm, Digest, DigestError, DigestMismatch, Hasher, HasherState, Midstate};
pub use error::{ErrorBody, ErrorCode, ErrorInfo};
pub use manifest::{Index, Manifest, ManifestError, ManifestView, RawManifest};
pub use media_type::{Compression, MediaKind, MediaType};
pub use name::{NameError, RepositoryName, Tag};
pub use platform::{Platform, PlatformError};
pub use reference::{DOCKER_HUB, Reference, ReferenceError, RegistryHost};
pub use version::{Earlier, How, TagHistory, TagVersion};
