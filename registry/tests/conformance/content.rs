//! Each kind of content, pushed, listed, asked for, pulled, referred to and deleted.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use wharf_spec::MediaType;

use crate::kinds::{Data, Kind, Pushed, Tagging, kinds};
use crate::wire::{Client, Server, Setup};

const REPOSITORY: &str = "/v2/conformance/repo1";

#[tokio::test]
async fn every_kind_of_content_is_pushed_listed_pulled_and_deleted() {
    for Kind { name, tagging, data, .. } in kinds() {
        let server = Server::start(Setup::default()).await;
        let mut client = server.connect().await;
        let tags = push(&mut client, &data, tagging, &name).await;
        list(&mut client, &tags, &name).await;
        pull(&mut client, &data, &tags, &name).await;
        referrers(&mut client, &data, &name).await;
        delete(&mut client, &data, &tags, &name).await;
    }
}

/// The tags of each manifest.
type Tags = Vec<Vec<String>>;

async fn status(client: &mut Client, head: &str, body: &[u8]) -> u16 {
    client.call(&format!("{head} HTTP/1.1"), body).await.0.status
}

async fn push(client: &mut Client, data: &Data, tagging: Tagging, kind: &str) -> Tags {
    for (digest, bytes) in &data.blobs {
        let post = format!("POST {REPOSITORY}/blobs/uploads/?digest={digest}");
        assert_eq!(status(client, &post, bytes).await, 201, "{kind}");
    }
    let mut all = Vec::new();
    for (number, pushed) in data.manifests.iter().enumerate() {
        let tags = match tagging {
            Tagging::Pushed => vec![format!("pushed-{number}")],
            Tagging::Parameter => vec![format!("t{number}"), format!("other-{number}")],
            Tagging::None => Vec::new(),
        };
        let parameters = match tagging {
            Tagging::Parameter => tags.clone(),
            Tagging::Pushed | Tagging::None => Vec::new(),
        };
        put(client, pushed, &pushed.digest.to_string(), &parameters, kind).await;
        if tagging == Tagging::Pushed {
            put(client, pushed, &tags[0], &[], kind).await;
        }
        all.push(tags);
    }
    all
}

async fn put(client: &mut Client, pushed: &Pushed, reference: &str, parameters: &[String], kind: &str) {
    let Pushed { digest, media_type, bytes, subject, .. } = pushed;
    let query: Vec<_> = parameters.iter().map(|tag| format!("tag={tag}")).collect();
    let put =
        format!("PUT {REPOSITORY}/manifests/{reference}?{} HTTP/1.1\r\nContent-Type: {media_type}", query.join("&"));
    let (head, body) = client.call(&put, bytes).await;
    assert_eq!(head.status, 201, "{kind}: {}", String::from_utf8_lossy(&body));
    assert_eq!(head.get("docker-content-digest"), Some(digest.to_string().as_str()), "{kind}");
    assert_eq!(head.get("oci-subject"), subject.as_deref(), "{kind}");
    assert_eq!(head.all("oci-tag"), parameters, "{kind}");
    let location = head.get("location").unwrap().to_owned();
    let (head, found) = client.call(&format!("GET {location} HTTP/1.1"), b"").await;
    assert_eq!((head.status, head.get("content-type")), (200, Some(*media_type)), "{kind}");
    assert_eq!(head.length(), bytes.len(), "{kind}");
    assert!(found == *bytes, "{kind}");
}

/// All tags, and those after half of them.
async fn list(client: &mut Client, tags: &Tags, kind: &str) {
    let mut sorted: Vec<_> = tags.iter().flatten().cloned().collect();
    sorted.sort();
    let listed = async |client: &mut Client, query: &str| {
        let (head, body) = client.call(&format!("GET {REPOSITORY}/tags/list{query} HTTP/1.1"), b"").await;
        assert_eq!(head.status, 200, "{kind}");
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["name"], "conformance/repo1", "{kind}");
        body["tags"].clone()
    };
    assert_eq!(listed(client, "").await, json!(sorted), "{kind}");
    if sorted.len() >= 2 {
        let (_, after) = sorted.split_at(sorted.len() / 2);
        let last = &sorted[sorted.len() / 2 - 1];
        assert_eq!(listed(client, &format!("?last={last}")).await, json!(after), "{kind}");
    }
}

async fn pull(client: &mut Client, data: &Data, tags: &Tags, kind: &str) {
    for (pushed, tags) in data.manifests.iter().zip(tags) {
        for reference in tags.iter().cloned().chain([pushed.digest.to_string()]) {
            let accept = format!("Accept: {}\r\nAccept: {}", MediaType::OCI_INDEX, MediaType::OCI_MANIFEST);
            let path = format!("{REPOSITORY}/manifests/{reference} HTTP/1.1\r\n{accept}");
            let (head, _) = client.call(&format!("HEAD {path}"), b"").await;
            let digest = pushed.digest.to_string();
            assert_eq!((head.status, head.length()), (200, pushed.bytes.len()), "{kind}: {reference}");
            assert_eq!(head.get("content-type"), Some(pushed.media_type), "{kind}: {reference}");
            assert_eq!(head.get("docker-content-digest"), Some(digest.as_str()), "{kind}");
            let (head, body) = client.call(&format!("GET {path}"), b"").await;
            assert_eq!(head.get("content-type"), Some(pushed.media_type), "{kind}: {reference}");
            assert_eq!(head.get("docker-content-digest"), Some(digest.as_str()), "{kind}");
            assert!(body == pushed.bytes, "{kind}: {reference}");
        }
    }
    for (digest, bytes) in &data.blobs {
        let (head, _) = client.call(&format!("HEAD {REPOSITORY}/blobs/{digest} HTTP/1.1"), b"").await;
        assert_eq!((head.status, head.length()), (200, bytes.len()), "{kind}");
        let (head, body) = client.call(&format!("GET {REPOSITORY}/blobs/{digest} HTTP/1.1"), b"").await;
        let said = head.get("docker-content-digest");
        assert_eq!((head.status, said), (200, Some(digest.to_string().as_str())), "{kind}");
        assert!(body == *bytes, "{kind}");
    }
}

/// Everything that names a subject is listed with it, and alone when its type is asked for.
async fn referrers(client: &mut Client, data: &Data, kind: &str) {
    let subjects: BTreeSet<_> = data.manifests.iter().filter_map(|pushed| pushed.subject.clone()).collect();
    for subject in subjects {
        let referring: Vec<_> =
            data.manifests.iter().filter(|pushed| pushed.subject.as_ref() == Some(&subject)).collect();
        let types: BTreeSet<_> = referring.iter().filter_map(|pushed| pushed.artifact_type.clone()).collect();
        for wanted in [None].into_iter().chain(types.into_iter().map(Some)) {
            let query = wanted.as_ref().map_or_else(String::new, |wanted| format!("?artifactType={wanted}"));
            let (head, body) = client.call(&format!("GET {REPOSITORY}/referrers/{subject}{query} HTTP/1.1"), b"").await;
            assert_eq!((head.status, head.get("content-type")), (200, Some(MediaType::OCI_INDEX)), "{kind}");
            assert_eq!(head.get("oci-filters-applied"), wanted.as_ref().map(|_| "artifactType"), "{kind}");
            let list: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&list["schemaVersion"], &list["mediaType"]), (&json!(2), &json!(MediaType::OCI_INDEX)));
            let mut listed: Vec<_> = list["manifests"].as_array().unwrap().clone();
            let goals = referring.iter().filter(|pushed| wanted.is_none() || pushed.artifact_type == wanted);
            let mut goals: Vec<_> = goals.map(|pushed| descriptor(pushed)).collect();
            for list in [&mut listed, &mut goals] {
                list.sort_by_key(|entry| entry["digest"].to_string());
            }
            assert_eq!(listed, goals, "{kind}: {wanted:?}");
        }
    }
}

/// As a list of referrers must name it.
fn descriptor(pushed: &Pushed) -> Value {
    let manifest: Value = serde_json::from_slice(&pushed.bytes).unwrap();
    let mut entry = json!({"mediaType": pushed.media_type, "digest": pushed.digest, "size": pushed.bytes.len()});
    if let Some(artifact_type) = &pushed.artifact_type {
        entry["artifactType"] = json!(artifact_type);
    }
    if !manifest["annotations"].is_null() {
        entry["annotations"] = manifest["annotations"].clone();
    }
    entry
}

async fn delete(client: &mut Client, data: &Data, tags: &Tags, kind: &str) {
    for tag in tags.iter().filter_map(|tags| tags.first()) {
        let tag = format!("{REPOSITORY}/manifests/{tag}");
        assert_eq!(status(client, &format!("DELETE {tag}"), b"").await, 202, "{kind}");
        assert_eq!(status(client, &format!("HEAD {tag}"), b"").await, 404, "{kind}");
    }
    for other in tags.iter().filter_map(|tags| tags.get(1)) {
        assert_eq!(status(client, &format!("HEAD {REPOSITORY}/manifests/{other}"), b"").await, 200, "{kind}");
    }
    for pushed in data.manifests.iter().rev() {
        let path = format!("{REPOSITORY}/manifests/{}", pushed.digest);
        assert_eq!(status(client, &format!("DELETE {path}"), b"").await, 202, "{kind}");
        assert_eq!(status(client, &format!("HEAD {path}"), b"").await, 404, "{kind}");
    }
    for (digest, _) in &data.blobs {
        let path = format!("{REPOSITORY}/blobs/{digest}");
        // Some blobs are named twice.
        assert!(matches!(status(client, &format!("DELETE {path}"), b"").await, 202 | 404), "{kind}");
        assert_eq!(status(client, &format!("HEAD {path}"), b"").await, 404, "{kind}");
    }
    let (_, body) = client.call(&format!("GET {REPOSITORY}/tags/list HTTP/1.1"), b"").await;
    assert_eq!(String::from_utf8(body).unwrap(), r#"{"name":"conformance/repo1","tags":[]}"#, "{kind}");
}
