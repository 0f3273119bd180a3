//! Registries: the client as the configuration and the command line ask for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wharf_client::auth::{Anonymous, Credentials, DockerConfig};
use wharf_client::registry::{Client, RemoteRepository};
use wharf_client::transfer::Target;
use wharf_client::{ClientConfig, Mirror, Notice, Notices, Proxies};
use wharf_spec::{Reference, RegistryHost};

use crate::failure::Failure;
use crate::session::Session;

/// An image at a registry.
#[derive(Clone)]
pub struct RemoteImage {
    /// Its full name.
    pub reference: Reference,
    /// Its repository.
    pub repository: RemoteRepository,
    /// Its tag or digest.
    pub target: Target,
}

impl Session {
    /// The client for all registries.
    pub fn client(&self) -> Result<Client, Failure> {
        if let Some(client) = self.registries.get() {
            return Ok(client.clone());
        }
        let credentials: Arc<dyn Credentials> = match self.docker_config() {
            Some(docker) => Arc::new(docker),
            None => Arc::new(Anonymous),
        };
        let client = Client::new(self.client_config()?, credentials, self.notices())
            .map_err(|error| Failure::new("registries cannot be reached").because(error))?;
        Ok(self.registries.get_or_init(|| client).clone())
    }

    /// Where credentials are kept.
    pub fn docker_config(&self) -> Option<DockerConfig> {
        self.environment.docker_config().map(DockerConfig::new)
    }

    /// What the configuration file and the command line say about registries.
    pub fn client_config(&self) -> Result<ClientConfig, Failure> {
        let registries = &self.config.registries;
        let insecure = registries.iter().filter(|(_, registry)| registry.insecure).map(|(host, _)| host.clone());
        let mut mirrors = BTreeMap::new();
        for (host, registry) in registries {
            let parse = |text: &String| text.parse::<Mirror>();
            let list = registry.mirrors.iter().map(parse).collect::<Result<Vec<_>, _>>().map_err(|error| {
                Failure::new(format!("the configuration of registry {host} is wrong")).because(error)
            })?;
            mirrors.insert(host.clone(), list);
        }
        let proxy = |name: &str| {
            let any = self.environment.proxies();
            any.into_iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        let cas = registries.values().flat_map(|registry| &registry.ca).chain(&self.global.registry_ca);
        Ok(ClientConfig {
            insecure: insecure.chain(self.global.insecure_registry.iter().cloned()).collect(),
            mirrors,
            aliases: self.config.aliases.clone(),
            extra_cas: cas.cloned().collect(),
            proxies: Proxies {
                http: proxy("HTTP_PROXY").or_else(|| proxy("ALL_PROXY")),
                https: proxy("HTTPS_PROXY").or_else(|| proxy("ALL_PROXY")),
                none_for: proxy("NO_PROXY").unwrap_or_default(),
            },
            ..ClientConfig::default()
        })
    }

    /// Says on standard error what the client thinks is worth saying.
    pub fn notices(&self) -> Notices {
        let voice = self.voice();
        Arc::new(move |notice| {
            let text = match notice {
                Notice::Warning { host, text } => format!("warning from {host}: {text}"),
                // The problem says who and what.
                Notice::Retrying { problem, wait, .. } => {
                    format!("{problem}; trying again in {:.1} s", wait.as_secs_f64())
                }
                Notice::MirrorFailed { host, problem, .. } => {
                    format!("mirror {host}: {problem}; going on without it")
                }
            };
            voice.say(&text);
        })
    }

    /// The image of a reference at its registry: `docker.io`, or what an alias says, when it names none.
    pub fn remote(&self, reference: &Reference) -> Result<RemoteImage, Failure> {
        let client = self.client()?;
        let reference = client.config().qualify(reference);
        let Some(host) = &reference.host else {
            return Err(Failure::usage(format!("{reference} names no registry")));
        };
        let repository = client.repository(host, &reference.repository);
        Ok(RemoteImage { target: Target::from(&reference), repository, reference })
    }
}

/// The registry a user names for logging in: `docker.io` by default, with or without a scheme.
pub fn registry_host(text: Option<&str>) -> Result<RegistryHost, Failure> {
    let text = text.unwrap_or(wharf_spec::DOCKER_HUB);
    let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    let bare = bare.trim_end_matches('/');
    let bare =
        if bare == "index.docker.io/v1" || bare == "registry-1.docker.io" { wharf_spec::DOCKER_HUB } else { bare };
    bare.parse().map_err(|error| Failure::usage(format!("`{text}` is not a registry")).because(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::Environment;

    #[test]
    fn whoever_trusts_more_registries_has_a_client_of_its_own() {
        let session = Session::for_tests(Environment::of([("HOME", "/home/ann")]), false);
        let host: RegistryHost = "registry.example:5000".parse().unwrap();
        assert!(!session.client().unwrap().config().is_insecure(&host));
        let trusting = session.trusting([host.to_string()]);
        assert!(trusting.client().unwrap().config().is_insecure(&host));
        assert!(!session.client().unwrap().config().is_insecure(&host));
        assert!(Arc::ptr_eq(&session.trusting([]).registries, &session.registries), "nothing changed");
        assert!(Arc::ptr_eq(&session.clone().registries, &session.registries), "one for all");
    }
}
