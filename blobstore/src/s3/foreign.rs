//! What somebody else keeps in a bucket, or has us keep there: names with slashes as if they were files in directories. Read
//! here; written in `placing.rs`.
//!
//! Knows nothing of what the files mean, and looks for no store of ours in the bucket.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::{Method, StatusCode};

use super::bucket::{Bucket, Call};
use super::documents::{self, Level};
use super::{S3Config, reader};
use crate::{ByteStream, Error, Result};

/// Files in a bucket, below the prefix that the configuration names. Cloning is cheap; clones share connections.
#[derive(Clone, Debug)]
pub struct S3Files {
    pub(super) bucket: Arc<Bucket>,
}

impl S3Files {
    /// The files at this place. Nothing is asked yet.
    pub fn new(config: &S3Config) -> Result<Self> {
        Ok(Self { bucket: Arc::new(Bucket::new(config)?) })
    }

    /// Where this is, as the user knows it.
    pub fn place(&self) -> &str {
        self.bucket.place()
    }

    /// What lies directly in a directory (`a/b`; the empty one is the top), in order; nothing when there is none.
    pub async fn names(&self, directory: &str) -> Result<Vec<String>> {
        let prefix = self.bucket.full(&if directory.is_empty() { String::new() } else { format!("{directory}/") });
        let (mut names, mut token) = (Vec::new(), None::<String>);
        loop {
            let call = Call::bucket(Method::GET, "list the bucket")
                .parameter("list-type", "2")
                .parameter("delimiter", "/")
                .parameter("prefix", prefix.clone());
            let call = match &token {
                Some(token) => call.parameter("continuation-token", token.clone()),
                None => call,
            };
            let answer = self.bucket.send(&call).await?;
            if answer.status != StatusCode::OK {
                return Err(self.bucket.refusal(&call, &answer));
            }
            let unreadable = |problem| Error::Unavailable { doing: "list the bucket".to_owned(), problem };
            let level: Level = documents::read(&answer.body).map_err(unreadable)?;
            let files = level.contents.into_iter().map(|file| file.key);
            let directories = level.common_prefixes.into_iter().map(|directory| directory.prefix);
            let own = |key: String| Some(key.strip_prefix(&prefix)?.trim_end_matches('/').to_owned());
            names.extend(files.chain(directories).filter_map(own).filter(|name| !name.is_empty()));
            token = level.next_continuation_token.filter(|next| level.is_truncated && token.as_ref() != Some(next));
            if token.is_none() {
                break;
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The length of a file in bytes; `None` when there is none.
    pub async fn size(&self, path: &str) -> Result<Option<u64>> {
        self.bucket.size(path).await
    }

    /// A file's bytes, `limit` at most; `None` when there is none.
    pub async fn read(&self, path: &str, limit: u64) -> Result<Option<ByteStream>> {
        let Some(size) = self.bucket.size(path).await? else { return Ok(None) };
        reader::read(Arc::clone(&self.bucket), path.to_owned(), 0..size.min(limit)).await
    }

    /// A small file whole, `limit` bytes at most; `None` when there is none.
    pub async fn small(&self, path: &str, limit: u64) -> Result<Option<Bytes>> {
        let Some(bytes) = self.read(path, limit).await? else { return Ok(None) };
        let pieces: Vec<Bytes> = bytes.try_collect().await?;
        Ok(Some(pieces.concat().into()))
    }
}
