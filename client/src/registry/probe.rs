//! Finding out whether an insecure host speaks TLS or plain HTTP. Hosts that are not called insecure are never asked: they
//! get TLS or nothing.

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
            let scheme = if inner.speaks_tls(&endpoint).await { "https" } else { "http" };
            lock(&inner.schemes).insert(machine.clone(), scheme);
            scheme
        };
        endpoint.base = base_url(scheme, &machine);
        endpoint
    }
}

impl Inner {
    /// Whether a TLS connection stands; what is answered over it does not matter.
    async fn speaks_tls(&self, endpoint: &Endpoint) -> bool {
        let asking = self.lax().head(endpoint.api("")).send();
        match tokio::time::timeout(self.idle(), asking).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => !error.is_connect(),
            Err(_) => false,
        }
    }
}

/// `host[:port]` as written: the port of the scheme that is found in the end is not known yet.
fn machine(endpoint: &Endpoint) -> String {
    let host = endpoint.base.host_str().unwrap_or_default();
    endpoint.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
