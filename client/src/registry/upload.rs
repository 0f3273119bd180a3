//! The steps of pushing a blob, one function each (distribution-spec, "Pushing blobs").

use http::header::{CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::{Response, StatusCode, Url};
use wharf_spec::{Descriptor, Digest, MediaType, RepositoryName, delta};

use super::RemoteRepository;
use super::endpoint::Endpoint;
use super::exchange::{Call, Payload};
use super::location::{location, with_digest};
use crate::auth::Scope;
use crate::transfer::{BlobBody, ByteStream, Result};

/// How a registry says that chunks must not be smaller.
const OCI_CHUNK_MIN_LENGTH: HeaderName = HeaderName::from_static("oci-chunk-min-length");

/// What chunks may be (RFC 5789, section 3.1).
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// An upload the registry has begun.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) location: Url,
    /// The least size of a chunk, when the registry names one.
    pub(super) least_chunk: Option<u64>,
    /// Whether chunks may be deltas.
    pub(super) takes_deltas: bool,
    /// Bytes the registry has already.
    pub(super) sent: u64,
}

/// What beginning an upload came to.
pub(super) enum Begun {
    Mounted,
    Session(Session),
}

/// Who pushes what, for the steps.
pub(super) struct Push<'a> {
    pub(super) repository: &'a RemoteRepository,
    pub(super) endpoint: &'a Endpoint,
    pub(super) doing: &'a str,
    pub(super) scopes: &'a [Scope],
}

impl Push<'_> {
    fn call(&self, method: Method, url: Url) -> Call<'_> {
        Call::new(self.endpoint, method, url, self.scopes, self.doing)
    }

    async fn answer(&self, call: &Call<'_>) -> Result<Response> {
        self.repository.inner().exchange(call).await
    }

    async fn refused<T>(&self, call: &Call<'_>, answer: Response) -> Result<T> {
        Err(self.repository.inner().refusal(call.context(), answer).await.into())
    }

    /// Whether the registry has the blob.
    pub(super) async fn check_existing(&self, digest: &Digest) -> Result<bool> {
        let url = self.endpoint.url(self.repository.name(), &format!("blobs/{digest}"));
        let call = self.call(Method::HEAD, url);
        let answer = self.answer(&call).await?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => self.refused(&call, answer).await,
        }
    }

    /// Begins an upload, asking for a mount first when there is somewhere to mount from.
    pub(super) async fn initiate(&self, mount: Option<(&Digest, &RepositoryName)>) -> Result<Begun> {
        let mut url = self.endpoint.url(self.repository.name(), "blobs/uploads/");
        if let Some((digest, from)) = mount {
            let digest = digest.to_string();
            url.query_pairs_mut().append_pair("mount", &digest).append_pair("from", from.as_str());
        }
        let call = self.call(Method::POST, url);
        let answer = self.answer(&call).await?;
        match answer.status() {
            StatusCode::CREATED if mount.is_some() => Ok(Begun::Mounted),
            StatusCode::ACCEPTED => {
                let least_chunk = number(answer.headers(), &OCI_CHUNK_MIN_LENGTH);
                let takes_deltas = accepts_deltas(answer.headers());
                let location = location(call.context(), &answer)?;
                Ok(Begun::Session(Session { location, least_chunk, takes_deltas, sent: 0 }))
            }
            _ => self.refused(&call, answer).await,
        }
    }

    /// Sends all of a blob and ends the upload, in one request.
    pub(super) async fn send_whole(&self, session: &Session, blob: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        let call = self
            .call(Method::PUT, with_digest(&session.location, &blob.digest))
            .header(CONTENT_TYPE, HeaderValue::from_static(MediaType::OCTET_STREAM))
            .payload(Payload::Blob { body, offset: 0, length: blob.size });
        self.end(&call).await
    }

    /// Sends `length` bytes that belong at `start`; says how many bytes the registry has then.
    pub(super) async fn send_piece(
        &self,
        session: &mut Session,
        (start, length): (u64, u64),
        bytes: ByteStream,
    ) -> Result<u64> {
        let range = format!("{start}-{}", start + length - 1);
        let call = self
            .call(Method::PATCH, session.location.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(MediaType::OCTET_STREAM))
            .header(CONTENT_RANGE, HeaderValue::try_from(range).expect("digits make a header"))
            .payload(Payload::Stream { bytes: std::sync::Mutex::new(Some(bytes)), length: Some(length) });
        let answer = self.answer(&call).await?;
        match answer.status() {
            StatusCode::ACCEPTED => {
                session.location = location(call.context(), &answer)?;
                Ok(received(answer.headers()).unwrap_or(start + length))
            }
            _ => self.refused(&call, answer).await,
        }
    }

    /// Sends what comes, to its end, as docker sends everything; says how many bytes the registry has then. With a base, what comes
    /// is a delta of it.
    pub(super) async fn send_all(
        &self,
        session: &mut Session,
        base: Option<&Digest>,
        bytes: ByteStream,
    ) -> Result<u64> {
        let media_type = if base.is_some() { delta::MEDIA_TYPE } else { MediaType::OCTET_STREAM };
        let mut call = self
            .call(Method::PATCH, session.location.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static(media_type))
            .payload(Payload::Stream { bytes: std::sync::Mutex::new(Some(bytes)), length: None });
        if let Some(base) = base {
            let base = HeaderValue::try_from(base.to_string()).expect("letters and digits make a header");
            call = call.header(HeaderName::from_static(delta::BASE), base);
        }
        let answer = self.answer(&call).await?;
        match answer.status() {
            StatusCode::ACCEPTED => {
                session.location = location(call.context(), &answer)?;
                match received(answer.headers()) {
                    Some(received) => Ok(received),
                    None => Err(call.context().nonsense("it does not say how much it received").into()),
                }
            }
            _ => self.refused(&call, answer).await,
        }
    }

    /// Ends the upload.
    pub(super) async fn commit(&self, session: &Session, digest: &Digest) -> Result<()> {
        self.end(&self.call(Method::PUT, with_digest(&session.location, digest))).await
    }

    async fn end(&self, call: &Call<'_>) -> Result<()> {
        let answer = self.answer(call).await?;
        match answer.status() {
            // Some registries say 204 or 202 where the specification says 201.
            status if status.is_success() => Ok(()),
            _ => self.refused(call, answer).await,
        }
    }

    /// How many bytes of an upload the registry has; `None` when it does not know the upload, or does not say.
    pub(super) async fn status(&self, session: &mut Session) -> Result<Option<u64>> {
        let call = self.call(Method::GET, session.location.clone());
        let answer = self.answer(&call).await?;
        if answer.status() != StatusCode::NO_CONTENT {
            return Ok(None);
        }
        if let Ok(moved) = location(call.context(), &answer) {
            session.location = moved;
        }
        Ok(received(answer.headers()))
    }

    /// Tells the registry that nobody will end the upload. It finds out by itself, so this may fail.
    pub(super) async fn cancel(&self, session: &Session) {
        let _ = self.answer(&self.call(Method::DELETE, session.location.clone())).await;
    }
}

/// `Range: 0-<last byte>`. `0-0` is what many registries say about an upload that is still empty: taken as nothing, it
/// costs one byte when it was one.
fn received(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(RANGE)?.to_str().ok()?;
    let (_, last) = range.strip_prefix("bytes=").unwrap_or(range).split_once('-')?;
    match last.trim().parse().ok()? {
        0 => Some(0),
        last => Some(u64::checked_add(last, 1)?),
    }
}

/// Whether an upload that has just begun takes deltas.
fn accepts_deltas(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT_PATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|one| one.trim() == delta::MEDIA_TYPE)
}

fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_are_taken_by_who_says_so() {
        let ours = format!("application/octet-stream,{}", delta::MEDIA_TYPE);
        for (value, expected) in [(ours.as_str(), true), ("application/octet-stream", false), ("", false)] {
            let headers = HeaderMap::from_iter([(ACCEPT_PATCH, value.parse().unwrap())]);
            assert_eq!(accepts_deltas(&headers), expected, "{value}");
        }
        assert!(!accepts_deltas(&HeaderMap::new()));
    }

    #[test]
    fn what_was_received_is_read_from_the_range() {
        for (value, expected) in [("0-99", Some(100)), ("0-0", Some(0)), ("bytes=0-9", Some(10)), ("x", None)] {
            let headers = HeaderMap::from_iter([(RANGE, value.parse().unwrap())]);
            assert_eq!(received(&headers), expected, "{value}");
        }
    }
}
