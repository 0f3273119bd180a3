//! Base images for builds: the store first, then the registry. What a registry gives stays there until a layer of it is
//! needed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use wharf_builder::{BaseError, BaseImage, BaseImages, ImageName};
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{Error as TransferError, ImageSource, Target, choose_platform, verified};
use wharf_spec::{ManifestView, MediaKind, Platform, RawManifest, Reference};

use crate::publish::Made;
use crate::session::Session;
use crate::stores::OpenStore;

/// A configuration is small; what is larger is no configuration.
const MAX_CONFIG: u64 = 8 << 20;

/// Finds base images.
pub struct Bases {
    session: Session,
    store: OpenStore,
    /// Ask the registry first, for a newer image.
    pull: bool,
    /// What was made without a name, to be asked for by digest.
    made: Vec<Arc<Made>>,
}

/// What was found, before its platform is looked at.
struct Found {
    name: String,
    manifest: RawManifest,
    source: Arc<dyn ImageSource>,
}

impl Bases {
    /// Base images from this store and the registries of this session.
    pub fn new(session: &Session, store: &OpenStore, pull: bool) -> Self {
        Self { session: session.clone(), store: store.clone(), pull, made: Vec::new() }
    }

    /// These, too.
    #[must_use]
    pub fn with(self, made: Vec<Arc<Made>>) -> Self {
        Self { made, ..self }
    }

    async fn find(&self, name: &ImageName) -> Result<Found, BaseError> {
        match name {
            ImageName::Reference(reference) => self.find_reference(name, reference).await,
            ImageName::Layout { directory, target } => {
                let failed = |source| BaseError::Transfer { name: name.clone(), source };
                let layout = LayoutDirectory::open(directory).map_err(failed)?;
                let target = match target {
                    Some(target) => target.clone(),
                    None => match layout.images().map_err(failed)?.as_slice() {
                        [only] => Target::Digest(only.descriptor.digest),
                        images => {
                            let reason =
                                format!("the layout holds {} images; say which: oci-layout://DIR:TAG", images.len());
                            return Err(BaseError::NotAnImage { name: name.clone(), reason });
                        }
                    },
                };
                let manifest = layout.manifest(&target).await.map_err(failed)?;
                Ok(Found { name: name.to_string(), manifest, source: Arc::new(layout) })
            }
            ImageName::Made { digest, .. } => {
                let target = Target::Digest(*digest);
                let Some(made) = self.made.iter().find(|made| made.target() == target) else {
                    return Err(BaseError::NotFound { name: name.clone(), tried: vec![digest.to_string()] });
                };
                let failed = |source| BaseError::Transfer { name: name.clone(), source };
                let manifest = made.manifest(&target).await.map_err(failed)?;
                Ok(Found { name: name.to_string(), manifest, source: Arc::<Made>::clone(made) })
            }
        }
    }

    async fn find_reference(&self, name: &ImageName, reference: &Reference) -> Result<Found, BaseError> {
        if !self.pull
            && let Some(found) = self.find_local(name, reference).await?
        {
            return Ok(found);
        }
        let failed = |source| BaseError::Transfer { name: name.clone(), source };
        let refused = |failure: crate::failure::Failure| BaseError::NotAnImage {
            name: name.clone(),
            reason: failure.to_string(),
        };
        let remote = self.session.remote(reference).map_err(refused)?;
        match remote.repository.manifest(&remote.target).await {
            Ok(manifest) => {
                Ok(Found { name: remote.reference.to_string(), manifest, source: Arc::new(remote.repository) })
            }
            // With --pull an image that only the store has is still good: nobody has a newer one.
            Err(error) if self.pull => match self.find_local(name, reference).await? {
                Some(found) => Ok(found),
                None => Err(failed(error)),
            },
            Err(TransferError::ManifestNotFound { .. }) => {
                let tried = vec![format!("the store {}", self.store.place), remote.reference.to_string()];
                Err(BaseError::NotFound { name: name.clone(), tried })
            }
            Err(error) => Err(failed(error)),
        }
    }

    async fn find_local(&self, name: &ImageName, reference: &Reference) -> Result<Option<Found>, BaseError> {
        let found = self.store.find(reference).await;
        let found =
            found.map_err(|failure| BaseError::NotAnImage { name: name.clone(), reason: failure.to_string() })?;
        Ok(found.map(|image| Found {
            name: crate::names::shown(&image.name),
            manifest: image.manifest,
            source: Arc::new(self.store.place(&image.name)),
        }))
    }
}

#[async_trait]
impl BaseImages for Bases {
    async fn resolve(&self, name: &ImageName, platform: &Platform) -> Result<BaseImage, BaseError> {
        let Found { name: found, manifest, source } = self.find(name).await?;
        let failed = |source| BaseError::Transfer { name: name.clone(), source };
        let (digest, mut attested) = (manifest.digest(), false);
        let manifest = match manifest.view() {
            ManifestView::Manifest(_) => manifest,
            ManifestView::Index(index) => {
                let Some(child) = choose_platform(index, platform) else {
                    let offered = index.manifests.iter().filter_map(|child| child.platform.clone()).collect();
                    return Err(BaseError::WrongPlatform { name: name.clone(), wanted: platform.clone(), offered });
                };
                let named = child.digest.to_string();
                attested = index.manifests.iter().any(|other| other.attests() == Some(named.as_str()));
                source.manifest(&Target::Digest(child.digest)).await.map_err(failed)?
            }
        };
        let not_an_image = |reason: &str| BaseError::NotAnImage { name: name.clone(), reason: reason.to_owned() };
        let ManifestView::Manifest(image) = manifest.view() else {
            return Err(not_an_image("its index lists an index"));
        };
        if image.config.media_type.kind() != MediaKind::Config {
            return Err(not_an_image(&format!("its configuration is {}", image.config.media_type)));
        }
        if image.config.size > MAX_CONFIG {
            return Err(not_an_image("its configuration is too large"));
        }
        let bytes = verified(&image.config, source.origin(), source.blob(&image.config).await.map_err(failed)?);
        let bytes: BytesMut = bytes.try_collect().await.map_err(failed)?;
        let config =
            serde_json::from_slice(&bytes).map_err(|error| not_an_image(&format!("its configuration: {error}")))?;
        Ok(BaseImage { found, digest, attested, manifest, config, source })
    }
}
