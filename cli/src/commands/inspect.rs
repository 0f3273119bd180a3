//! `wharf inspect`: what an image is, as JSON.

use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde_json::value::RawValue;
use wharf_client::transfer::{ImageSource, Target, choose_platform, verified};
use wharf_spec::{Descriptor, Digest, ManifestView, MediaKind, Platform, RawManifest};

use crate::args::Inspect;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;

/// A configuration is small; what is larger is no configuration.
const MAX_CONFIG: u64 = 8 << 20;

/// What is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    reference: String,
    digest: Digest,
    media_type: String,
    manifest: Box<RawValue>,
    /// The configuration of the image, or of an index's image for the platform.
    #[serde(skip_serializing_if = "Option::is_none")]
    config: Option<Box<RawValue>>,
}

/// Prints it.
pub async fn run(session: &Session, command: Inspect) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let failed = || Failure::new(format!("could not inspect {}", command.image));
    // Only a name with a host is looked for at a registry.
    let (manifest, source): (RawManifest, Box<dyn ImageSource>) = match store.find(&command.image).await? {
        None if command.image.host.is_some() => {
            let remote = session.remote(&command.image)?;
            let manifest = remote.repository.manifest(&remote.target).await.map_err(|error| failed().because(error))?;
            (manifest, Box::new(remote.repository))
        }
        Some(image) => (image.manifest, Box::new(store.place(&image.name))),
        None => {
            let image = store.require(&command.image).await?;
            (image.manifest, Box::new(store.place(&image.name)))
        }
    };
    if command.raw {
        return output::print(manifest.bytes());
    }
    let config =
        config(&*source, &manifest, command.platform.as_ref()).await.map_err(|error| failed().because(error))?;
    if command.image_config {
        let config = config
            .ok_or_else(|| failed().hint("it has no image configuration; without --image-config it can be shown"))?;
        return output::json(&config);
    }
    let raw = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| failed().because(error));
    output::json(&Shown {
        reference: command.image.to_string(),
        digest: manifest.digest(),
        media_type: manifest.media_type().to_string(),
        manifest: raw(manifest.bytes())?,
        config,
    })
}

/// The configuration's JSON; `None` for an artifact that has none, and for an index without the platform.
async fn config(
    source: &dyn ImageSource,
    manifest: &RawManifest,
    platform: Option<&Platform>,
) -> Result<Option<Box<RawValue>>, wharf_client::transfer::Error> {
    let image = match manifest.view() {
        ManifestView::Manifest(_) => manifest.clone(),
        ManifestView::Index(index) => {
            let host = Platform::host();
            let Some(child) = choose_platform(index, platform.unwrap_or(&host)) else { return Ok(None) };
            source.manifest(&Target::Digest(child.digest)).await?
        }
    };
    let ManifestView::Manifest(image) = image.view() else { return Ok(None) };
    let fits = |config: &&Descriptor| config.media_type.kind() == MediaKind::Config && config.size <= MAX_CONFIG;
    let Some(config) = Some(&image.config).filter(fits) else { return Ok(None) };
    let bytes: BytesMut = verified(config, source.origin(), source.blob(config).await?).try_collect().await?;
    Ok(serde_json::from_slice(&bytes).ok())
}
