//! What all repositories share: connections, credentials, tokens, and what was found out about each machine.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use reqwest::{NoProxy, Proxy, Url, redirect};
use wharf_spec::{RegistryHost, RepositoryName};

use super::arrived::Arrived;
use super::endpoint::Endpoint;
use super::{Error, RemoteRepository, tls};
use crate::auth::{Challenge, Credential, Credentials, TokenCache};
use crate::{ClientConfig, Notice, Notices};

/// A Distribution-API client. Cloning is cheap; clones share connections and tokens.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) config: ClientConfig,
    pub(super) credentials: Arc<dyn Credentials>,
    notices: Notices,
    /// From the first certificate that is to be checked: to read the system's authorities takes a while.
    strict: OnceLock<reqwest::Client>,
    lax: reqwest::Client,
    /// The scheme that each insecure host turned out to speak.
    pub(super) schemes: Mutex<HashMap<String, &'static str>>,
    /// What each machine wants to see, so that it need not say so every time.
    pub(super) challenges: Mutex<HashMap<String, Challenge>>,
    /// What is known for each host, looked up once: a helper program may ask the user.
    pub(super) logins: Mutex<HashMap<RegistryHost, Option<Credential>>>,
    pub(super) tokens: TokenCache,
    pub(super) arrived: Arrived,
    said: Mutex<HashSet<(String, String)>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Client {
    /// A client. Nothing is contacted, and no credential read, before it is needed.
    pub fn new(config: ClientConfig, credentials: Arc<dyn Credentials>, notices: Notices) -> Result<Self, Error> {
        tls::configured(&config)?;
        let lax = http_client(&config, tls::lax()?)?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                credentials,
                notices,
                strict: OnceLock::new(),
                lax,
                schemes: Mutex::default(),
                challenges: Mutex::default(),
                logins: Mutex::default(),
                tokens: TokenCache::default(),
                arrived: Arrived::default(),
                said: Mutex::default(),
            }),
        })
    }

    /// A repository of a registry.
    pub fn repository(&self, host: &RegistryHost, name: &RepositoryName) -> RemoteRepository {
        RemoteRepository::new(self.clone(), host.clone(), name.clone())
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &ClientConfig {
        &self.inner.config
    }
}

impl Inner {
    /// The HTTP client for an address: certificates are not checked where the user said so.
    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        if self.may_be_insecure(url) {
            return Ok(&self.lax);
        }
        if let Some(strict) = self.strict.get() {
            return Ok(strict);
        }
        let strict = http_client(&self.config, tls::strict(&self.config)?)?;
        Ok(self.strict.get_or_init(|| strict))
    }

    pub(super) fn lax(&self) -> &reqwest::Client {
        &self.lax
    }

    /// Whether the user allowed plain HTTP and unknown certificates for the host of `url`.
    pub(super) fn may_be_insecure(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        let named = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        named.parse().is_ok_and(|host| self.config.is_insecure(&host))
    }

    pub(super) fn tell(&self, notice: Notice) {
        (self.notices)(notice);
    }

    /// Says a registry's warning once.
    pub(super) fn warn(&self, endpoint: &Endpoint, text: String) {
        let host = endpoint.host.to_string();
        let fresh = lock(&self.said).insert((host.clone(), text.clone()));
        if fresh {
            self.tell(Notice::Warning { host, text });
        }
    }
}

/// Nothing here can panic between two states, so a poisoned lock holds good data.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn http_client(config: &ClientConfig, tls: rustls::ClientConfig) -> Result<reqwest::Client, Error> {
    // Redirects are followed by hand: credentials must not, and bodies cannot always.
    let builder = builder(config, tls)?.redirect(redirect::Policy::none());
    builder.build().map_err(setup)
}

/// A client for services beside registries: certificates are checked, redirects followed a few times.
pub(crate) fn plain_client(config: &ClientConfig) -> Result<reqwest::Client, Error> {
    let builder = builder(config, tls::strict(config)?)?.redirect(redirect::Policy::limited(5));
    builder.read_timeout(config.timeouts.idle).build().map_err(setup)
}

pub(super) fn setup(error: reqwest::Error) -> Error {
    Error::Setup { problem: root_cause(&error) }
}

/// Timeouts, proxies and TLS as the configuration says.
pub(super) fn builder(config: &ClientConfig, tls: rustls::ClientConfig) -> Result<reqwest::ClientBuilder, Error> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(&config.user_agent)
        .connect_timeout(config.timeouts.connect)
        // The environment is not read here; see `Proxies`.
        .no_proxy()
        .http2_adaptive_window(true);
    let direct = NoProxy::from_string(&format!("localhost,127.0.0.0/8,::1,{}", config.proxies.none_for));
    if let Some(proxy) = &config.proxies.http {
        builder = builder.proxy(Proxy::http(proxy).map_err(setup)?.no_proxy(direct.clone()));
    }
    if let Some(proxy) = &config.proxies.https {
        builder = builder.proxy(Proxy::https(proxy).map_err(setup)?.no_proxy(direct));
    }
    Ok(builder)
}

/// The innermost error: the outer ones repeat what the caller says, and the address.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    super::error::printable(&innermost.to_string())
}
