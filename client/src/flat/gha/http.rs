//! Requests to the service and to the addresses it signs: tried again for a bounded time, small answers read whole.

use std::fmt;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use bytes::{Bytes, BytesMut};
use http::header::RETRY_AFTER;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use super::GhaError;
use crate::ClientConfig;
use crate::auth::Secret;
use crate::config::{Retries, Timeouts};
use crate::registry::{Error as RegistryError, plain_client, printable, root_cause};
use crate::transfer::Result as TransferResult;

/// Answers are cut here.
const LONGEST_ANSWER: usize = 64 << 10;

/// Bodies are expected to travel at least this fast, in bytes a second.
const SLOWEST: u64 = 128 << 10;

/// The service and how to reach it.
pub(super) struct Http {
    client: reqwest::Client,
    base: Url,
    token: Secret,
    timeouts: Timeouts,
    retries: Retries,
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An address may hold a token, too.
        f.debug_struct("Http").field("host", &self.host()).finish_non_exhaustive()
    }
}

/// A small answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// Why one attempt was not the last.
enum Setback {
    Limited(Option<Duration>),
    Failed(String),
}

impl Http {
    pub(super) fn new(url: &str, token: Secret, config: &ClientConfig) -> TransferResult<Self> {
        let address = || crate::transfer::Error::place(crate::transfer::Origin::Stream, GhaError::Address);
        let base = Url::parse(&format!("{}/", url.trim_end_matches('/'))).map_err(|_| address())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(address());
        }
        let client = plain_client(config).map_err(|error: RegistryError| error)?;
        Ok(Self { client, base, token, timeouts: config.timeouts, retries: config.retries })
    }

    pub(super) fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// The machine, for messages.
    pub(super) fn host(&self) -> String {
        self.base.host_str().unwrap_or_default().to_owned()
    }

    /// The service's address for this path.
    pub(super) fn url(&self, path: &str) -> Result<Url, GhaError> {
        self.base.join(path).map_err(|_| GhaError::Address)
    }

    /// With the token, which goes to the service and nowhere else.
    pub(super) fn own(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.token.reveal())
    }

    pub(super) fn waits(&self) -> ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(self.retries.first_wait)
            .with_max_delay(self.retries.longest_wait)
            .with_max_times(self.retries.times)
            .with_jitter()
            .build()
    }

    /// Sends the request that `make` makes, with a body of this length, until it is answered.
    pub(super) async fn send(
        &self,
        doing: &'static str,
        length: u64,
        make: impl Fn() -> RequestBuilder,
    ) -> Result<Answer, GhaError> {
        let limit = self.timeouts.idle + Duration::from_secs(length / SLOWEST);
        let mut waits = self.waits();
        loop {
            let setback = match tokio::time::timeout(limit, attempt(make())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(setback)) => setback,
                Err(_) => Setback::Failed("no answer in time".to_owned()),
            };
            let host = || self.host();
            let (asked, end) = match setback {
                Setback::Limited(asked) => (asked, GhaError::RateLimited { host: host(), doing }),
                Setback::Failed(problem) => (None, GhaError::Unavailable { host: host(), doing, problem }),
            };
            // A service that wants us back in an hour will not answer in a minute.
            let asked = asked.unwrap_or_default();
            match waits.next().filter(|_| asked <= self.retries.longest_wait) {
                Some(planned) => tokio::time::sleep(planned.max(asked)).await,
                None => return Err(end),
            }
        }
    }

    pub(super) fn refused(&self, doing: &'static str, answer: &Answer) -> GhaError {
        let said = answer.said();
        let message = if said.is_empty() { String::new() } else { format!(": {said}") };
        GhaError::Refused { host: self.host(), doing, status: answer.status.as_u16(), message }
    }

    pub(super) fn odd(&self, doing: &'static str, problem: String) -> GhaError {
        GhaError::Odd { host: self.host(), doing, problem }
    }

    /// An answer's JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, doing: &'static str, answer: &Answer) -> Result<T, GhaError> {
        // What was read is not shown: it may hold a signed address.
        serde_json::from_slice(&answer.body).map_err(|error| self.odd(doing, format!("its answer: {error}")))
    }
}

impl Answer {
    /// What the service says went wrong.
    fn said(&self) -> String {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let text = ["msg", "message"].iter().find_map(|key| json.get(key)?.as_str());
        printable(text.unwrap_or_default())
    }

    /// Whether it says that there is one already.
    pub(super) fn is_taken(&self) -> bool {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        self.status == StatusCode::CONFLICT || json.get("code").and_then(|code| code.as_str()) == Some("already_exists")
    }

    /// Whether it says that there is nothing.
    pub(super) fn is_missing(&self) -> bool {
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_FOUND)
            || json.get("code").and_then(|code| code.as_str()) == Some("not_found")
    }
}

/// What an error of the connection says, without the address it is about.
pub(super) fn without_address(error: reqwest::Error) -> String {
    root_cause(&error.without_url())
}

/// What a status says about trying again.
fn setback(answer: &Response) -> Option<Setback> {
    match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Some(Setback::Limited(asked.map(Duration::from_secs)))
        }
        status if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT => {
            Some(Setback::Failed(status.to_string()))
        }
        _ => None,
    }
}

async fn attempt(request: RequestBuilder) -> Result<Answer, Setback> {
    let failed = |error: reqwest::Error| Setback::Failed(without_address(error));
    let mut answer = request.send().await.map_err(failed)?;
    if let Some(setback) = setback(&answer) {
        return Err(setback);
    }
    let status = answer.status();
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.map_err(failed)? {
        body.extend_from_slice(&piece);
        if body.len() > LONGEST_ANSWER {
            break;
        }
    }
    Ok(Answer { status, body: body.freeze() })
}
