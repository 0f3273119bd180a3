//! Where requests for a registry go: its mirrors and the machine that answers for it, each with a base address.

use reqwest::Url;
use wharf_spec::{RegistryHost, RepositoryName};

use crate::ClientConfig;
use crate::config::{Mirror, base_url, machine};

/// One machine that answers for a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    /// Whose credentials are used, and what messages call it.
    pub(super) host: RegistryHost,
    /// `scheme://machine/`, the scheme being what was found out so far.
    pub(super) base: Url,
    /// Set for mirrors.
    mirror: Option<MirrorOf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct MirrorOf {
    /// The registry that is mirrored.
    origin: RegistryHost,
    prefix: Option<RepositoryName>,
}

impl Endpoint {
    /// The registry itself.
    pub(super) fn origin(host: &RegistryHost) -> Self {
        Self { host: host.clone(), base: base_url("https", machine(host)), mirror: None }
    }

    /// The mirrors of a registry, in the order they are tried.
    pub(super) fn mirrors(config: &ClientConfig, host: &RegistryHost) -> Vec<Self> {
        let mirrors = config.mirrors.get(host.as_str()).map(Vec::as_slice).unwrap_or_default();
        mirrors.iter().map(|mirror| Self::mirror(host, mirror)).collect()
    }

    fn mirror(origin: &RegistryHost, mirror: &Mirror) -> Self {
        let scheme = if mirror.plain_http { "http" } else { "https" };
        Self {
            host: mirror.host.clone(),
            base: base_url(scheme, machine(&mirror.host)),
            mirror: Some(MirrorOf { origin: origin.clone(), prefix: mirror.prefix.clone() }),
        }
    }

    pub(super) fn is_mirror(&self) -> bool {
        self.mirror.is_some()
    }

    /// The repository as this machine calls it.
    pub(super) fn repository(&self, name: &RepositoryName) -> RepositoryName {
        match self.mirror.as_ref().and_then(|mirror| mirror.prefix.as_ref()) {
            // Two valid names joined by a slash are one, unless it is too long: then the mirror will say so.
            Some(prefix) => format!("{prefix}/{name}").parse().unwrap_or_else(|_| name.clone()),
            None => name.clone(),
        }
    }

    /// `/v2/<name>/<rest>`, with the mirrored registry's name for caches that serve several.
    pub(super) fn url(&self, name: &RepositoryName, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.repository(name)));
        if let Some(MirrorOf { origin, prefix: None }) = &self.mirror {
            url.query_pairs_mut().append_pair("ns", origin.as_str());
        }
        url
    }

    /// `/v2/<rest>`
    pub(super) fn api(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{rest}"));
        url
    }

    /// Whether `url` leads to this very machine, so that it may see our credentials.
    pub(super) fn owns(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_say_where_the_image_lives() {
        let mut config = ClientConfig::default();
        let mirrors = ["http://cache.example:5000", "https://other.example/hub"].map(|text| text.parse().unwrap());
        config.mirrors.insert("docker.io".into(), mirrors.into());
        let hub: RegistryHost = "docker.io".parse().unwrap();
        let name: RepositoryName = "library/debian".parse().unwrap();
        let mut endpoints = Endpoint::mirrors(&config, &hub);
        endpoints.push(Endpoint::origin(&hub));
        let urls: Vec<String> = endpoints.iter().map(|endpoint| endpoint.url(&name, "manifests/1").into()).collect();
        assert_eq!(
            urls,
            [
                "http://cache.example:5000/v2/library/debian/manifests/1?ns=docker.io",
                "https://other.example/v2/hub/library/debian/manifests/1",
                "https://registry-1.docker.io/v2/library/debian/manifests/1",
            ]
        );
    }

    #[test]
    fn only_the_machine_itself_owns_an_address() {
        let endpoint = Endpoint::origin(&"h.example".parse().unwrap());
        for (url, owns) in [
            ("https://h.example/x?y", true),
            ("https://h.example:443/x", true),
            ("https://h.example:444/x", false),
            ("http://h.example/x", false),
            ("https://h.example.evil.example/x", false),
        ] {
            assert_eq!(endpoint.owns(&url.parse().unwrap()), owns, "{url}");
        }
    }
}
