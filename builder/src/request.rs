//! What is to be built: everything the command line knows, as plain data.
//!
//! Nothing here is read from the environment or the clock; the caller decides. Two equal requests on equal contexts give
//! equal images once `source_date_epoch` is given.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use wharf_spec::Platform;

use crate::attest::Generator;
use crate::base::ImageName;
use crate::dockerfile::NetworkMode;
use crate::layer::LayerFormat;
use crate::policy::Policies;
use crate::sandbox::Limits;

/// One build of one target for one platform.
#[derive(Clone, Debug)]
pub struct BuildRequest {
    /// The Dockerfile.
    pub dockerfile: DockerfileText,
    /// Where `COPY` and `ADD` read from when they say nothing else; `None` when there is no context.
    pub context: Option<ContextSource>,
    /// The text of `<Dockerfile>.dockerignore`, which replaces the main context's own `.dockerignore`.
    pub ignore: Option<String>,
    /// `--build-context name=…`; a name also stands for itself in `FROM` and `--from`, before stages and registries.
    pub named_contexts: BTreeMap<String, ContextSource>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--target`: a stage's name or number; the last stage when `None`.
    pub target: Option<String>,
    /// What the image is to run on.
    pub platform: Platform,
    /// What the build runs on.
    pub build_platform: Platform,
    /// How much of the step cache may be used.
    pub cache: CacheUse,
    /// Whether the image says which steps its layers came from, so that it can serve as a cache itself.
    pub inline_cache: bool,
    /// Whether cache mounts travel with results.
    pub mounts: MountSharing,
    /// Whether to say of every step why its result was known or not.
    pub explain_cache: bool,
    /// Which base layers have to be in the store when the build is done.
    pub base_layers: BaseLayers,
    /// `--label`: set over whatever the Dockerfile sets.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`: of the manifest.
    pub annotations: BTreeMap<String, String>,
    /// `--sbom`: who writes bills of materials.
    pub generator: Option<Generator>,
    /// What may be used, and what takes its place.
    pub policies: Policies,
    /// `--secret`, by id.
    pub secrets: BTreeMap<String, SecretValue>,
    /// `--ssh`, by id: the socket of an SSH agent.
    pub ssh: BTreeMap<String, PathBuf>,
    /// How new layers are compressed.
    pub compression: LayerCompression,
    /// Seconds since 1970 that stand for "now" in the image and that no file of a new layer is younger than.
    pub source_date_epoch: Option<i64>,
    /// The network of a `RUN` that asks for none.
    pub network: NetworkMode,
    /// `--add-host`.
    pub extra_hosts: Vec<(String, IpAddr)>,
    /// What every `RUN` may use up.
    pub limits: Limits,
    /// Whether `RUN --security=insecure` may be granted.
    pub insecure: Entitlement,
}

/// A Dockerfile's text and the name it goes by in messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerfileText {
    /// A path as the user wrote it, or `stdin`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// Where files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextSource {
    /// A directory, with its own `.dockerignore`.
    Directory(PathBuf),
    /// An image's files.
    Image(ImageName),
}

/// How much of the step cache may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CacheUse {
    /// All of it.
    #[default]
    All,
    /// None (`--no-cache`): every step of every stage runs, and its result replaces the remembered one.
    Nothing,
    /// All but the steps of these stages (`--no-cache-filter`).
    Except(Vec<String>),
}

/// Whether cache mounts travel with results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountSharing {
    /// Whether one that is empty here is filled from the places that share results.
    pub import: bool,
    /// Whether those that steps wrote to are packed, to be shared.
    pub export: bool,
}

/// Which base layers have to be in the store when the build is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BaseLayers {
    /// All of the image's: it is going to be published from the store.
    #[default]
    Fetch,
    /// Only those that a step needed.
    Leave,
}

/// Whether something dangerous was allowed by whoever started the build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Entitlement {
    /// Asking for it is an error.
    #[default]
    Refused,
    /// It is granted.
    Granted,
}

/// How new layers are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerCompression {
    /// The format.
    pub format: LayerFormat,
    /// The level in the format's own scale; its default when `None`.
    pub level: Option<u32>,
}

/// A secret's bytes. They are shown by no message and are part of no key, layer or log.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Vec<u8>);

impl SecretValue {
    /// Takes the bytes in.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue(..)")
    }
}

impl BuildRequest {
    /// The plainest build of `dockerfile`: no context, this machine's platform, the whole cache.
    pub fn new(dockerfile: DockerfileText) -> Self {
        Self {
            dockerfile,
            context: None,
            ignore: None,
            named_contexts: BTreeMap::new(),
            build_args: BTreeMap::new(),
            target: None,
            platform: Platform::host(),
            build_platform: Platform::host(),
            cache: CacheUse::All,
            inline_cache: false,
            mounts: MountSharing::default(),
            explain_cache: false,
            base_layers: BaseLayers::Fetch,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            generator: None,
            policies: Policies::default(),
            secrets: BTreeMap::new(),
            ssh: BTreeMap::new(),
            compression: LayerCompression::default(),
            source_date_epoch: None,
            network: NetworkMode::Default,
            extra_hosts: Vec::new(),
            limits: Limits::default(),
            insecure: Entitlement::Refused,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_never_shows_its_secrets() {
        let mut request = BuildRequest::new(DockerfileText { name: "Dockerfile".into(), text: "FROM scratch".into() });
        request.secrets.insert("token".into(), SecretValue::new("hunter2"));
        let shown = format!("{request:?}");
        assert!(shown.contains("SecretValue(..)") && !shown.contains("hunter2"), "{shown}");
    }
}
