//! Cutting one stream into requests: a blob that is sent in chunks is read once, not once per chunk.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::mpsc;

use crate::transfer::{ByteStream, Result};

/// Pieces on their way between the blob and a request.
const IN_FLIGHT: usize = 2;

/// A stream that is handed out in parts.
pub(super) struct Pieces {
    bytes: ByteStream,
    left_over: Bytes,
}

impl Pieces {
    pub(super) fn new(bytes: ByteStream) -> Self {
        Self { bytes, left_over: Bytes::new() }
    }

    /// A stream of the next `length` bytes, and the future that fills it: to be run together.
    pub(super) fn lend(&mut self, length: u64) -> (ByteStream, impl Future<Output = ()> + Send + '_) {
        let (sender, receiver) = mpsc::channel(IN_FLIGHT);
        let part = futures_util::stream::unfold(receiver, |mut receiver| async move {
            let piece: Result<Bytes> = receiver.recv().await?;
            Some((piece, receiver))
        });
        (part.boxed(), self.pump(length, sender))
    }

    /// Ends when all is sent, or nobody listens any more, or the blob fails; the request sees the latter two.
    async fn pump(&mut self, length: u64, sender: mpsc::Sender<Result<Bytes>>) {
        let mut left = length;
        while left > 0 {
            let mut piece = match self.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) => return,
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            };
            let cut = usize::try_from(left).map_or(piece.len(), |left| left.min(piece.len()));
            self.left_over = piece.split_off(cut);
            left -= cut as u64;
            if sender.send(Ok(piece)).await.is_err() {
                return;
            }
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        if !self.left_over.is_empty() {
            return Ok(Some(std::mem::take(&mut self.left_over)));
        }
        self.bytes.try_next().await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn parts_join_to_the_whole() {
        let whole = ["abc", "", "defg", "h"].map(|part| Ok(Bytes::from_static(part.as_bytes())));
        let mut pieces = Pieces::new(stream::iter(whole).boxed());
        let mut parts = Vec::new();
        for length in [2, 4, 2] {
            let (part, pump) = pieces.lend(length);
            let (part, ()) = tokio::join!(part.try_collect::<Vec<Bytes>>(), pump);
            let part = part.unwrap();
            parts.push(String::from_utf8(part.concat()).unwrap());
        }
        assert_eq!(parts, ["ab", "cdef", "gh"]);
    }

    #[tokio::test]
    async fn a_request_that_stops_reading_does_not_hang() {
        let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[0; 1024])));
        let mut pieces = Pieces::new(endless.boxed());
        let (part, pump) = pieces.lend(1 << 40);
        drop(part);
        pump.await;
        let (mut part, pump) = pieces.lend(1 << 40);
        let take_one = async move { part.try_next().await.unwrap().unwrap().len() };
        assert_eq!(tokio::join!(take_one, pump).0, 1024);
    }
}
