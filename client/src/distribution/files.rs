//! Where the storage of a registry lies: a directory, or a bucket whose names look like one.

use std::path::{Path, PathBuf};

use futures_util::{StreamExt as _, TryStreamExt as _};
use wharf_blobstore::s3::S3Files;

use crate::span::{read_small, read_span};
use crate::transfer::{ByteStream, Error, MAX_MANIFEST, Result};

/// Files below a place. Paths are relative to it, with `/`.
#[derive(Clone, Debug)]
pub(super) enum Files {
    Directory(PathBuf),
    Bucket(S3Files),
}

impl Files {
    /// Where a file is, for messages.
    pub(super) fn shown(&self, path: &str) -> PathBuf {
        match self {
            Self::Directory(top) => top.join(path),
            Self::Bucket(files) => Path::new(files.place()).join(path),
        }
    }

    /// Names directly in a directory, in order; none when it is not there.
    pub(super) async fn names(&self, directory: &str) -> Result<Vec<String>> {
        match self {
            Self::Directory(top) => list(&top.join(directory)),
            Self::Bucket(files) => Ok(files.names(directory).await?),
        }
    }

    /// Whether there is such a file.
    pub(super) async fn has(&self, path: &str) -> Result<bool> {
        match self {
            Self::Directory(top) => Ok(top.join(path).is_file()),
            Self::Bucket(files) => Ok(files.size(path).await?.is_some()),
        }
    }

    /// A small file whole; `None` when there is none.
    pub(super) async fn small(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(top) => {
                let path = top.join(path);
                if path.is_file() { read_small(&path).map(Some) } else { Ok(None) }
            }
            Self::Bucket(files) => {
                let bytes = files.small(path, MAX_MANIFEST + 1).await?;
                if bytes.as_ref().is_some_and(|bytes| bytes.len() as u64 > MAX_MANIFEST) {
                    let problem = format!("it is larger than {MAX_MANIFEST} bytes");
                    return Err(Error::BadFile { path: self.shown(path), problem });
                }
                Ok(bytes.map(Vec::from))
            }
        }
    }

    /// A file's first bytes, `length` at most; `None` when there is no such file.
    pub(super) async fn read(&self, path: &str, length: u64) -> Result<Option<ByteStream>> {
        match self {
            Self::Directory(top) => {
                let path = top.join(path);
                if path.is_file() { read_span(&path, 0, length).await.map(Some) } else { Ok(None) }
            }
            Self::Bucket(files) => {
                let bytes = files.read(path, length).await?;
                Ok(bytes.map(|bytes| bytes.map_err(Error::from).boxed()))
            }
        }
    }
}

fn list(directory: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::io(format!("read {}", directory.display()), source);
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
