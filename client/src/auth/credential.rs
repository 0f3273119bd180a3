//! What proves an identity, and the trait of whoever keeps it.

use std::path::PathBuf;

use async_trait::async_trait;
use wharf_spec::RegistryHost;

use super::Secret;

/// What proves an identity to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A user and a password, or whatever the registry takes as one.
    Password {
        /// The user.
        user: String,
        /// The password.
        secret: Secret,
    },
    /// A refresh token, exchanged at the token service.
    Identity(Secret),
    /// A token that is sent to the registry as it is.
    Bearer(Secret),
}

/// Keeps credentials.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// What is known for `host`; `None` means going there anonymously.
    async fn lookup(&self, host: &RegistryHost) -> Result<Option<Credential>, CredentialError>;
}

/// Knows nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anonymous;

#[async_trait]
impl Credentials for Anonymous {
    async fn lookup(&self, _: &RegistryHost) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// Why a credential could not be read or kept. Never holds one.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file could not be read or written.
    #[error("could not {doing} {path}: {source}", path = path.display())]
    File {
        /// Reading, writing, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a valid Docker configuration: {problem}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong and where.
        problem: String,
    },
    /// The helper program is not there or could not be started.
    #[error("the credential helper `{helper}` could not be run: {source}")]
    HelperMissing {
        /// The program.
        helper: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// The helper said no.
    #[error("the credential helper `{helper}` failed to {action}: {problem}")]
    HelperFailed {
        /// The program.
        helper: String,
        /// `get`, `store` or `erase`.
        action: &'static str,
        /// Its error output, cut short.
        problem: String,
    },
    /// The helper's name is a path or holds characters no program name needs.
    #[error("`{0}` is not the name of a credential helper")]
    HelperName(String),
}
