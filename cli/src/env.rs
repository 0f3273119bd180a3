//! The environment: the only file that reads it. Every variable Wharf knows stands here, and in `docs/environment.md`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What each variable is for; tests hold this against the code below and against the page.
pub const VARIABLES: &[(&str, &str)] = &[
    ("WHARF_STORE", "directory or s3:// URL of the store, where --store is not given"),
    ("WHARF_CONFIG", "configuration file, where --config is not given"),
    ("WHARF_LOG", "log filter, for example `info` or `wharf_registry=debug` (default `warn`)"),
    ("DOCKER_CONFIG", "directory of config.json with registry credentials (default ~/.docker)"),
    ("DOCKER_HOST", "engine that `build --load` loads into, unix:///path or tcp://host:port (default Docker's socket)"),
    ("BUILDKIT_PROGRESS", "progress style, where --progress is not given"),
    ("NO_COLOR", "no colours, unless it is empty"),
    ("BUILDKIT_COLORS", "colours of progress on a terminal, run=green:warning=yellow:error=red:cancel=255,165,0"),
    ("BUILDKIT_TTY_LOG_LINES", "lines of a running step that live progress shows (default 6)"),
    ("BUILDX_BAKE_FILE", "files that `bake` reads, where -f is not given, between colons"),
    ("BUILDX_BAKE_PATH_SEPARATOR", "what stands between them instead"),
    ("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP", "1: variables of bake files do not come from the environment"),
    ("SOURCE_DATE_EPOCH", "time stamp of built images, in seconds since 1970"),
    ("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY", "source policy of builds, where --source-policy-file is not given"),
    ("HTTP_PROXY", "proxy for plain HTTP; also given to RUN, like HTTPS_PROXY, FTP_PROXY, ALL_PROXY and NO_PROXY"),
    ("HTTPS_PROXY", "proxy for HTTPS"),
    ("FTP_PROXY", "given to RUN"),
    ("ALL_PROXY", "proxy for everything"),
    ("NO_PROXY", "hosts that are reached without a proxy"),
    ("SSH_AUTH_SOCK", "socket of the SSH agent that `--ssh default` passes on"),
    ("SSL_CERT_FILE", "certificate authorities, instead of the system's"),
    ("SSL_CERT_DIR", "directory of certificate authorities, instead of the system's"),
    ("PATH", "where credential helpers (docker-credential-*) are looked for"),
    ("HOME", "home directory of the user"),
    ("XDG_DATA_HOME", "where an ordinary user's store lies: $XDG_DATA_HOME/wharf"),
    ("XDG_CACHE_HOME", "where an ordinary user's builds keep what they can make again, with a store in S3"),
    ("XDG_CONFIG_HOME", "where an ordinary user's configuration lies: $XDG_CONFIG_HOME/wharf/config.toml"),
    ("AWS_ACCESS_KEY_ID", "S3: the key's name"),
    ("AWS_SECRET_ACCESS_KEY", "S3: the key"),
    ("AWS_SESSION_TOKEN", "S3: belongs to a key that is good for a while"),
    ("AWS_REGION", "S3: region of the bucket, where the URL names none"),
    ("AWS_DEFAULT_REGION", "S3: the same, where AWS_REGION is not set"),
    ("AWS_ENDPOINT_URL_S3", "S3: address of the service, where the URL names none"),
    ("AWS_ENDPOINT_URL", "S3: the same, where AWS_ENDPOINT_URL_S3 is not set"),
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "S3: token to exchange for credentials"),
    ("AWS_ROLE_ARN", "S3: role to take on with that token"),
    ("AWS_ROLE_SESSION_NAME", "S3: name of that session"),
    ("AWS_ENDPOINT_URL_STS", "S3: where that token is exchanged"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "S3: where a container gets credentials (ECS)"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "S3: where a container gets credentials (EKS)"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "S3: token to show there"),
    ("AWS_BUCKET", "build caches in S3: the bucket, where none is named"),
    ("BUILDKIT_AZURE_STORAGE_ACCOUNT_URL", "build caches on Azure: address of the account, where none is named"),
    ("BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME", "build caches on Azure: the account, where none is named"),
    ("BUILDKIT_AZURE_STORAGE_CONTAINER", "build caches on Azure: the container, where none is named"),
    ("BUILDKIT_AZURE_STORAGE_PREFIX", "build caches on Azure: what paths start with, where nothing is said"),
    ("AZURE_CLIENT_ID", "Azure: who to be"),
    ("AZURE_TENANT_ID", "Azure: and where"),
    ("AZURE_CLIENT_SECRET", "Azure: the password"),
    ("AZURE_FEDERATED_TOKEN_FILE", "Azure: token to exchange for credentials"),
    ("AZURE_AUTHORITY_HOST", "Azure: where it is exchanged"),
    ("ACTIONS_RUNTIME_TOKEN", "cache of GitHub Actions: the job's token"),
    ("ACTIONS_RESULTS_URL", "cache of GitHub Actions: address of version 2"),
    ("ACTIONS_CACHE_URL", "cache of GitHub Actions: address of version 1"),
    ("ACTIONS_CACHE_SERVICE_V2", "cache of GitHub Actions: whether version 2 is there"),
];

/// What Azure's client is told of where credentials come from.
const AZURE_CREDENTIALS: [&str; 5] =
    ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"];

/// What the S3 engine is told of where credentials come from.
const S3_CREDENTIALS: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// Proxy variables, which builds hand to RUN in both spellings.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// What the environment says of Azure.
pub struct Azure<'a> {
    pub account_url: Option<&'a str>,
    pub account: Option<&'a str>,
    pub container: Option<&'a str>,
    pub prefix: Option<&'a str>,
    /// Credentials and where to get them, by the variables' names.
    pub credentials: BTreeMap<String, String>,
}

/// What a job of GitHub Actions is told of its cache.
pub struct GitHub<'a> {
    pub token: Option<&'a str>,
    pub results_url: Option<&'a str>,
    pub cache_url: Option<&'a str>,
    pub second_version: bool,
}

/// The environment as it was when the program started.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// Reads the process's environment. Variables that are not UTF-8 are left out.
    pub fn read() -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self { variables: std::env::vars_os().filter_map(utf8).collect() }
    }

    /// An environment of exactly these variables.
    #[cfg(test)]
    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self { variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into() }
    }

    /// A variable the user has named, for `--build-arg NAME` and `--secret id=…,env=NAME`.
    pub fn user_variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// A variable of [`VARIABLES`]; empty counts as unset.
    fn known(&self, name: &str) -> Option<&str> {
        debug_assert!(VARIABLES.iter().any(|(known, _)| *known == name), "{name} is not documented");
        self.user_variable(name).filter(|value| !value.is_empty())
    }

    /// `WHARF_STORE`
    pub fn store(&self) -> Option<&str> {
        self.known("WHARF_STORE")
    }

    /// `WHARF_CONFIG`
    pub fn config(&self) -> Option<PathBuf> {
        self.known("WHARF_CONFIG").map(PathBuf::from)
    }

    /// `WHARF_LOG`
    pub fn log(&self) -> Option<&str> {
        self.known("WHARF_LOG")
    }

    /// The directory of Docker's `config.json`.
    pub fn docker_config(&self) -> Option<PathBuf> {
        self.known("DOCKER_CONFIG").map(PathBuf::from).or_else(|| Some(self.home()?.join(".docker")))
    }

    /// `DOCKER_HOST`
    pub fn docker_host(&self) -> Option<&str> {
        self.known("DOCKER_HOST")
    }

    /// `BUILDKIT_PROGRESS`
    pub fn progress(&self) -> Option<&str> {
        self.known("BUILDKIT_PROGRESS")
    }

    /// `NO_COLOR`, whose presence counts, not its value (but empty is unset, as its specification says).
    pub fn no_color(&self) -> bool {
        self.known("NO_COLOR").is_some()
    }

    /// `BUILDKIT_COLORS`
    pub fn colors(&self) -> Option<&str> {
        self.known("BUILDKIT_COLORS")
    }

    /// `BUILDKIT_TTY_LOG_LINES`; what is no positive number is as if it was not set.
    pub fn tty_log_lines(&self) -> Option<NonZeroUsize> {
        self.known("BUILDKIT_TTY_LOG_LINES")?.parse().ok()
    }

    /// `BUILDX_BAKE_FILE`: files between colons, or what `BUILDX_BAKE_PATH_SEPARATOR` says.
    pub fn bake_files(&self) -> Vec<String> {
        let separator = self.known("BUILDX_BAKE_PATH_SEPARATOR").unwrap_or(":");
        let files = self.known("BUILDX_BAKE_FILE").into_iter().flat_map(|files| files.split(separator));
        files.map(str::trim).filter(|file| !file.is_empty()).map(str::to_owned).collect()
    }

    /// `BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP`
    pub fn bake_ignores_environment(&self) -> bool {
        self.known("BUILDX_BAKE_DISABLE_VARS_ENV_LOOKUP").is_some_and(wharf_builder::settings::is_true)
    }

    /// `SOURCE_DATE_EPOCH` as it stands.
    pub fn source_date_epoch(&self) -> Option<&str> {
        self.known("SOURCE_DATE_EPOCH")
    }

    /// `EXPERIMENTAL_BUILDKIT_SOURCE_POLICY`
    pub fn source_policy(&self) -> Option<&str> {
        self.known("EXPERIMENTAL_BUILDKIT_SOURCE_POLICY")
    }

    /// `SSH_AUTH_SOCK`
    pub fn ssh_agent(&self) -> Option<&str> {
        self.known("SSH_AUTH_SOCK")
    }

    /// The user's home directory.
    pub fn home(&self) -> Option<PathBuf> {
        self.known("HOME").map(PathBuf::from)
    }

    /// Where an ordinary user's data lies.
    pub fn data_home(&self) -> Option<PathBuf> {
        self.known("XDG_DATA_HOME").map(PathBuf::from).or_else(|| Some(self.home()?.join(".local/share")))
    }

    /// Where an ordinary user's configuration lies.
    pub fn config_home(&self) -> Option<PathBuf> {
        self.known("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| Some(self.home()?.join(".config")))
    }

    /// Where an ordinary user's programs keep what they can make again.
    pub fn cache_home(&self) -> Option<PathBuf> {
        self.known("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(self.home()?.join(".cache")))
    }

    /// Credentials for S3 and where to get them, by the variables' names.
    pub fn s3_credentials(&self) -> BTreeMap<String, String> {
        let set = |name: &&str| Some(((*name).to_owned(), self.known(name)?.to_owned()));
        S3_CREDENTIALS.iter().filter_map(set).collect()
    }

    /// The region of S3 buckets.
    pub fn s3_region(&self) -> Option<&str> {
        self.known("AWS_REGION").or_else(|| self.known("AWS_DEFAULT_REGION"))
    }

    /// The address of the S3 service.
    pub fn s3_endpoint(&self) -> Option<&str> {
        self.known("AWS_ENDPOINT_URL_S3").or_else(|| self.known("AWS_ENDPOINT_URL"))
    }

    /// The bucket of caches in S3.
    pub fn s3_bucket(&self) -> Option<&str> {
        self.known("AWS_BUCKET")
    }

    /// Azure's account, container and credentials.
    pub fn azure(&self) -> Azure<'_> {
        let set = |name: &&str| Some(((*name).to_owned(), self.known(name)?.to_owned()));
        Azure {
            account_url: self.known("BUILDKIT_AZURE_STORAGE_ACCOUNT_URL"),
            account: self.known("BUILDKIT_AZURE_STORAGE_ACCOUNT_NAME"),
            container: self.known("BUILDKIT_AZURE_STORAGE_CONTAINER"),
            prefix: self.known("BUILDKIT_AZURE_STORAGE_PREFIX"),
            credentials: AZURE_CREDENTIALS.iter().filter_map(set).collect(),
        }
    }

    /// The cache of GitHub Actions.
    pub fn github(&self) -> GitHub<'_> {
        let second = self.known("ACTIONS_CACHE_SERVICE_V2");
        GitHub {
            token: self.known("ACTIONS_RUNTIME_TOKEN"),
            results_url: self.known("ACTIONS_RESULTS_URL"),
            cache_url: self.known("ACTIONS_CACHE_URL"),
            second_version: second.is_some_and(|value| !matches!(value, "0" | "false" | "False" | "FALSE")),
        }
    }

    /// Proxy settings in the spellings that are set, for RUN.
    pub fn proxies(&self) -> Vec<(String, String)> {
        PROXIES
            .iter()
            .flat_map(|name| [(*name).to_owned(), name.to_lowercase()])
            .filter_map(|name| Some((name.clone(), self.user_variable(&name)?.to_owned())))
            .filter(|(_, value)| !value.is_empty())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_read_is_documented() {
        let environment = Environment::of([("HOME", "/home/ann"), ("NO_COLOR", ""), ("https_proxy", "http://p:1")]);
        // Each of these asserts, in a debug build, that its variable is in the table.
        assert_eq!(environment.store(), None);
        assert_eq!(environment.config(), None);
        assert_eq!(environment.log(), None);
        assert_eq!(environment.progress(), None);
        assert_eq!(environment.docker_host(), None);
        assert_eq!(environment.source_date_epoch(), None);
        assert_eq!(environment.source_policy(), None);
        assert!(environment.bake_files().is_empty() && !environment.bake_ignores_environment());
        assert_eq!(environment.ssh_agent(), None);
        assert!(!environment.no_color() && environment.colors().is_none());
        assert_eq!(environment.tty_log_lines(), None);
        assert_eq!(environment.docker_config(), Some(PathBuf::from("/home/ann/.docker")));
        assert_eq!(environment.data_home(), Some(PathBuf::from("/home/ann/.local/share")));
        assert_eq!(environment.config_home(), Some(PathBuf::from("/home/ann/.config")));
        assert_eq!(environment.cache_home(), Some(PathBuf::from("/home/ann/.cache")));
        assert_eq!((environment.s3_region(), environment.s3_endpoint()), (None, None));
        assert!(environment.s3_credentials().is_empty() && environment.s3_bucket().is_none());
        assert!(environment.azure().account_url.is_none() && environment.azure().credentials.is_empty());
        assert!(environment.github().token.is_none());
        assert_eq!(environment.proxies(), [("https_proxy".to_owned(), "http://p:1".to_owned())]);
        for name in PROXIES {
            assert!(VARIABLES.iter().any(|(known, _)| *known == name));
        }
    }

    #[test]
    fn a_number_of_lines_is_positive_or_nothing() {
        for (text, lines) in [("12", NonZeroUsize::new(12)), ("0", None), ("-3", None), ("many", None), ("", None)] {
            assert_eq!(Environment::of([("BUILDKIT_TTY_LOG_LINES", text)]).tty_log_lines(), lines, "{text}");
        }
    }

    #[test]
    fn the_page_lists_every_variable_and_no_other() {
        let page = include_str!("../../docs/environment.md");
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
        let known = VARIABLES.iter().map(|(name, _)| *name);
        assert_eq!(rows.collect::<Vec<_>>(), known.collect::<Vec<_>>());
    }
}
