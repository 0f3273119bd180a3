//! Any `Range` header, asked of a registry that has a blob: whatever comes back is the part of the blob it says it is.

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use tokio::runtime::Runtime;
use wharf_blobstore::Store;
use wharf_registry::http::{Limits, Registry};
use wharf_registry::repo::Repositories;
use wharf_spec::Digest;

/// Bytes of the blob.
const SIZE: usize = 1000;

struct Served {
    runtime: Runtime,
    registry: Registry,
    path: String,
    blob: Vec<u8>,
}

thread_local! {
    static SERVED: Served = Served::new();
}

/// The input is the header.
pub fn range(data: &[u8]) {
    if let Ok(header) = HeaderValue::from_bytes(data) {
        SERVED.with(|served| served.ask(header));
    }
}

/// The input is pairs of numbers: first and last byte of each part.
pub fn multipart(data: &[u8]) {
    let numbers: Vec<_> = data.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]) % 1100).collect();
    let parts: Vec<_> = numbers.chunks_exact(2).map(|pair| format!("{}-{}", pair[0], pair[1])).collect();
    let header = HeaderValue::try_from(format!("bytes={}", parts.join(","))).expect("digits make a header");
    SERVED.with(|served| served.ask(header));
}

impl Served {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let repositories = Repositories::new(Store::memory());
        let blob: Vec<u8> = (0..SIZE).map(|index| u8::try_from(index * 31 % 251).expect("a byte")).collect();
        let digest = Digest::sha256(&blob);
        let name = "a".parse().expect("a name");
        runtime
            .block_on(repositories.put_blob(&name, digest, bytes::Bytes::from(blob.clone()).into()))
            .expect("a blob");
        let registry = Registry::new(repositories, None, Limits::default());
        Self { runtime, registry, path: format!("/v2/a/blobs/{digest}"), blob }
    }

    fn ask(&self, header: HeaderValue) {
        let said = format!("{header:?}");
        let request = Request::get(&self.path).header("range", header).body(Body::empty()).expect("a request");
        let (head, body) = self.runtime.block_on(async {
            let (head, body) = self.registry.answer(request).await.into_parts();
            (head, axum::body::to_bytes(body, usize::MAX).await.expect("a body"))
        });
        let field = |name: &str| head.headers.get(name).map(|value| value.to_str().expect("text").to_owned());
        if head.status.is_success() {
            assert_eq!(field("content-length"), Some(body.len().to_string()), "{said}");
        }
        match head.status {
            StatusCode::OK => assert!(body == self.blob, "{said}"),
            StatusCode::RANGE_NOT_SATISFIABLE => assert_eq!(field("content-range"), Some(format!("bytes */{SIZE}"))),
            StatusCode::PARTIAL_CONTENT => match field("content-range") {
                Some(range) => assert!(body == self.part(&range), "{said}"),
                None => self.check_parts(&field("content-type").expect("a type"), &body, &said),
            },
            status => panic!("{said}: {status}"),
        }
    }

    /// What `bytes <first>-<last>/<size>` means.
    fn part(&self, content_range: &str) -> &[u8] {
        let range = content_range.strip_prefix("bytes ").and_then(|range| range.strip_suffix(&format!("/{SIZE}")));
        let (first, last) = range.and_then(|range| range.split_once('-')).expect("a range");
        let number = |text: &str| text.parse::<usize>().expect("a number");
        &self.blob[number(first)..=number(last)]
    }

    /// Reads an answer of several parts as its type says, and compares each with the blob.
    fn check_parts(&self, content_type: &str, body: &[u8], said: &str) {
        let boundary = content_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
        let mut rest = body;
        let mut parts = 0;
        while let Some(after) = rest.strip_prefix(format!("\r\n--{boundary}\r\n").as_bytes()) {
            let end = after.windows(4).position(|window| window == b"\r\n\r\n").expect("a part's head");
            let (head, content) = (&after[..end], &after[end + 4..]);
            let head = std::str::from_utf8(head).expect("text");
            let range = head.lines().find_map(|line| line.strip_prefix("Content-Range: ")).expect("a range");
            let expected = self.part(range);
            rest = content.strip_prefix(expected).unwrap_or_else(|| panic!("{said}: {range}"));
            parts += 1;
        }
        assert!(parts > 1, "{said}");
        assert_eq!(rest, format!("\r\n--{boundary}--\r\n").as_bytes(), "{said}");
    }
}
