//! Lists: repositories, tags (end-8) and referrers (end-12).

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use wharf_spec::{Descriptor, Digest, Index, MediaType, RepositoryName};

use super::super::{Call, Failure, Registry};
use super::{json, set};
use crate::repo::Error;

/// Entries on a page when the client says no number, and at most.
const PAGE: usize = 1000;
const MAX_PAGE: usize = 10_000;

const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

impl Registry {
    pub(in crate::http) async fn catalog(&self, call: &Call) -> Result<Response<Body>, Failure> {
        let limit = page(call)?;
        let mut names = self.inner.repositories.list(call.query.get("last"), limit + 1).await?;
        let more = names.len() > limit;
        names.truncate(limit);
        let mut response = json(&serde_json::json!({ "repositories": names }));
        if let (true, Some(last)) = (more, names.last()) {
            link(response.headers_mut(), "/v2/_catalog", &[("n", &limit.to_string()), ("last", last.as_str())]);
        }
        Ok(response)
    }

    pub(in crate::http) async fn tags(&self, name: &RepositoryName, call: &Call) -> Result<Response<Body>, Failure> {
        let limit = page(call)?;
        let found = self.inner.repositories.tags(name, call.query.get("last"), limit + 1).await?;
        if found.is_empty() && !self.inner.repositories.exists(name).await? {
            return Err(Error::UnknownRepository(name.clone()).into());
        }
        let more = found.len() > limit && limit > 0;
        let tags: Vec<_> = found.into_iter().take(limit).map(|(tag, _)| tag).collect();
        let mut response = json(&serde_json::json!({ "name": name, "tags": tags }));
        if let (true, Some(last)) = (more, tags.last()) {
            let path = format!("/v2/{name}/tags/list");
            link(response.headers_mut(), &path, &[("n", &limit.to_string()), ("last", last.as_str())]);
        }
        Ok(response)
    }

    pub(in crate::http) async fn referrers(
        &self,
        name: &RepositoryName,
        subject: &Digest,
        call: &Call,
    ) -> Result<Response<Body>, Failure> {
        let wanted = call.query.get("artifactType").filter(|text| !text.is_empty()).map(media_type);
        let last = super::digest_parameter(&call.query, "last")?;
        let page = self.inner.repositories.referrers(name, subject, wanted.as_ref(), last.as_ref()).await?;
        let mut response = index(page.referrers);
        let headers = response.headers_mut();
        if wanted.is_some() {
            headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
        }
        if let Some(next) = page.next {
            let next = next.to_string();
            let mut parameters = vec![("last", next.as_str())];
            parameters.extend(wanted.as_ref().map(|wanted| ("artifactType", wanted.as_str())));
            link(headers, &format!("/v2/{name}/referrers/{subject}"), &parameters);
        }
        Ok(response)
    }
}

fn index(manifests: Vec<Descriptor>) -> Response<Body> {
    let index = Index {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
        artifact_type: None,
        manifests,
        subject: None,
        annotations: std::collections::BTreeMap::new(),
    };
    let mut response = json(&index);
    set(response.headers_mut(), header::CONTENT_TYPE, MediaType::OCI_INDEX);
    response
}

/// A media type in a query. People write `…+json` there as it is; read as a query it has a space, which no type has.
fn media_type(text: &str) -> MediaType {
    MediaType::new(&text.replace(' ', "+"))
}

/// How many entries the client wants.
fn page(call: &Call) -> Result<usize, Failure> {
    match call.query.get("n") {
        None => Ok(PAGE),
        Some(text) => match text.parse::<usize>() {
            Ok(number) => Ok(number.min(MAX_PAGE)),
            Err(_) => Err(Failure::Parameter { name: "n", problem: "must be a number, 0 or more".to_owned() }),
        },
    }
}

/// `Link: <…>; rel="next"`, relative to the registry (RFC 8288).
fn link(headers: &mut HeaderMap, path: &str, parameters: &[(&str, &str)]) {
    let query: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC)))
        .collect();
    set(headers, header::LINK, &format!("<{path}?{}>; rel=\"next\"", query.join("&")));
}
