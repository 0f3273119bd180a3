//! Reading a finished object: one request, and another one for the rest when the connection breaks in the middle.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, StatusCode, header};
use object_store::client::HttpError;

use super::bucket::{Bucket, Call, etag};
use super::documents;
use super::retry::{Backoff, Setback};
use crate::{ByteStream, Error, Result};

/// No piece is longer.
const PIECE: usize = 1 << 20;

/// Longer ranges than any object has would not fit what services count with.
const LONGEST: u64 = 1 << 62;

const DOING: &str = "read an object from S3";

/// Reads a range; `None` when there is no object.
pub(super) async fn read(bucket: Arc<Bucket>, key: String, range: Range<u64>) -> Result<Option<ByteStream>> {
    if range.start >= range.end || range.end > LONGEST {
        // Nothing that a request could ask for.
        return match bucket.size(&key).await? {
            None => Ok(None),
            Some(size) if range.start == range.end && range.end <= size => Ok(Some(stream::empty().boxed())),
            Some(_) => Err(outside(&key)),
        };
    }
    let mut reading = Reading { bucket, key, range, tag: None, body: None, rest: Bytes::new(), backoff: None };
    if !reading.open().await? {
        return Ok(None);
    }
    let pieces = stream::try_unfold(reading, |mut reading| async move {
        let piece = reading.next().await?;
        Ok(piece.map(|piece| (piece, reading)))
    });
    Ok(Some(pieces.boxed()))
}

fn outside(key: &str) -> Error {
    let problem = std::io::Error::new(std::io::ErrorKind::InvalidInput, "range outside of the object");
    Error::io(format!("read {key}"), problem)
}

struct Reading {
    bucket: Arc<Bucket>,
    key: String,
    /// What is still to be read from the service.
    range: Range<u64>,
    tag: Option<String>,
    body: Option<BoxStream<'static, Result<Bytes, HttpError>>>,
    /// Read, and longer than a piece.
    rest: Bytes,
    /// Pauses since bytes last came.
    backoff: Option<Backoff>,
}

impl Reading {
    fn call(&self) -> Call {
        let range = format!("bytes={}-{}", self.range.start, self.range.end - 1);
        let call = Call::new(Method::GET, &self.key, DOING).header(header::RANGE, range);
        match &self.tag {
            // An object never changes; a service that says otherwise must not be believed.
            Some(tag) => call.header(header::IF_MATCH, format!("\"{tag}\"")),
            None => call,
        }
    }

    async fn pause(&mut self, setback: Setback) -> Result<()> {
        tracing::debug!(problem = setback.problem, "reading will be tried again");
        self.body = None;
        let retries = self.bucket.patience().retries;
        if self.backoff.get_or_insert_with(|| Backoff::new(retries)).wait().await {
            return Ok(());
        }
        Err(Error::Unavailable { doing: DOING.to_owned(), problem: setback.problem })
    }

    /// Asks for what is still to be read; `false` when there is no object.
    async fn open(&mut self) -> Result<bool> {
        loop {
            let call = self.call();
            let response = match self.bucket.open(&call).await? {
                Ok(response) => response,
                Err(setback) => {
                    self.pause(setback).await?;
                    continue;
                }
            };
            let (head, body) = response.into_parts();
            match head.status {
                StatusCode::PARTIAL_CONTENT => {
                    let given = head.headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
                    let asked = format!("bytes {}-{}/", self.range.start, self.range.end - 1);
                    if !given.is_some_and(|given| given.starts_with(&asked)) {
                        return Err(outside(&self.key));
                    }
                    self.tag = self.tag.take().or_else(|| etag(&head.headers));
                    self.body = Some(body.bytes_stream());
                    return Ok(true);
                }
                StatusCode::RANGE_NOT_SATISFIABLE => return Err(outside(&self.key)),
                status => {
                    let body = body.bytes().await.unwrap_or_default();
                    let problem = documents::problem(&body);
                    if let Some(setback) = Setback::answered(status, &problem) {
                        self.pause(setback).await?;
                    } else if status == StatusCode::NOT_FOUND && problem.code != "NoSuchBucket" {
                        return Ok(false);
                    } else {
                        let problem = self.bucket.explain(status, &problem);
                        return Err(Error::Refused { doing: DOING.to_owned(), problem });
                    }
                }
            }
        }
    }

    /// The next piece; `None` at the end.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while self.rest.is_empty() {
            if self.range.is_empty() {
                return Ok(None);
            }
            if self.body.is_none() && !self.open().await? {
                return Err(Error::Refused { doing: DOING.to_owned(), problem: "it was deleted meanwhile".to_owned() });
            }
            let Some(body) = &mut self.body else { continue };
            match body.try_next().await {
                Ok(Some(bytes)) if bytes.len() as u64 <= self.range.end - self.range.start => {
                    self.range.start += bytes.len() as u64;
                    self.rest = bytes;
                    self.backoff = None;
                }
                Ok(Some(_)) => return Err(outside(&self.key)),
                Ok(None) => self.pause(Setback::ended()).await?,
                Err(error) => self.pause(Setback::cut(&error)).await?,
            }
        }
        Ok(Some(self.rest.split_to(self.rest.len().min(PIECE))))
    }
}
