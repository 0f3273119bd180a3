//! Connections: accepting, TLS, bounds on slow clients, and a shutdown that lets transfers end.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::Registry;
use super::body::{Refusable, empty};
use super::direct::{Direct, DirectStream};
use super::stall::Stalling;
use crate::seat::{Portable, Seat};

/// What is read from a connection at once, and what an upload hashes at once; a connection that pushes holds one or two of them.
const READ: usize = 512 << 10;

/// The longest headers of a request. While they are read, they may be as long as [`READ`].
const HEADERS: u32 = 64 << 10;

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// For a request's headers, and for TLS to come about.
    pub header: Duration,
    /// For a client to take some of the bytes it asked for.
    pub stall: Duration,
    /// For transfers under way when the server is told to stop.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { header: Duration::from_secs(30), stall: Duration::from_mins(5), drain: Duration::from_mins(5) }
    }
}

/// Why the server stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No more connections can be accepted.
    #[error("could not accept connections: {0}")]
    Accept(std::io::Error),
}

/// Serves `registry` on `listener` until `shutdown` is ready, then lets requests under way end.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    registry: Registry,
    timeouts: Timeouts,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.header)
        .max_buf_size(READ)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(250)
        .adaptive_window(true)
        .max_header_list_size(HEADERS)
        .keep_alive_interval(Some(timeouts.header))
        .keep_alive_timeout(timeouts.header);
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut shutdown => break,
        };
        match accepted {
            Ok((stream, _)) => accept(stream, tls.clone(), &server, &registry, (&connections, timeouts)),
            Err(error) if is_about_one_connection(&error) => {}
            // Too many open files: let connections end instead of spinning.
            Err(error) if matches!(error.raw_os_error(), Some(23 | 24)) => {
                tracing::warn!(%error, "out of file descriptors, waiting for connections to end");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(ServeError::Accept(error)),
        }
    }
    drop(listener);
    registry.drain();
    if tokio::time::timeout(timeouts.drain, connections.shutdown()).await.is_err() {
        tracing::warn!("transfers were still under way after {:?}; they are cut", timeouts.drain);
    }
    Ok(())
}

fn is_about_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused | Kind::Interrupted
    )
}

fn accept(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    server: &Builder<TokioExecutor>,
    registry: &Registry,
    (connections, timeouts): (&GracefulShutdown, Timeouts),
) {
    // Small answers must not wait for more to send.
    let _ = stream.set_nodelay(true);
    let (server, registry, watcher) = (server.clone(), registry.clone(), connections.watcher());
    let seat = Seat::default();
    let stream = Portable::new(stream, seat.clone());
    tokio::spawn(async move {
        match tls {
            None => {
                let stream = DirectStream::new(stream);
                let direct = stream.direct();
                connection(bounded(stream, timeouts), server, (registry, Some(direct), seat), watcher).await;
            }
            Some(tls) => {
                // A handshake that fails is the client's business: scanners do it all day.
                if let Ok(Ok(stream)) = tokio::time::timeout(timeouts.header, tls.accept(stream)).await {
                    connection(bounded(stream, timeouts), server, (registry, None, seat), watcher).await;
                }
            }
        }
    });
}

fn bounded<I>(stream: I, timeouts: Timeouts) -> TokioIo<Stalling<I>> {
    TokioIo::new(Stalling::new(stream, timeouts.header, timeouts.stall))
}

async fn connection<I>(
    stream: TokioIo<Stalling<I>>,
    server: Builder<TokioExecutor>,
    (registry, direct, seat): (Registry, Option<Direct>, Seat),
    watcher: hyper_util::server::graceful::Watcher,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let driven = seat.clone();
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        let registry = registry.clone();
        // HTTP/2 frames what it sends, so it has to read it; and a connection has several requests.
        if request.version() < http::Version::HTTP_2 {
            direct.clone().map(|direct| request.extensions_mut().insert(direct));
            request.extensions_mut().insert(seat.clone());
        }
        // Who says `Expect: 100-continue` waits for leave before it sends; refused, it sends nothing.
        let asks_first = request.headers().contains_key(http::header::EXPECT);
        let request = request.map(|body| if asks_first { Body::new(body) } else { Body::new(Refusable::new(body)) });
        let too_long = headers(&request) > HEADERS as usize;
        async move { Ok::<_, Infallible>(if too_long { refused() } else { registry.answer(request).await }) }
    });
    let connection = server.serve_connection(stream, service).into_owned();
    // Clients that go away in the middle are everyday life: containerd does it for every chunk it fetches.
    if let Err(error) = driven.serve(Box::pin(watcher.watch(connection))).await {
        tracing::debug!(%error, "connection ended early");
    }
}

/// The length of a request's headers as they were sent, its target among them.
fn headers<B>(request: &http::Request<B>) -> usize {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>() + target
}

/// Headers that are too long: as for those that did not even fit into the buffer, nothing is said, and the connection ends.
fn refused() -> http::Response<Body> {
    let mut response = empty(http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    response.headers_mut().insert(http::header::CONNECTION, http::HeaderValue::from_static("close"));
    response
}
