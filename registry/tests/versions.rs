//! History, rollback and restore over the wire, and conditions on changing a tag.

mod wire;

use serde_json::{Value, json};
use wharf_spec::{Digest, MediaType};
use wire::{Client, Server, Setup, error};

const TAG: &str = "/api/v1/repositories/team/app/tags/stable";

/// An image that differs by `text`, with its blobs pushed; its manifest.
async fn image(client: &mut Client, text: &str) -> (String, Vec<u8>) {
    let mut blob = async |bytes: &[u8]| {
        let digest = Digest::sha256(bytes);
        let (head, _) = client.call(&format!("POST /v2/team/app/blobs/uploads/?digest={digest} HTTP/1.1"), bytes).await;
        assert_eq!(head.status, 201);
        json!({"mediaType": MediaType::OCI_LAYER, "digest": digest, "size": bytes.len()})
    };
    let (config, layer) = (blob(b"{}").await, blob(text.as_bytes()).await);
    let manifest =
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [layer]});
    let bytes = serde_json::to_vec(&manifest).unwrap();
    (Digest::sha256(&bytes).to_string(), bytes)
}

/// Pushes under the tag with these header lines; the status.
async fn put(client: &mut Client, manifest: &[u8], headers: &str) -> u16 {
    let head =
        format!("PUT /v2/team/app/manifests/stable HTTP/1.1\r\nContent-Type: {}{headers}", MediaType::OCI_MANIFEST);
    client.call(&head, manifest).await.0.status
}

async fn post(client: &mut Client, action: &str, body: &Value, headers: &str) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(body).unwrap() };
    let (head, body) = client.call(&format!("POST {TAG}/{action} HTTP/1.1{headers}"), &body).await;
    (head.status, serde_json::from_slice(&body).unwrap())
}

/// What the tag serves now.
async fn served(client: &mut Client) -> Option<String> {
    let (head, _) = client.call("GET /v2/team/app/manifests/stable HTTP/1.1", b"").await;
    head.get("docker-content-digest").filter(|_| head.status == 200).map(str::to_owned)
}

#[tokio::test]
async fn a_tag_goes_back_and_comes_back() {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let (one, first) = image(client, "one").await;
    let (two, second) = image(client, "two").await;
    assert_eq!(put(client, &first, "").await, 201);
    assert_eq!(put(client, &second, "").await, 201);

    let (status, rolled) = post(client, "rollback", &Value::Null, "").await;
    assert_eq!((status, &rolled["version"], &rolled["history"][0]["from"]), (200, &json!(3), &json!(1)));
    assert_eq!(served(client).await, Some(one.clone()));
    let (status, _) = post(client, "rollback", &json!({"digest": two}), "").await;
    assert_eq!((status, served(client).await), (200, Some(two.clone())));
    let (status, _) = post(client, "rollback", &json!({"version": 1}), "").await;
    assert_eq!((status, served(client).await), (200, Some(one.clone())));

    let (head, _) = client.call("DELETE /v2/team/app/manifests/stable HTTP/1.1", b"").await;
    assert_eq!((head.status, served(client).await), (202, None));
    let (head, body) = client.call(&format!("GET {TAG}/history HTTP/1.1"), b"").await;
    let history: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((head.status, head.get("etag"), &history["current"]), (200, Some("\"6\""), &Value::Null));
    let hows: Vec<_> = history["history"].as_array().unwrap().iter().map(|entry| entry["how"].clone()).collect();
    assert_eq!(hows, ["delete", "rollback", "rollback", "rollback", "push", "push"]);
    assert_eq!((&history["repository"], &history["tag"]), (&json!("team/app"), &json!("stable")));

    let (status, restored) = post(client, "restore", &Value::Null, "").await;
    assert_eq!((status, &restored["current"]["digest"]), (200, &json!(one)));
    assert_eq!(served(client).await, Some(one));
    assert_eq!(post(client, "restore", &Value::Null, "").await.0, 409);
}

#[tokio::test]
async fn what_cannot_be_gone_back_to_is_answered_with_the_reason() {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let (head, body) = client.call(&format!("GET {TAG}/history HTTP/1.1"), b"").await;
    assert_eq!((head.status, error(&body).0.as_str()), (404, "NAME_UNKNOWN"));
    let (one, first) = image(client, "one").await;
    let (_, second) = image(client, "two").await;
    put(client, &first, "").await;
    put(client, &second, "").await;
    let (head, body) = client.call("GET /api/v1/repositories/team/app/tags/none/history HTTP/1.1", b"").await;
    assert_eq!((head.status, error(&body).0.as_str()), (404, "MANIFEST_UNKNOWN"));

    let (head, _) = client.call(&format!("DELETE /v2/team/app/manifests/{one} HTTP/1.1"), b"").await;
    assert_eq!(head.status, 202);
    let unknown = json!(Digest::sha256(b"").to_string());
    for (body, status) in [
        (json!({"version": 1}), 404),
        (json!({"version": 9}), 404),
        (json!({"digest": unknown}), 404),
        (json!({}), 409),
        (json!({"version": 1, "digest": unknown}), 400),
        (json!({"to": 1}), 400),
        (json!("1"), 400),
        (json!({"digest": "x".repeat(5000)}), 400),
    ] {
        let (answered, said) = post(client, "rollback", &body, "").await;
        assert_eq!(answered, status, "{body}: {said}");
    }
    assert!(served(client).await.is_some(), "nothing has happened to the tag");
}

#[tokio::test]
async fn whoever_says_what_the_tag_was_does_not_overwrite_what_it_became() {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let (one, first) = image(client, "one").await;
    let (two, second) = image(client, "two").await;
    assert_eq!(put(client, &first, "\r\nIf-Match: *").await, 412, "there is none");
    let (head, _) = client.call(&format!("HEAD /v2/team/app/manifests/{one} HTTP/1.1"), b"").await;
    assert_eq!(head.status, 404, "a refused push stores nothing");
    assert_eq!(put(client, &first, "\r\nIf-None-Match: *").await, 201);
    assert_eq!(put(client, &second, "\r\nIf-None-Match: *").await, 412);
    assert_eq!(put(client, &first, "\r\nIf-None-Match: *").await, 201, "it is what it should be already");
    let is_one = format!("\r\nIf-Match: \"{one}\"");
    assert_eq!(put(client, &second, &is_one).await, 201);
    let (third, manifest) = image(client, "three").await;
    assert_eq!(put(client, &manifest, &is_one).await, 412);
    assert_eq!(put(client, &manifest, "\r\nIf-Match: \"2\"").await, 201, "the version's number will do");
    assert_eq!(put(client, &manifest, "\r\nIf-Match: three").await, 400);

    let (status, said) = post(client, "rollback", &Value::Null, &is_one).await;
    assert_eq!((status, &said["errors"][0]["code"]), (412, &json!("DENIED")));
    let (head, _) = client.call("DELETE /v2/team/app/manifests/stable HTTP/1.1\r\nIf-Match: \"2\"", b"").await;
    assert_eq!((head.status, served(client).await), (412, Some(third.clone())));
    let (status, _) = post(client, "rollback", &Value::Null, &format!("\r\nIf-Match: \"{third}\"")).await;
    assert_eq!((status, served(client).await), (200, Some(two)));
}

#[tokio::test]
async fn looking_needs_the_right_to_pull_and_changing_the_right_to_push() {
    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let server = Server::start(Setup { users, anonymous_pull: true, ..Setup::default() }).await;
    let client = &mut server.connect().await;
    let (head, _) = client.call(&format!("GET {TAG}/history HTTP/1.1"), b"").await;
    assert_eq!(head.status, 404);
    for action in ["rollback", "restore"] {
        let (head, _) = client.call(&format!("POST {TAG}/{action} HTTP/1.1"), b"").await;
        assert_eq!(head.status, 401, "{action}");
        // ann:secret
        let login = "Authorization: Basic YW5uOnNlY3JldA==";
        let (head, _) = client.call(&format!("POST {TAG}/{action} HTTP/1.1\r\n{login}"), b"").await;
        assert_eq!(head.status, 404, "{action}");
    }
}
