//! Trying again: what, how often, and after how long.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder, Retryable as _};

use super::Error;
use super::answer::Context;
use super::client::Inner;
use crate::Notice;
use crate::config::Retries;
use crate::transfer;

/// An error that may be worth another try.
pub(super) trait Attempt: std::fmt::Display {
    fn registry_error(&self) -> Option<&Error>;
}

impl Attempt for Error {
    fn registry_error(&self) -> Option<&Error> {
        Some(self)
    }
}

impl Attempt for transfer::Error {
    fn registry_error(&self) -> Option<&Error> {
        match self {
            Self::Registry(error) => Some(error),
            _ => None,
        }
    }
}

/// Waits of a series of tries without progress.
pub(super) fn waits(retries: &Retries) -> ExponentialBackoff {
    builder(retries).build()
}

fn builder(retries: &Retries) -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(retries.first_wait)
        .with_max_delay(retries.longest_wait)
        .with_max_times(retries.times)
        .with_jitter()
}

/// How long to wait before trying again after `error`; `None` when trying again is of no use.
pub(super) fn wait_after(error: &Error, planned: Option<Duration>, retries: &Retries) -> Option<Duration> {
    let planned = planned.filter(|_| error.is_transient())?;
    match error.retry_after() {
        None => Some(planned),
        // A registry that wants us back in an hour will not answer in a minute.
        Some(asked) if asked > retries.longest_wait => None,
        Some(asked) => Some(asked),
    }
}

impl Inner {
    /// Does a step until it succeeds, fails for good, or has failed too often.
    pub(super) async fn retrying<T, E: Attempt, F: Future<Output = Result<T, E>>>(
        &self,
        context: Context<'_>,
        step: impl FnMut() -> F,
    ) -> Result<T, E> {
        let retries = &self.config.retries;
        step.retry(builder(retries))
            .sleep(tokio::time::sleep)
            .when(|error: &E| error.registry_error().is_some_and(Error::is_transient))
            .adjust(|error: &E, planned| wait_after(error.registry_error()?, planned, retries))
            .notify(|error: &E, wait| self.say_retrying(context, error, wait))
            .await
    }

    pub(super) fn say_retrying(&self, context: Context<'_>, error: &dyn std::fmt::Display, wait: Duration) {
        self.tell(Notice::Retrying {
            host: context.endpoint.host.to_string(),
            doing: context.doing.to_owned(),
            problem: error.to_string(),
            wait,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRIES: Retries =
        Retries { times: 2, first_wait: Duration::from_secs(1), longest_wait: Duration::from_secs(30) };

    fn limited(seconds: Option<u64>) -> Error {
        let retry_after = seconds.map(Duration::from_secs);
        Error::RateLimited { host: String::new(), doing: String::new(), message: String::new(), retry_after }
    }

    #[test]
    fn the_registrys_wish_counts_unless_it_is_too_long() {
        let planned = Some(Duration::from_secs(4));
        for (asked, expected) in [(None, Some(4)), (Some(7), Some(7)), (Some(0), Some(0)), (Some(3600), None)] {
            let wait = wait_after(&limited(asked), planned, &RETRIES);
            assert_eq!(wait, expected.map(Duration::from_secs), "{asked:?}");
        }
        assert_eq!(wait_after(&limited(Some(1)), None, &RETRIES), None, "no tries left");
        let denied = Error::Denied { host: String::new(), doing: String::new(), message: String::new() };
        assert_eq!(wait_after(&denied, planned, &RETRIES), None);
    }

    #[test]
    fn waits_grow_and_end() {
        let waits: Vec<_> = waits(&RETRIES).collect();
        assert_eq!(waits.len(), 2);
        assert!(waits[0] >= Duration::from_secs(1) && waits[1] >= Duration::from_secs(2));
    }
}
