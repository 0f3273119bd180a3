//! One request and its answer: credentials added, redirects followed, a 401 answered once, waiting bounded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::{Body, Response, StatusCode, Url};

use super::Error;
use super::answer::{Context, SentCredential, warnings};
use super::client::{Inner, lock};
use super::endpoint::Endpoint;
use crate::auth::Scope;
use crate::transfer::{self, BlobBody, ByteStream};

const MAX_REDIRECTS: usize = 5;

/// After the last byte of an upload a registry may hash or copy all of it before it answers.
const COMMIT_PATIENCE: u32 = 5;

/// A request.
pub(super) struct Call<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) scopes: &'a [Scope],
    pub(super) payload: Payload<'a>,
    /// For errors: an infinitive, "push blob …".
    pub(super) doing: &'a str,
}

/// What a request carries.
pub(super) enum Payload<'a> {
    None,
    Bytes(Bytes),
    /// A blob from `offset` to its end, `length` bytes; opened again when the request must be repeated.
    Blob {
        body: &'a dyn BlobBody,
        offset: u64,
        length: u64,
    },
    /// A stream that exists once; in chunks of HTTP's when nobody knows its length.
    Stream {
        bytes: Mutex<Option<ByteStream>>,
        length: Option<u64>,
    },
}

impl<'a> Call<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, method: Method, url: Url, scopes: &'a [Scope], doing: &'a str) -> Self {
        Self { endpoint, method, url, headers: HeaderMap::new(), scopes, payload: Payload::None, doing }
    }

    pub(super) fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    pub(super) fn payload(self, payload: Payload<'a>) -> Self {
        Self { payload, ..self }
    }

    pub(super) fn context(&self) -> Context<'a> {
        Context { endpoint: self.endpoint, doing: self.doing }
    }
}

impl Payload<'_> {
    fn can_repeat(&self) -> bool {
        match self {
            Self::None | Self::Bytes(_) | Self::Blob { .. } => true,
            Self::Stream { .. } => false,
        }
    }
}

/// A credential ready for the wire.
pub(super) struct Authorization {
    pub(super) header: HeaderValue,
    /// Whether a user's credential stands behind it, not an anonymous token.
    pub(super) known: bool,
}

impl Inner {
    /// Sends a request. Any status comes back as an answer; errors are those of the way there.
    pub(super) async fn exchange(&self, call: &Call<'_>) -> transfer::Result<Response> {
        let sent = self.remembered_authorization(call).await?;
        let answer = self.follow(call, sent.as_ref()).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !call.endpoint.owns(answer.url()) {
            return Ok(self.heard(call, answer, sent.as_ref()));
        }
        let Some(fresh) = self.answer_challenge(call, answer.headers(), sent.as_ref()).await? else {
            return Ok(self.heard(call, answer, sent.as_ref()));
        };
        if !call.payload.can_repeat() {
            return Ok(self.heard(call, answer, Some(&fresh)));
        }
        let answer = self.follow(call, Some(&fresh)).await?;
        Ok(self.heard(call, answer, Some(&fresh)))
    }

    fn heard(&self, call: &Call<'_>, mut answer: Response, sent: Option<&Authorization>) -> Response {
        for text in warnings(answer.headers()) {
            self.warn(call.endpoint, text);
        }
        if sent.is_some_and(|sent| sent.known) {
            answer.extensions_mut().insert(SentCredential);
        }
        answer
    }

    async fn follow(&self, call: &Call<'_>, authorization: Option<&Authorization>) -> transfer::Result<Response> {
        let mut url = call.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.send(call, &url, authorization).await?;
            match self.redirected(call, &answer)? {
                Some(next) => url = next,
                None => return Ok(answer),
            }
        }
        Err(call.context().nonsense(format!("more than {MAX_REDIRECTS} redirects")).into())
    }

    fn redirected(&self, call: &Call<'_>, answer: &Response) -> Result<Option<Url>, Error> {
        let reads = matches!(call.method, Method::GET | Method::HEAD);
        let follows = match answer.status().as_u16() {
            301..=303 => reads,
            307 | 308 => call.payload.can_repeat(),
            _ => false,
        };
        if !follows {
            return Ok(None);
        }
        let Some(location) = answer.headers().get(LOCATION) else { return Ok(None) };
        let next = location.to_str().ok().and_then(|location| answer.url().join(location).ok());
        let next = next.filter(|next| matches!(next.scheme(), "http" | "https"));
        let next = next.ok_or_else(|| call.context().nonsense("it redirects to something that is no address"))?;
        if answer.url().scheme() == "https" && next.scheme() == "http" && !self.may_be_insecure(&next) {
            let host = next.host_str().unwrap_or_default();
            return Err(call.context().nonsense(format!("it redirects to {host} over plain HTTP")));
        }
        Ok(Some(next))
    }

    async fn send(
        &self,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&Authorization>,
    ) -> transfer::Result<Response> {
        let mut request = reqwest::Request::new(call.method.clone(), url.clone());
        request.headers_mut().extend(call.headers.clone());
        // Only the registry itself sees who we are: never a storage service it redirects or uploads to.
        if let Some(authorization) = authorization.filter(|_| call.endpoint.owns(url)) {
            request.headers_mut().insert(AUTHORIZATION, authorization.header.clone());
        }
        let watch = Arc::new(Watch::default());
        if let Some(body) = self.open(call, request.headers_mut(), &watch).await? {
            *request.body_mut() = Some(body);
        }
        let sent = self.wait_for(call, self.http(url)?.execute(request), &watch).await;
        // When our own side of the body failed, that is the news.
        if let Some(error) = lock(&watch.failed).take() {
            return Err(error);
        }
        sent.map_err(Into::into)
    }

    async fn open(
        &self,
        call: &Call<'_>,
        headers: &mut HeaderMap,
        watch: &Arc<Watch>,
    ) -> transfer::Result<Option<Body>> {
        let (bytes, length) = match &call.payload {
            Payload::None if matches!(call.method, Method::POST | Method::PUT | Method::PATCH) => {
                // Some servers answer 411 to a body-less request that does not say so.
                headers.insert(CONTENT_LENGTH, HeaderValue::from(0));
                return Ok(None);
            }
            Payload::None => return Ok(None),
            Payload::Bytes(bytes) => return Ok(Some(Body::from(bytes.clone()))),
            Payload::Blob { body, offset, length } => (body.open(*offset).await?, Some(*length)),
            Payload::Stream { bytes, length } => {
                let bytes = lock(bytes).take();
                (bytes.ok_or_else(|| call.context().broke_off("the upload was interrupted".to_owned()))?, *length)
            }
        };
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        let (moved, failed) = (watch.clone(), watch.clone());
        let bytes = bytes.inspect_ok(move |piece| {
            moved.moved.fetch_add(piece.len() as u64 + 1, Ordering::Relaxed);
        });
        let bytes = bytes.map_err(move |error| {
            *lock(&failed.failed) = Some(error);
            std::io::Error::other("the source failed")
        });
        Ok(Some(Body::wrap_stream(bytes)))
    }

    /// Waits for an answer as long as something moves.
    async fn wait_for(
        &self,
        call: &Call<'_>,
        sending: impl Future<Output = reqwest::Result<Response>>,
        watch: &Watch,
    ) -> Result<Response, Error> {
        let patience = match call.payload {
            Payload::None | Payload::Bytes(_) => self.config.timeouts.idle,
            Payload::Blob { .. } | Payload::Stream { .. } => self.config.timeouts.idle * COMMIT_PATIENCE,
        };
        let mut sending = std::pin::pin!(sending);
        loop {
            let before = watch.moved.load(Ordering::Relaxed);
            match tokio::time::timeout(patience, &mut sending).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => return Err(call.context().broken(&error, self.config.timeouts.connect)),
                Err(_) if watch.moved.load(Ordering::Relaxed) != before => {}
                Err(_) => return Err(call.context().timed_out(patience)),
            }
        }
    }

    /// The longest that anything is waited for without a byte moving.
    pub(super) fn idle(&self) -> Duration {
        self.config.timeouts.idle
    }
}

/// What happens to a body while it is sent.
#[derive(Default)]
struct Watch {
    moved: AtomicU64,
    failed: Mutex<Option<transfer::Error>>,
}
