//! Deleting (distribution-spec, "Content Management").

use http::Method;
use reqwest::StatusCode;
use wharf_spec::Digest;

use super::RemoteRepository;
use super::exchange::Call;
use crate::auth::Scope;
use crate::transfer::{Result, Target};

impl RemoteRepository {
    /// Deletes a tag, or a manifest and every tag that points at it; `false` when there was none.
    pub async fn delete_manifest(&self, target: &Target) -> Result<bool> {
        self.delete(&format!("manifests/{target}"), &format!("delete {}", self.named(target))).await
    }

    /// Deletes a blob; `false` when there was none.
    pub async fn delete_blob(&self, digest: &Digest) -> Result<bool> {
        let doing = format!("delete blob {digest} of {}/{}", self.host(), self.name());
        self.delete(&format!("blobs/{digest}"), &doing).await
    }

    async fn delete(&self, path: &str, doing: &str) -> Result<bool> {
        let (endpoint, scopes) = (self.origin_endpoint().await, [Scope::Delete(self.name().clone())]);
        let url = endpoint.url(self.name(), path);
        let call = Call::new(&endpoint, Method::DELETE, url, &scopes, doing);
        let step = || async {
            let answer = self.inner().exchange(&call).await?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(false),
                status if status.is_success() => Ok(true),
                _ => Err(self.inner().refusal(call.context(), answer).await.into()),
            }
        };
        self.inner().retrying(call.context(), step).await
    }
}
