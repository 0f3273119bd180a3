//! Chunks that are deltas of a blob that is there.

mod wire;

use wharf_spec::{Digest, delta};
use wire::{Client, Server, Setup, error, noise};

/// A blob of `app`.
async fn put(client: &mut Client, blob: &[u8]) -> Digest {
    let digest = Digest::sha256(blob);
    let (head, _) = client.call(&format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1"), blob).await;
    assert_eq!(head.status, 201);
    digest
}

async fn begin(client: &mut Client, repository: &str) -> String {
    let (head, _) = client.call(&format!("POST /v2/{repository}/blobs/uploads/ HTTP/1.1"), b"").await;
    let accepted = head.get("accept-patch").unwrap();
    assert!(accepted.contains(delta::MEDIA_TYPE) && accepted.contains("application/octet-stream"), "{accepted}");
    head.get("location").unwrap().to_owned()
}

fn request(place: &str, base: &Digest) -> String {
    format!("PATCH {place} HTTP/1.1\r\nContent-Type: {}\r\nWharf-Delta-Base: {base}", delta::MEDIA_TYPE)
}

#[tokio::test]
async fn what_a_blob_has_in_common_with_another_need_not_be_sent() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let base = noise("base", 3_000_000);
    let from = put(&mut client, &base).await;
    let blob = [&base[..1_000_000], b"new", &base[1_000_100..], b"end"].concat();
    let digest = Digest::sha256(&blob);
    let first = [&delta::copy(0, 1_000_000)[..], &delta::new(3), b"new", &delta::copy(1_000_100, 500_000)].concat();
    let second = [&delta::copy(1_500_100, 1_499_900)[..], &delta::new(3), b"end"].concat();
    let place = begin(&mut client, "app").await;
    let (head, _) = client.call(&request(&place, &from), &first).await;
    assert_eq!((head.status, head.get("range")), (202, Some("0-1500002")));
    let (head, _) = client.call(&request(&place, &from), &second).await;
    assert_eq!((head.status, head.get("range")), (202, Some("0-2999905")));
    assert_eq!(client.call(&format!("PUT {place}?digest={digest} HTTP/1.1"), b"").await.0.status, 201);
    let (_, stored) = client.call(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
    assert!(stored == blob);
}

#[tokio::test]
async fn what_is_refused_leaves_the_upload_as_it_was() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let base = put(&mut client, b"base").await;
    let place = begin(&mut client, "app").await;
    assert_eq!(client.call(&format!("PATCH {place} HTTP/1.1"), b"some").await.0.status, 202);
    let beyond = delta::copy(3, 2);
    let absent = Digest::sha256(b"nobody has this");
    for (request, body, expected) in [
        (request(&place, &base), &beyond[..], (400, "BLOB_UPLOAD_INVALID")),
        (request(&place, &absent), &beyond[..], (404, "BLOB_UNKNOWN")),
        (request(&place, &base).replace("Wharf-Delta-Base", "X-Base"), &beyond[..], (400, "UNSUPPORTED")),
    ] {
        let (head, body) = client.call(&request, body).await;
        assert_eq!((head.status, error(&body).0.as_str()), expected, "{request}");
    }
    let (head, _) = client.call(&format!("GET {place} HTTP/1.1"), b"").await;
    assert_eq!((head.status, head.get("range")), (204, Some("0-3")));
    let digest = Digest::sha256(b"some");
    assert_eq!(client.call(&format!("PUT {place}?digest={digest} HTTP/1.1"), b"").await.0.status, 201);
}

/// Who may push to one repository does not come by the bytes of another.
#[tokio::test]
async fn a_base_is_a_blob_of_the_same_repository() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let base = put(&mut client, b"base").await;
    let place = begin(&mut client, "other").await;
    let (head, body) = client.call(&request(&place, &base), &delta::copy(0, 4)).await;
    assert_eq!((head.status, error(&body).0.as_str()), (404, "BLOB_UNKNOWN"));
}
