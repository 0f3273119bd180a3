//! Provenance: what a build was made from and how, as an in-toto statement with a SLSA predicate, in a manifest that lies in
//! the index beside the image it speaks of, where `BuildKit` puts it and its readers look for it.
//!
//! Pure functions. A secret's value is never part of what they see; values of build arguments are part of what the fuller
//! mode tells.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use wharf_spec::{Descriptor, Digest, Manifest, MediaType, Platform, RawManifest, Reference};

use crate::base::ImageName;
use crate::request::{BuildRequest, ContextSource};
use crate::result::BuildResult;

/// The type of the statement.
pub(crate) const STATEMENT: &str = "https://in-toto.io/Statement/v0.1";
/// The types of what it says.
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
const PREDICATE_V02: &str = "https://slsa.dev/provenance/v0.2";
/// What both begin with.
pub const PROVENANCE_PREFIX: &str = "https://slsa.dev/provenance/";
/// How parameters are to be read.
const BUILD_TYPE: &str = "urn:wharf:dockerfile:v1";
/// The type of an attestation that is an artifact, and of the configuration it does not have.
const ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
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

/// In which version of SLSA's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProvenanceVersion {
    /// <https://slsa.dev/spec/v0.2/provenance>, for readers that know no other.
    V02,
    /// <https://slsa.dev/spec/v1.1/provenance>
    #[default]
    V1,
}

/// What is to be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provenance {
    /// How much.
    pub mode: ProvenanceMode,
    /// In which words.
    pub version: ProvenanceVersion,
    /// Who builds, as a URI.
    pub builder_id: Option<String>,
    /// Whether the builder's user vouches for getting the same bytes again.
    pub reproducible: bool,
    /// Whether it stays out of directories and tars, which hold it as a file.
    pub inline_only: bool,
    /// What that file is called; `provenance.json` when nothing is said.
    pub file_name: Option<String>,
}

/// An image whose program writes bills of materials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generator {
    /// Which.
    pub image: ImageName,
    /// What it is told, by name without `BUILDKIT_SCAN_`.
    pub parameters: BTreeMap<String, String>,
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
    /// Its layers, lowest first.
    pub layers: Vec<Digest>,
}

/// When a build began and ended.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// In seconds since 1970.
    pub started: i64,
    /// In seconds since 1970.
    pub finished: i64,
}

/// Something that is attested.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// What it is called as a file.
    pub name: String,
    /// The in-toto statement.
    pub told: Value,
    /// Whether it names itself what it is about; otherwise it is about the image, or the files it is written beside.
    pub own_subjects: bool,
    /// Whether it stays out of directories and tars.
    pub inline_only: bool,
}

/// A manifest with everything it names, none of it stored yet.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// Its manifest.
    pub manifest: RawManifest,
    /// Its configuration and its statements.
    pub blobs: Vec<Vec<u8>>,
}

/// What `result` was made from, about the image under `names`.
pub fn statement(
    request: &BuildRequest,
    result: &BuildResult,
    (provenance, times): (&Provenance, Times),
    names: &[Reference],
) -> Value {
    let used = |image: &UsedImage| {
        let name = image.name.parse().map_or_else(|_| escaped(&image.name), |name| package(&name));
        json!({
            "uri": format!("pkg:docker/{name}?platform={}", escaped(&image.platform)),
            "digest": { "sha256": image.digest.hex() },
        })
    };
    let version = format!("urn:wharf:version:{}", env!("CARGO_PKG_VERSION"));
    let told = Told {
        builder: json!({ "id": provenance.builder_id.clone().unwrap_or(version) }),
        materials: result.bases.iter().map(used).collect(),
        // An image that is to be the same every time must not say when it was made.
        times: request.source_date_epoch.is_none().then_some(times),
    };
    let (predicate_type, predicate) = match provenance.version {
        ProvenanceVersion::V1 => (PREDICATE, told.v1(request, provenance)),
        ProvenanceVersion::V02 => (PREDICATE_V02, told.v02(request, provenance)),
    };
    json!({
        "_type": STATEMENT,
        "predicateType": predicate_type,
        "subject": subjects(&request.platform, &result.image, names),
        "predicate": predicate,
    })
}

/// What both versions tell, each in its own places.
struct Told {
    builder: Value,
    materials: Vec<Value>,
    times: Option<Times>,
}

impl Told {
    fn v1(self, request: &BuildRequest, provenance: &Provenance) -> Value {
        let mut metadata = json!({});
        if let Some(times) = self.times {
            metadata = json!({ "startedOn": text(times.started), "finishedOn": text(times.finished) });
        }
        if provenance.reproducible {
            metadata["buildkit_reproducible"] = json!(true);
        }
        json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": parameters(request, provenance.mode),
                "internalParameters": { "builderPlatform": request.build_platform.to_string() },
                "resolvedDependencies": self.materials,
            },
            "runDetails": { "builder": self.builder, "metadata": metadata },
        })
    }

    fn v02(self, request: &BuildRequest, provenance: &Provenance) -> Value {
        // Files of the context are no materials: nothing names them.
        let completeness = json!({
            "parameters": provenance.mode == ProvenanceMode::Max, "environment": true, "materials": false,
        });
        let mut metadata = json!({ "completeness": completeness, "reproducible": provenance.reproducible });
        if let Some(times) = self.times {
            metadata["buildStartedOn"] = json!(text(times.started));
            metadata["buildFinishedOn"] = json!(text(times.finished));
        }
        let mut parameters = parameters(request, provenance.mode);
        let mut invocation = json!({
            "configSource": { "entryPoint": request.dockerfile.name },
            "parameters": parameters["request"].take(),
            "environment": { "platform": request.build_platform.to_string() },
        });
        if let Some(dockerfile) = parameters.get("dockerfile") {
            invocation["parameters"]["dockerfile"] = dockerfile.clone();
        }
        json!({
            "builder": self.builder,
            "buildType": BUILD_TYPE,
            "materials": self.materials,
            "invocation": invocation,
            "metadata": metadata,
        })
    }
}

fn text(seconds: i64) -> String {
    Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}

/// The image as statements name it, under each of its names.
pub fn subjects(platform: &Platform, image: &RawManifest, names: &[Reference]) -> Vec<Value> {
    let platform = escaped(&platform.to_string());
    let digest = image.digest().hex();
    let subject = |name: String| json!({ "name": name, "digest": { "sha256": digest } });
    let mut subjects: Vec<Value> =
        names.iter().map(|name| subject(format!("pkg:docker/{}?platform={platform}", package(name)))).collect();
    if subjects.is_empty() {
        subjects.push(subject("_".to_owned()));
    }
    subjects
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

/// The manifest that holds statements about `image`. As an artifact it names its image, so that a registry that is asked
/// what there is about it knows; otherwise it looks like an image, which is what older programs expect.
pub fn attestation(statements: &[Statement], image: &RawManifest, artifact: bool) -> Attestation {
    let (mut blobs, mut layers) = (Vec::new(), Vec::new());
    for statement in statements {
        let bytes = statement.told.to_string().into_bytes();
        let mut layer = Descriptor::new(IN_TOTO, Digest::sha256(&bytes), bytes.len() as u64);
        let kind = statement.told["predicateType"].as_str().unwrap_or_default();
        layer.annotations.insert("in-toto.io/predicate-type".to_owned(), kind.to_owned());
        layers.push(layer);
        blobs.push(bytes);
    }
    let config = json!({
        "architecture": "unknown",
        "os": "unknown",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": layers.iter().map(|layer| layer.digest).collect::<Vec<_>>() },
    });
    let (kind, config) =
        if artifact { (EMPTY, b"{}".to_vec()) } else { (MediaType::OCI_CONFIG, config.to_string().into_bytes()) };
    let manifest = RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: artifact.then(|| MediaType::new(ARTIFACT)),
        config: Descriptor::new(kind, Digest::sha256(&config), config.len() as u64),
        layers,
        subject: artifact.then(|| image.descriptor()),
        annotations: BTreeMap::new(),
    });
    blobs.insert(0, config);
    Attestation { manifest, blobs }
}

/// How an attestation about `image` stands in an index.
pub fn listed(attestation: &RawManifest, image: &RawManifest) -> Descriptor {
    let mut descriptor = attestation.descriptor();
    let unknown = "unknown".to_owned();
    descriptor.platform = Some(Platform { os: unknown.clone(), ..Platform::linux(&unknown) });
    descriptor.annotations.extend([
        (Descriptor::ATTESTS.to_owned(), image.digest().to_string()),
        ("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned()),
    ]);
    descriptor
}
