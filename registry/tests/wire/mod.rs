//! A registry on a loopback port, and a client so plain that a test decides every byte it sends.

#![allow(dead_code, reason = "every test file uses its own part of this")]

pub(crate) mod script;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wharf_blobstore::Store;
use wharf_registry::http::{Authenticator, Limits, Registry, ServeError, Timeouts, serve};
use wharf_registry::repo::Repositories;
use wharf_spec::Digest;

/// Nothing in these tests takes this long; whatever does has hung.
pub(crate) const BOUND: Duration = Duration::from_mins(1);

/// A running registry; it stops when this is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) repositories: Repositories,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), ServeError>>>,
    _files: tempfile::TempDir,
}

/// How a registry is to be set up.
#[derive(Default)]
pub(crate) struct Setup {
    pub(crate) users: Vec<(String, String)>,
    pub(crate) anonymous_pull: bool,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) store: Option<Store>,
}

impl Server {
    pub(crate) async fn start(setup: Setup) -> Self {
        let files = tempfile::tempdir().unwrap();
        let authenticator = (!setup.users.is_empty()).then(|| {
            let path = files.path().join("htpasswd");
            let lines = setup.users.iter().map(|(user, password)| {
                let hash = bcrypt::hash(password, 4).unwrap();
                format!("{user}:{hash}\n")
            });
            std::fs::write(&path, lines.collect::<String>()).unwrap();
            Authenticator::open(&path, setup.anonymous_pull, &wharf_blobstore::RandomIds).unwrap()
        });
        let repositories = Repositories::new(setup.store.unwrap_or_else(Store::memory));
        let registry = Registry::new(repositories.clone(), authenticator, setup.limits);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let running = tokio::spawn(serve(listener, None, registry, setup.timeouts, shutdown));
        Self { address, repositories, stop: Some(stop), running: Some(running), _files: files }
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Tells the server to stop; the handle says how that went.
    pub(crate) fn stop(&mut self) -> JoinHandle<Result<(), ServeError>> {
        let _ = self.stop.take().unwrap().send(());
        self.running.take().unwrap()
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: BufReader<TcpStream>,
}

/// An answer's head.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(given, _)| given.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn length(&self) -> usize {
        self.get("content-length").map_or(0, |length| length.parse().unwrap())
    }
}

impl Client {
    fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        bounded(self.stream.get_mut().write_all(bytes.as_ref())).await.unwrap();
    }

    /// Sends a request with a body of known length.
    pub(crate) async fn request(&mut self, head: &str, body: &[u8]) {
        self.send(format!("{head}\r\nHost: registry.test\r\nContent-Length: {}\r\n\r\n", body.len())).await;
        self.send(body).await;
    }

    /// Reads an answer's head.
    pub(crate) async fn head(&mut self) -> Head {
        bounded(async {
            let mut text = Vec::new();
            while !text.ends_with(b"\r\n\r\n") {
                let byte = self.stream.read_u8().await.expect("the server answers");
                text.push(byte);
            }
            let text = String::from_utf8(text).unwrap();
            let mut lines = text.trim_end().split("\r\n");
            let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            let header = |line: &str| {
                let (name, value) = line.split_once(':').unwrap();
                (name.to_owned(), value.trim().to_owned())
            };
            Head { status, headers: lines.map(header).collect() }
        })
        .await
    }

    /// Reads so many bytes of an answer's body.
    pub(crate) async fn body(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        bounded(self.stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// Reads a whole answer to a request that was not `HEAD`.
    pub(crate) async fn answer(&mut self) -> (Head, Vec<u8>) {
        let head = self.head().await;
        let body = self.body(head.length()).await;
        (head, body)
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn call(&mut self, head: &str, body: &[u8]) -> (Head, Vec<u8>) {
        self.request(head, body).await;
        if head.starts_with("HEAD ") { (self.head().await, Vec::new()) } else { self.answer().await }
    }

    /// Waits until the server closes the connection; what it still says goes nowhere.
    pub(crate) async fn closed(&mut self) {
        let mut rest = Vec::new();
        let _ = bounded(self.stream.read_to_end(&mut rest)).await;
    }
}

pub(crate) async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(BOUND, future).await.expect("something hangs")
}

/// Reproducible bytes that do not compress.
pub(crate) fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 64);
    let mut block = Digest::sha256(seed.as_bytes());
    while bytes.len() < length {
        bytes.extend_from_slice(block.as_bytes());
        block = Digest::sha256(block.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// The first error of an error body: code and message.
pub(crate) fn error(body: &[u8]) -> (String, String) {
    let body: wharf_spec::ErrorBody = serde_json::from_slice(body).unwrap();
    let first = body.errors.into_iter().next().unwrap();
    (first.code, first.message)
}
