//! Manifests (end-3, end-7, end-9).

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use wharf_spec::{Algorithm, MediaType, RawManifest, RepositoryName, Tag};

use super::super::body::{empty, whole};
use super::super::route::RouteError;
use super::super::warning::warn;
use super::super::{Call, Failure, ManifestReference, Notice, Registry};
use super::{CONTENT_DIGEST, set, set_digest, unchanged};
use crate::repo::{Error, StoredManifest, foreign_layers};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

impl Registry {
    pub(in crate::http) async fn manifest(
        &self,
        name: RepositoryName,
        reference: ManifestReference,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let mut response = match call.request.method {
            Method::PUT => self.put_manifest(name, reference, call, body).await,
            Method::DELETE => self.delete_manifest(name, reference, call).await,
            _ => self.get_manifest(name, reference, call).await,
        }?;
        // Every push and every pull comes by here, and it is enough to be told once.
        if let Some(notice) = &self.inner.limits.notice {
            warn(response.headers_mut(), notice);
        }
        Ok(response)
    }

    /// The `Accept` header is not looked at: there is one form of each manifest, its exact bytes.
    async fn get_manifest(
        &self,
        name: RepositoryName,
        reference: ManifestReference,
        call: Call,
    ) -> Result<Response<Body>, Failure> {
        let repositories = &self.inner.repositories;
        let StoredManifest { digest, media_type, bytes, .. } = match &reference {
            ManifestReference::Tag(tag) => repositories.manifest_by_tag(&name, tag).await?,
            ManifestReference::Digest(digest) => repositories.manifest(&name, digest).await?,
        };
        let mut response = if unchanged(&call.request.headers, &digest) {
            empty(StatusCode::NOT_MODIFIED)
        } else {
            let length = bytes.len() as u64;
            let mut response = Response::new(Body::from(bytes));
            response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            set(response.headers_mut(), header::CONTENT_TYPE, media_type.as_str());
            response
        };
        let headers = response.headers_mut();
        set_digest(headers, &digest);
        let caching = match reference {
            ManifestReference::Digest(_) => "private, max-age=31536000, immutable",
            ManifestReference::Tag(_) => "no-cache",
        };
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
        Ok(response)
    }

    async fn put_manifest(
        &self,
        name: RepositoryName,
        reference: ManifestReference,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let limits = &self.inner.limits;
        let mut tags = Vec::new();
        for text in call.query.all("tag") {
            tags.push(text.parse::<Tag>().map_err(RouteError::Tag)?);
        }
        if tags.len() > limits.tags {
            return Err(Failure::TooManyTags { limit: limits.tags });
        }
        let content_type = call.request.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let media_type = content_type.map(MediaType::new).filter(is_said);
        let bytes = whole(body, limits.manifest, limits.body_idle).await?;
        let algorithm = match &reference {
            ManifestReference::Digest(digest) => digest.algorithm(),
            ManifestReference::Tag(_) => Algorithm::Sha256,
        };
        let manifest = RawManifest::parse(bytes.to_vec(), media_type.as_ref(), algorithm).map_err(Error::Manifest)?;
        let extra = tags.clone();
        match reference {
            ManifestReference::Tag(tag) => tags.push(tag),
            ManifestReference::Digest(expected) if expected != manifest.digest() => {
                return Err(Error::ManifestDigest { expected, actual: manifest.digest() }.into());
            }
            ManifestReference::Digest(_) => {}
        }
        let pushed = self.inner.repositories.put_manifest(&name, &manifest, &tags, &call.user).await?;
        let mut response = empty(StatusCode::CREATED);
        let headers = response.headers_mut();
        set(headers, header::LOCATION, &format!("/v2/{name}/manifests/{}", pushed.digest));
        set(headers, CONTENT_DIGEST, &pushed.digest.to_string());
        if let Some(subject) = pushed.subject {
            set(headers, OCI_SUBJECT, &subject.to_string());
        }
        if let Some(notice) = self.layers_elsewhere(&name, &manifest).await? {
            warn(headers, &notice);
        }
        for tag in extra {
            if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
                headers.append(OCI_TAG, value);
            }
        }
        Ok(response)
    }

    /// What to say about layers that are not here: whoever pulls depends on the places the manifest names.
    async fn layers_elsewhere(&self, name: &RepositoryName, manifest: &RawManifest) -> Result<Option<Notice>, Failure> {
        let mut elsewhere = 0;
        for digest in foreign_layers(manifest) {
            match self.inner.repositories.blob(name, &digest).await {
                Ok(_) => {}
                Err(Error::UnknownBlob { .. }) => elsewhere += 1,
                Err(error) => return Err(error.into()),
            }
        }
        let text = || {
            format!(
                "{elsewhere} of the layers must not be distributed and are not kept here; they are pulled from the URLs in the manifest"
            )
        };
        Ok((elsewhere > 0).then(text).and_then(|text| text.parse().ok()))
    }

    async fn delete_manifest(
        &self,
        name: RepositoryName,
        reference: ManifestReference,
        call: Call,
    ) -> Result<Response<Body>, Failure> {
        if !self.inner.limits.delete {
            return Err(Failure::DeleteDisabled);
        }
        let repositories = &self.inner.repositories;
        match reference {
            ManifestReference::Tag(tag) => repositories.delete_tag(&name, &tag, &call.user).await?,
            ManifestReference::Digest(digest) => repositories.delete_manifest(&name, &digest, &call.user).await?,
        }
        Ok(empty(StatusCode::ACCEPTED))
    }
}

/// Types that say nothing about which kind of manifest it is.
fn is_said(media_type: &MediaType) -> bool {
    !matches!(media_type.as_str(), "" | "application/json" | MediaType::OCTET_STREAM)
}
