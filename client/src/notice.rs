//! What the user should hear about besides results: registries' warnings, retries, mirrors that failed.

use std::sync::Arc;
use std::time::Duration;

/// One thing worth saying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A registry sent a `Warning` header. Each text is said once per registry.
    Warning {
        /// Who.
        host: String,
        /// Its words, without control characters.
        text: String,
    },
    /// Something failed and is tried again.
    Retrying {
        /// Who.
        host: String,
        /// What was being done.
        doing: String,
        /// What went wrong.
        problem: String,
        /// After how long.
        wait: Duration,
    },
    /// A mirror could not help; the next mirror or the registry itself is asked.
    MirrorFailed {
        /// Which mirror.
        host: String,
        /// What was being done.
        doing: String,
        /// What went wrong.
        problem: String,
    },
}

/// Takes notices. Called from several tasks at once; must not block.
pub type Notices = Arc<dyn Fn(Notice) + Send + Sync>;

/// For callers who do not care.
pub fn ignore_notices() -> Notices {
    Arc::new(|_| {})
}
