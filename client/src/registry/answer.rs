//! Reading answers: bodies with a bound, refusals as errors, transport failures as what they are.
//!
//! The one file that knows what HTTP statuses mean when they are not what a step hoped for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER, WARNING};
use reqwest::{Response, StatusCode};
use wharf_spec::ErrorBody;

use super::Error;
use super::client::{Inner, root_cause};
use super::endpoint::Endpoint;
use super::error::{printable, words};

/// Error bodies are read this far.
const MAX_ERROR_BODY: u64 = 64 << 10;

/// What a step was doing and with whom, for errors.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) doing: &'a str,
}

impl Context<'_> {
    fn host(&self) -> String {
        self.endpoint.host.to_string()
    }

    /// An answer that the specification does not know.
    pub(super) fn nonsense(&self, problem: impl Into<String>) -> Error {
        Error::Protocol { host: self.host(), doing: self.doing.to_owned(), problem: problem.into() }
    }

    /// Nothing moved for `after`.
    pub(super) fn timed_out(&self, after: Duration) -> Error {
        Error::TimedOut { host: self.host(), doing: self.doing.to_owned(), after }
    }

    /// The login was not enough.
    pub(super) fn unauthorized(&self, known: bool, message: String) -> Error {
        Error::Unauthorized { host: self.host(), doing: self.doing.to_owned(), known, message }
    }

    /// The connection could not be made or broke.
    pub(super) fn broken(&self, error: &reqwest::Error, connect: Duration) -> Error {
        let (host, doing) = (self.host(), self.doing.to_owned());
        match find_tls_error(error) {
            Some(rustls::Error::InvalidCertificate(problem)) => {
                return Error::Certificate { host, doing, problem: printable(&problem.to_string()) };
            }
            Some(rustls::Error::InvalidMessage(_)) => return Error::PlainHttp { host, doing },
            Some(_) | None => {}
        }
        if error.is_timeout() {
            return Error::TimedOut { host, doing, after: connect };
        }
        Error::Unreachable {
            host,
            doing,
            problem: root_cause(error),
            transient: !error.is_dns() && !error.is_builder(),
        }
    }

    /// The body broke off.
    pub(super) fn broke_off(&self, problem: String) -> Error {
        Error::Unreachable { host: self.host(), doing: self.doing.to_owned(), problem, transient: true }
    }
}

/// TLS errors hide inside I/O errors, whose `source` skips them.
pub(super) fn find_tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        current = match inner {
            Some(inner) => Some(inner as &(dyn std::error::Error + 'static)),
            None => error.source(),
        };
    }
    None
}

impl Inner {
    /// The next piece of a body, waited for within bounds.
    pub(super) async fn piece(&self, context: Context<'_>, response: &mut Response) -> Result<Option<Bytes>, Error> {
        let idle = self.config.timeouts.idle;
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(error)) => Err(context.broke_off(root_cause(&error))),
            Err(_) => Err(context.timed_out(idle)),
        }
    }

    /// A whole small body; `None` when it is larger than `limit`.
    pub(super) async fn body(
        &self,
        context: Context<'_>,
        mut response: Response,
        limit: u64,
    ) -> Result<Option<Bytes>, Error> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece(context, &mut response).await? {
            if (body.len() + piece.len()) as u64 > limit {
                return Ok(None);
            }
            body.extend_from_slice(&piece);
        }
        Ok(Some(body.freeze()))
    }

    /// The error that an answer is, when it is not what the step hoped for.
    pub(super) async fn refusal(&self, context: Context<'_>, response: Response) -> Error {
        let status = response.status();
        let retry_after = retry_after(response.headers());
        let known = response.extensions().get::<SentCredential>().is_some();
        let body = self.error_body(context, response).await;
        let (host, doing, message) = (context.host(), context.doing.to_owned(), words(&body));
        match status {
            StatusCode::UNAUTHORIZED => Error::Unauthorized { host, doing, known, message },
            StatusCode::FORBIDDEN => Error::Denied { host, doing, message },
            StatusCode::NOT_FOUND => Error::NotFound { host, doing, message },
            StatusCode::TOO_MANY_REQUESTS => Error::RateLimited { host, doing, message, retry_after },
            StatusCode::REQUEST_TIMEOUT => Error::Failed { host, doing, status: status.as_u16(), message, retry_after },
            other if other.is_server_error() => {
                Error::Failed { host, doing, status: other.as_u16(), message, retry_after }
            }
            other => Error::Rejected { host, doing, status: other.as_u16(), body },
        }
    }

    async fn error_body(&self, context: Context<'_>, response: Response) -> ErrorBody {
        match self.body(context, response, MAX_ERROR_BODY).await {
            // HTML pages of proxies and the like say nothing that the status does not.
            Ok(Some(body)) => serde_json::from_slice(&body).unwrap_or_default(),
            Ok(None) | Err(_) => ErrorBody::default(),
        }
    }
}

/// Marks an answer to a request that carried a user's credential, so that a refusal can say which of the two it is.
#[derive(Clone, Copy)]
pub(super) struct SentCredential;

/// `Retry-After` in either of its forms. A date counts from the `Date` of the same answer: our clocks may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let now = httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// The texts of `Warning: 299 - "text"` headers (distribution-spec, "Warnings").
pub(super) fn warnings(headers: &HeaderMap) -> Vec<String> {
    let text = |value: &str| {
        let quoted = value.trim().strip_prefix("299 ")?.trim_start().split_once(' ')?.1.trim();
        let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
        let text = printable(&inner.replace("\\\"", "\"").replace("\\\\", "\\"));
        (!text.is_empty()).then_some(text)
    };
    headers.get_all(WARNING).iter().filter_map(|value| text(value.to_str().ok()?)).take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, expected) in [
            ("7", Some(7)),
            ("Fri, 01 Aug 2025 12:00:30 GMT", Some(30)),
            ("Fri, 01 Aug 2025 11:00:00 GMT", Some(0)),
            ("soon", None),
        ] {
            let mut headers = headers(RETRY_AFTER, value);
            headers.insert(DATE, "Fri, 01 Aug 2025 12:00:00 GMT".parse().unwrap());
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value}");
        }
        assert_eq!(retry_after(&headers(RETRY_AFTER, "Fri, 01 Aug 2025 12:00:30 GMT")), None, "since when?");
    }

    #[test]
    fn warnings_are_read_as_the_specification_writes_them() {
        for (value, expected) in [
            (r#"299 - "old tag""#, vec!["old tag"]),
            (r#"299 - "say \"hi\"""#, vec![r#"say "hi""#]),
            (r#"199 - "not ours""#, vec![]),
            ("299 - unquoted", vec![]),
            (r#"299 - """#, vec![]),
        ] {
            assert_eq!(warnings(&headers(WARNING, value)), expected, "{value}");
        }
    }
}
