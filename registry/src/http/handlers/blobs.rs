//! Blobs (end-2, end-10).

use std::ops::Range;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderValue, Method, Response, StatusCode, header};
use wharf_blobstore::{Blob, BlobStore};
use wharf_spec::{Digest, RepositoryName};

use super::super::direct::{Direct, LARGE};
use super::super::range::{Wanted, wanted};
use super::super::{Call, Failure, Registry, body};
use super::{set, set_digest, unchanged};
use crate::repo;

impl Registry {
    pub(in crate::http) async fn blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        call: &Call,
    ) -> Result<Response<Body>, Failure> {
        let repositories = &self.inner.repositories;
        if call.request.method == Method::DELETE {
            if !self.inner.limits.delete {
                return Err(Failure::DeleteDisabled);
            }
            repositories.delete_blob(name, digest).await?;
            return Ok(body::empty(StatusCode::ACCEPTED));
        }
        let blob = repositories.blob(name, digest).await?;
        let head = call.request.method == Method::HEAD;
        if head {
            // Whoever asks is about to rely on it. A collector may be about to take it: then it must be pushed again.
            if !blob.is_live() {
                return Err(repo::Error::UnknownBlob { repository: name.clone(), digest: *digest }.into());
            }
            repositories.link_blob(name, digest).await?;
        }
        if unchanged(&call.request.headers, digest) {
            let mut response = body::empty(StatusCode::NOT_MODIFIED);
            set_digest(response.headers_mut(), digest);
            return Ok(response);
        }
        let range = range_header(call, digest);
        let blobs = repositories.store().blobs();
        let wanted = wanted(range, blob.size);
        if let Some(url) = self.elsewhere(&blobs, &blob, &wanted, head).await? {
            return Ok(redirected(&url, digest));
        }
        let mut response = match wanted {
            Wanted::Unsatisfiable => return Err(Failure::Range { size: blob.size }),
            Wanted::Whole if head => headers_only(blob.size),
            Wanted::Whole => part(&blobs, blob, 0..blob.size, call).await?,
            Wanted::Parts(parts) => match <[Range<u64>; 1]>::try_from(parts) {
                Ok([only]) => partial(&blobs, blob, only, call).await?,
                Err(parts) => multipart(&blobs, blob, parts),
            },
        };
        let headers = response.headers_mut();
        set_digest(headers, digest);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
        let octets = HeaderValue::from_static("application/octet-stream");
        headers.entry(header::CONTENT_TYPE).or_insert(octets);
        Ok(response)
    }

    /// The store's own address for these bytes, when clients may be sent there. Never for several parts: services for
    /// objects answer with all of it instead. Never for `HEAD`: the address is signed for `GET`.
    async fn elsewhere(
        &self,
        blobs: &BlobStore,
        blob: &Blob,
        wanted: &Wanted,
        head: bool,
    ) -> Result<Option<String>, Failure> {
        let one = match wanted {
            Wanted::Whole => true,
            Wanted::Parts(parts) => parts.len() == 1,
            Wanted::Unsatisfiable => false,
        };
        match self.inner.limits.redirect {
            Some(valid) if one && !head => Ok(blobs.url(blob, valid).await.map_err(repo::Error::from)?),
            Some(_) | None => Ok(None),
        }
    }
}

/// "Fetch it from there": with the same method and the same `Range`. Whoever keeps the answer must not keep it longer
/// than the address is good for.
fn redirected(url: &str, digest: &Digest) -> Response<Body> {
    let mut response = body::empty(StatusCode::TEMPORARY_REDIRECT);
    let headers = response.headers_mut();
    set_digest(headers, digest);
    set(headers, header::LOCATION, url);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What `Range` asks for: only a `GET` has one, and not when the client's copy is of something else (`If-Range`).
fn range_header<'a>(call: &'a Call, digest: &Digest) -> Option<&'a str> {
    let header = |name| call.request.headers.get(name).and_then(|value| value.to_str().ok());
    let same = header(header::IF_RANGE).is_none_or(|given| given == format!("\"{digest}\""));
    header(header::RANGE).filter(|_| same && call.request.method == Method::GET)
}

fn headers_only(length: u64) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

async fn part(blobs: &BlobStore, blob: Blob, range: Range<u64>, call: &Call) -> Result<Response<Body>, Failure> {
    let length = range.end - range.start;
    let direct = call.request.extensions.get::<Direct>().filter(|_| length >= LARGE);
    let path = blobs.local_path(&blob);
    let body = match direct.zip(path).and_then(|(direct, path)| direct.body(&path, range.clone())) {
        Some(body) => body,
        None if length == 0 => Body::empty(),
        None => Body::from_stream(blobs.read(&blob, range).await.map_err(repo::Error::from)?),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(response)
}

async fn partial(blobs: &BlobStore, blob: Blob, range: Range<u64>, call: &Call) -> Result<Response<Body>, Failure> {
    let content_range = content_range(&range, blob.size);
    let mut response = part(blobs, blob, range, call).await?;
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    set(response.headers_mut(), header::CONTENT_RANGE, &content_range);
    Ok(response)
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// Several parts in one answer (RFC 9110, section 14.6). Podman fetches zstd:chunked layers this way.
fn multipart(blobs: &BlobStore, blob: Blob, parts: Vec<Range<u64>>) -> Response<Body> {
    // Content cannot hold its own digest but by breaking the hash, so this never occurs in a part.
    let boundary = blob.digest.hex();
    let heading = |range: &Range<u64>| {
        format!(
            "\r\n--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: {}\r\n\r\n",
            content_range(range, blob.size)
        )
    };
    let end = format!("\r\n--{boundary}--\r\n");
    let length = parts.iter().map(|range| heading(range).len() as u64 + range.end - range.start).sum::<u64>();
    let parts: Vec<_> = parts.into_iter().map(|range| (heading(&range), range)).collect();
    let blobs = blobs.clone();
    let part = move |(heading, range): (String, Range<u64>)| {
        let blobs = blobs.clone();
        async move {
            let bytes = blobs.read(&blob, range).await?;
            let heading = stream::once(async { Ok(Bytes::from(heading)) });
            Ok::<_, wharf_blobstore::Error>(heading.chain(bytes))
        }
    };
    let last = Bytes::from(end.clone());
    let last = stream::once(async { Ok(last) });
    let mut response = Response::new(Body::from_stream(stream::iter(parts).then(part).try_flatten().chain(last)));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, (length + end.len() as u64).into());
    set(headers, header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={boundary}"));
    response
}
