//! What can go wrong with a registry: who, what was being done, and what to do about it. Never holds a secret, nor an
//! address with a query: tokens travel in those.

use std::time::Duration;

use wharf_spec::ErrorBody;

use crate::auth::CredentialError;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or one that broke.
    #[error("could not {doing}: {host} cannot be reached: {problem}")]
    Unreachable {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The system's words.
        problem: String,
        /// Whether trying again may help: a name that does not exist stays so.
        transient: bool,
    },
    /// Nothing moved for too long.
    #[error("could not {doing}: no answer from {host} within {} s", after.as_secs())]
    TimedOut {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// How long it was waited.
        after: Duration,
    },
    /// TLS was answered with something that is not TLS.
    #[error("could not {doing}: {host} does not speak TLS")]
    PlainHttp {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
    },
    /// A certificate that is not trusted.
    #[error("could not {doing}: the certificate of {host} is not trusted: {problem}")]
    Certificate {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        problem: String,
    },
    /// 401: who are you?
    #[error("could not {doing}: {host} {}{}", if *known { "did not accept the login" } else { "requires a login" }, said(message))]
    Unauthorized {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// Whether credentials were sent.
        known: bool,
        /// The registry's words.
        message: String,
    },
    /// 403: not you.
    #[error("could not {doing}: {host} does not allow it{}", said(message))]
    Denied {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The registry's words.
        message: String,
    },
    /// 404 where it is not simply "no": the repository or the upload is not there.
    #[error("could not {doing}: {host} does not know it{}", said(message))]
    NotFound {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The registry's words.
        message: String,
    },
    /// 429: too many requests.
    #[error("could not {doing}: {host} limits the rate of requests{}{}", said(message), wait(*retry_after))]
    RateLimited {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The registry's words.
        message: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// 5xx and 408: its fault, perhaps only for now.
    #[error("could not {doing}: {host} failed with status {status}{}", said(message))]
    Failed {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// The registry's words.
        message: String,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// Any other refusal.
    #[error("could not {doing}: {host} refused with status {status}{}", said(&words(body)))]
    Rejected {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// The HTTP status.
        status: u16,
        /// What the registry said.
        body: ErrorBody,
    },
    /// An answer that the specification does not know.
    #[error("could not {doing}: {host} gave an answer that makes no sense: {problem}")]
    Protocol {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A registry without versions of tags.
    #[error("could not {doing}: {host} is no Wharf registry, so it keeps no versions of tags")]
    NotWharf {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
    },
    /// A credential could not be read.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// A certificate authority file that cannot be used.
    #[error("cannot use the certificate authorities in {path}: {problem}")]
    Authorities {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client could not be set up.
    #[error("cannot set up the HTTP client: {problem}")]
    Setup {
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    /// Whether trying the same again may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { transient, .. } => *transient,
            Self::TimedOut { .. } | Self::RateLimited { .. } | Self::Failed { .. } => true,
            Self::PlainHttp { .. }
            | Self::Certificate { .. }
            | Self::Unauthorized { .. }
            | Self::Denied { .. }
            | Self::NotFound { .. }
            | Self::Rejected { .. }
            | Self::Protocol { .. }
            | Self::NotWharf { .. }
            | Self::Credential(_)
            | Self::Authorities { .. }
            | Self::Setup { .. } => false,
        }
    }

    /// When the registry wants to be asked again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Failed { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unauthorized { host, known: false, .. } => Some(format!("log in with `wharf login {host}`")),
            Self::Unauthorized { host, known: true, .. } => {
                Some(format!("the stored login may be old: log in again with `wharf login {host}`"))
            }
            Self::Denied { host, .. } => {
                Some(format!("check the name, or log in as somebody who may: `wharf login {host}`"))
            }
            Self::PlainHttp { host, .. } => {
                Some(format!("if {host} really speaks plain HTTP, allow it with `--insecure-registry {host}`"))
            }
            Self::Certificate { host, .. } => Some(format!(
                "trust its authority with `--registry-ca FILE`, or skip the check with `--insecure-registry {host}`"
            )),
            Self::RateLimited { host, .. } => Some(format!("wait, or log in for a higher limit: `wharf login {host}`")),
            Self::Unreachable { .. } => Some("check the host name, the network and the proxy settings".to_owned()),
            Self::Rejected { status: 413, .. } => Some(
                "a proxy in front of the registry limits request sizes: send smaller pieces with a chunk size"
                    .to_owned(),
            ),
            Self::TimedOut { .. }
            | Self::NotFound { .. }
            | Self::Failed { .. }
            | Self::Rejected { .. }
            | Self::Protocol { .. }
            | Self::NotWharf { .. }
            | Self::Credential(_)
            | Self::Authorities { .. }
            | Self::Setup { .. } => None,
        }
    }
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map(|wait| format!(" (try again in {} s)", wait.as_secs())).unwrap_or_default()
}

/// The errors of a body in one line: for people, bounded, and without control characters.
pub(crate) fn words(body: &ErrorBody) -> String {
    let one = |info: &wharf_spec::ErrorInfo| match (info.code.as_str(), info.message.as_str()) {
        (code, "") => code.to_owned(),
        ("", message) => message.to_owned(),
        (code, message) => format!("{message} ({code})"),
    };
    printable(&body.errors.iter().take(3).map(one).collect::<Vec<_>>().join("; "))
}

/// Somebody else's words, fit for a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.trim().chars().take(400).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
