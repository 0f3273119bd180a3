//! Versions of tags, `/api/v1/`: history, rollback, restore. Not part of the distribution specification.

use axum::body::Body;
use http::{Response, header};
use serde::Deserialize;
use wharf_spec::{Digest, Earlier, RepositoryName, Tag, TagHistory};

use super::super::body::whole;
use super::super::conditions::precondition;
use super::super::{Call, Failure, Registry};
use super::{json, set};
use crate::repo::TagRecord;

/// A request's body is this long at most.
const MAX_BODY: usize = 4 << 10;

/// The body of a rollback; empty for one version back.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Rollback {
    version: Option<u64>,
    digest: Option<Digest>,
}

impl Registry {
    pub(in crate::http) async fn history(&self, name: RepositoryName, tag: Tag) -> Result<Response<Body>, Failure> {
        let record = self.inner.repositories.history(&name, &tag).await?;
        Ok(history(name, tag, record))
    }

    pub(in crate::http) async fn rollback(
        &self,
        name: RepositoryName,
        tag: Tag,
        call: Call,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let condition = precondition(&call.request.headers)?;
        let body = whole(body, MAX_BODY, self.inner.limits.body_idle).await.map_err(|failure| match failure {
            Failure::ManifestTooLarge { limit } => {
                Failure::Body { problem: format!("it is longer than {limit} bytes") }
            }
            other => other,
        })?;
        let earlier = read(&body)?;
        let record = self.inner.repositories.rollback(&name, &tag, earlier, (&condition, &call.user)).await?;
        Ok(history(name, tag, record))
    }

    pub(in crate::http) async fn restore(
        &self,
        name: RepositoryName,
        tag: Tag,
        call: Call,
    ) -> Result<Response<Body>, Failure> {
        let condition = precondition(&call.request.headers)?;
        let record = self.inner.repositories.restore_tag(&name, &tag, (&condition, &call.user)).await?;
        Ok(history(name, tag, record))
    }
}

fn read(body: &[u8]) -> Result<Earlier, Failure> {
    if body.is_empty() {
        return Ok(Earlier::OneBack);
    }
    let wrong = |problem: String| Failure::Body { problem };
    let asked: Rollback = serde_json::from_slice(body).map_err(|error| wrong(error.to_string()))?;
    match asked {
        Rollback { version: None, digest: None } => Ok(Earlier::OneBack),
        Rollback { version: Some(version), digest: None } => Ok(Earlier::Version(version)),
        Rollback { version: None, digest: Some(digest) } => Ok(Earlier::Digest(digest)),
        Rollback { version: Some(_), digest: Some(_) } => {
            Err(wrong("say either `version` or `digest`, not both".to_owned()))
        }
    }
}

fn history(repository: RepositoryName, tag: Tag, record: TagRecord) -> Response<Body> {
    let TagRecord { current, version, history, .. } = record;
    let mut response = json(&TagHistory { repository, tag, version, current, history });
    let headers = response.headers_mut();
    set(headers, header::ETAG, &format!("\"{version}\""));
    set(headers, header::CACHE_CONTROL, "no-cache");
    response
}
