//! Slow, greedy and broken clients: each is bounded, gets a clear answer where one can reach it, and takes nothing from
//! the others.

mod wire;

use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use wharf_registry::http::{Limits, Timeouts};
use wharf_spec::Digest;
use wire::{Server, Setup, bounded, error, noise};

const SOON: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_manifest_over_the_limit_is_refused_and_the_client_gets_to_know() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    // The limit is said while the client is still sending.
    let (head, body) = client.call("PUT /v2/app/manifests/v1 HTTP/1.1", &noise("big", 5 << 20)).await;
    assert_eq!((head.status, error(&body).0.as_str()), (413, "SIZE_INVALID"));
    let (head, _) = client.call("GET /v2/ HTTP/1.1", b"").await;
    assert_eq!(head.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_manifest_of_nearly_four_megabytes_is_accepted() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let config = Digest::sha256(b"{}");
    let post = format!("POST /v2/app/blobs/uploads/?digest={config} HTTP/1.1");
    assert_eq!(client.call(&post, b"{}").await.0.status, 201);
    let filler = "x".repeat(4_000_000);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[],"annotations":{{"a":"{filler}"}}}}"#
    );
    let (head, _) = client.call("PUT /v2/app/manifests/big HTTP/1.1", manifest.as_bytes()).await;
    assert_eq!(head.status, 201);
    let (_, body) = client.call("GET /v2/app/manifests/big HTTP/1.1", b"").await;
    assert!(body == manifest.as_bytes());
}

#[tokio::test]
async fn how_large_a_manifest_may_be_can_be_set() {
    for limit in [2 << 10, 9 << 20] {
        let limits = Limits { manifest: limit, ..Limits::default() };
        let server = Server::start(Setup { limits, ..Setup::default() }).await;
        let mut client = server.connect().await;
        let config = Digest::sha256(b"{}");
        let post = format!("POST /v2/app/blobs/uploads/?digest={config} HTTP/1.1");
        assert_eq!(client.call(&post, b"{}").await.0.status, 201);
        for (length, status) in [(limit, 201), (limit + 1, 413)] {
            let mut manifest = format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"a/b","digest":"{config}","size":2}},"layers":[]}}"#
            );
            manifest.extend(std::iter::repeat_n(' ', length - manifest.len()));
            let put = format!("PUT /v2/app/manifests/{length} HTTP/1.1");
            assert_eq!(client.call(&put, manifest.as_bytes()).await.0.status, status, "{length} of {limit}");
            let (head, body) = client.call(&format!("GET /v2/app/manifests/{length} HTTP/1.1"), b"").await;
            assert_eq!(head.status == 200 && body == manifest.as_bytes(), status == 201, "{length} of {limit}");
        }
    }
}

#[tokio::test]
async fn headers_that_do_not_end_end_the_connection() {
    let timeouts = Timeouts { header: SOON, ..Timeouts::default() };
    let server = Server::start(Setup { timeouts, ..Setup::default() }).await;
    let mut slow = server.connect().await;
    slow.send("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nX-Slow: ").await;
    slow.closed().await;
    let mut silent = server.connect().await;
    silent.closed().await;
    let mut idle = server.connect().await;
    assert_eq!(idle.call("GET /v2/ HTTP/1.1", b"").await.0.status, 200);
    idle.closed().await;
}

#[tokio::test]
async fn headers_that_are_too_long_are_refused() {
    let server = Server::start(Setup::default()).await;
    // Fitting, too long for a request, too long for what is read at once.
    for (length, status) in [(60 << 10, 200), (65 << 10, 431), (300 << 10, 431)] {
        let mut client = server.connect().await;
        let long = "x".repeat(length);
        client.send(format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nX-Long: {long}\r\n\r\n")).await;
        assert_eq!(client.head().await.status, status, "{length}");
        if status == 431 {
            client.closed().await;
        }
    }
    // Many lines are as long as one.
    let mut client = server.connect().await;
    let many = (0..90).map(|number| format!("X-{number}: {}", "y".repeat(1 << 10))).collect::<Vec<_>>().join("\r\n");
    client.send(format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n{many}\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 431);
    client.closed().await;
    let mut client = server.connect().await;
    let many = (0..1000).map(|number| format!("X-{number}: y")).collect::<Vec<_>>().join("\r\n");
    client.send(format!("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\n{many}\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 431);
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up_and_what_had_arrived_is_kept() {
    let limits = Limits { body_idle: SOON, ..Limits::default() };
    let server = Server::start(Setup { limits, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    let place = head.get("location").unwrap().to_owned();
    client.send(format!("PATCH {place} HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 100\r\n\r\nhalf")).await;
    let (head, body) = client.answer().await;
    assert_eq!((head.status, error(&body).0.as_str()), (400, "SIZE_INVALID"));
    let mut client = server.connect().await;
    let (head, _) = client.call(&format!("GET {place} HTTP/1.1"), b"").await;
    assert_eq!((head.status, head.get("range")), (204, Some("0-3")));
}

#[tokio::test]
async fn a_large_body_that_stops_coming_is_given_up_and_what_had_arrived_is_kept() {
    let limits = Limits { body_idle: SOON, ..Limits::default() };
    let server = Server::start(Setup { limits, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    let place = head.get("location").unwrap().to_owned();
    let blob = noise("half", 600_000);
    client.send(format!("PATCH {place} HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 600000\r\n\r\n")).await;
    client.send(&blob[..300_000]).await;
    let (head, body) = client.answer().await;
    assert_eq!((head.status, error(&body).0.as_str()), (400, "SIZE_INVALID"));
    let mut client = server.connect().await;
    let (head, _) = client.call(&format!("GET {place} HTTP/1.1"), b"").await;
    assert_eq!((head.status, head.get("range")), (204, Some("0-299999")));
    let digest = Digest::sha256(&blob);
    let (head, _) = client.call(&format!("PUT {place}?digest={digest} HTTP/1.1"), &blob[300_000..]).await;
    assert_eq!(head.status, 201);
}

/// Its large bodies are taken in by another thread than answers its other requests.
#[tokio::test]
async fn a_connection_brings_large_bodies_and_small_requests_in_turns() {
    let mut server = Server::start(Setup::default()).await;
    let mut clients = [server.connect().await, server.connect().await];
    for round in 0..4 {
        for (number, client) in clients.iter_mut().enumerate() {
            let blob = noise(&format!("{number} {round}"), (100 << 10) << (2 * round));
            let digest = Digest::sha256(&blob);
            let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
            let place = head.get("location").unwrap().to_owned();
            assert_eq!(client.call(&format!("PATCH {place} HTTP/1.1"), &blob).await.0.status, 202);
            assert_eq!(client.call(&format!("PUT {place}?digest={digest} HTTP/1.1"), b"").await.0.status, 201);
            let (_, body) = client.call(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
            assert!(body == blob, "{number} {round}");
        }
    }
    // One is told to stop while a body comes, and takes it in.
    let blob = noise("last", 1 << 20);
    let digest = Digest::sha256(&blob);
    let post = format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1");
    let [mut client, _idle] = clients;
    let length = blob.len();
    let announced = format!("Host: registry.test\r\nContent-Length: {length}\r\nExpect: 100-continue");
    client.send(format!("{post}\r\n{announced}\r\n\r\n")).await;
    assert_eq!(client.head().await.status, 100);
    client.send(&blob[..length / 2]).await;
    let stopped = server.stop();
    client.send(&blob[length / 2..]).await;
    assert_eq!(client.answer().await.0.status, 201);
    bounded(stopped).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_answer_that_nobody_takes_is_given_up() {
    let timeouts = Timeouts { stall: SOON, ..Timeouts::default() };
    let mut server = Server::start(Setup { timeouts, ..Setup::default() }).await;
    let mut client = server.connect().await;
    // More than the system's buffers hold.
    let blob = noise("long", 32 << 20);
    let digest = Digest::sha256(&blob);
    let (head, _) = client.call(&format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1"), &blob).await;
    assert_eq!(head.status, 201);
    client.request(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
    assert_eq!(client.head().await.status, 200);
    // The client reads nothing, and the server still ends, long before its patience with transfers does.
    bounded(server.stop()).await.unwrap().unwrap();
    let mut rest = Vec::new();
    let _ = client.stream.read_to_end(&mut rest).await;
    assert!(rest.len() < blob.len());
}

#[tokio::test]
async fn a_header_cannot_be_broken_into_two() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    client.send("GET /v2/\nX: y HTTP/1.1\r\nHost: registry.test\r\n\r\n").await;
    assert_eq!(client.head().await.status, 400);
    let mut client = server.connect().await;
    client.send("GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nRange: bytes=0-1\0\r\n\r\n").await;
    assert_eq!(client.head().await.status, 400);
}

#[tokio::test]
async fn many_parts_of_a_blob_come_in_the_order_asked() {
    let server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let blob = noise("parts", 300_000);
    let digest = Digest::sha256(&blob);
    client.call(&format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1"), &blob).await;
    let wanted: Vec<_> = (0..1024).rev().map(|part| (part * 250, part * 250 + 99)).collect();
    let list: Vec<_> = wanted.iter().map(|(from, to)| format!("{from}-{to}")).collect();
    let get = format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nRange: bytes={}", list.join(","));
    let (head, body) = client.call(&get, b"").await;
    assert_eq!(head.status, 206);
    let boundary = head.get("content-type").unwrap().split_once("boundary=").unwrap().1;
    let mut rest = body.as_slice();
    for (from, to) in wanted {
        let heading = format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {from}-{to}/300000\r\n\r\n"
        );
        rest = rest.strip_prefix(heading.as_bytes()).unwrap();
        let (part, after) = rest.split_at(to + 1 - from);
        assert!(part == &blob[from..=to]);
        rest = after;
    }
    assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes());
}

#[tokio::test]
async fn a_shutdown_lets_transfers_end_and_takes_no_more() {
    let mut server = Server::start(Setup::default()).await;
    let mut client = server.connect().await;
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    let place = head.get("location").unwrap().to_owned();
    let digest = Digest::sha256(b"first second");
    let put = format!("PUT {place}?digest={digest} HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 12");
    client.send(format!("{put}\r\nExpect: 100-continue\r\n\r\n")).await;
    // The server has begun to take it in.
    assert_eq!(client.head().await.status, 100);
    client.send("first ").await;
    let address = server.address;
    let running = server.stop();
    bounded(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    client.send("second").await;
    assert_eq!(client.head().await.status, 201);
    bounded(running).await.unwrap().unwrap();
    server.repositories.blob(&"app".parse().unwrap(), &digest).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_ever() {
    let timeouts = Timeouts { drain: SOON, ..Timeouts::default() };
    let mut server = Server::start(Setup { timeouts, ..Setup::default() }).await;
    let mut client = server.connect().await;
    client.send("PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 12\r\n\r\nhalf").await;
    bounded(server.stop()).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn uploads_of_one_digest_at_once_all_succeed() {
    let server = std::sync::Arc::new(Server::start(Setup::default()).await);
    let blob = std::sync::Arc::new(noise("shared", 1 << 20));
    let digest = Digest::sha256(&blob);
    let uploads = (0..8).map(|number| {
        let (server, blob) = (server.clone(), blob.clone());
        tokio::spawn(async move {
            let mut client = server.connect().await;
            let post = format!("POST /v2/app{number}/blobs/uploads/?digest={digest} HTTP/1.1");
            client.call(&post, &blob).await.0.status
        })
    });
    for status in futures_util::future::join_all(uploads).await {
        assert_eq!(status.unwrap(), 201);
    }
}
