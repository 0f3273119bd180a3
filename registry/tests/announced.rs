//! What the registry says about itself in headers: the least chunk, and warnings.

mod wire;

use serde_json::json;
use wharf_registry::http::Limits;
use wharf_spec::{Digest, MediaType};
use wire::{Client, Head, Server, Setup, error, noise};

async fn begin(client: &mut Client) -> (Head, String) {
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    let place = head.get("location").unwrap().to_owned();
    (head, place)
}

async fn chunk(client: &mut Client, method: &str, place: &str, (start, bytes): (usize, &[u8])) -> (u16, String) {
    let range = format!("{start}-{}", start + bytes.len() - 1);
    let request = format!("{method} {place} HTTP/1.1\r\nContent-Range: {range}");
    let (head, body) = client.call(&request, bytes).await;
    (head.status, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn chunks_may_have_any_length_when_none_is_said() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let (head, place) = begin(&mut client).await;
    assert_eq!(head.get("oci-chunk-min-length"), None);
    for (start, byte) in [b"a", b"b"].into_iter().enumerate() {
        assert_eq!(chunk(&mut client, "PATCH", &place, (start, byte)).await.0, 202);
    }
}

#[tokio::test]
async fn the_least_chunk_is_said_and_kept_to() {
    let server = Server::start(Setup { least_chunk: 1000, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let blob = noise("chunks", 2500);
    let digest = Digest::sha256(&blob);
    // Chunks as long as asked for, and a shorter last one, by either road.
    for last in ["PATCH", "PUT"] {
        let (head, place) = begin(&mut client).await;
        assert_eq!(head.get("oci-chunk-min-length"), Some("1000"));
        assert_eq!(chunk(&mut client, "PATCH", &place, (0, &blob[..1000])).await.0, 202);
        assert_eq!(chunk(&mut client, "PATCH", &place, (1000, &blob[1000..2000])).await.0, 202);
        let end = format!("{place}?digest={digest}");
        if last == "PATCH" {
            assert_eq!(chunk(&mut client, "PATCH", &place, (2000, &blob[2000..])).await.0, 202);
            assert_eq!(client.call(&format!("PUT {end} HTTP/1.1"), b"").await.0.status, 201);
        } else {
            assert_eq!(chunk(&mut client, "PUT", &end, (2000, &blob[2000..])).await.0, 201);
        }
    }
    // A short one is taken for the last: nothing comes after it.
    let (_, place) = begin(&mut client).await;
    assert_eq!(chunk(&mut client, "PATCH", &place, (0, &blob[..999])).await.0, 202);
    for (method, place) in [("PATCH", place.clone()), ("PUT", format!("{place}?digest={digest}"))] {
        let (status, body) = chunk(&mut client, method, &place, (999, &blob[999..])).await;
        assert_eq!((status, error(body.as_bytes()).0.as_str()), (400, "SIZE_INVALID"), "{body}");
        assert!(body.contains("1000") && body.contains("999"), "{body}");
    }
    // Streams are no chunks, and a whole blob is none.
    let (_, place) = begin(&mut client).await;
    for piece in blob.chunks(500) {
        assert_eq!(client.call(&format!("PATCH {place} HTTP/1.1"), piece).await.0.status, 202);
    }
    assert_eq!(client.call(&format!("PUT {place}?digest={digest} HTTP/1.1"), b"").await.0.status, 201);
}

#[tokio::test]
async fn a_chunk_that_broke_off_does_not_count_as_a_short_one() {
    let server = Server::start(Setup { least_chunk: 1000, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let blob = noise("broken", 2000);
    let (_, place) = begin(&mut client).await;
    let mut dying = server.connect().await;
    dying
        .send(format!("PATCH {place} HTTP/1.1\r\nHost: h\r\nContent-Range: 0-1499\r\nContent-Length: 1500\r\n\r\n"))
        .await;
    dying.send(&blob[..400]).await;
    tokio::io::AsyncWriteExt::shutdown(dying.stream.get_mut()).await.unwrap();
    dying.closed().await;
    let there = loop {
        let (head, _) = client.call(&format!("GET {place} HTTP/1.1"), b"").await;
        match head.get("range") {
            Some("0-0") => tokio::task::yield_now().await,
            range => break range.unwrap().trim_start_matches("0-").parse::<usize>().unwrap() + 1,
        }
    };
    assert_eq!(there, 400);
    assert_eq!(chunk(&mut client, "PATCH", &place, (there, &blob[there..])).await.0, 202);
}

#[tokio::test]
async fn a_notice_is_said_to_everybody_who_pushes_or_pulls() {
    let notice = Some(r#"read-only from "Friday" on"#.parse().unwrap());
    let limits = Limits { notice, ..Limits::default() };
    let server = Server::start(Setup { limits, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let (empty, manifest) = (Digest::sha256(b"{}"), image(&[]));
    client.call(&format!("POST /v2/app/blobs/uploads/?digest={empty} HTTP/1.1"), b"{}").await;
    for request in ["PUT", "HEAD", "GET", "DELETE"] {
        let body = if request == "PUT" { manifest.as_slice() } else { b"" };
        let (head, _) = client.call(&format!("{request} /v2/app/manifests/v1 HTTP/1.1"), body).await;
        assert!(matches!(head.status, 200..=202), "{request}: {head:?}");
        assert_eq!(head.all("warning"), [r#"299 - "read-only from \"Friday\" on""#], "{request}");
    }
    // Not with every blob, and not with errors, which say enough.
    for quiet in [format!("/v2/app/blobs/{empty}"), "/v2/app/manifests/none".to_owned()] {
        let (head, _) = client.call(&format!("GET {quiet} HTTP/1.1"), b"").await;
        assert_eq!(head.get("warning"), None, "{quiet}");
    }
}

#[tokio::test]
async fn who_pushes_an_image_without_all_of_its_layers_is_told() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let (empty, layer) = (Digest::sha256(b"{}"), Digest::sha256(b"elsewhere"));
    client.call(&format!("POST /v2/app/blobs/uploads/?digest={empty} HTTP/1.1"), b"{}").await;
    let put = "PUT /v2/app/manifests/v1 HTTP/1.1";
    let (head, _) = client.call(put, &image(&[layer])).await;
    let said = head.get("warning").unwrap_or_default();
    assert!(head.status == 201 && said.starts_with("299 - \"1 of the layers must not be distributed"), "{head:?}");
    // With the layer here all is well.
    client.call(&format!("POST /v2/app/blobs/uploads/?digest={layer} HTTP/1.1"), b"elsewhere").await;
    let (head, _) = client.call(put, &image(&[layer])).await;
    assert_eq!((head.status, head.get("warning")), (201, None));
}

/// An image with these layers, which may live elsewhere.
fn image(layers: &[Digest]) -> Vec<u8> {
    let layer = |digest: &Digest| {
        json!({
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
            "digest": digest, "size": 9, "urls": ["https://store.example/layer"],
        })
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": {"mediaType": MediaType::OCI_EMPTY, "digest": Digest::sha256(b"{}"), "size": 2},
        "layers": layers.iter().map(layer).collect::<Vec<_>>(),
    });
    serde_json::to_vec(&manifest).unwrap()
}
