//! Why the cache service could not be used.

/// Why the cache service could not be used.
#[derive(Debug, thiserror::Error)]
pub enum GhaError {
    /// Its address is none.
    #[error("the address of the GitHub Actions cache is no http(s) URL: look at url, url_v2 and ACTIONS_RESULTS_URL")]
    Address,
    /// It did not answer, or failed, for as long as was tried.
    #[error("could not {doing}: {host} does not answer as it should: {problem}")]
    Unavailable {
        /// The machine.
        host: String,
        /// What was being done.
        doing: &'static str,
        /// What happened last.
        problem: String,
    },
    /// Too many requests, for as long as was tried.
    #[error(
        "could not {doing}: {host} takes no more requests for now (429); GitHub bounds them for each repository and \
         minute: send less with mode=min, or use a registry"
    )]
    RateLimited {
        /// The machine.
        host: String,
        /// What was being done.
        doing: &'static str,
    },
    /// It refuses.
    #[error(
        "could not {doing}: {host} answered {status}{message}; the token is of this job alone, and may only read in jobs \
         for pull requests from forks"
    )]
    Refused {
        /// The machine.
        host: String,
        /// What was being done.
        doing: &'static str,
        /// The status.
        status: u16,
        /// Its words, after a colon, or nothing.
        message: String,
    },
    /// It answered something else than the protocol says.
    #[error("could not {doing}: {host} does not speak the protocol: {problem}; version=1 or version=2 chooses another")]
    Odd {
        /// The machine.
        host: String,
        /// What was being done.
        doing: &'static str,
        /// What is wrong.
        problem: String,
    },
}
