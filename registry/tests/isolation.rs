//! No request reads or writes outside of its repository, and nothing is visible before it is verified.

mod wire;

use std::path::Path;

use serde_json::json;
use wharf_spec::{Digest, MediaType};
use wire::{Client, Server, Setup, bounded, error, noise};

const SECRET: &[u8] = b"what only the vault may read";

/// Fills `vault/a` with a blob, a manifest, a tag, a referrer and an upload that is under way; their names.
struct Vault {
    blob: Digest,
    manifest: Digest,
    bytes: Vec<u8>,
    upload: String,
}

async fn fill(client: &mut Client) -> Vault {
    let blob = Digest::sha256(SECRET);
    put_blob(client, "vault/a", SECRET).await;
    let bytes = image(&blob, SECRET.len(), None);
    let manifest = Digest::sha256(&bytes);
    assert_eq!(put_manifest(client, "vault/a", "v1", &bytes).await, 201);
    let referrer = image(&blob, SECRET.len(), Some((&manifest, bytes.len())));
    assert_eq!(put_manifest(client, "vault/a", "about", &referrer).await, 201);
    let (head, _) = client.call("POST /v2/vault/a/blobs/uploads/ HTTP/1.1", b"").await;
    let upload = head.get("docker-upload-uuid").unwrap().to_owned();
    Vault { blob, manifest, bytes, upload }
}

async fn put_blob(client: &mut Client, name: &str, bytes: &[u8]) {
    let post = format!("POST /v2/{name}/blobs/uploads/?digest={} HTTP/1.1", Digest::sha256(bytes));
    assert_eq!(client.call(&post, bytes).await.0.status, 201);
}

async fn put_manifest(client: &mut Client, name: &str, reference: &str, bytes: &[u8]) -> u16 {
    let put = format!("PUT /v2/{name}/manifests/{reference} HTTP/1.1\r\nContent-Type: {}", MediaType::OCI_MANIFEST);
    client.call(&put, bytes).await.0.status
}

fn image(layer: &Digest, size: usize, subject: Option<(&Digest, usize)>) -> Vec<u8> {
    let descriptor = |digest: &Digest, size: usize| json!({"mediaType": "a/b", "digest": digest, "size": size});
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(layer, size), "layers": [descriptor(layer, size)],
    });
    if let Some((digest, size)) = subject {
        manifest["subject"] = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": size});
    }
    serde_json::to_vec(&manifest).unwrap()
}

/// Names that are not the vault's, however much they look like it.
const OTHERS: [&str; 6] = ["vault", "vault/b", "vault/a/b", "other", "a", "vault/a/manifests"];

#[tokio::test]
async fn no_route_reaches_into_another_repository() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let Vault { blob, manifest, bytes, upload } = fill(&mut client).await;
    // The others exist: that they have something of their own opens nothing.
    for other in OTHERS {
        put_blob(&mut client, other, other.as_bytes()).await;
    }
    for other in OTHERS {
        for (methods, path, body) in [
            ("GET HEAD DELETE", format!("blobs/{blob}"), &b""[..]),
            ("GET HEAD DELETE", format!("manifests/{manifest}"), b""),
            ("GET HEAD DELETE", "manifests/v1".to_owned(), b""),
            ("GET DELETE", format!("blobs/uploads/{upload}"), b""),
            ("PATCH", format!("blobs/uploads/{upload}"), b"more"),
            ("PUT", format!("blobs/uploads/{upload}?digest={}", Digest::sha256(b"")), b""),
        ] {
            for method in methods.split(' ') {
                let (head, _) = client.call(&format!("{method} /v2/{other}/{path} HTTP/1.1"), body).await;
                assert_eq!(head.status, 404, "{method} /v2/{other}/{path}");
            }
        }
        let (_, body) = client.call(&format!("GET /v2/{other}/tags/list HTTP/1.1"), b"").await;
        assert!(!String::from_utf8(body).unwrap().contains("v1"), "{other}");
        let (_, body) = client.call(&format!("GET /v2/{other}/referrers/{manifest} HTTP/1.1"), b"").await;
        assert!(String::from_utf8(body).unwrap().contains(r#""manifests":[]"#), "{other}");
        // A manifest is no way to the blob either, nor an index to the manifest.
        assert_eq!(put_manifest(&mut client, other, "v1", &bytes).await, 404, "{other}");
        let child = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": manifest, "size": bytes.len()});
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child]});
        let put = format!("PUT /v2/{other}/manifests/v1 HTTP/1.1\r\nContent-Type: {}", MediaType::OCI_INDEX);
        let (head, _) = client.call(&put, &serde_json::to_vec(&index).unwrap()).await;
        assert_eq!(head.status, 404, "{other}");
    }
    // Nothing of the vault's has changed.
    let (head, body) = client.call("GET /v2/vault/a/manifests/v1 HTTP/1.1", b"").await;
    assert!(head.status == 200 && body == bytes);
    let (_, body) = client.call(&format!("GET /v2/vault/a/blobs/{blob} HTTP/1.1"), b"").await;
    assert_eq!(body, SECRET);
    let (head, _) = client.call(&format!("GET /v2/vault/a/blobs/uploads/{upload} HTTP/1.1"), b"").await;
    assert_eq!((head.status, head.get("range")), (204, Some("0-0")));
}

/// To mount is to read: without a login that may read, nothing is learnt about what there is.
#[tokio::test]
async fn a_mount_tells_a_stranger_nothing() {
    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let server = Server::start(Setup { users, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let login = "\r\nAuthorization: Basic YW5uOnNlY3JldA==";
    let (there, missing) = (Digest::sha256(SECRET), Digest::sha256(b"nobody has this"));
    let post = format!("POST /v2/vault/a/blobs/uploads/?digest={there} HTTP/1.1{login}");
    assert_eq!(client.call(&post, SECRET).await.0.status, 201);
    let mut answers = Vec::new();
    for digest in [there, missing] {
        for query in [format!("mount={digest}&from=vault%2Fa"), format!("mount={digest}")] {
            let (head, body) = client.call(&format!("POST /v2/b/blobs/uploads/?{query} HTTP/1.1"), b"").await;
            assert_eq!(head.status, 401);
            answers.push(body);
        }
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "the answers tell what there is");
    // Who may read it may mount it; a name that is none is no source, and no reason to fail.
    for (from, status) in [("vault%2Fa", 201), ("vault", 202), ("..%2Fvault%2Fa", 202), ("", 202)] {
        let post = format!("POST /v2/c/blobs/uploads/?mount={there}&from={from} HTTP/1.1{login}");
        assert_eq!(client.call(&post, b"").await.0.status, status, "{from}");
    }
}

/// While a blob arrives, and when it turns out to be something else, its digest names nothing.
#[tokio::test]
async fn nothing_is_visible_before_it_is_verified() {
    let server = Server::start(Setup::default()).await;
    let (mut pusher, mut reader) = (server.connect().await, server.connect().await);
    let blob = noise("slow", 200_000);
    let digest = Digest::sha256(&blob);
    let unseen = async |reader: &mut Client, when: &str| {
        for request in ["HEAD", "GET"] {
            let (head, _) = reader.call(&format!("{request} /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
            assert_eq!(head.status, 404, "{when}");
        }
        let post = format!("POST /v2/b/blobs/uploads/?mount={digest} HTTP/1.1");
        assert_eq!(reader.call(&post, b"").await.0.status, 202, "{when}");
    };
    for (wrong, status) in [(true, 400), (false, 201)] {
        let head = format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: h\r\n");
        pusher.send(format!("{head}Content-Length: {}\r\nExpect: 100-continue\r\n\r\n", blob.len())).await;
        assert_eq!(pusher.head().await.status, 100);
        pusher.send(&blob[..blob.len() - 1]).await;
        unseen(&mut reader, "before the last byte").await;
        let last = blob[blob.len() - 1];
        pusher.send([if wrong { last ^ 1 } else { last }]).await;
        let (head, body) = pusher.answer().await;
        assert_eq!(head.status, status, "{}", String::from_utf8_lossy(&body));
        if wrong {
            assert_eq!(error(&body).0, "DIGEST_INVALID");
            unseen(&mut reader, "after it was refused").await;
        }
    }
    assert_eq!(reader.call(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await.1, blob);
}

/// What a client that dies leaves behind: for a whole blob nothing, for an upload what it may go on with.
#[tokio::test]
async fn connections_that_break_leave_no_bytes_behind() {
    let directory = tempfile::tempdir().unwrap();
    let store = wharf_blobstore::embedded::open(directory.path()).unwrap();
    let server = Server::start(Setup { store: Some(store), ..Setup::default() }).await;
    let blob = noise("torn", 3 << 20);
    let digest = Digest::sha256(&blob);
    let mut client = server.connect().await;
    // So that the store's own directories are there.
    put_blob(&mut client, "app", b"whole").await;
    let before = bytes_below(directory.path(), 1 << 20);
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    let place = head.get("location").unwrap().to_owned();
    for request in [format!("POST /v2/app/blobs/uploads/?digest={digest}"), format!("PUT {place}?digest={digest}")] {
        let mut dying = server.connect().await;
        dying.send(format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", blob.len())).await;
        dying.send(&blob[..2 << 20]).await;
        tokio::io::AsyncWriteExt::shutdown(dying.stream.get_mut()).await.unwrap();
        dying.closed().await;
    }
    bounded(async {
        while bytes_below(directory.path(), 1 << 20) != before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let (head, _) = client.call(&format!("HEAD /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
    assert_eq!(head.status, 404);
}

/// Bytes in files of at least `least` bytes.
fn bytes_below(directory: &Path, least: u64) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => bytes_below(&entry.path(), least),
            // The database grows by its own rules.
            Ok(data) if data.len() >= least && !entry.file_name().to_string_lossy().contains("sqlite") => data.len(),
            Ok(_) | Err(_) => 0,
        })
        .sum()
}
