//! Layers whose bytes are written and on their way to the disk. What builds on one does not wait for that; who reads its
//! blob does, and the build ends when every one is there.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, Shared};
use wharf_blobstore::{Error, Result};
use wharf_spec::Digest;

/// Ends with whether the blob is in the store.
type Pending = Shared<BoxFuture<'static, bool>>;

/// The blobs of one build that are not known to be durable yet.
#[derive(Default)]
pub(super) struct Settling {
    pending: Mutex<HashMap<Digest, Pending>>,
    fault: Arc<Mutex<Option<Error>>>,
}

impl Settling {
    /// Goes on with `commit` beside everything else.
    pub(super) fn begin(&self, digest: Digest, commit: impl Future<Output = Result<()>> + Send + 'static) {
        let fault = Arc::clone(&self.fault);
        let work = tokio::spawn(async move {
            let done = commit.await;
            let settled = done.is_ok();
            if let Err(error) = done {
                lock(&fault).get_or_insert(error);
            }
            settled
        });
        let pending = work.map(|ended| match ended {
            Ok(settled) => settled,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime ends, and with it the build.
            Err(_) => false,
        });
        lock(&self.pending).insert(digest, pending.boxed().shared());
    }

    /// Whether this build made it: then it is in the store, or soon will be.
    pub(super) fn knows(&self, digest: &Digest) -> bool {
        lock(&self.pending).contains_key(digest)
    }

    /// Waits until the blob is in the store, if it is on its way there. `false` when it will not come.
    pub(super) async fn wait(&self, digest: &Digest) -> bool {
        let pending = lock(&self.pending).get(digest).cloned();
        match pending {
            Some(pending) => pending.await,
            None => true,
        }
    }

    /// Waits for all of them; the first failure.
    pub(super) async fn finish(&self) -> Result<()> {
        let pending: Vec<Pending> = lock(&self.pending).values().cloned().collect();
        for one in pending {
            one.await;
        }
        lock(&self.fault).take().map_or(Ok(()), Err)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_reads_waits_and_the_failure_is_told_at_the_end() {
        let (settling, good, bad) = (Settling::default(), Digest::sha256(b"good"), Digest::sha256(b"bad"));
        assert!(settling.wait(&good).await && !settling.knows(&good), "what nobody makes is not waited for");
        let (written, wait) = tokio::sync::oneshot::channel();
        settling.begin(good, async { wait.await.map_err(|_| Error::UploadLost) });
        assert!(settling.knows(&good));
        assert!(settling.wait(&good).now_or_never().is_none(), "it is not there yet");
        written.send(()).unwrap();
        assert!(settling.wait(&good).await);
        settling.begin(bad, async { Err(Error::UploadLost) });
        assert!(!settling.wait(&bad).await);
        assert!(matches!(settling.finish().await, Err(Error::UploadLost)));
    }
}
