//! Blobs: streaming one, and going on where a broken connection left off (distribution-spec, "Pulling blobs"; RFC 9110,
//! "Range Requests").

use std::collections::VecDeque;

use backon::ExponentialBackoff;
use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, RANGE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Response, StatusCode};
use wharf_spec::Descriptor;

use super::RemoteRepository;
use super::answer::Context;
use super::endpoint::Endpoint;
use super::exchange::Call;
use super::retry::{wait_after, waits};
use crate::transfer::{ByteStream, Error, Result};

impl RemoteRepository {
    pub(super) async fn download(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        let mut download = Download {
            doing: format!("pull blob {} of {}/{}", descriptor.digest, self.host(), self.name()),
            readers: self.readers().await.into(),
            waits: waits(&self.inner().config.retries),
            repository: self.clone(),
            descriptor: descriptor.clone(),
            position: 0,
            answer: None,
        };
        // Open before the caller gets a stream: a blob that is not there is an error now.
        while download.answer.is_none() {
            if let Err(error) = download.open().await {
                download.recover(error).await?;
            }
        }
        let pieces = futures_util::stream::try_unfold(download, |mut download| async move {
            Ok(download.next().await?.map(|piece| (piece, download)))
        });
        Ok(pieces.boxed())
    }
}

/// A blob on its way.
struct Download {
    repository: RemoteRepository,
    descriptor: Descriptor,
    doing: String,
    /// The machine that is asked now, and those that are asked when it fails for good. Never empty.
    readers: VecDeque<Endpoint>,
    /// What is left of the waits; renewed by every piece that arrives.
    waits: ExponentialBackoff,
    /// Bytes passed on.
    position: u64,
    answer: Option<Open>,
}

/// An answer that is being read.
struct Open {
    response: Response,
    /// Bytes of it that were passed on before.
    discard: u64,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if self.position >= self.descriptor.size {
                return Ok(None);
            }
            match self.read().await {
                Ok(piece) if piece.is_empty() => {}
                Ok(piece) => {
                    self.position += piece.len() as u64;
                    self.waits = waits(&self.repository.inner().config.retries);
                    return Ok(Some(piece));
                }
                Err(error) => self.recover(error).await?,
            }
        }
    }

    fn endpoint(&self) -> &Endpoint {
        self.readers.front().expect("the last reader is never removed")
    }

    fn context(&self) -> Context<'_> {
        Context { endpoint: self.endpoint(), doing: &self.doing }
    }

    /// The next piece of the open answer; opens one when there is none.
    async fn read(&mut self) -> Result<Bytes> {
        let Some(mut open) = self.answer.take() else {
            self.open().await?;
            return Ok(Bytes::new());
        };
        let Some(mut piece) = self.repository.inner().piece(self.context(), &mut open.response).await? else {
            let (position, size) = (self.position, self.descriptor.size);
            return Err(self.context().broke_off(format!("it ended after {position} of {size} bytes")).into());
        };
        let cut = usize::try_from(open.discard).map_or(piece.len(), |discard| discard.min(piece.len()));
        piece.advance(cut);
        open.discard -= cut as u64;
        self.answer = Some(open);
        Ok(piece)
    }

    async fn open(&mut self) -> Result<()> {
        let endpoint = self.endpoint().clone();
        let scopes = self.repository.pull_scope(&endpoint);
        let url = endpoint.url(self.repository.name(), &format!("blobs/{}", self.descriptor.digest));
        // A compressed transfer would have other bytes and other ranges.
        let mut call = Call::new(&endpoint, Method::GET, url, &scopes, &self.doing)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if self.position > 0 {
            let range = format!("bytes={}-", self.position);
            call = call.header(RANGE, HeaderValue::try_from(range).expect("digits make a header"));
        }
        let response = self.repository.inner().exchange(&call).await?;
        let discard = match response.status() {
            StatusCode::OK => self.check_whole(response.headers()).map(|()| self.position)?,
            StatusCode::PARTIAL_CONTENT => self.check_rest(call.context(), response.headers()).map(|()| 0)?,
            StatusCode::NOT_FOUND => return Err(Error::no_blob(self.repository.place(), &self.descriptor)),
            _ => return Err(self.repository.inner().refusal(call.context(), response).await.into()),
        };
        self.answer = Some(Open { response, discard });
        Ok(())
    }

    /// A 200 must have the blob's length, where it says one.
    fn check_whole(&self, headers: &HeaderMap) -> Result<()> {
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        match length {
            Some(actual) if actual != self.descriptor.size => Err(Error::WrongSize {
                origin: self.repository.place(),
                digest: self.descriptor.digest,
                expected: self.descriptor.size,
                actual,
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// A 206 must begin where we left off.
    fn check_rest(&self, context: Context<'_>, headers: &HeaderMap) -> Result<()> {
        let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let start = range.strip_prefix("bytes ").and_then(|range| range.split_once('-')?.0.parse::<u64>().ok());
        if start == Some(self.position) {
            return Ok(());
        }
        Err(context.nonsense(format!("asked for byte {} on, it sent another range", self.position)).into())
    }

    /// Waits and lets the caller try again, or turns to the next machine, or gives up.
    async fn recover(&mut self, error: Error) -> Result<()> {
        self.answer = None;
        if let Error::Registry(known) = &error
            && !(self.endpoint().is_mirror() && self.position == 0)
        {
            let retries = &self.repository.inner().config.retries;
            if let Some(wait) = wait_after(known, self.waits.next(), retries) {
                self.repository.inner().say_retrying(self.context(), &error, wait);
                tokio::time::sleep(wait).await;
                return Ok(());
            }
        }
        if self.readers.len() == 1 {
            return Err(error);
        }
        self.repository.mirror_failed(self.context(), &error);
        self.readers.pop_front();
        self.waits = waits(&self.repository.inner().config.retries);
        Ok(())
    }
}
