//! Bodies: requests' bytes with a bound on waiting, and what becomes of those that nobody reads.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::{Response, StatusCode};
use http_body_util::BodyExt as _;

use super::error::Failure;
use crate::repo::Arriving;

/// A request's body as the registry takes it in. A client that sends nothing for `idle` has gone.
pub(super) fn pieces(body: Body, idle: Duration) -> Arriving {
    let pieces = body.into_data_stream();
    Arriving::new(futures_util::stream::try_unfold(pieces, move |mut pieces: BodyDataStream| async move {
        match tokio::time::timeout(idle, pieces.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some((piece, pieces))),
            Ok(Some(Err(error))) => Err(std::io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(elapsed) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)),
        }
    }))
}

/// Reads a small body whole; `limit` bytes are accepted.
pub(super) async fn whole(body: Body, limit: usize, idle: Duration) -> Result<Bytes, Failure> {
    let mut pieces = pieces(body, idle);
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.next().await.map_err(|_| Failure::Truncated)? {
        if bytes.len() + piece.len() > limit {
            return Err(Failure::ManifestTooLarge { limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// How much of a refused body is read and thrown away, and for how long.
const REFUSED_BYTES: usize = 32 << 20;
const REFUSED_TIME: Duration = Duration::from_secs(10);

/// A request's body that is read to its end, within bounds, even when the request is refused before that. A connection
/// that is closed while the client is still sending takes the answer with it: the client would see "connection reset"
/// instead of the reason.
pub(super) struct Refusable<B: http_body::Body<Data = Bytes> + Unpin + Send + 'static> {
    body: Option<B>,
}

impl<B: http_body::Body<Data = Bytes> + Unpin + Send + 'static> Refusable<B> {
    pub(super) fn new(body: B) -> Self {
        Self { body: Some(body) }
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin + Send + 'static> http_body::Body for Refusable<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, B::Error>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.as_ref().map_or_else(|| http_body::SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

impl<B: http_body::Body<Data = Bytes> + Unpin + Send + 'static> Drop for Refusable<B> {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(tokio::time::timeout(REFUSED_TIME, throw_away(body)));
    }
}

async fn throw_away<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut left = REFUSED_BYTES;
    while let Some(Ok(frame)) = body.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// An answer with nothing in it.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
