//! `docs/api.md` has every route with its methods, and no other; every error code, and every header.

mod wire;

use std::collections::BTreeSet;

use wharf_registry::http::{Limits, TABLE};
use wharf_spec::{Digest, MediaType};
use wire::{Server, Setup};

#[test]
fn every_route_is_documented_and_nothing_else_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md");
    let text = std::fs::read_to_string(path).unwrap();
    // A route is a heading of the third level: ### `GET` `HEAD` `/v2/`
    let documented: BTreeSet<(String, String)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("### "))
        .flat_map(|heading| {
            let words: Vec<_> = heading.split('`').filter(|word| !word.trim().is_empty()).collect();
            let (path, methods) = words.split_last().unwrap();
            methods.iter().map(|method| (path.to_string(), method.to_string())).collect::<Vec<_>>()
        })
        .collect();
    let table: BTreeSet<(String, String)> = TABLE
        .iter()
        .flat_map(|(path, methods)| methods.iter().map(|method| (path.to_string(), method.to_string())))
        .collect();
    assert_eq!(documented, table);
}

#[test]
fn every_error_code_that_is_answered_is_documented() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    for code in wharf_spec::ErrorCode::ALL {
        assert!(text.contains(&format!("| `{code}` |")), "{code}");
    }
}

/// Headers that every server sends, and that need no explanation.
const PLAIN: [&str; 5] = ["content-length", "content-type", "date", "connection", "allow"];

#[tokio::test]
async fn every_header_that_is_answered_is_documented() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap().to_lowercase();
    let limits = Limits { notice: Some("hello".parse().unwrap()), ..Limits::default() };
    let server = Server::start(Setup { limits, least_chunk: 10, ..Setup::default() }).await;
    let mut client = server.connect().await;
    let empty = Digest::sha256(b"{}");
    let descriptor = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{empty}","size":2}}"#);
    let subject = format!(r#"{{"mediaType":"{}","digest":"{empty}","size":2}}"#, MediaType::OCI_MANIFEST);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{descriptor},"layers":[],"subject":{subject}}}"#,
        MediaType::OCI_MANIFEST
    );
    let mut seen = BTreeSet::new();
    for (request, body) in [
        ("GET /v2/".to_owned(), ""),
        (format!("POST /v2/app/blobs/uploads/?digest={empty}"), "{}"),
        ("POST /v2/app/blobs/uploads/".to_owned(), ""),
        ("PUT /v2/app/manifests/v1?tag=v2".to_owned(), manifest.as_str()),
        ("GET /v2/app/manifests/v1".to_owned(), ""),
        (format!("GET /v2/app/blobs/{empty}"), ""),
        (format!("GET /v2/app/blobs/{empty} HTTP/1.1\r\nRange: bytes=0-0"), ""),
        (format!("GET /v2/app/blobs/{empty} HTTP/1.1\r\nRange: bytes=9-"), ""),
        (format!("GET /v2/app/referrers/{empty}?artifactType=a/b"), ""),
        ("GET /v2/app/tags/list?n=1".to_owned(), ""),
        ("POST /v2/app/tags/list".to_owned(), ""),
        ("GET /v2/app/manifests/none".to_owned(), ""),
    ] {
        let request = if request.contains(" HTTP/") { request } else { format!("{request} HTTP/1.1") };
        let (head, _) = client.call(&request, body.as_bytes()).await;
        assert!(head.status < 500, "{request}");
        seen.extend(head.headers.into_iter().map(|(name, _)| name.to_ascii_lowercase()));
    }
    assert!(seen.len() > 15, "{seen:?}");
    for name in seen.iter().filter(|name| !PLAIN.contains(&name.as_str())) {
        assert!(page.contains(&format!("`{name}")), "{name} is answered and not documented");
    }
}
