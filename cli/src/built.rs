//! What `wharf build` made: one image, or an index of images for several platforms and of what is attested about them.

use std::collections::BTreeSet;

use wharf_builder::attest::{Attestation, Provenance, Statement, Times, attestation, listed, statement, subjects};
use wharf_builder::layer::LayerFormat;
use wharf_builder::settings::is_true;
use wharf_builder::{BuildRequest, BuildResult};
use wharf_spec::{Compression, Index, Manifest, ManifestView, MediaKind, MediaType, Platform, RawManifest, Reference};

use crate::annotations::{Annotations, Level};
use crate::builds::{self, Order};
use crate::failure::Failure;
use crate::outputs::Form;
use crate::session::Session;
use crate::stores::OpenStore;

/// An index even of one image.
const MULTI_PLATFORM: &str = "BUILDKIT_MULTI_PLATFORM";

/// One image, before it is put together with others.
pub struct Part {
    /// What it was made of.
    pub request: BuildRequest,
    /// What came out.
    pub result: BuildResult,
    /// What is attested about it.
    pub statements: Vec<Statement>,
}

/// All that a command made. Its blobs are in the store; nobody sees it yet.
pub struct Built {
    /// The image, or the index of images.
    pub root: RawManifest,
    /// The manifests that the index lists.
    pub children: Vec<RawManifest>,
    /// In the order of `--platform`.
    pub parts: Vec<Part>,
}

/// What of a command decides what is made.
pub struct Plan<'a> {
    /// Each once, in order; empty for this machine's.
    pub platforms: &'a [Platform],
    /// Of the whole.
    pub annotations: &'a Annotations,
    /// What is to be attested.
    pub provenance: Option<&'a Provenance>,
    /// What the image is like.
    pub form: &'a Form,
    /// Under which the image will be known.
    pub names: &'a [Reference],
}

impl Plan<'_> {
    /// The requests to build, one for each platform.
    pub fn requests(&self, request: &BuildRequest) -> Vec<BuildRequest> {
        let platforms =
            if self.platforms.is_empty() { std::slice::from_ref(&request.platform) } else { self.platforms };
        let mut seen = BTreeSet::new();
        let once = platforms.iter().filter(|platform| seen.insert(platform.to_string()));
        let of = |platform: &Platform| {
            let mut request = request.clone();
            request.platform = platform.clone();
            request.annotations = self.annotations.of(Level::Manifest, Some(platform));
            request
        };
        once.map(of).collect()
    }
}

/// Builds for every platform, one after the other: what does not depend on it is built once. `order` makes the order for a
/// request.
pub async fn build_all(
    session: &Session,
    store: &OpenStore,
    plan: &Plan<'_>,
    requests: Vec<BuildRequest>,
    order: &dyn Fn(BuildRequest) -> Result<(Order, tokio_util::sync::CancellationToken), Failure>,
) -> Result<Built, Failure> {
    let several = requests.len() > 1;
    let mut parts = Vec::new();
    for request in requests {
        let (order, cancel) = order(request.clone())?;
        let platform = several.then(|| request.platform.to_string());
        let shown: Vec<String> = order.shown.iter().cloned().chain(platform).collect();
        let shown = (!shown.is_empty()).then(|| shown.join(" "));
        let started = now();
        let progress = session.progress()?;
        let mut result = builds::run(session, store, Order { shown, ..order }, &progress, cancel).await?;
        // A stage may have said what time it is.
        let request = BuildRequest { source_date_epoch: result.source_date_epoch, ..request };
        let attested = plan.provenance.is_some() || !result.statements.is_empty();
        shape(&mut result, &request, plan.form, attested).await?;
        let named = result.name_layers().await;
        named.map_err(|error| Failure::new("could not look up what the layers brought").because(error))?;
        let times = Times { started, finished: now() };
        let provenance = plan.provenance.map(|provenance| {
            let told = statement(&request, &result, (provenance, times), plan.names);
            let name = provenance.file_name.as_deref().unwrap_or("provenance.json").to_owned();
            Statement { name, told, own_subjects: false, inline_only: provenance.inline_only }
        });
        let about = subjects(&request.platform, &result.image, plan.names);
        let mut statements = result.statements.clone();
        for statement in statements.iter_mut().filter(|statement| !statement.own_subjects) {
            statement.told["subject"] = about.clone().into();
        }
        statements.extend(provenance);
        parts.push(Part { request, result, statements });
    }
    assemble(store, plan, parts).await
}

/// Gives the image the form that was asked for.
async fn shape(result: &mut BuildResult, request: &BuildRequest, form: &Form, attested: bool) -> Result<(), Failure> {
    if form.force && matches!(request.compression.format, LayerFormat::Estargz | LayerFormat::ZstdChunked) {
        return Err(Failure::usage("force-compression knows gzip, zstd and uncompressed").hint(
            "the base's layers get no table of contents: leave force-compression out, or build the base that way",
        ));
    }
    if form.force {
        let done = result.recompress(request.compression).await;
        done.map_err(|error| Failure::new("could not compress the base's layers anew").because(error))?;
    }
    if !form.docker_types(attested) {
        return Ok(());
    }
    let conflict = |what: &str| Failure::usage(format!("--output oci-mediatypes=false: {what} have only OCI's types"));
    if attested {
        return Err(conflict("attestations").hint("leave out --provenance, --sbom and --attest, or the old types"));
    }
    if !request.annotations.is_empty() {
        return Err(conflict("annotations").hint("leave out --annotation, or the old types"));
    }
    match request.compression.format {
        LayerFormat::Uncompressed | LayerFormat::Gzip => {}
        LayerFormat::Estargz => return Err(conflict("layers in estargz").hint("take gzip, or leave out the old types")),
        LayerFormat::Zstd | LayerFormat::ZstdChunked => {
            return Err(conflict("layers in zstd").hint("take gzip, or leave out the old types"));
        }
    }
    if let ManifestView::Manifest(manifest) = result.image.view() {
        result.image = RawManifest::from_manifest(docker_types(manifest.clone()));
    }
    Ok(())
}

/// The same manifest in Docker's words.
fn docker_types(mut manifest: Manifest) -> Manifest {
    manifest.media_type = Some(MediaType::new(MediaType::DOCKER_MANIFEST));
    manifest.config.media_type = MediaType::new(MediaType::DOCKER_CONFIG);
    for layer in &mut manifest.layers {
        let docker = match layer.media_type.kind() {
            MediaKind::Layer(Compression::Gzip) => MediaType::DOCKER_LAYER_GZIP,
            MediaKind::Layer(Compression::Uncompressed) => MediaType::DOCKER_LAYER,
            MediaKind::Layer(Compression::Zstd) => MediaType::DOCKER_LAYER_ZSTD,
            MediaKind::Manifest | MediaKind::Index | MediaKind::Config | MediaKind::Unknown => continue,
        };
        layer.media_type = MediaType::new(docker);
    }
    manifest
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Puts the images together. One alone stays what it is, unless something is said about it.
async fn assemble(store: &OpenStore, plan: &Plan<'_>, parts: Vec<Part>) -> Result<Built, Failure> {
    let forced = |part: &Part| part.request.build_args.get(MULTI_PLATFORM).is_some_and(|value| is_true(value));
    let alone = match parts.as_slice() {
        [one] if one.statements.is_empty() && !forced(one) => Some(one.result.image.clone()),
        _ => None,
    };
    let of_index = plan.annotations.of(Level::Index, None);
    if let Some(root) = alone {
        if !of_index.is_empty() {
            return Err(Failure::usage("--annotation index:…: one image without attestations has no index")
                .hint("annotate the manifest, or make an index with --build-arg BUILDKIT_MULTI_PLATFORM=1"));
        }
        return Ok(Built { root, children: Vec::new(), parts });
    }
    let (mut manifests, mut about, mut children) = (Vec::new(), Vec::new(), Vec::new());
    for part in &parts {
        let image = &part.result.image;
        let mut descriptor = image.descriptor();
        descriptor.platform = Some(part.request.platform.clone());
        descriptor.annotations = plan.annotations.of(Level::ManifestDescriptor, Some(&part.request.platform));
        manifests.push(descriptor);
        children.push(image.clone());
        if !part.statements.is_empty() {
            let Attestation { manifest, blobs } = attestation(&part.statements, image, plan.form.artifact());
            for blob in blobs {
                let stored = store.repositories.store().blobs().put(blob.into()).await;
                stored.map_err(|error| Failure::new("could not store what is attested").because(error))?;
            }
            about.push(listed(&manifest, image));
            children.push(manifest);
        }
    }
    let docker = plan.form.docker_types(!about.is_empty());
    if docker && !(of_index.is_empty() && manifests.iter().all(|one| one.annotations.is_empty())) {
        return Err(Failure::usage("--output oci-mediatypes=false: annotations have only OCI's types")
            .hint("leave out --annotation, or the old types"));
    }
    manifests.extend(about);
    let kind = if docker { MediaType::DOCKER_LIST } else { MediaType::OCI_INDEX };
    let root = RawManifest::from_index(Index {
        schema_version: 2,
        media_type: Some(MediaType::new(kind)),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: of_index,
    });
    Ok(Built { root, children, parts })
}

impl Built {
    /// The digest of the image's configuration, when there is one image.
    pub fn config(&self) -> Option<wharf_spec::Digest> {
        match self.root.view() {
            ManifestView::Manifest(manifest) => Some(manifest.config.digest),
            ManifestView::Index(_) => None,
        }
    }
}
