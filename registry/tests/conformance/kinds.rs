//! Every kind of content the suite pushes, made here.

use serde_json::{Value, json};
use wharf_spec::{Algorithm, Digest, MediaType};

use crate::wire::noise;

/// A kind of content, and how it is pushed.
pub(crate) struct Kind {
    pub(crate) name: String,
    /// Whether the suite has it; the others are ours.
    pub(crate) of_the_suite: bool,
    pub(crate) tagging: Tagging,
    pub(crate) data: Data,
}

/// How manifests get their tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tagging {
    /// Pushed once more under the tag.
    Pushed,
    /// `?tag=` when they are pushed by digest.
    Parameter,
    /// None: pushed by digest only.
    None,
}

/// Content that belongs together: blobs, then manifests in the order they must be pushed.
#[derive(Default)]
pub(crate) struct Data {
    pub(crate) blobs: Vec<(Digest, Vec<u8>)>,
    pub(crate) manifests: Vec<Pushed>,
}

pub(crate) struct Pushed {
    pub(crate) digest: Digest,
    pub(crate) media_type: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) subject: Option<String>,
    /// As the list of referrers must name it.
    pub(crate) artifact_type: Option<String>,
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
const ARTIFACT: &str = "application/vnd.example.wharf.v1";
const OTHER_ARTIFACT: &str = "application/vnd.example.wharf.v2";

/// A way to make content.
type Make = fn(&mut Maker);

/// The suite's kinds, by its names. `sparse` and `bad-digest-image` are refused, so they are not here.
const MAKE: &[(&str, Make)] = &[
    ("image", |maker| drop(maker.image(&json!({})))),
    ("image-uncompressed", |maker| {
        maker.layer_type = LAYER;
        drop(maker.image(&json!({})));
    }),
    ("large-manifest", |maker| {
        let annotations: serde_json::Map<_, _> =
            (0..390).map(|n| (format!("large-{n}"), json!("A".repeat(10_000)))).collect();
        drop(maker.image(&json!({"annotations": annotations})));
    }),
    ("index", index),
    ("nested-index", |maker| {
        let inner: Vec<_> = (0..2).map(|_| maker.two_platforms(&json!({}))).collect();
        drop(maker.index(&inner, &json!({})));
    }),
    ("empty-index", |maker| drop(maker.index(&[], &json!({})))),
    ("artifact", |maker| drop(maker.artifact(&json!({"artifactType": ARTIFACT})))),
    ("artifact-index", |maker| {
        let parts =
            [maker.artifact(&json!({"artifactType": ARTIFACT})), maker.artifact(&json!({"artifactType": ARTIFACT}))];
        drop(maker.index(&parts, &json!({"artifactType": ARTIFACT})));
    }),
    ("artifact-without-layers", |maker| {
        let empty = maker.blob(MediaType::OCI_EMPTY, b"{}".to_vec());
        let content = json!({"config": empty, "layers": [empty]});
        drop(maker.manifest(MediaType::OCI_MANIFEST, content, &json!({"artifactType": ARTIFACT})));
    }),
    ("artifacts-with-subject", |maker| {
        let subject = maker.image(&json!({}));
        drop(maker.image(&json!({"subject": subject})));
        for (number, artifact_type) in [ARTIFACT, OTHER_ARTIFACT].into_iter().enumerate() {
            let annotations = json!({"org.example.wharf": "hello", "org.example.number": number.to_string()});
            let more = json!({"subject": subject, "artifactType": artifact_type, "annotations": annotations});
            drop(maker.artifact(&more));
        }
    }),
    ("index-with-subject", |maker| {
        let subject = maker.two_platforms(&json!({}));
        let parts = [maker.artifact(&json!({"artifactType": ARTIFACT}))];
        let more = json!({"artifactType": ARTIFACT, "subject": subject, "annotations": {"k": "v"}});
        drop(maker.index(&parts, &more));
    }),
    ("missing-subject", |maker| {
        let missing = Digest::of(maker.algorithm, b"missing");
        let subject = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": missing, "size": 123});
        drop(maker.artifact(&json!({"artifactType": ARTIFACT, "subject": subject})));
    }),
    ("data-field", |maker| {
        let mut config = maker.blob(MediaType::OCI_EMPTY, b"{}".to_vec());
        config["data"] = json!("e30=");
        drop(maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": []}), &json!({})));
    }),
    ("non-distributable-layers", |maker| {
        let config = maker.config();
        let foreign = |kind: &str, size: u64| {
            let digest = Digest::of(maker.algorithm, kind.as_bytes());
            json!({"mediaType": kind, "digest": digest, "size": size, "urls": ["https://store.example/layer"]})
        };
        let (packed, plain) = (foreign(&format!("{FOREIGN}+gzip"), 123_456), foreign(FOREIGN, 12_345));
        let layers = json!([packed, plain, maker.layer()]);
        drop(maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": layers}), &json!({})));
    }),
    ("custom-fields", |maker| {
        let custom = json!({"org.example.custom": [1, {"a": null}]});
        let images = [maker.image(&custom), maker.image(&custom)];
        drop(maker.index(&images, &custom));
    }),
    ("no-layers", |maker| {
        let config = maker.config();
        drop(maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": []}), &json!({})));
    }),
];

fn index(maker: &mut Maker) {
    drop(maker.two_platforms(&json!({})));
}

/// All of them: the suite's, and each with the other algorithm, tagged by parameters.
pub(crate) fn kinds() -> Vec<Kind> {
    let make = |name: &str, of_the_suite, algorithm, tagging, make: Make| {
        let mut maker = Maker { algorithm, layer_type: MediaType::OCI_LAYER_GZIP, data: Data::default(), count: 0 };
        make(&mut maker);
        Kind { name: name.to_owned(), of_the_suite, tagging, data: maker.data }
    };
    let (sha256, sha512) = (Algorithm::Sha256, Algorithm::Sha512);
    let mut kinds: Vec<_> = MAKE.iter().map(|(name, how)| make(name, true, sha256, Tagging::Pushed, *how)).collect();
    kinds.extend([
        make("sha512", true, sha512, Tagging::None, index),
        make("tag-param-sha256", true, sha256, Tagging::Parameter, index),
        make("tag-param-sha512", true, sha512, Tagging::Parameter, index),
    ]);
    kinds.extend(MAKE.iter().map(|(name, how)| {
        make(&format!("{name} with sha512 and tags as parameters"), false, sha512, Tagging::Parameter, *how)
    }));
    kinds
}

struct Maker {
    algorithm: Algorithm,
    layer_type: &'static str,
    data: Data,
    count: usize,
}

impl Maker {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(self.algorithm, &bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.data.blobs.push((digest, bytes));
        descriptor
    }

    fn layer(&mut self) -> Value {
        self.count += 1;
        let bytes = noise(&format!("{}{}", self.algorithm, self.count), 512 + self.count);
        self.blob(self.layer_type, bytes)
    }

    fn config(&mut self) -> Value {
        self.count += 1;
        let text = format!(r#"{{"architecture":"amd64","os":"linux","n":{}}}"#, self.count);
        self.blob(MediaType::OCI_CONFIG, text.into_bytes())
    }

    /// An image with `more` fields in its manifest.
    fn image(&mut self, more: &Value) -> Value {
        let config = self.config();
        let layers = json!([self.layer(), self.layer()]);
        self.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": layers}), more)
    }

    fn artifact(&mut self, more: &Value) -> Value {
        let config = self.blob(MediaType::OCI_EMPTY, b"{}".to_vec());
        let layer = self.layer();
        self.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": [layer]}), more)
    }

    fn two_platforms(&mut self, more: &Value) -> Value {
        let mut images = [self.image(&json!({})), self.image(&json!({}))];
        for (image, architecture) in images.iter_mut().zip(["amd64", "arm64"]) {
            image["platform"] = json!({"os": "linux", "architecture": architecture});
        }
        self.index(&images, more)
    }

    fn index(&mut self, manifests: &[Value], more: &Value) -> Value {
        self.manifest(MediaType::OCI_INDEX, json!({"manifests": manifests}), more)
    }

    fn manifest(&mut self, media_type: &'static str, mut content: Value, more: &Value) -> Value {
        content["schemaVersion"] = json!(2);
        content["mediaType"] = json!(media_type);
        for (key, value) in more.as_object().into_iter().flatten() {
            content[key] = value.clone();
        }
        let bytes = serde_json::to_vec(&content).unwrap();
        let digest = Digest::of(self.algorithm, &bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        let subject = content["subject"]["digest"].as_str().map(str::to_owned);
        // An image without an artifact type is of its configuration's type; an index without one is of none.
        let artifact_type = content["artifactType"].as_str().or(content["config"]["mediaType"].as_str());
        let artifact_type = artifact_type.map(str::to_owned);
        self.data.manifests.push(Pushed { digest, media_type, bytes, subject, artifact_type });
        descriptor
    }
}
