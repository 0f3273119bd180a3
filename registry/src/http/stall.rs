//! A connection whose other end must say something in the beginning, and take what it asked for: when the first bytes do
//! not come, or nothing can be written, for so long, reading or writing fails.
//!
//! Later reading needs no such bound: requests' headers and bodies have their own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// With so many bytes it is known which protocol is spoken (the preface of HTTP/2), and its own bounds begin.
const FIRST_BYTES: usize = 24;

/// See the module.
pub(super) struct Stalling<I> {
    stream: I,
    patience: Duration,
    /// Runs until the client has said what it wants.
    beginning: Option<Pin<Box<Sleep>>>,
    read: usize,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<I> Stalling<I> {
    /// Waits so long for the `first` bytes, and with so much `patience` for every write.
    pub(super) fn new(stream: I, first: Duration, patience: Duration) -> Self {
        Self { stream, patience, beginning: Some(Box::pin(tokio::time::sleep(first))), read: 0, waiting: None }
    }

    /// Passes on what a write said, unless it has waited for too long.
    fn bounded<T>(&mut self, written: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            (self.waiting, self.beginning) = (None, None);
            return written;
        }
        let deadline = Instant::now() + self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Stalling<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.read = self.read.saturating_add(buffer.filled().len() - before);
        if self.read >= FIRST_BYTES {
            self.beginning = None;
        }
        match (&polled, self.beginning.as_mut()) {
            (Poll::Pending, Some(beginning)) => {
                ready!(beginning.as_mut().poll(context));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
            (Poll::Pending | Poll::Ready(_), _) => polled,
        }
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Stalling<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bounded(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.bounded(flushed, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bounded(shut, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_in_the_beginning_is_given_up() {
        let patience = Duration::from_secs(10);
        let mut buffer = [0; 64];
        for said in ["", "PRI * HTTP"] {
            let (ours, mut theirs) = tokio::io::duplex(64);
            let mut stream = Stalling::new(ours, patience, patience);
            theirs.write_all(said.as_bytes()).await.unwrap();
            stream.read_exact(&mut buffer[..said.len()]).await.unwrap();
            let error = stream.read(&mut buffer).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut stream = Stalling::new(ours, patience, patience);
        theirs.write_all(b"GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        stream.read_exact(&mut buffer[..30]).await.unwrap();
        let later = tokio::time::timeout(patience * 100, stream.read(&mut buffer)).await;
        assert!(later.is_err(), "an idle connection is left to the protocol");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        let patience = Duration::from_secs(10);
        let (ours, mut theirs) = tokio::io::duplex(16);
        let mut stream = Stalling::new(ours, patience, patience);
        let reader = tokio::spawn(async move {
            let mut taken = [0; 16];
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                theirs.read_exact(&mut taken).await.unwrap();
            }
            theirs
        });
        stream.write_all(&[0; 16 * 5]).await.expect("slow is no reason");
        let _theirs = reader.await.unwrap();
        let begun = Instant::now();
        let error = stream.write_all(&[0; 17]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, patience));
    }
}
