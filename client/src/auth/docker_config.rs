//! Credentials where Docker keeps them: `config.json`, and the helper programs it names.
//!
//! Reads what docker, podman and Kubernetes write, and writes so that they can read it: fields that Wharf does not know
//! stay as they are, and the file is replaced in one step and readable by its owner only.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use wharf_spec::{DOCKER_HUB, RegistryHost};

use super::helper::Helper;
use super::{Credential, CredentialError, Credentials, Secret};

/// What Docker calls its hub in `config.json`, for ever.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// Writers differ about the padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A directory with a `config.json`, usually `$DOCKER_CONFIG` or `~/.docker`. It need not be there.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    dir: PathBuf,
    helper_dir: Option<PathBuf>,
}

/// Where a credential went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// With a helper of this name.
    Helper(String),
    /// In this file, where everybody who can read it can read the password.
    File(PathBuf),
}

/// An entry of `auths`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl DockerConfig {
    /// The configuration in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), helper_dir: None }
    }

    /// Looks for helper programs in `dir` instead of through `PATH`.
    #[must_use]
    pub fn with_helpers_in(self, dir: impl Into<PathBuf>) -> Self {
        Self { helper_dir: Some(dir.into()), ..self }
    }

    /// Keeps a credential: with the helper that is configured for the host, else in the file.
    pub async fn store(&self, host: &RegistryHost, credential: &Credential) -> Result<Kept, CredentialError> {
        let mut file = self.read()?;
        let key = server_key(host);
        let (entry, kept) = match file.helper_name(host) {
            Some(name) => {
                self.helper(&name)?.store(key, credential).await?;
                // An empty entry is how Docker remembers that the helper has something.
                (json!({}), Kept::Helper(name))
            }
            None => (entry_of(credential), Kept::File(file.path.clone())),
        };
        let auths = file.auths();
        auths.retain(|name, _| !names_host(name, host));
        auths.insert(key.to_owned(), entry);
        file.write()?;
        Ok(kept)
    }

    /// Forgets a credential, wherever it is; `false` when there was none.
    pub async fn erase(&self, host: &RegistryHost) -> Result<bool, CredentialError> {
        let mut file = self.read()?;
        let by_helper = match file.helper_name(host) {
            Some(name) => self.helper(&name)?.erase(server_key(host)).await?,
            None => false,
        };
        if !file.has_auths(host) {
            return Ok(by_helper);
        }
        file.auths().retain(|name, _| !names_host(name, host));
        file.write()?;
        Ok(true)
    }

    fn helper(&self, name: &str) -> Result<Helper, CredentialError> {
        Helper::named(name, self.helper_dir.as_deref())
    }

    fn read(&self) -> Result<File, CredentialError> {
        let path = self.dir.join("config.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(File { path, fields: Map::new() }),
            Err(source) => return Err(CredentialError::File { doing: "read", path, source }),
        };
        if bytes.trim_ascii().is_empty() {
            return Ok(File { path, fields: Map::new() });
        }
        match serde_json::from_slice(&bytes) {
            Ok(fields) => Ok(File { path, fields }),
            // The position only: the words around it may be a password.
            Err(error) => {
                let problem = format!("no JSON object at line {} column {}", error.line(), error.column());
                Err(CredentialError::Malformed { path, problem })
            }
        }
    }
}

#[async_trait]
impl Credentials for DockerConfig {
    async fn lookup(&self, host: &RegistryHost) -> Result<Option<Credential>, CredentialError> {
        let file = self.read()?;
        if let Some(name) = file.helper_name(host)
            && let Some(found) = self.helper(&name)?.get(server_key(host)).await?
        {
            return Ok(Some(found));
        }
        file.entry(host)
    }
}

/// The parsed file.
struct File {
    path: PathBuf,
    fields: Map<String, Value>,
}

impl File {
    /// The helper that keeps the host's credential: its own, else the one for all hosts.
    fn helper_name(&self, host: &RegistryHost) -> Option<String> {
        let own = self.fields.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
            helpers.iter().find(|(name, _)| names_host(name, host)).and_then(|(_, helper)| helper.as_str())
        });
        let name = own.or_else(|| self.fields.get("credsStore").and_then(Value::as_str));
        name.filter(|name| !name.is_empty()).map(ToOwned::to_owned)
    }

    fn has_auths(&self, host: &RegistryHost) -> bool {
        let auths = self.fields.get("auths").and_then(Value::as_object);
        auths.is_some_and(|auths| auths.keys().any(|name| names_host(name, host)))
    }

    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.fields.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        auths.as_object_mut().expect("made an object just now")
    }

    fn entry(&self, host: &RegistryHost) -> Result<Option<Credential>, CredentialError> {
        let Some(auths) = self.fields.get("auths").and_then(Value::as_object) else { return Ok(None) };
        // Docker's own key first; a file may hold older spellings beside it.
        let found = auths.get_key_value(server_key(host));
        let Some((name, value)) = found.or_else(|| auths.iter().find(|(name, _)| names_host(name, host))) else {
            return Ok(None);
        };
        let bad = |problem: &str| {
            let problem = format!("the entry for {name} {problem}");
            CredentialError::Malformed { path: self.path.clone(), problem }
        };
        let entry = Entry::deserialize(value).map_err(|_| bad("is not an object of strings"))?;
        let given = |secret: Option<Secret>| secret.filter(|secret| !secret.is_empty());
        if let Some(token) = given(entry.registrytoken) {
            return Ok(Some(Credential::Bearer(token)));
        }
        if let Some(token) = given(entry.identitytoken) {
            return Ok(Some(Credential::Identity(token)));
        }
        if let Some(auth) = given(entry.auth) {
            return decode_auth(&auth)
                .map(Some)
                .ok_or_else(|| bad("has an `auth` that is not base64 of user:password"));
        }
        Ok(match (entry.username, given(entry.password)) {
            (Some(user), Some(secret)) => Some(Credential::Password { user, secret }),
            (Some(_) | None, _) => None,
        })
    }

    fn write(&self) -> Result<(), CredentialError> {
        let fail = |doing| {
            let path = self.path.clone();
            move |source| CredentialError::File { doing, path, source }
        };
        // A link to a file elsewhere stays a link.
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(dir).map_err(fail("create the directory of"))?;
        let mut text = serde_json::to_vec_pretty(&self.fields).expect("JSON values are plain data");
        text.push(b'\n');
        let fresh = dir.join(format!(".config.json.{}", std::process::id()));
        let result = write_private(&fresh, &text).and_then(|()| fs::rename(&fresh, &path));
        if result.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        result.map_err(fail("write"))
    }
}

/// A new file that only its owner can read, on disk when this returns.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    // Left over from a process of the same id that died: ours now.
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The key of a host in `auths`, and its name towards helpers.
fn server_key(host: &RegistryHost) -> &str {
    if host.as_str() == DOCKER_HUB { DOCKER_HUB_KEY } else { host.as_str() }
}

/// Whether a key of the file means `host`: with or without scheme, with or without the old version paths.
fn names_host(key: &str, host: &RegistryHost) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (name, path) = bare.split_once('/').unwrap_or((bare, ""));
    let same = name.eq_ignore_ascii_case(host.as_str())
        || (host.as_str() == DOCKER_HUB && matches!(name, "index.docker.io" | "registry-1.docker.io"));
    same && matches!(path.trim_end_matches('/'), "" | "v1" | "v2")
}

fn decode_auth(auth: &Secret) -> Option<Credential> {
    let decoded = String::from_utf8(BASE64.decode(auth.reveal().trim()).ok()?).ok()?;
    let (user, secret) = decoded.split_once(':')?;
    // Docker pads the password with zero bytes on some platforms.
    Some(Credential::Password { user: user.to_owned(), secret: Secret::new(secret.trim_end_matches('\0')) })
}

fn entry_of(credential: &Credential) -> Value {
    match credential {
        Credential::Password { user, secret } => {
            json!({ "auth": BASE64.encode(format!("{user}:{}", secret.reveal())) })
        }
        Credential::Identity(token) => json!({ "identitytoken": token.reveal() }),
        Credential::Bearer(token) => json!({ "registrytoken": token.reveal() }),
    }
}

#[cfg(test)]
#[path = "docker_config_tests.rs"]
mod tests;
