//! Provenance: what a build was made from and how, as an in-toto statement with a SLSA predicate, in a manifest that lies in
//! the index beside the image it speaks of, where `BuildKit` puts it and its readers look for it.
//!
//! Pure functions. A secret's value is never part of what they see; values of build arguments are part of what the fuller
//! mode tells.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_spec::{Descriptor, Digest, Manifest, MediaType, Platform, RawManifest, Reference};

use crate::request::{BuildRequest, ContextSource};
use crate::result::BuildResult;

/// The type of the statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";
/// The type of what it says.
pub const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// How parameters are to be read.
const BUILD_TYPE: &str = "urn:wharf:dockerfile:v1";
const IN_TOTO: &str = "application/vnd.in-toto+json";

/// How much is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProvenanceMode {
    /// What it was made from; no values of arguments, no text of the Dockerfile.
    #[default]
    Min,
    /// Everything but secrets.
    Max,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// How much.
    pub mode: ProvenanceMode,
    /// Who builds, as a URI.
    pub builder_id: Option<String>,
}

/// An image that something was made from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsedImage {
    /// What its name turned out to mean.
    pub name: String,
    /// Its manifest.
    pub digest: Digest,
    /// What it runs on.
    pub platform: String,
}

/// When a build began and ended.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// In seconds since 1970.
    pub started: i64,
    /// In seconds since 1970.
    pub finished: i64,
}

/// A manifest with everything it names, none of it stored yet.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// Its manifest.
    pub manifest: RawManifest,
    /// Its configuration and its statement.
    pub blobs: [Vec<u8>; 2],
}

/// What `result` was made from, about the image under `names`.
pub fn statement(
    request: &BuildRequest,
    result: &BuildResult,
    (provenance, times): (&Provenance, Times),
    names: &[Reference],
) -> Value {
    let platform = escaped(&request.platform.to_string());
    let digest = result.image.digest().hex();
    let subject = |name: String| json!({ "name": name, "digest": { "sha256": digest } });
    let mut subjects: Vec<Value> =
        names.iter().map(|name| subject(format!("pkg:docker/{}?platform={platform}", package(name)))).collect();
    if subjects.is_empty() {
        subjects.push(subject("_".to_owned()));
    }
    let used = |image: &UsedImage| {
        let name = image.name.parse().map_or_else(|_| escaped(&image.name), |name| package(&name));
        json!({
            "uri": format!("pkg:docker/{name}?platform={}", escaped(&image.platform)),
            "digest": { "sha256": image.digest.hex() },
        })
    };
    let mut metadata = json!({});
    // An image that is to be the same every time must not say when it was made.
    if request.source_date_epoch.is_none() {
        let text = |seconds| Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default();
        metadata = json!({ "startedOn": text(times.started), "finishedOn": text(times.finished) });
    }
    let version = format!("urn:wharf:version:{}", env!("CARGO_PKG_VERSION"));
    json!({
        "_type": STATEMENT,
        "predicateType": PREDICATE,
        "subject": subjects,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters(request, provenance.mode),
                "internalParameters": { "builderPlatform": request.build_platform.to_string() },
                "resolvedDependencies": result.bases.iter().map(used).collect::<Vec<_>>(),
            },
            "runDetails": {
                "builder": { "id": provenance.builder_id.clone().unwrap_or(version) },
                "metadata": metadata,
            },
        },
    })
}

fn parameters(request: &BuildRequest, mode: ProvenanceMode) -> Value {
    let mut told = json!({
        "configSource": { "path": request.dockerfile.name },
        "request": {
            "frontend": "dockerfile.v0",
            "target": request.target.clone().unwrap_or_default(),
            "platform": request.platform.to_string(),
        },
    });
    if mode == ProvenanceMode::Max {
        let place = |source: &ContextSource| match source {
            ContextSource::Directory(_) => "local".to_owned(),
            ContextSource::Image(name) => name.to_string(),
        };
        let contexts: BTreeMap<_, _> =
            request.named_contexts.iter().map(|(name, source)| (name.as_str(), place(source))).collect();
        told["dockerfile"] = json!(request.dockerfile.text);
        told["request"]["args"] = json!(request.build_args);
        told["request"]["labels"] = json!(request.labels);
        told["request"]["contexts"] = json!(contexts);
        told["request"]["secrets"] = json!(request.secrets.keys().collect::<Vec<_>>());
        told["request"]["ssh"] = json!(request.ssh.keys().collect::<Vec<_>>());
    }
    told
}

/// A name as package URLs have it: `team/app@1`.
fn package(name: &Reference) -> String {
    let name = name.with_tag(name.tag_or_latest().unwrap_or_else(wharf_spec::Tag::latest));
    let text = name.to_string();
    match text.rsplit_once(':') {
        Some((name, tag)) => format!("{}@{}", name.replace(':', "%3A"), tag),
        None => text,
    }
}

fn escaped(text: &str) -> String {
    text.replace('/', "%2F").replace(':', "%3A")
}

/// The manifest that holds a statement.
pub fn attestation(statement: &Value) -> Attestation {
    let statement = statement.to_string().into_bytes();
    let mut layer = Descriptor::new(IN_TOTO, Digest::sha256(&statement), statement.len() as u64);
    layer.annotations.insert("in-toto.io/predicate-type".to_owned(), PREDICATE.to_owned());
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] },
    });
    let config = config.to_string().into_bytes();
    let manifest = RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config: Descriptor::new(MediaType::OCI_CONFIG, Digest::sha256(&config), config.len() as u64),
        layers: vec![layer],
        subject: None,
        annotations: BTreeMap::new(),
    });
    Attestation { manifest, blobs: [config, statement] }
}

/// How an attestation about `image` stands in an index.
pub fn listed(attestation: &RawManifest, image: &RawManifest) -> Descriptor {
    let mut descriptor = attestation.descriptor();
    let unknown = "unknown".to_owned();
    descriptor.platform = Some(Platform { os: unknown.clone(), ..Platform::linux(&unknown) });
    descriptor.annotations.extend([
        ("vnd.docker.reference.digest".to_owned(), image.digest().to_string()),
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
    ]);
    descriptor
}
