//! Trying again: what is worth it, how long to wait in between, and when to stop.

use std::time::Duration;

use http::StatusCode;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::time::Instant;

use super::documents::Problem;
use crate::error::innermost;
use crate::{Ids, RandomIds};

/// The first pause is at most this, and each further one at most twice the one before,
const FIRST: Duration = Duration::from_millis(100);
/// up to this.
const LONGEST: Duration = Duration::from_secs(5);

/// Why an attempt is worth repeating.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setback {
    /// What happened, for the log and for whoever gives up.
    pub(super) problem: String,
    /// Whether the request may have been carried out all the same.
    pub(super) doubtful: bool,
}

impl Setback {
    /// A request that was not answered.
    pub(super) fn unanswered(error: &HttpError) -> Self {
        let doubtful = error.kind() != HttpErrorKind::Connect;
        Self { problem: innermost(error), doubtful }
    }

    /// An answer that says to try again; `None` for one that is an answer.
    pub(super) fn answered(status: StatusCode, problem: &Problem) -> Option<Self> {
        let code = problem.code.as_str();
        // Refused before anything was done.
        let refused = matches!(status, StatusCode::TOO_MANY_REQUESTS)
            || matches!(code, "SlowDown" | "ConditionalRequestConflict" | "OperationAborted");
        let failed = matches!(
            status,
            StatusCode::INTERNAL_SERVER_ERROR
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT
                | StatusCode::REQUEST_TIMEOUT
        ) || matches!(
            code,
            "RequestTimeout" | "IncompleteBody" | "BadDigest" | "XAmzContentSHA256Mismatch" | "InternalError"
        );
        (refused || failed).then(|| Self { problem: format!("{status} {code}"), doubtful: !refused })
    }

    /// A body that ended before it should.
    pub(super) fn cut(error: &HttpError) -> Self {
        Self { problem: format!("the answer was cut short: {}", innermost(error)), doubtful: true }
    }

    /// A body that ended before all of it was there.
    pub(super) fn ended() -> Self {
        Self { problem: "the answer was cut short".to_owned(), doubtful: true }
    }

    /// Nothing happened for too long.
    pub(super) fn silence() -> Self {
        Self { problem: "no answer in time".to_owned(), doubtful: true }
    }
}

/// The pauses between attempts of one request.
#[derive(Debug)]
pub(super) struct Backoff {
    until: Instant,
    pause: Duration,
}

impl Backoff {
    /// Pauses for as long as `retries`.
    pub(super) fn new(retries: Duration) -> Self {
        Self { until: Instant::now() + retries, pause: FIRST }
    }

    /// Waits before the next attempt; `false` when it is time to give up.
    pub(super) async fn wait(&mut self) -> bool {
        match self.pause(Instant::now()) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                true
            }
            None => false,
        }
    }

    /// The next pause, unless it is too late for one. Pauses are between half and all of what they could be, so that many
    /// who failed at once do not come back at once.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let pause = self.pause / 2 + self.pause.mul_f64(random() / 2.0);
        self.pause = (self.pause * 2).min(LONGEST);
        (now + pause <= self.until).then_some(pause)
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let [byte, ..] = RandomIds.fresh();
    f64::from(byte) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_go_better_is_tried_again() {
        let answered = |status: u16, code: &str| {
            let problem = Problem { code: code.to_owned(), ..Problem::default() };
            Setback::answered(StatusCode::from_u16(status).unwrap(), &problem).map(|setback| setback.doubtful)
        };
        assert_eq!(answered(500, "InternalError"), Some(true));
        assert_eq!(answered(502, ""), Some(true));
        assert_eq!(answered(503, "SlowDown"), Some(false));
        assert_eq!(answered(429, ""), Some(false));
        assert_eq!(answered(409, "ConditionalRequestConflict"), Some(false));
        assert_eq!(answered(400, "RequestTimeout"), Some(true));
        for (status, code) in [(200, ""), (404, "NoSuchKey"), (412, "PreconditionFailed"), (403, "AccessDenied")] {
            assert_eq!(answered(status, code), None, "{status}");
        }
    }

    #[test]
    fn pauses_grow_and_end() {
        let start = Instant::now();
        let mut backoff = Backoff::new(Duration::from_mins(1));
        let mut pauses = Vec::new();
        while let Some(pause) = backoff.pause(start + pauses.iter().sum::<Duration>()) {
            pauses.push(pause);
        }
        assert!((10..40).contains(&pauses.len()), "{pauses:?}");
        let waited: Duration = pauses.iter().sum();
        assert!(waited > Duration::from_secs(50) && waited <= Duration::from_secs(61), "{pauses:?}");
        assert!(pauses[0] <= FIRST && pauses.iter().all(|pause| *pause <= LONGEST), "{pauses:?}");
        assert!(pauses[9] > pauses[0] * 10, "{pauses:?}");
    }
}
