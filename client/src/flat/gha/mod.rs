//! The cache of GitHub Actions as a flat place, and of services that speak its protocol.
//!
//! There, a key is written once and never again, and looked for by its beginning, the newest first. So everything has a
//! key of its name and a random end: two that write the same do not meet, one that was begun and never finished is in
//! nobody's way, and an entry that is written again is found instead of the one before.
//!
//! Version 2 of the protocol hands out signed addresses of Azure Blob Storage; version 1 takes the bytes itself. Neither
//! the token nor a signed address is ever part of a message.

mod blocks;
mod download;
mod error;
mod http;
mod v1;
mod v2;

use std::sync::Arc;

use async_trait::async_trait;
use wharf_blobstore::{Ids as _, RandomIds};
use wharf_spec::Digest;

use self::http::Http;
use super::{FlatName, FlatPlace};
use crate::ClientConfig;
use crate::auth::Secret;
use crate::transfer::{BlobBody, ByteStream, Error, Origin, Result};

pub use error::GhaError;

/// How often another random end is tried when a key is taken: by an own attempt whose answer was lost.
const TRIES: usize = 3;

/// How the service is reached.
#[derive(Clone, Debug)]
pub struct GhaConfig {
    /// Which protocol.
    pub version: GhaVersion,
    /// The service's address, as `ACTIONS_RESULTS_URL` or `ACTIONS_CACHE_URL` has it.
    pub url: String,
    /// `ACTIONS_RUNTIME_TOKEN`
    pub token: Secret,
    /// Entries of another scope are not found.
    pub scope: String,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GhaVersion {
    /// Of older servers, and of servers that others wrote.
    V1,
    /// GitHub's own since 2025.
    V2,
}

/// The cache of GitHub Actions. Clones share connections.
#[derive(Clone, Debug)]
pub struct GhaPlace {
    http: Arc<Http>,
    version: GhaVersion,
    scope: String,
}

/// Where an upload goes.
enum Begun {
    /// The key is taken.
    Taken,
    /// Version 1: under this number.
    Number(u64),
    /// Version 2: to this signed address.
    Address(reqwest::Url),
}

impl GhaPlace {
    /// The cache of this service. Nothing is asked yet.
    pub fn new(config: GhaConfig, client: &ClientConfig) -> Result<Self> {
        let GhaConfig { version, url, token, scope } = config;
        Ok(Self { http: Arc::new(Http::new(&url, token, client)?), version, scope })
    }

    /// What the keys of a name begin with.
    fn stem(&self, name: &FlatName) -> String {
        match name {
            FlatName::Blob(digest) => format!("wharf-blob-{digest}#"),
            FlatName::Entry(tag) => format!("wharf-{}-{tag}#", self.scope),
        }
    }

    /// Where the newest of a name can be read.
    async fn locate(&self, name: &FlatName) -> Result<Option<reqwest::Url>, GhaError> {
        match self.version {
            GhaVersion::V1 => v1::locate(&self.http, &self.stem(name)).await,
            GhaVersion::V2 => v2::locate(&self.http, &self.stem(name)).await,
        }
    }

    async fn begin(&self, key: &str, size: u64) -> Result<Begun, GhaError> {
        match self.version {
            GhaVersion::V1 => v1::begin(&self.http, key, size).await,
            GhaVersion::V2 => v2::begin(&self.http, key).await,
        }
    }

    fn failed(&self, error: GhaError) -> Error {
        Error::place(Origin::Place(self.place()), error)
    }
}

/// What the service calls a version: entries of another one are not found. Changes when what is written changes.
fn generation() -> String {
    Digest::sha256(b"wharf flat place 1").hex()
}

fn random() -> String {
    format!("{:032x}", u128::from_be_bytes(RandomIds.fresh()))
}

#[async_trait]
impl FlatPlace for GhaPlace {
    async fn has(&self, name: &FlatName, _size: u64) -> Result<bool> {
        // What was finished has the length that was promised.
        Ok(self.locate(name).await.map_err(|error| self.failed(error))?.is_some())
    }

    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>> {
        match self.locate(name).await.map_err(|error| self.failed(error))? {
            Some(url) => download::open(Arc::clone(&self.http), url, Origin::Place(self.place())).await.map(Some),
            None => Ok(None),
        }
    }

    async fn write(&self, name: &FlatName, size: u64, body: &dyn BlobBody) -> Result<()> {
        for _ in 0..TRIES {
            let key = format!("{}{}", self.stem(name), random());
            match self.begin(&key, size).await.map_err(|error| self.failed(error))? {
                Begun::Taken => continue,
                Begun::Number(number) => v1::upload(&self.http, (number, size), body, &|e| self.failed(e)).await?,
                Begun::Address(url) => {
                    blocks::upload(&self.http, &url, (size, body), &|e| self.failed(e)).await?;
                    v2::finish(&self.http, &key, size).await.map_err(|error| self.failed(error))?;
                }
            }
            return Ok(());
        }
        Err(self.failed(self.http.odd("begin an upload", "every new key is taken".to_owned())))
    }

    fn place(&self) -> String {
        format!("the GitHub Actions cache at {}", self.http.host())
    }
}
