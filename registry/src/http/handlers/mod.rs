//! Handlers: one file a resource. They read headers and parameters, call [`crate::repo`], and write headers.

mod blobs;
mod lists;
mod manifests;
mod uploads;
mod versions;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use serde::Serialize;
use wharf_spec::Digest;

use super::error::Failure;

/// `GET /v2/`: yes, this is a registry.
pub(super) fn ping() -> Response<Body> {
    json(&serde_json::json!({}))
}

fn json<T: Serialize>(value: &T) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Sets a header to text of our own making. Names, tags, digests and ids never hold what a header cannot.
fn set(headers: &mut HeaderMap, name: impl Into<HeaderName>, value: &str) {
    match HeaderValue::from_str(value) {
        Ok(value) => {
            headers.insert(name.into(), value);
        }
        Err(_) => debug_assert!(false, "{value:?} cannot be a header's value"),
    }
}

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Headers of content that is named by digest and never changes.
fn set_digest(headers: &mut HeaderMap, digest: &Digest) {
    set(headers, CONTENT_DIGEST, &digest.to_string());
    set(headers, header::ETAG, &format!("\"{digest}\""));
}

/// Whether the client has this content already (`If-None-Match`).
fn unchanged(headers: &HeaderMap, digest: &Digest) -> bool {
    let etag = format!("\"{digest}\"");
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|list| list.split(',').map(str::trim).any(|given| given == "*" || given.trim_start_matches("W/") == etag))
}

/// A digest parameter.
fn digest_parameter(query: &super::Query, name: &'static str) -> Result<Option<Digest>, Failure> {
    query.get(name).map(|text| text.parse().map_err(Failure::from)).transpose()
}
