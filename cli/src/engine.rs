//! `--load`: an image into a running Docker or Podman, through its socket.
//!
//! An engine that has the image by its id is only told its names. It takes no part of an image, so otherwise all of it is
//! sent, as a stream: nothing is written to a file.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;
use wharf_client::archive::ArchiveWriter;
use wharf_client::transfer::{CopyOptions, Error as TransferError, copy, ignore_events};
use wharf_spec::{Reference, Tag};

use crate::built::Built;
use crate::failure::Failure;
use crate::publish::Made;
use crate::session::Session;
use crate::stores::OpenStore;

/// Where engines listen when nobody says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
/// Of the stream between the archive and the connection.
const BUFFER: usize = 256 << 10;
/// The most of an answer that is kept: progress of a large image is not that long.
const LONGEST_ANSWER: usize = 1 << 20;

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Socket(PathBuf),
    Tcp(String),
}

type Body = BoxBody<Bytes, std::io::Error>;

impl Address {
    /// `$DOCKER_HOST`, or Docker's own socket.
    pub fn of(session: &Session) -> Result<Self, Failure> {
        session.environment.docker_host().map_or_else(|| Ok(Self::Socket(SOCKET.into())), Self::parse)
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once("://") {
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Socket(path.into())),
            Some(("tcp" | "http", address)) if !address.is_empty() => {
                let address = address.trim_end_matches('/');
                let port = if address.ends_with(|c: char| c.is_ascii_digit()) && address.contains(':') { "" } else { ":2375" };
                Ok(Self::Tcp(format!("{address}{port}")))
            }
            Some(_) | None => Err(Failure::usage(format!("--load: DOCKER_HOST is {text}, which cannot be used"))
                .hint("it is unix:///path/to/socket or tcp://host:port; write an archive instead: -o type=docker,dest=image.tar")),
        }
    }

    async fn connect(&self) -> Result<Engine, Failure> {
        let none = |error: std::io::Error| {
            Failure::new(format!("--load: no engine answers at {self}"))
                .because(error)
                .hint("start Docker, or name a socket: DOCKER_HOST=unix:///run/podman/podman.sock")
                .hint("without --load, the image is in Wharf's own store: `wharf serve` lets any engine pull it")
        };
        match self {
            Self::Socket(path) => Engine::over(tokio::net::UnixStream::connect(path).await.map_err(none)?).await,
            Self::Tcp(address) => Engine::over(tokio::net::TcpStream::connect(address).await.map_err(none)?).await,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(path) => write!(f, "{}", Path::display(path)),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

/// A connection to an engine.
struct Engine {
    requests: SendRequest<Body>,
    _driver: AbortOnDropHandle<()>,
}

impl Engine {
    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Result<Self, Failure> {
        let (requests, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
        let driver = AbortOnDropHandle::new(tokio::spawn(async move {
            // Whoever waits for an answer is told.
            let _ = connection.await;
        }));
        Ok(Self { requests, _driver: driver })
    }

    async fn ask(&mut self, method: Method, path: &str, body: Body) -> Result<(StatusCode, String), Failure> {
        self.requests.ready().await.map_err(broken)?;
        let request = Request::builder().method(method).uri(path).header("host", "engine");
        let request = request.header("content-type", "application/x-tar").body(body);
        let request =
            request.map_err(|error| Failure::new("--load: a name cannot be said to an engine").because(error))?;
        let answer = self.requests.send_request(request).await.map_err(broken)?;
        let status = answer.status();
        Ok((status, read(answer).await?))
    }

    /// Whether it has an image of this id.
    async fn has(&mut self, id: &str) -> Result<bool, Failure> {
        match self.ask(Method::GET, &format!("/images/{id}/json"), nothing()).await? {
            (StatusCode::OK, _) => Ok(true),
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, said) => Err(refused(status, &said)),
        }
    }

    async fn tag(&mut self, id: &str, name: &Reference) -> Result<(), Failure> {
        let name = name.with_tag(name.tag_or_latest().unwrap_or_else(Tag::latest)).to_string();
        let (repository, tag) = name.rsplit_once(':').unwrap_or((&name, "latest"));
        // A name has nothing to escape but the colon before a registry's port.
        let repository = repository.replace(':', "%3A");
        match self.ask(Method::POST, &format!("/images/{id}/tag?repo={repository}&tag={tag}"), nothing()).await? {
            (status, _) if status.is_success() => Ok(()),
            (status, said) => Err(refused(status, &said)),
        }
    }
}

/// How an image came to be in an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loaded {
    /// It was sent.
    Sent,
    /// It was there and got its names.
    There,
}

/// Loads what was built, under `names`.
pub async fn load(store: &OpenStore, built: &Built, names: &[Reference], address: &Address) -> Result<Loaded, Failure> {
    let [part] = built.parts.as_slice() else {
        return Err(Failure::usage("--load takes an image for one platform")
            .hint("push images for several: --push, or -o type=oci,dest=image.tar"));
    };
    let image = &part.result.image;
    let config = image.blobs().first().map(|config| config.digest.to_string()).unwrap_or_default();
    let mut engine = address.connect().await?;
    // By the configuration, as engines always have; by the manifest, where containerd keeps their images.
    for id in [config.clone(), image.digest().to_string()] {
        if engine.has(&id).await? {
            for name in names {
                engine.tag(&id, name).await?;
            }
            return Ok(Loaded::There);
        }
    }
    send(store, part.result.image.clone(), names, &mut engine).await?;
    Ok(Loaded::Sent)
}

async fn send(
    store: &OpenStore,
    image: wharf_spec::RawManifest,
    names: &[Reference],
    engine: &mut Engine,
) -> Result<(), Failure> {
    let (archive, reading) = tokio::io::duplex(BUFFER);
    let body = StreamBody::new(ReaderStream::with_capacity(reading, BUFFER).map_ok(Frame::data)).boxed();
    let source = Made::new(store, image.clone());
    let write = async {
        let archive = ArchiveWriter::to_stream(archive).await?;
        for name in names {
            let tag = name.tag_or_latest();
            let place = archive.image(Some(name.clone()));
            copy((&source, &source.target()), (&place, tag.as_ref()), &CopyOptions::default(), &ignore_events())
                .await?;
        }
        if names.is_empty() {
            let place = archive.image(None);
            copy((&source, &source.target()), (&place, None), &CopyOptions::default(), &ignore_events()).await?;
            archive.list(&image.descriptor());
        }
        archive.finish().await
    };
    let (written, answer): (Result<(), TransferError>, _) =
        tokio::join!(write, engine.ask(Method::POST, "/images/load?quiet=1", body));
    // What the engine says explains why it did not want the rest.
    let (status, said) = answer?;
    if !status.is_success() {
        return Err(refused(status, &said));
    }
    written.map_err(|error| Failure::new("--load: the image could not be sent").because(error))?;
    // Engines answer before they have read all; what goes wrong then is a line of the answer.
    let mut lines = said.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    match lines.find_map(|line| line.get("error")?.as_str().map(str::to_owned)) {
        Some(error) => Err(Failure::new(format!("--load: the engine did not take the image: {error}"))),
        None => Ok(()),
    }
}

fn nothing() -> Body {
    Full::new(Bytes::new()).map_err(|never| match never {}).boxed()
}

async fn read(answer: Response<Incoming>) -> Result<String, Failure> {
    let mut body = answer.into_body();
    let mut said = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(broken)?.into_data()
            && said.len() < LONGEST_ANSWER
        {
            said.extend_from_slice(&data);
        }
    }
    Ok(String::from_utf8_lossy(&said).into_owned())
}

fn broken(error: hyper::Error) -> Failure {
    Failure::new("--load: the connection to the engine broke off").because(error)
}

fn refused(status: StatusCode, said: &str) -> Failure {
    let message = serde_json::from_str::<serde_json::Value>(said)
        .ok()
        .and_then(|answer| answer.get("message")?.as_str().map(str::to_owned));
    let message = message.unwrap_or_else(|| said.trim().chars().take(200).collect());
    Failure::new(format!("--load: the engine answered {status}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_docker_s() {
        let tcp = |address: &str| Address::Tcp(address.to_owned());
        for (text, address) in [
            ("unix:///run/podman/podman.sock", Address::Socket("/run/podman/podman.sock".into())),
            ("tcp://127.0.0.1:2375", tcp("127.0.0.1:2375")),
            ("tcp://engine.example/", tcp("engine.example:2375")),
        ] {
            assert_eq!(Address::parse(text).unwrap(), address, "{text}");
        }
        for bad in ["ssh://host", "unix://", "/var/run/docker.sock", "npipe:////./pipe/docker"] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
