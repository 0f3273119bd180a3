//! The protocol of Docker's credential helpers: a program `docker-credential-<name>` that is given an action as argument,
//! a request on standard input, and answers on standard output.
//!
//! What goes in and comes out is secret; only a failing helper's error output is ever shown.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{Credential, CredentialError, Secret};

/// A helper may ask the user something, but not for ever.
const PATIENCE: Duration = Duration::from_mins(1);

/// How helpers say that they know nothing about a server.
const NOT_FOUND: &str = "credentials not found in native keychain";

/// The user name that means: the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// A helper program.
pub(super) struct Helper {
    /// Its name, for messages.
    program: String,
    /// What is started: the name, found through `PATH`, or a file in a given directory.
    path: PathBuf,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Found {
    username: String,
    secret: Secret,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ToStore<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    username: &'a str,
    secret: &'a str,
}

impl Helper {
    /// The helper with this short name, as the configuration names it; looked for in `dir` when there is one.
    pub(super) fn named(name: &str, dir: Option<&Path>) -> Result<Self, CredentialError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || !name.bytes().all(plain) {
            return Err(CredentialError::HelperName(name.chars().take(80).collect()));
        }
        let program = format!("docker-credential-{name}");
        let path = dir.map_or_else(|| PathBuf::from(&program), |dir| dir.join(&program));
        Ok(Self { program, path })
    }

    /// What the helper knows for `server`.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credential>, CredentialError> {
        let answer = match self.run("get", server.as_bytes()).await? {
            Answer::Output(answer) => answer,
            Answer::NotFound => return Ok(None),
        };
        let found: Found = serde_json::from_slice(&answer)
            .map_err(|_| self.failed("get", "its answer is not the JSON object it should be".to_owned()))?;
        Ok(Some(match found.username.as_str() {
            TOKEN_USER => Credential::Identity(found.secret),
            _ => Credential::Password { user: found.username, secret: found.secret },
        }))
    }

    /// Has the helper keep a credential.
    pub(super) async fn store(&self, server: &str, credential: &Credential) -> Result<(), CredentialError> {
        let (username, secret) = match credential {
            Credential::Password { user, secret } => (user.as_str(), secret),
            Credential::Identity(secret) | Credential::Bearer(secret) => (TOKEN_USER, secret),
        };
        let request = ToStore { server_url: server, username, secret: secret.reveal() };
        let request = serde_json::to_vec(&request).expect("three strings are plain data");
        self.run("store", &request).await.map(drop)
    }

    /// Has the helper forget a credential; `false` when it knew none.
    pub(super) async fn erase(&self, server: &str) -> Result<bool, CredentialError> {
        Ok(matches!(self.run("erase", server.as_bytes()).await?, Answer::Output(_)))
    }

    async fn run(&self, action: &'static str, input: &[u8]) -> Result<Answer, CredentialError> {
        let missing = |source| CredentialError::HelperMissing { helper: self.program.clone(), source };
        let mut child = Command::new(&self.path)
            .arg(action)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(missing)?;
        let mut stdin = child.stdin.take();
        let talk = async {
            if let Some(stdin) = &mut stdin {
                // A helper that answers without reading closes its input; its exit code is what counts.
                let _ = stdin.write_all(input).await;
            }
            drop(stdin);
            child.wait_with_output().await
        };
        let output = match tokio::time::timeout(PATIENCE, talk).await {
            Ok(output) => output.map_err(missing)?,
            Err(_) => return Err(self.failed(action, format!("no answer within {} s", PATIENCE.as_secs()))),
        };
        if output.status.success() {
            return Ok(Answer::Output(output.stdout));
        }
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).contains(NOT_FOUND);
        if said(&output.stdout) || said(&output.stderr) {
            return Ok(Answer::NotFound);
        }
        // Helpers print their errors to standard output; after a failed `get` it holds no secret, but nobody promises.
        let words: String = String::from_utf8_lossy(&output.stderr).trim().chars().take(200).collect();
        let problem = if words.is_empty() { output.status.to_string() } else { words };
        Err(self.failed(action, problem))
    }

    fn failed(&self, action: &'static str, problem: String) -> CredentialError {
        CredentialError::HelperFailed { helper: self.program.clone(), action, problem }
    }
}

enum Answer {
    Output(Vec<u8>),
    NotFound,
}
