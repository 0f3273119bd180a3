//! HTTP connections to the service: TLS on ring with the system's certificate authorities, and no proxy of the
//! environment's, which is not read here.

use object_store::ClientOptions;
use object_store::client::{HttpClient, HttpConnector};
use rustls::RootCertStore;

use super::config::Patience;
use crate::{Error, Result};

/// Hands the one client to everything that makes requests, among it whatever fetches credentials.
#[derive(Clone, Debug)]
pub(crate) struct Transport {
    client: HttpClient,
}

impl Transport {
    pub(crate) fn new(patience: Patience) -> Result<Self> {
        let unusable = |reason: String| Error::Unusable { path: "TLS".to_owned(), reason };
        let mut roots = RootCertStore::empty();
        // A machine without any is fine until a certificate must be checked.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .user_agent(concat!("wharf/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(patience.connect)
            .read_timeout(patience.answer)
            // A redirect would need a signature of its own; the caller says what to change instead.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| unusable(error.to_string()))?;
        Ok(Self { client: HttpClient::new(client) })
    }

    pub(crate) fn client(&self) -> HttpClient {
        self.client.clone()
    }
}

impl HttpConnector for Transport {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.client.clone())
    }
}
