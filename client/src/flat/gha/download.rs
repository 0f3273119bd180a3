//! Bytes from a signed address; a connection that breaks is taken up where it broke.

use std::sync::Arc;

use backon::ExponentialBackoff;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use http::header::RANGE;
use reqwest::{StatusCode, Url};

use super::GhaError;
use super::http::{Http, without_address};
use crate::transfer::{ByteStream, Error, Origin, Result};

const DOING: &str = "read from the cache";

struct Download {
    http: Arc<Http>,
    url: Url,
    origin: Origin,
    /// Bytes passed on.
    position: u64,
    body: Option<BoxStream<'static, reqwest::Result<Bytes>>>,
    /// What is left of the waits; renewed by every piece that arrives.
    waits: ExponentialBackoff,
}

/// Opens what lies there: when it cannot be read, that is known now.
pub(super) async fn open(http: Arc<Http>, url: Url, origin: Origin) -> Result<ByteStream> {
    let waits = http.waits();
    let mut download = Download { http, url, origin, position: 0, body: None, waits };
    download.open().await?;
    let pieces = futures_util::stream::try_unfold(download, |mut download| async move {
        Ok(download.next().await?.map(|piece| (piece, download)))
    });
    Ok(pieces.boxed())
}

impl Download {
    fn failed(&self, problem: String) -> Error {
        Error::place(self.origin.clone(), GhaError::Unavailable { host: self.http.host(), doing: DOING, problem })
    }

    async fn pause(&mut self, problem: String) -> Result<()> {
        self.body = None;
        match self.waits.next() {
            Some(wait) => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            None => Err(self.failed(problem)),
        }
    }

    async fn open(&mut self) -> Result<()> {
        while self.body.is_none() {
            let mut request = self.http.client().get(self.url.clone());
            if self.position > 0 {
                request = request.header(RANGE, format!("bytes={}-", self.position));
            }
            let wanted = if self.position > 0 { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
            match request.send().await {
                Ok(answer) if answer.status() == wanted => self.body = Some(answer.bytes_stream().boxed()),
                Ok(answer) if answer.status().is_client_error() && answer.status() != StatusCode::TOO_MANY_REQUESTS => {
                    return Err(self.failed(format!("it answered {}", answer.status())));
                }
                Ok(answer) => self.pause(format!("it answered {}", answer.status())).await?,
                Err(error) => self.pause(without_address(error)).await?,
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            self.open().await?;
            let Some(body) = &mut self.body else { continue };
            match body.next().await {
                Some(Ok(piece)) => {
                    self.position += piece.len() as u64;
                    self.waits = self.http.waits();
                    return Ok(Some(piece));
                }
                Some(Err(error)) => self.pause(without_address(error)).await?,
                None => return Ok(None),
            }
        }
    }
}
