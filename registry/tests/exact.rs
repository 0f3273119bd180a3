//! Manifests are kept byte for byte: also Docker's, also those that no serializer of ours would write, and also after the process that
//! took them has gone.

mod wire;

use wharf_blobstore::embedded;
use wharf_spec::{Digest, MediaType};
use wire::{Client, Server, Setup};

/// Manifests as people's tools have written them, each with its type: the first is what Docker 1.10 to 20 push.
fn manifests(config: &Digest, layer: &Digest) -> Vec<(&'static str, String)> {
    let docker = format!(
        "{{\n   \"schemaVersion\": 2,\n   \"mediaType\": \"{}\",\n   \"config\": {{\n      \"mediaType\": \
         \"application/vnd.docker.container.image.v1+json\",\n      \"size\": 2,\n      \"digest\": \"{config}\"\n   }},\n   \
         \"layers\": [\n      {{\n         \"mediaType\": \"application/vnd.docker.image.rootfs.diff.tar.gzip\",\n         \
         \"size\": 5,\n         \"digest\": \"{layer}\"\n      }}\n   ]\n}}",
        MediaType::DOCKER_MANIFEST
    );
    let reordered = format!(
        "{{\"layers\":[],\"config\":{{\"digest\":\"{config}\",\"size\":2,\"mediaType\":\"application/vnd.docker.container.image.v1+json\"}},\
         \"mediaType\":\"{}\",\"schemaVersion\":2}}",
        MediaType::DOCKER_MANIFEST
    );
    vec![
        (MediaType::DOCKER_MANIFEST, docker.clone()),
        (MediaType::DOCKER_MANIFEST, docker.replace('\n', "\r\n").replace("   ", "\t")),
        (MediaType::DOCKER_MANIFEST, format!("{docker}\n\n")),
        (MediaType::DOCKER_MANIFEST, reordered.clone()),
        // Numbers, escapes and fields that would be written in another way.
        (
            MediaType::DOCKER_MANIFEST,
            reordered.replace("{\"layers\"", "{\"x\\u002dy\":[1.50e+1,-0,\"\\/\\u00e9\",null],\"layers\""),
        ),
        (MediaType::OCI_MANIFEST, reordered.replace(MediaType::DOCKER_MANIFEST, MediaType::OCI_MANIFEST)),
    ]
}

fn list(manifest: &str) -> (&'static str, String) {
    let digest = Digest::sha256(manifest.as_bytes());
    let text = format!(
        "{{ \"manifests\" : [ {{ \"platform\":{{\"os\":\"linux\",\"architecture\":\"arm\",\"variant\":\"v7\",\"features\":[\"sse4\"]}},\
         \"digest\":\"{digest}\",\"size\":{},\"mediaType\":\"{}\" }} ],\n\"schemaVersion\":2, \"mediaType\":\"{}\" }}\n",
        manifest.len(),
        MediaType::DOCKER_MANIFEST,
        MediaType::DOCKER_LIST
    );
    (MediaType::DOCKER_LIST, text)
}

async fn pulled_as_pushed(client: &mut Client, all: &[(&str, String)]) {
    for (number, (kind, text)) in all.iter().enumerate() {
        let digest = Digest::sha256(text.as_bytes()).to_string();
        for reference in [format!("v{number}"), digest.clone()] {
            let path = format!("/v2/library/app/manifests/{reference} HTTP/1.1");
            let (head, body) = client.call(&format!("GET {path}"), b"").await;
            assert_eq!((head.status, head.get("content-type")), (200, Some(*kind)), "{reference}");
            assert_eq!(head.get("docker-content-digest"), Some(digest.as_str()), "{reference}");
            assert_eq!(String::from_utf8(body).unwrap(), *text, "{reference}");
            let (head, _) = client.call(&format!("HEAD {path}"), b"").await;
            assert_eq!((head.get("content-type"), head.length()), (Some(*kind), text.len()), "{reference}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_kept_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let (config, layer) = (Digest::sha256(b"{}"), Digest::sha256(b"layer"));
    let mut all = manifests(&config, &layer);
    all.push(list(&all[0].1));
    let mut server =
        Server::start(Setup { store: Some(embedded::open(directory.path()).unwrap()), ..Setup::default() }).await;
    let mut client = server.connect().await;
    for (digest, bytes) in [(config, b"{}".as_slice()), (layer, b"layer")] {
        let post = format!("POST /v2/library/app/blobs/uploads/?digest={digest} HTTP/1.1");
        assert_eq!(client.call(&post, bytes).await.0.status, 201);
    }
    for (number, (kind, text)) in all.iter().enumerate() {
        // Parameters of the type are not part of it.
        let put = format!("PUT /v2/library/app/manifests/v{number} HTTP/1.1\r\nContent-Type: {kind}; charset=utf-8");
        let (head, body) = client.call(&put, text.as_bytes()).await;
        assert_eq!(head.status, 201, "{text}: {}", String::from_utf8_lossy(&body));
        let digest = Digest::sha256(text.as_bytes()).to_string();
        assert_eq!(head.get("docker-content-digest"), Some(digest.as_str()));
    }
    pulled_as_pushed(&mut client, &all).await;
    drop(client);
    wire::bounded(server.stop()).await.unwrap().unwrap();
    let store = embedded::open(directory.path()).unwrap();
    let server = Server::start(Setup { store: Some(store), ..Setup::default() }).await;
    pulled_as_pushed(&mut server.connect().await, &all).await;
}
