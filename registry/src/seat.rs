//! Where a connection is served: by the threads that serve everyone or, while it brings a large body, by the thread that takes
//! the body in. Its bytes then go from the socket to the hash and to the file without waking another thread for each piece,
//! and who reads meanwhile shares no thread with it.
//!
//! A seat is shared by the task that drives the connection ([`Seat::serve`]), the connection's socket ([`Portable`]), and
//! the requests that come over it, which ask for the move ([`Seat::take`]).

use std::future::Future;
use std::io;
use std::panic;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

/// See the module. A cheap handle, one for all that belongs to a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seat {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    wish: Mutex<Wish>,
    /// The wish that is being granted, by its number: where the connection is polled now.
    granted: AtomicU64,
    /// Of whoever polls the connection.
    driver: AtomicWaker,
}

/// Where the connection is to be served.
#[derive(Clone, Debug, Default)]
struct Wish {
    /// Each has another.
    number: u64,
    /// `None` is where it came from.
    place: Option<Handle>,
}

/// While this is held, a connection is served where it was taken to.
#[derive(Debug)]
pub(crate) struct Taken {
    seat: Seat,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.seat.wish(None);
    }
}

impl Seat {
    /// Has the connection served by the threads of `place`.
    pub(crate) fn take(&self, place: Handle) -> Taken {
        self.wish(Some(place));
        Taken { seat: self.clone() }
    }

    fn wish(&self, place: Option<Handle>) {
        let mut wish = self.wished();
        *wish = Wish { number: wish.number + 1, place };
        drop(wish);
        self.inner.driver.wake();
    }

    fn wished(&self) -> MutexGuard<'_, Wish> {
        self.inner.wish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drives a connection to its end, wherever it is to be served.
    pub(crate) async fn serve<F: Future<Output: Send + 'static> + Send + 'static>(
        &self,
        connection: Pin<Box<F>>,
    ) -> F::Output {
        let mut connection = connection;
        loop {
            let Wish { number, place } = self.wished().clone();
            let stay = Stay { seat: self.clone(), number, connection: Some(connection) };
            let stayed = match place {
                None => stay.await,
                // The threads never end, so this ends by itself or by its panic, which is ours.
                Some(place) => {
                    place.spawn(stay).await.unwrap_or_else(|failed| panic::resume_unwind(failed.into_panic()))
                }
            };
            match stayed {
                Stayed::ToTheEnd(output) => return output,
                Stayed::UntilMoved(moved) => connection = moved,
            }
        }
    }
}

/// Drives a connection while it is to be served here.
struct Stay<F> {
    seat: Seat,
    /// Of the wish that is granted by this.
    number: u64,
    /// `None` once this is over.
    connection: Option<Pin<Box<F>>>,
}

enum Stayed<F: Future> {
    ToTheEnd(F::Output),
    UntilMoved(Pin<Box<F>>),
}

impl<F: Future> Future for Stay<F> {
    type Output = Stayed<F>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Stayed<F>> {
        // First this, then the look: a wish that comes between the two wakes us.
        self.seat.inner.driver.register(context.waker());
        let here = self.seat.wished().number == self.number;
        let mut connection = self.connection.take().expect("a future is not polled after its end");
        if !here {
            return Poll::Ready(Stayed::UntilMoved(connection));
        }
        self.seat.inner.granted.store(self.number, Ordering::Relaxed);
        let polled = connection.as_mut().poll(context);
        self.connection = Some(connection);
        polled.map(Stayed::ToTheEnd)
    }
}

/// A socket that goes where its connection is served: the threads there wait for it themselves.
#[derive(Debug)]
pub(crate) struct Portable {
    /// `None` after it could not be taken along.
    stream: Option<TcpStream>,
    seat: Seat,
    /// The granted wish it was last taken along for.
    at: u64,
}

impl Portable {
    /// A socket of the runtime that this is called in.
    pub(crate) fn new(stream: TcpStream, seat: Seat) -> Self {
        Self { stream: Some(stream), seat, at: 0 }
    }

    /// The socket, for the threads that ask.
    pub(crate) fn here(&mut self) -> io::Result<&mut TcpStream> {
        let granted = self.seat.inner.granted.load(Ordering::Relaxed);
        if self.at != granted {
            let stream = self.stream.take().ok_or(io::ErrorKind::NotConnected)?;
            self.stream = Some(TcpStream::from_std(stream.into_std()?)?);
            self.at = granted;
        }
        self.stream.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Portable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_read(context, buffer)
    }
}

impl AsyncWrite for Portable {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(self.here()?).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.here()?).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.here()?).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::runtime::{Builder, Runtime};
    use tokio::sync::mpsc;

    use super::*;

    fn elsewhere() -> Runtime {
        Builder::new_multi_thread().worker_threads(1).thread_name("elsewhere").enable_all().build().unwrap()
    }

    fn thread_name() -> String {
        thread::current().name().unwrap_or_default().to_owned()
    }

    /// Answers each byte with the name of the thread that read it.
    async fn echo(mut stream: Portable) -> u32 {
        let mut answered = 0;
        while stream.read_u8().await.is_ok() {
            let name = thread_name();
            stream.write_u8(u8::try_from(name.len()).unwrap()).await.unwrap();
            stream.write_all(name.as_bytes()).await.unwrap();
            answered += 1;
        }
        answered
    }

    async fn ask(client: &mut TcpStream) -> String {
        client.write_u8(1).await.unwrap();
        let mut name = vec![0; client.read_u8().await.unwrap().into()];
        client.read_exact(&mut name).await.unwrap();
        String::from_utf8(name).unwrap()
    }

    #[tokio::test]
    async fn a_connection_is_served_where_it_is_taken_to_and_comes_back() {
        let other = elsewhere();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (mut client, seat) = (client.unwrap(), Seat::default());
        let connection = Box::pin(echo(Portable::new(accepted.unwrap().0, seat.clone())));
        let served = tokio::spawn({
            let seat = seat.clone();
            async move { seat.serve(connection).await }
        });
        let home = ask(&mut client).await;
        for _ in 0..3 {
            let taken = seat.take(other.handle().clone());
            assert_eq!(ask(&mut client).await, "elsewhere");
            assert_eq!(ask(&mut client).await, "elsewhere");
            drop(taken);
            assert_eq!(ask(&mut client).await, home);
        }
        drop(client);
        assert_eq!(served.await.unwrap(), 1 + 3 * 3);
        other.shutdown_background();
    }

    #[tokio::test]
    async fn a_wish_reaches_a_connection_that_waits_for_something_else() {
        let other = elsewhere();
        let seat = Seat::default();
        let (polled, mut polls) = mpsc::unbounded_channel();
        let waiting = Box::pin(std::future::poll_fn(move |_| {
            polled.send(thread_name()).unwrap();
            Poll::<()>::Pending
        }));
        let served = tokio::spawn({
            let seat = seat.clone();
            async move { seat.serve(waiting).await }
        });
        let home = polls.recv().await.unwrap();
        let taken = seat.take(other.handle().clone());
        assert_eq!(polls.recv().await.unwrap(), "elsewhere");
        drop(taken);
        assert_eq!(polls.recv().await.unwrap(), home);
        served.abort();
        other.shutdown_background();
    }
}
