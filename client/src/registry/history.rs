//! Versions of tags at registries that are Wharf's: history and rollback, below `/api/v1/`. Other registries have nothing
//! of the kind, and are told apart by their answers.

use bytes::Bytes;
use http::header::IF_MATCH;
use http::{HeaderValue, Method};
use reqwest::{Response, StatusCode, Url};
use wharf_spec::{Earlier, ErrorCode, Tag, TagHistory};

use super::endpoint::Endpoint;
use super::exchange::{Call, Payload};
use super::{Error, RemoteRepository};
use crate::auth::Scope;
use crate::transfer::Result;

/// A history is read this far: a hundred versions are some tens of kilobytes.
const MAX_HISTORY: u64 = 16 << 20;

impl RemoteRepository {
    /// A tag with every version the registry remembers. [`Error::NotFound`] when it never had one, [`Error::NotWharf`]
    /// when it is a registry that keeps no versions.
    pub async fn history(&self, tag: &Tag) -> Result<TagHistory> {
        let doing = format!("read the history of {}/{}:{tag}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [Scope::Pull(self.name().clone())]);
        let url = self.version_url(&endpoint, tag, "history");
        let call = Call::new(&endpoint, Method::GET, url, &scopes, &doing);
        let step = || async { self.read_history(&call, self.inner().exchange(&call).await?).await };
        self.inner().retrying(call.context(), step).await
    }

    /// Makes a tag point at what it pointed at before, if `version` is still its newest one. Asked once only: an answer
    /// that was lost says nothing about whether it was done.
    pub async fn rollback(&self, tag: &Tag, earlier: Earlier, version: u64) -> Result<TagHistory> {
        let doing = format!("roll back {}/{}:{tag}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        let body = match earlier {
            Earlier::OneBack => serde_json::json!({}),
            Earlier::Version(version) => serde_json::json!({ "version": version }),
            Earlier::Digest(digest) => serde_json::json!({ "digest": digest }),
        };
        let url = self.version_url(&endpoint, tag, "rollback");
        let expected =
            HeaderValue::from_str(&format!("\"{version}\"")).expect("a number in quotes is a header's value");
        let call = Call::new(&endpoint, Method::POST, url, &scopes, &doing)
            .header(IF_MATCH, expected)
            .payload(Payload::Bytes(Bytes::from(body.to_string())));
        self.read_history(&call, self.inner().exchange(&call).await?).await
    }

    fn version_url(&self, endpoint: &Endpoint, tag: &Tag, what: &str) -> Url {
        let mut url = endpoint.api("");
        url.set_path(&format!("/api/v1/repositories/{}/tags/{tag}/{what}", self.name()));
        url
    }

    async fn read_history(&self, call: &Call<'_>, answer: Response) -> Result<TagHistory> {
        let not_wharf = || Error::NotWharf { host: self.host().to_string(), doing: call.doing.to_owned() };
        let status = answer.status();
        if status.is_success() {
            // Some registries answer any path with a page for people.
            let body = self.inner().body(call.context(), answer, MAX_HISTORY).await?;
            return body.and_then(|body| serde_json::from_slice(&body).ok()).ok_or_else(|| not_wharf().into());
        }
        let refusal = self.inner().refusal(call.context(), answer).await;
        Err(match (status, &refusal) {
            (StatusCode::NOT_FOUND, Error::NotFound { message, .. }) if !is_ours(message) => not_wharf().into(),
            (StatusCode::METHOD_NOT_ALLOWED, _) => not_wharf().into(),
            _ => refusal.into(),
        })
    }
}

/// Whether a 404 is about the tag, and not about the path.
fn is_ours(message: &str) -> bool {
    let codes = [ErrorCode::ManifestUnknown, ErrorCode::NameUnknown];
    codes.iter().any(|code| message.contains(code.as_str()))
}
