//! Putting files where somebody named a place for them, beside whatever else is in the bucket.
//!
//! A file is there whole or not at all. Who writes one that is there replaces it.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryStreamExt as _};
use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::utf8_percent_encode;

use super::S3Files;
use super::bucket::{Call, PATH};
use super::documents::{self, Part};
use super::multipart::{self, Multipart, Sending, part_size};
use crate::{Error, Result};

/// Parts on their way at once.
const AT_ONCE: usize = 3;

/// The longest file that the service copies onto itself in one request.
const LONGEST_COPY: u64 = 5 << 30;

const DOING: &str = "write a file to S3";

/// What is known of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written, by the service's clock.
    pub modified: Option<SystemTime>,
}

/// An upload in parts.
struct Parts<'a> {
    files: &'a S3Files,
    key: &'a str,
    upload: Option<String>,
    next: u16,
    sending: Sending,
    sent: BTreeMap<u16, Part>,
}

impl S3Files {
    /// A file's length and age; `None` when there is none.
    pub async fn facts(&self, path: &str) -> Result<Option<FileFacts>> {
        let call = Call::new(Method::HEAD, path, "look for a file on S3");
        let answer = self.bucket.send(&call).await?;
        match answer.status {
            StatusCode::OK => {
                let size = answer.header(&header::CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or(0);
                let modified = answer.header(&header::LAST_MODIFIED);
                let modified = modified.and_then(|text| jiff::fmt::rfc2822::parse(text).ok());
                Ok(Some(FileFacts { size, modified: modified.map(|time| time.timestamp().into()) }))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.bucket.refusal(&call, &answer)),
        }
    }

    /// Writes a file of these bytes; nothing, when they end in an error. A few parts of it are in memory at a time.
    pub async fn write<E: From<Error> + Send>(
        &self,
        path: &str,
        bytes: impl Stream<Item = Result<Bytes, E>> + Send,
    ) -> Result<(), E> {
        let (sending, sent) = (Sending::new(DOING), BTreeMap::new());
        let mut parts = Parts { files: self, key: path, upload: None, next: 1, sending, sent };
        let written = parts.pour(bytes).await;
        if let (Err(_), Some(upload)) = (&written, &parts.upload) {
            parts.sending.stop().await;
            let upload = Multipart { bucket: &self.bucket, key: path, upload };
            if let Err(error) = upload.abort().await {
                tracing::warn!(path, error = &error as &dyn std::error::Error, "an unfinished upload stays on S3");
            }
        }
        written
    }

    /// Makes a file as young as one that was written now, for rules that delete what is old. A file over 5 GiB stays as
    /// old as it is.
    pub async fn touch(&self, path: &str, size: u64) -> Result<()> {
        if size > LONGEST_COPY {
            return Ok(());
        }
        let source = format!("/{}/{}", self.bucket.name(), self.bucket.full(path));
        let call = self
            .bucket
            .creating(Method::PUT, path, "touch a file on S3")
            .header(HeaderName::from_static("x-amz-copy-source"), utf8_percent_encode(&source, PATH).to_string())
            .header(HeaderName::from_static("x-amz-metadata-directive"), "REPLACE");
        let answer = self.bucket.send(&call).await?;
        // The protocol may answer 200 first and fail then.
        if answer.status == StatusCode::OK && !documents::is_error(&answer.body) {
            return Ok(());
        }
        Err(self.bucket.refusal(&call, &answer))
    }
}

impl Parts<'_> {
    async fn pour<E: From<Error>>(&mut self, bytes: impl Stream<Item = Result<Bytes, E>> + Send) -> Result<(), E> {
        let (mut bytes, mut buffer) = (pin!(bytes), BytesMut::new());
        while let Some(piece) = bytes.try_next().await? {
            buffer.extend_from_slice(&piece);
            while buffer.len() >= part_size(self.next) {
                let part = buffer.split_to(part_size(self.next)).freeze();
                self.send(part).await?;
            }
        }
        Ok(self.finish(buffer.freeze()).await?)
    }

    async fn send(&mut self, body: Bytes) -> Result<()> {
        while self.sending.len() >= AT_ONCE {
            self.arrived().await?;
        }
        let bucket = &self.files.bucket;
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(multipart::begin(bucket, self.key).await?).clone(),
        };
        if self.next > multipart::LAST {
            return Err(Error::Refused { doing: DOING.to_owned(), problem: "it is too long".to_owned() });
        }
        self.sending.begin(bucket, (self.key.to_owned(), upload), (self.next, body));
        self.next += 1;
        Ok(())
    }

    /// Waits for one of the parts on their way; `false` when there is none.
    async fn arrived(&mut self) -> Result<bool> {
        let Some(part) = self.sending.arrived().await? else { return Ok(false) };
        self.sent.insert(part.number, part);
        Ok(true)
    }

    async fn finish(&mut self, rest: Bytes) -> Result<()> {
        if self.upload.is_none() {
            return self.files.bucket.write(self.key, rest).await;
        }
        if !rest.is_empty() {
            self.send(rest).await?;
        }
        while self.arrived().await? {}
        let upload = self.upload.as_deref().unwrap_or_default();
        Multipart { bucket: &self.files.bucket, key: self.key, upload }.complete(&self.sent).await
    }
}
