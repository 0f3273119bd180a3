//! Calls that may wait for the disk, away from the threads that serve everyone.

use std::io;
use std::panic;

use tokio::task::JoinError;

use crate::{Error, Result};

/// Does `work` on a thread that may block. It runs to its end even when nobody waits for it any more.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What a thread that may block came back with. Its panic is ours.
pub(super) async fn joined<T>(handle: impl Future<Output = Result<Result<T>, JoinError>>) -> Result<T> {
    handle.await.map_err(stopped)?
}

fn stopped(error: JoinError) -> Error {
    match error.try_into_panic() {
        Ok(panic) => panic::resume_unwind(panic),
        Err(_cancelled) => Error::io("use the store while the process is ending", io::ErrorKind::Interrupted.into()),
    }
}
