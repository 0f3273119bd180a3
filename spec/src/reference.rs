//! Image references: `[host[:port]/]repository[:tag][@digest]`.

use std::fmt;
use std::str::FromStr;

use crate::name::excerpt;
use crate::{Digest, DigestError, NameError, RepositoryName, Tag};

/// The host that Docker's short names (`debian`, `user/app`) mean.
pub const DOCKER_HUB: &str = "docker.io";

/// A registry's host and optional port, as it is written in a reference.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryHost(String);

/// A parsed image reference. Without a host it names an image in the local store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    /// The registry, when the reference names one.
    pub host: Option<RegistryHost>,
    /// The repository in that registry, or in the store.
    pub repository: RepositoryName,
    /// The tag as written; see [`Reference::tag_or_latest`].
    pub tag: Option<Tag>,
    /// The digest as written. It wins over the tag.
    pub digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// Nothing was given.
    #[error("empty image reference")]
    Empty,
    /// The part before the first `/` looks like a host, but is none.
    #[error("invalid registry host `{0}`")]
    Host(String),
    /// A bad name or tag.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A bad digest after `@`.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl RegistryHost {
    /// `host` or `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without its port.
    pub fn name(&self) -> &str {
        match self.0.rfind(':') {
            Some(colon) if !self.0[colon..].contains(']') => &self.0[..colon],
            _ => &self.0,
        }
    }

    /// Whether the host can only be this machine, where plain HTTP is safe.
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost")
            || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let bad = || ReferenceError::Host(excerpt(text));
        let host = Self(text.to_owned());
        let name = host.name();
        let port = &text[name.len()..];
        let bracketed = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let good_name = match bracketed {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.split('.').all(|label| {
                !label.is_empty()
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && !label.starts_with('-')
                    && !label.ends_with('-')
            }),
        };
        let good_port = port.is_empty() || port[1..].parse::<u16>().is_ok();
        if good_name && good_port { Ok(host) } else { Err(bad()) }
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl Reference {
    /// A reference to a tag in the local store.
    pub fn local(repository: RepositoryName, tag: Tag) -> Self {
        Self { host: None, repository, tag: Some(tag), digest: None }
    }

    /// The tag, or `latest` when neither tag nor digest is given, or `None` when only a digest is.
    pub fn tag_or_latest(&self) -> Option<Tag> {
        match (&self.tag, &self.digest) {
            (Some(tag), _) => Some(tag.clone()),
            (None, None) => Some(Tag::latest()),
            (None, Some(_)) => None,
        }
    }

    /// The tag or digest a registry is asked for, as it stands in `/v2/<name>/manifests/<reference>`.
    pub fn manifest_reference(&self) -> String {
        match (&self.digest, self.tag_or_latest()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or_else(Tag::latest).to_string(),
        }
    }

    /// What Docker makes of a reference without a host: `debian` is `docker.io/library/debian`, `user/app` is
    /// `docker.io/user/app`. A reference with a host stays as it is, but for Docker Hub's old names.
    #[must_use]
    pub fn normalize_docker(&self) -> Self {
        let host = match self.host.as_ref().map(RegistryHost::as_str) {
            None | Some("index.docker.io" | "registry-1.docker.io") => RegistryHost(DOCKER_HUB.to_owned()),
            Some(other) => RegistryHost(other.to_owned()),
        };
        let repository = if host.as_str() == DOCKER_HUB && !self.repository.as_str().contains('/') {
            // A name that is already valid and below the limit by far stays valid; at the limit it is left alone and
            // the hub itself will say no.
            format!("library/{}", self.repository).parse().unwrap_or_else(|_| self.repository.clone())
        } else {
            self.repository.clone()
        };
        Self { host: Some(host), repository, tag: self.tag.clone(), digest: self.digest }
    }

    /// The same repository with another tag, and no digest.
    #[must_use]
    pub fn with_tag(&self, tag: Tag) -> Self {
        Self { tag: Some(tag), digest: None, ..self.clone() }
    }

    /// The same repository pinned to `digest`, and no tag.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // Docker's rule: the first component is a host when it could not be a repository's.
        let (host, rest) = match rest.split_once('/') {
            Some((first, tail))
                if first.contains(['.', ':', '[']) || first == "localhost" || first.chars().any(char::is_uppercase) =>
            {
                (Some(first.parse()?), tail)
            }
            _ => (None, rest),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag.parse()?)),
            None => (rest, None),
        };
        Ok(Self { host, repository: repository.parse()?, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        write!(f, "{}", self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Reference {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn references_round_trip() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        for text in [
            "debian",
            "team/app:1",
            "127.0.0.1:5000/a/b:v1",
            "[::1]:5000/a",
            "localhost/a",
            "registry.example/a:b",
            &format!("a@{digest}"),
            &format!("h.example:1/a:t@{digest}"),
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
        assert_eq!(parse("team/app:1").host, None);
        assert_eq!(parse("localhost:5000/app").host.unwrap().as_str(), "localhost:5000");
    }

    #[test]
    fn bad_references_are_refused() {
        for bad in
            ["", "a:", "A", ":x", "a@sha256:1", "h.example:99999/a", "-x.example/a", "h.example/", "a b", "[::g]/a"]
        {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn short_names_become_docker_hub_names() {
        for (short, long) in [
            ("debian", "docker.io/library/debian"),
            ("user/app:1", "docker.io/user/app:1"),
            ("docker.io/debian", "docker.io/library/debian"),
            ("index.docker.io/debian", "docker.io/library/debian"),
            ("h.example/debian", "h.example/debian"),
        ] {
            assert_eq!(parse(short).normalize_docker().to_string(), long);
        }
    }

    #[test]
    fn loopback_hosts_are_known() {
        for (host, loopback) in [
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.3.2.1", true),
            ("[::1]:80", true),
            ("localhost.example", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(host.parse::<RegistryHost>().unwrap().is_loopback(), loopback, "{host}");
        }
    }

    #[test]
    fn a_digest_wins_over_a_tag() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(parse(&format!("a:t@{digest}")).manifest_reference(), digest);
        assert_eq!(parse("a").manifest_reference(), "latest");
    }
}
