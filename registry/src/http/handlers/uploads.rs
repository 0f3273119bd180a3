//! Uploads (end-4, end-5, end-6, end-11, end-13, end-14).

use axum::body::Body;
use http::{HeaderName, Method, Response, StatusCode, header};
use wharf_spec::{Algorithm, Digest, MediaType, RepositoryName, delta};

use super::super::body::{empty, pieces};
use super::super::range::chunk;
use super::super::route::RouteError;
use super::super::{Call, Failure, Registry};
use super::{CONTENT_DIGEST, digest_parameter, set};
use crate::repo::{Arriving, ChunkRange, Error, SessionId};
use crate::seat::Seat;

const CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");
/// What a chunk may be (RFC 5789, section 3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");
const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");

impl Registry {
    /// `POST …/blobs/uploads/`: a mount, a whole blob, or a new session.
    pub(in crate::http) async fn begin(
        &self,
        name: &RepositoryName,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let repositories = &self.inner.repositories;
        if let Some(digest) = digest_parameter(&call.query, "mount")?
            && self.try_mount(name, &digest, &call).await?
        {
            return Ok(created(name, &digest));
        }
        if let Some(digest) = digest_parameter(&call.query, "digest")? {
            let bytes = self.arriving(&call, body);
            repositories.put_blob(name, digest, bytes).await?;
            return Ok(created(name, &digest));
        }
        let algorithm: Algorithm = match call.query.get("digest-algorithm") {
            Some(text) => text.parse().map_err(Failure::Digest)?,
            None => Algorithm::default(),
        };
        let id = repositories.begin_upload(name, algorithm).await?;
        let mut response = progress(StatusCode::ACCEPTED, name, id, 0);
        let accepted = format!("{}, {}", MediaType::OCTET_STREAM, delta::MEDIA_TYPE);
        set(response.headers_mut(), ACCEPT_PATCH, &accepted);
        if repositories.least_chunk() > 0 {
            response.headers_mut().insert(CHUNK_MIN_LENGTH, repositories.least_chunk().into());
        }
        Ok(response)
    }

    /// Mounts from the repository named, or, when none is named, from one that holds the blob and the caller may read.
    /// There is one right to read for all repositories, and who may push here has it.
    async fn try_mount(&self, name: &RepositoryName, digest: &Digest, call: &Call) -> Result<bool, Failure> {
        let repositories = &self.inner.repositories;
        let sources = match call.query.get("from") {
            // A name that is none holds no blob; the client goes on with the session it is given.
            Some(from) => from.parse().into_iter().collect(),
            None => repositories.holders(digest).await?,
        };
        for from in sources {
            if repositories.mount(name, &from, digest).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(in crate::http) async fn upload(
        &self,
        name: &RepositoryName,
        id: &str,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let id: SessionId = id.parse().map_err(Failure::Repo)?;
        match self.write_upload(name, id, call, body).await {
            Err(failure @ Failure::Repo(Error::OutOfOrder { offset, .. })) => {
                // So that the client can go on without asking where the upload stands.
                let mut response = failure.response();
                place(&mut response, name, id, offset);
                Ok(response)
            }
            other => other,
        }
    }

    async fn write_upload(
        &self,
        name: &RepositoryName,
        id: SessionId,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let repositories = &self.inner.repositories;
        match call.request.method {
            Method::PATCH => {
                let range = content_range(&call)?;
                let mut bytes = self.arriving(&call, body);
                if let Some(base) = delta_base(&call)? {
                    bytes = repositories.expand(name, &base, bytes).await?;
                }
                let status = repositories.append(name, id, range, bytes).await?;
                Ok(progress(StatusCode::ACCEPTED, name, id, status.size))
            }
            Method::PUT => {
                let digest = digest_parameter(&call.query, "digest")?.ok_or_else(|| Failure::Parameter {
                    name: "digest",
                    problem: "is missing: the closing PUT must say the blob's digest".to_owned(),
                })?;
                let range = content_range(&call)?;
                let bytes = self.arriving(&call, body);
                repositories.finish_upload(name, id, digest, range, bytes).await?;
                Ok(created(name, &digest))
            }
            Method::DELETE => {
                repositories.cancel_upload(name, id).await?;
                Ok(empty(StatusCode::NO_CONTENT))
            }
            Method::GET => {
                let status = repositories.upload_status(name, id).await?;
                Ok(progress(StatusCode::NO_CONTENT, name, id, status.size))
            }
            _ => Err(RouteError::NotFound.into()),
        }
    }

    /// A blob's bytes.
    fn arriving(&self, call: &Call, body: Body) -> Arriving {
        pieces(body, self.inner.limits.body_idle).over(call.request.extensions.get::<Seat>().cloned())
    }
}

/// The chunk's range, when the client says one.
fn content_range(call: &Call) -> Result<Option<ChunkRange>, Failure> {
    match call.request.headers.get(header::CONTENT_RANGE) {
        Some(value) => {
            let range = value.to_str().ok().and_then(chunk).ok_or(Failure::ContentRange)?;
            Ok(Some(range))
        }
        None => Ok(None),
    }
}

/// The blob of which the chunk is a delta, if it is one.
fn delta_base(call: &Call) -> Result<Option<Digest>, Failure> {
    let headers = &call.request.headers;
    if headers.get(header::CONTENT_TYPE).is_none_or(|given| given != delta::MEDIA_TYPE) {
        return Ok(None);
    }
    let base = headers.get(delta::BASE).and_then(|value| value.to_str().ok()?.parse().ok());
    let problem = "must be the digest of a blob of this repository, of which the body is a delta".to_owned();
    base.map(Some).ok_or(Failure::Header { name: delta::BASE, problem })
}

fn progress(status: StatusCode, name: &RepositoryName, id: SessionId, size: u64) -> Response<Body> {
    let mut response = empty(status);
    place(&mut response, name, id, size);
    response
}

/// A session's place and how far it is: `Range: 0-<last byte>`, which is `0-0` for nothing as well as for one byte.
fn place(response: &mut Response<Body>, name: &RepositoryName, id: SessionId, size: u64) {
    let headers = response.headers_mut();
    set(headers, header::LOCATION, &format!("/v2/{name}/blobs/uploads/{id}"));
    set(headers, header::RANGE, &format!("0-{}", size.saturating_sub(1)));
    set(headers, UPLOAD_ID, &id.to_string());
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    let mut response = empty(StatusCode::CREATED);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    set(headers, CONTENT_DIGEST, &digest.to_string());
    response
}
