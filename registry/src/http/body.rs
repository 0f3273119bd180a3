//! Bodies: requests' bytes with a bound on waiting, and answers that are streamed.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Response, StatusCode};

use super::error::Failure;
use crate::repo::PieceStream;

/// A request's body as the registry takes it in. A client that sends nothing for `idle` has gone.
pub(super) fn pieces(body: Body, idle: Duration) -> PieceStream {
    let pieces = body.into_data_stream();
    futures_util::stream::try_unfold(pieces, move |mut pieces: BodyDataStream| async move {
        match tokio::time::timeout(idle, pieces.next()).await {
            Ok(Some(Ok(piece))) => Ok(Some((piece, pieces))),
            Ok(Some(Err(error))) => Err(std::io::Error::other(error)),
            Ok(None) => Ok(None),
            Err(elapsed) => Err(std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed)),
        }
    })
    .boxed()
}

/// Reads a small body whole; `limit` bytes are accepted.
pub(super) async fn whole(body: Body, limit: usize, idle: Duration) -> Result<Bytes, Failure> {
    let mut pieces = pieces(body, idle);
    let mut bytes = BytesMut::new();
    while let Some(piece) = pieces.try_next().await.map_err(|_| Failure::Truncated)? {
        if bytes.len() + piece.len() > limit {
            return Err(Failure::ManifestTooLarge { limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// An answer with nothing in it.
pub(super) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
