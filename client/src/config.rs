//! How registries are reached: which may be insecure, which have mirrors, what short names mean, how long to wait.
//!
//! Plain data. Who reads files and the environment fills it in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use reqwest::Url;
use wharf_spec::{Reference, RegistryHost, RepositoryName};

/// The machine that answers for `docker.io`.
const DOCKER_HUB_ENDPOINT: &str = "registry-1.docker.io";

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Hosts (`name` for any port, or `name:port`) whose certificate is not checked and that may speak plain HTTP.
    /// Loopback hosts always may.
    pub insecure: BTreeSet<String>,
    /// Mirrors of a registry, tried in this order before the registry itself. Reading only.
    pub mirrors: BTreeMap<String, Vec<Mirror>>,
    /// Short names: the first components of a name without a host, and the `host/name` they stand for.
    pub aliases: BTreeMap<String, String>,
    /// PEM files with certificate authorities to trust besides the system's.
    pub extra_cas: Vec<PathBuf>,
    /// What the client calls itself.
    pub user_agent: String,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// How often to try.
    pub retries: Retries,
    /// Uploads larger than this go in pieces of this many bytes; `None` sends a blob whole unless the registry names a
    /// least piece size.
    pub chunk_size: Option<u64>,
    /// HTTP proxies.
    pub proxies: Proxies,
}

/// Bounds on waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a connection stands, TLS included.
    pub connect: Duration,
    /// Without a byte moving either way.
    pub idle: Duration,
}

/// Bounds on trying again, with exponential waits and jitter in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// How often to try again after the first failure without progress.
    pub times: usize,
    /// The first wait; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait, also when the registry asks for a longer one.
    pub longest_wait: Duration,
}

/// HTTP proxies, as the usual environment variables name them.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    /// For `http://` addresses.
    pub http: Option<String>,
    /// For `https://` addresses.
    pub https: Option<String>,
    /// Comma-separated hosts that are reached directly. Loopback always is.
    pub none_for: String,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            insecure: BTreeSet::new(),
            mirrors: BTreeMap::new(),
            aliases: BTreeMap::new(),
            extra_cas: Vec::new(),
            user_agent: concat!("wharf/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts { connect: Duration::from_secs(15), idle: Duration::from_mins(1) },
            retries: Retries {
                times: 4,
                first_wait: Duration::from_millis(500),
                longest_wait: Duration::from_secs(30),
            },
            chunk_size: None,
            proxies: Proxies::default(),
        }
    }
}

impl ClientConfig {
    /// The full name of an image: an alias's, where one fits (the longest wins), else Docker's reading of short names.
    pub fn qualify(&self, reference: &Reference) -> Reference {
        self.expand_alias(reference).unwrap_or_else(|| reference.clone()).normalize_docker()
    }

    /// What an alias makes of a reference; `None` when none fits.
    pub fn expand_alias(&self, reference: &Reference) -> Option<Reference> {
        if reference.host.is_some() {
            return None;
        }
        let name = reference.repository.as_str();
        let rest_of = |short: &str| match name.strip_prefix(short) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Some(rest),
            Some(_) | None => None,
        };
        let fitting = self.aliases.iter().filter_map(|(short, long)| Some((short.len(), long, rest_of(short)?)));
        let (_, long, rest) = fitting.max_by_key(|(len, ..)| *len)?;
        let expanded: Reference = format!("{long}{rest}").parse().ok()?;
        Some(Reference { tag: reference.tag.clone(), digest: reference.digest, ..expanded })
    }

    /// Whether `host` may speak plain HTTP or show a certificate nobody signed.
    pub fn is_insecure(&self, host: &RegistryHost) -> bool {
        host.is_loopback() || self.insecure.contains(host.as_str()) || self.insecure.contains(host.name())
    }
}

/// The machine that answers for `host`.
pub(crate) fn machine(host: &RegistryHost) -> &str {
    if host.as_str() == wharf_spec::DOCKER_HUB { DOCKER_HUB_ENDPOINT } else { host.as_str() }
}

/// A mirror: `[http[s]://]host[:port][/prefix]`. The prefix goes before the repository's name, as podman and CRI-O do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its host.
    pub host: RegistryHost,
    /// Plain HTTP, because the address says `http://`.
    pub plain_http: bool,
    /// What goes before the repository's name.
    pub prefix: Option<RepositoryName>,
}

/// Why a text is no mirror.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a mirror: write [https://]host[:port][/prefix]")]
pub struct MirrorError {
    text: String,
}

impl FromStr for Mirror {
    type Err = MirrorError;

    fn from_str(text: &str) -> Result<Self, MirrorError> {
        let bad = || MirrorError { text: text.to_owned() };
        let (plain_http, rest) = match text.split_once("://") {
            Some(("http", rest)) => (true, rest),
            Some(("https", rest)) => (false, rest),
            Some(_) => return Err(bad()),
            None => (false, text),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { None } else { Some(prefix.parse().map_err(|_| bad())?) };
        Ok(Self { host: host.parse().map_err(|_| bad())?, plain_http, prefix })
    }
}

/// `scheme://machine/`; both parts come from parsed types, so this cannot fail on input.
pub(crate) fn base_url(scheme: &str, machine: &str) -> Url {
    Url::parse(&format!("{scheme}://{machine}/")).expect("a registry host makes a valid address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_mean_what_the_aliases_say_and_else_docker_hub() {
        let mut config = ClientConfig::default();
        config.aliases.insert("base".into(), "registry.example/team/base".into());
        config.aliases.insert("base/special".into(), "other.example/special".into());
        for (short, long) in [
            ("base:1", "registry.example/team/base:1"),
            ("base/go", "registry.example/team/base/go"),
            ("base/special/x", "other.example/special/x"),
            ("basement", "docker.io/library/basement"),
            ("h.example/base", "h.example/base"),
            ("debian", "docker.io/library/debian"),
        ] {
            assert_eq!(config.qualify(&short.parse().unwrap()).to_string(), long);
        }
    }

    #[test]
    fn insecure_is_what_was_named_and_this_machine() {
        let mut config = ClientConfig::default();
        config.insecure.insert("lab.example".into());
        config.insecure.insert("one.example:5000".into());
        for (host, insecure) in [
            ("lab.example:8080", true),
            ("one.example:5000", true),
            ("one.example", false),
            ("127.0.0.1:5000", true),
            ("localhost", true),
            ("docker.io", false),
        ] {
            assert_eq!(config.is_insecure(&host.parse().unwrap()), insecure, "{host}");
        }
    }

    #[test]
    fn mirrors_read_as_addresses() {
        let mirror: Mirror = "http://cache.example:5000/hub/".parse().unwrap();
        assert!(mirror.plain_http);
        assert_eq!((mirror.host.as_str(), mirror.prefix.unwrap().as_str()), ("cache.example:5000", "hub"));
        assert_eq!("cache.example".parse::<Mirror>().unwrap().prefix, None);
        for bad in ["", "ftp://x.example", "https://", "a.example/UPPER", "https://user@x.example"] {
            assert!(bad.parse::<Mirror>().is_err(), "{bad}");
        }
    }
}
