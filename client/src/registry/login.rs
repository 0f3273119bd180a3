//! Logging in: a credential is tried before it is kept.

use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use reqwest::StatusCode;
use wharf_spec::RegistryHost;

use super::Error;
use super::client::Client;
use super::endpoint::Endpoint;
use super::exchange::Call;
use crate::auth::{Credential, CredentialError, Credentials, DockerConfig, Kept};
use crate::transfer::{self, Result};
use crate::{ClientConfig, Notices};

/// What a login came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedIn {
    /// Where the credential is kept.
    pub kept: Kept,
    /// Whether the registry asked for it: one that lets everybody in cannot say whether a password is right.
    pub checked: bool,
}

/// Tries a credential at a registry, and keeps it when it was accepted.
pub async fn login(
    config: &ClientConfig,
    store: &DockerConfig,
    host: &RegistryHost,
    credential: Credential,
    notices: Notices,
) -> Result<LoggedIn> {
    let client = Client::new(config.clone(), Arc::new(Just(credential.clone())), notices)?;
    let checked = client.ping(host).await?;
    let kept = store.store(host, &credential).await.map_err(Error::Credential)?;
    Ok(LoggedIn { kept, checked })
}

/// The one credential that is being tried.
struct Just(Credential);

#[async_trait]
impl Credentials for Just {
    async fn lookup(&self, _: &RegistryHost) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

impl Client {
    /// Asks a registry whether it is one and lets us in (distribution-spec, "end-1"). Says whether it wanted to know who
    /// we are.
    pub async fn ping(&self, host: &RegistryHost) -> Result<bool> {
        let doing = format!("reach the registry {host}");
        let endpoint = self.settled(Endpoint::origin(host)).await;
        let call = Call::new(&endpoint, Method::GET, endpoint.api(""), &[], &doing);
        let step = || async {
            let answer = self.inner.exchange(&call).await?;
            match answer.status() {
                StatusCode::OK => Ok(answer.extensions().get::<super::answer::SentCredential>().is_some()),
                StatusCode::NOT_FOUND => {
                    let error = call.context().nonsense("there is a server, but it is no registry");
                    Err(transfer::Error::from(error))
                }
                _ => Err(self.inner.refusal(call.context(), answer).await.into()),
            }
        };
        self.inner.retrying(call.context(), step).await
    }
}
