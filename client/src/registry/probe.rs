//! Finding out whether an insecure host speaks TLS or plain HTTP. Hosts that are not called insecure are never asked: they
//! get TLS or nothing.

use super::answer::find_tls_error;
use super::client::{Client, Inner, lock};
use super::endpoint::Endpoint;
use crate::config::base_url;

impl Client {
    /// The endpoint with the scheme its machine speaks.
    pub(super) async fn settled(&self, mut endpoint: Endpoint) -> Endpoint {
        let inner = &self.inner;
        if endpoint.base.scheme() == "http" || !inner.may_be_insecure(&endpoint.base) {
            return endpoint;
        }
        let machine = machine(&endpoint);
        let known = lock(&inner.schemes).get(&machine).copied();
        let scheme = if let Some(scheme) = known {
            scheme
        } else {
            let heard = inner.speaks_tls(&endpoint).await;
            let scheme = if heard == Some(true) { "https" } else { "http" };
            if heard.is_some() {
                lock(&inner.schemes).insert(machine.clone(), scheme);
            }
            scheme
        };
        endpoint.base = base_url(scheme, &machine);
        endpoint
    }
}

impl Inner {
    /// Whether a TLS connection stands; what is answered over it does not matter. `None` when nobody was there, who may
    /// come back.
    async fn speaks_tls(&self, endpoint: &Endpoint) -> Option<bool> {
        let asking = self.lax().head(endpoint.api("")).send();
        match tokio::time::timeout(self.idle(), asking).await {
            Ok(Ok(_)) => Some(true),
            Ok(Err(error)) if !error.is_connect() => Some(true),
            Ok(Err(error)) => find_tls_error(&error).map(|_| false),
            Err(_) => None,
        }
    }
}

/// `host[:port]` as written: the port of the scheme that is found in the end is not known yet.
fn machine(endpoint: &Endpoint) -> String {
    let host = endpoint.base.host_str().unwrap_or_default();
    endpoint.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
