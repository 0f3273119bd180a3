//! What the official conformance suite pushes, lists, pulls and deletes, kind by kind and with both digest algorithms.

mod wire;

use serde_json::{Value, json};
use wharf_spec::{Algorithm, Digest, MediaType};
use wire::{Client, Server, Setup, noise};

/// Content that belongs together: blobs, then manifests in the order they must be pushed.
#[derive(Default)]
struct Data {
    blobs: Vec<(Digest, Vec<u8>)>,
    manifests: Vec<Pushed>,
}

struct Pushed {
    digest: Digest,
    media_type: &'static str,
    bytes: Vec<u8>,
    subject: Option<String>,
}

struct Maker {
    algorithm: Algorithm,
    data: Data,
    count: usize,
}

impl Maker {
    fn new(algorithm: Algorithm) -> Self {
        Self { algorithm, data: Data::default(), count: 0 }
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(self.algorithm, &bytes);
        let descriptor = json!({"mediaType": media_type, "digest": digest, "size": bytes.len()});
        self.data.blobs.push((digest, bytes));
        descriptor
    }

    fn layer(&mut self) -> Value {
        self.count += 1;
        let bytes = noise(&format!("{}{}", self.algorithm, self.count), 512 + self.count);
        self.blob(MediaType::OCI_LAYER_GZIP, bytes)
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
        self.data.manifests.push(Pushed { digest, media_type, bytes, subject });
        descriptor
    }
}

/// Every kind of data the suite has.
fn kinds(algorithm: Algorithm) -> Vec<(&'static str, Data)> {
    let none = json!({});
    let make = |build: &dyn Fn(&mut Maker)| {
        let mut maker = Maker::new(algorithm);
        build(&mut maker);
        maker.data
    };
    let index = MediaType::OCI_INDEX;
    let artifact = |maker: &mut Maker, more: Value| {
        let config = maker.blob(MediaType::OCI_EMPTY, b"{}".to_vec());
        let layer = maker.layer();
        maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": [layer]}), &more)
    };
    vec![
        ("image", make(&|maker| drop(maker.image(&none)))),
        (
            "large manifest",
            make(&|maker| {
                let annotations: serde_json::Map<_, _> =
                    (0..390).map(|n| (format!("large-{n}"), json!("A".repeat(10_000)))).collect();
                drop(maker.image(&json!({"annotations": annotations})));
            }),
        ),
        (
            "index",
            make(&|maker| {
                let images = json!([maker.image(&none), maker.image(&none)]);
                drop(maker.manifest(index, json!({"manifests": images}), &none));
            }),
        ),
        (
            "nested index",
            make(&|maker| {
                let inner: Vec<_> = (0..2)
                    .map(|_| {
                        let images = json!([maker.image(&none)]);
                        maker.manifest(index, json!({"manifests": images}), &none)
                    })
                    .collect();
                drop(maker.manifest(index, json!({"manifests": inner}), &none));
            }),
        ),
        ("empty index", make(&|maker| drop(maker.manifest(index, json!({"manifests": []}), &none)))),
        (
            "artifact index with a subject",
            make(&|maker| {
                let subject = maker.image(&none);
                let parts = json!([artifact(maker, json!({"artifactType": "a/part"}))]);
                let more = json!({"artifactType": "a/list", "subject": subject, "annotations": {"k": "v"}});
                drop(maker.manifest(index, json!({"manifests": parts}), &more));
            }),
        ),
        (
            "missing subject",
            make(&|maker| {
                let missing = Digest::of(algorithm, b"missing");
                let subject = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": missing, "size": 123});
                drop(artifact(maker, json!({"artifactType": "a/b", "subject": subject})));
            }),
        ),
        (
            "data field",
            make(&|maker| {
                let mut config = maker.blob(MediaType::OCI_EMPTY, b"{}".to_vec());
                config["data"] = json!("e30=");
                drop(maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": []}), &none));
            }),
        ),
        (
            "layers that must not be distributed",
            make(&|maker| {
                let config = maker.config();
                let foreign = json!({
                    "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                    "digest": Digest::of(algorithm, b"foreign"), "size": 123_456,
                    "urls": ["https://store.example/layer"],
                });
                let layers = json!([foreign, maker.layer()]);
                drop(maker.manifest(MediaType::OCI_MANIFEST, json!({"config": config, "layers": layers}), &none));
            }),
        ),
        ("custom fields", make(&|maker| drop(maker.image(&json!({"org.example.custom": [1, {"a": null}]}))))),
    ]
}

async fn status(client: &mut Client, head: &str, body: &[u8]) -> u16 {
    client.call(&format!("{head} HTTP/1.1"), body).await.0.status
}

#[tokio::test]
async fn every_kind_of_content_is_pushed_listed_pulled_and_deleted() {
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        for (kind, data) in kinds(algorithm) {
            let server = Server::start(Setup::default()).await;
            let mut client = server.connect().await;
            push(&mut client, &data, kind).await;
            pull(&mut client, &data, kind).await;
            referrers(&mut client, &data, kind).await;
            delete(&mut client, &data, kind).await;
        }
    }
}

async fn push(client: &mut Client, data: &Data, kind: &str) {
    for (digest, bytes) in &data.blobs {
        let post = format!("POST /v2/conf/a/blobs/uploads/?digest={digest}");
        assert_eq!(status(client, &post, bytes).await, 201, "{kind}");
    }
    for (number, pushed) in data.manifests.iter().enumerate() {
        let Pushed { digest, media_type, bytes, subject } = pushed;
        let put = format!(
            "PUT /v2/conf/a/manifests/{digest}?tag=t{number}&tag=other-{number} HTTP/1.1\r\nContent-Type: {media_type}"
        );
        let (head, body) = client.call(&put, bytes).await;
        assert_eq!(head.status, 201, "{kind}: {}", String::from_utf8_lossy(&body));
        assert_eq!(head.get("docker-content-digest"), Some(digest.to_string().as_str()), "{kind}");
        assert_eq!(head.get("oci-subject"), subject.as_deref(), "{kind}");
        assert_eq!(head.all("oci-tag"), [format!("t{number}"), format!("other-{number}")], "{kind}");
        let location = head.get("location").unwrap().to_owned();
        let (head, found) = client.call(&format!("GET {location} HTTP/1.1"), b"").await;
        assert_eq!((head.status, head.get("content-type")), (200, Some(*media_type)), "{kind}");
        assert!(found == *bytes, "{kind}");
    }
}

async fn pull(client: &mut Client, data: &Data, kind: &str) {
    for (number, pushed) in data.manifests.iter().enumerate() {
        for reference in [pushed.digest.to_string(), format!("t{number}"), format!("other-{number}")] {
            let (head, _) = client.call(&format!("HEAD /v2/conf/a/manifests/{reference} HTTP/1.1"), b"").await;
            assert_eq!(head.status, 200, "{kind}: {reference}");
            assert_eq!(head.length(), pushed.bytes.len(), "{kind}: {reference}");
            assert_eq!(head.get("docker-content-digest"), Some(pushed.digest.to_string().as_str()), "{kind}");
            let (head, body) = client.call(&format!("GET /v2/conf/a/manifests/{reference} HTTP/1.1"), b"").await;
            assert_eq!(head.get("content-type"), Some(pushed.media_type), "{kind}: {reference}");
            assert!(body == pushed.bytes, "{kind}: {reference}");
        }
    }
    for (digest, bytes) in &data.blobs {
        let (head, body) = client.call(&format!("GET /v2/conf/a/blobs/{digest} HTTP/1.1"), b"").await;
        assert_eq!(
            (head.status, head.get("docker-content-digest")),
            (200, Some(digest.to_string().as_str())),
            "{kind}"
        );
        assert!(body == *bytes, "{kind}");
    }
}

async fn referrers(client: &mut Client, data: &Data, kind: &str) {
    for pushed in &data.manifests {
        let Some(subject) = &pushed.subject else { continue };
        let manifest: Value = serde_json::from_slice(&pushed.bytes).unwrap();
        let artifact_type = manifest["artifactType"].as_str().unwrap();
        for query in [String::new(), format!("?artifactType={artifact_type}")] {
            let get = format!("GET /v2/conf/a/referrers/{subject}{query} HTTP/1.1");
            let (head, body) = client.call(&get, b"").await;
            assert_eq!((head.status, head.get("content-type")), (200, Some(MediaType::OCI_INDEX)), "{kind}");
            let list: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&list["schemaVersion"], &list["mediaType"]), (&json!(2), &json!(MediaType::OCI_INDEX)));
            let entry =
                list["manifests"].as_array().unwrap().iter().find(|entry| entry["digest"] == json!(pushed.digest));
            let entry = entry.unwrap_or_else(|| panic!("{kind}: {list}"));
            assert_eq!(entry["artifactType"], json!(artifact_type), "{kind}");
            assert_eq!(entry["size"], json!(pushed.bytes.len()), "{kind}");
            assert_eq!(entry["annotations"], manifest["annotations"], "{kind}");
        }
    }
}

async fn delete(client: &mut Client, data: &Data, kind: &str) {
    for number in 0..data.manifests.len() {
        let tag = format!("/v2/conf/a/manifests/t{number}");
        assert_eq!(status(client, &format!("DELETE {tag}"), b"").await, 202, "{kind}");
        assert_eq!(status(client, &format!("HEAD {tag}"), b"").await, 404, "{kind}");
        assert_eq!(status(client, &format!("HEAD /v2/conf/a/manifests/other-{number}"), b"").await, 200, "{kind}");
    }
    for pushed in data.manifests.iter().rev() {
        let path = format!("/v2/conf/a/manifests/{}", pushed.digest);
        assert_eq!(status(client, &format!("DELETE {path}"), b"").await, 202, "{kind}");
        assert_eq!(status(client, &format!("HEAD {path}"), b"").await, 404, "{kind}");
    }
    for (digest, _) in &data.blobs {
        let path = format!("/v2/conf/a/blobs/{digest}");
        // Some blobs are named twice.
        assert!(matches!(status(client, &format!("DELETE {path}"), b"").await, 202 | 404), "{kind}");
        assert_eq!(status(client, &format!("HEAD {path}"), b"").await, 404, "{kind}");
    }
    let (_, body) = client.call("GET /v2/conf/a/tags/list HTTP/1.1", b"").await;
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"name":"conf/a","tags":[]}"#, "{kind}");
}

#[tokio::test]
async fn ranges_are_answered_as_the_suite_expects() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let blob = noise("range", 2048);
        let digest = Digest::of(algorithm, &blob);
        assert_eq!(status(&mut client, &format!("POST /v2/a/blobs/uploads/?digest={digest}"), &blob).await, 201);
        for (range, expected) in
            [("500-1499", 500..1500), ("500-", 500..2048), ("-500", 1548..2048), ("2000-5000", 2000..2048)]
        {
            let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nRange: bytes={range}");
            let (head, body) = client.call(&get, b"").await;
            assert_eq!((head.status, head.length()), (206, expected.len()), "{range}");
            let content_range = format!("bytes {}-{}/2048", expected.start, expected.end - 1);
            assert_eq!(head.get("content-range"), Some(content_range.as_str()), "{range}");
            assert!(body == blob[expected], "{range}");
        }
        for range in ["500-0", "5000-10000"] {
            let get = format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nRange: bytes={range}");
            let (head, _) = client.call(&get, b"").await;
            assert_eq!((head.status, head.get("content-range")), (416, Some("bytes */2048")), "{range}");
        }
        // A range is of a GET only.
        let head = format!("HEAD /v2/a/blobs/{digest} HTTP/1.1\r\nRange: bytes=0-1");
        let (head, _) = client.call(&head, b"").await;
        assert_eq!((head.status, head.length(), head.get("content-range")), (200, 2048, None));
    }
}

#[tokio::test]
async fn the_empty_blob_is_a_blob() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = Digest::of(algorithm, b"");
        let (head, _) = client.call("POST /v2/a/blobs/uploads/ HTTP/1.1", b"").await;
        let place = head.get("location").unwrap().to_owned();
        assert_eq!(status(&mut client, &format!("PUT {place}?digest={digest}"), b"").await, 201);
        let (head, body) = client.call(&format!("GET /v2/a/blobs/{digest} HTTP/1.1\r\nRange: bytes=0-"), b"").await;
        assert_eq!((head.status, head.get("content-length"), body), (200, Some("0"), Vec::new()));
    }
}
