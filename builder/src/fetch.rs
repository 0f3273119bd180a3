//! The seam through which `ADD https://…` gets its bytes: the builder itself speaks no HTTP.

use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

/// What a URL answered.
pub struct Fetched {
    /// `Last-Modified`, when it was said.
    pub last_modified: Option<SystemTime>,
    /// The name in `Content-Disposition`, when it was said.
    pub file_name: Option<String>,
    /// Length, when it was said.
    pub size: Option<u64>,
    /// The bytes. An error ends the stream.
    pub body: BoxStream<'static, Result<Bytes, FetchError>>,
}

/// Gets what URLs name.
#[async_trait]
pub trait Fetch: Send + Sync {
    /// Gets `url` (`http:` or `https:`), following redirects.
    async fn get(&self, url: &str) -> Result<Fetched, FetchError>;
}

/// Why a URL gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server answered, but not with success.
    #[error("the server answered {status}")]
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// The server could not be reached or broke off.
    #[error("could not be fetched: {reason}")]
    Failed {
        /// Why.
        reason: String,
    },
    /// This build may not use the network.
    #[error("this build has no network")]
    Offline,
}

/// For builds without a network.
#[derive(Clone, Copy, Debug, Default)]
pub struct Offline;

#[async_trait]
impl Fetch for Offline {
    async fn get(&self, _url: &str) -> Result<Fetched, FetchError> {
        Err(FetchError::Offline)
    }
}
