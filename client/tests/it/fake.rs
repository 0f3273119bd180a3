//! A registry in this process, on loopback, that can be told to misbehave.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Body as _, Frame, Incoming};
use hyper::header::{self, HeaderName};
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use wharf_client::transfer::Target;
use wharf_client::{ClientConfig, Retries};
use wharf_spec::{Digest, RegistryHost};

pub(crate) type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    /// Of a request whose body was read.
    pub(crate) body: Bytes,
}

impl Seen {
    #[expect(clippy::needless_pass_by_value, reason = "methods are named at the call")]
    pub(crate) fn is(&self, method: Method, part: &str) -> bool {
        self.method == method && format!("{}?{}", self.path, self.query).contains(part)
    }

    pub(crate) fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What to do instead of the right thing.
pub(crate) enum Fault {
    Answer(Response<Body>),
    /// Reads or sends this many bytes of the body and drops the connection.
    BreakAfter(usize),
    /// Reads the body, only counting it, and says that it is stored.
    Count(Arc<AtomicU64>),
    /// Does the right thing and drops the connection instead of saying so.
    LoseAnswer,
}

type Hook = Box<dyn FnMut(&Seen) -> Option<Fault> + Send>;

#[derive(Default)]
struct State {
    blobs: HashMap<Digest, Bytes>,
    /// Which repository has which blob.
    links: Vec<(String, Digest)>,
    manifests: HashMap<(String, String), (String, Bytes)>,
    uploads: HashMap<String, BytesMut>,
    log: Vec<Seen>,
    hooks: Vec<Hook>,
    behaviour: Behaviour,
}

/// What kind of registry it is.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing that real registries do or do not")]
pub(crate) struct Behaviour {
    pub(crate) ranges: bool,
    pub(crate) mounts: bool,
    pub(crate) referrers: bool,
    /// Keeps what arrived of a broken upload and tells.
    pub(crate) resumes: bool,
    pub(crate) least_chunk: Option<u64>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self { ranges: true, mounts: true, referrers: true, resumes: true, least_chunk: None }
    }
}

#[derive(Clone)]
pub(crate) struct Fake {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_with(Behaviour::default()).await
    }

    pub(crate) async fn start_with(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let state = State { behaviour, ..State::default() };
        let fake = Self { address: listener.local_addr().unwrap(), state: Arc::new(Mutex::new(state)) };
        let server = fake.clone();
        // Ends with the test's runtime.
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.serve(stream).await });
            }
        });
        fake
    }

    pub(crate) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(|request| self.clone().handle(request));
        // Clients that try TLS first, and the breaks we make ourselves, end connections with errors.
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    }

    pub(crate) fn host(&self) -> RegistryHost {
        self.address.to_string().parse().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Asked about every request, before it is answered.
    pub(crate) fn hook(&self, hook: impl FnMut(&Seen) -> Option<Fault> + Send + 'static) {
        self.state().hooks.push(Box::new(hook));
    }

    /// Faults for the first requests that match.
    pub(crate) fn fail(&self, method: Method, part: &'static str, faults: impl IntoIterator<Item = Fault>) {
        let mut faults: VecDeque<Fault> = faults.into_iter().collect();
        self.hook(move |seen| if seen.is(method.clone(), part) { faults.pop_front() } else { None });
    }

    pub(crate) fn log(&self) -> Vec<Seen> {
        self.state().log.clone()
    }

    #[expect(clippy::needless_pass_by_value, reason = "methods are named at the call")]
    pub(crate) fn count(&self, method: Method, part: &str) -> usize {
        self.log().iter().filter(|seen| seen.is(method.clone(), part)).count()
    }

    pub(crate) fn add_blob(&self, repository: &str, bytes: impl Into<Bytes>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        let mut state = self.state();
        state.blobs.insert(digest, bytes);
        state.links.push((repository.to_owned(), digest));
        digest
    }

    pub(crate) fn has_blob(&self, repository: &str, digest: &Digest) -> bool {
        self.state().links.contains(&(repository.to_owned(), *digest))
    }

    pub(crate) fn manifest(&self, repository: &str, target: &Target) -> Option<Bytes> {
        let key = (repository.to_owned(), target.to_string());
        self.state().manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    pub(crate) fn add_manifest(
        &self,
        repository: &str,
        name: &str,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::sha256(&bytes);
        let mut state = self.state();
        for name in [name.to_owned(), digest.to_string()] {
            state.manifests.insert((repository.to_owned(), name), (media_type.to_owned(), bytes.clone()));
        }
        digest
    }

    pub(crate) fn uploads_open(&self) -> usize {
        self.state().uploads.len()
    }

    async fn handle(self, request: Request<Incoming>) -> Result<Response<Body>, io::Error> {
        let (parts, mut incoming) = request.into_parts();
        let mut seen = Seen {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: Bytes::new(),
        };
        let fault = {
            let mut state = self.state();
            let mut hooks = std::mem::take(&mut state.hooks);
            let fault = hooks.iter_mut().find_map(|hook| hook(&seen));
            state.hooks = hooks;
            fault
        };
        let limit = match &fault {
            Some(Fault::BreakAfter(limit)) if incoming.size_hint().exact() != Some(0) => Some(*limit),
            _ => None,
        };
        if let Some(Fault::Count(count)) = &fault {
            while let Some(frame) = incoming.frame().await {
                let data = frame.map_err(io::Error::other)?.into_data().unwrap_or_default();
                count.fetch_add(data.len() as u64, Ordering::Relaxed);
            }
            return Ok(status(201));
        }
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            body.extend(frame.map_err(io::Error::other)?.into_data());
            if let Some(limit) = limit.filter(|limit| body.len() >= *limit) {
                body.truncate(limit);
                break;
            }
        }
        seen.body = body.freeze();
        self.state().log.push(seen.clone());
        match fault {
            Some(Fault::Answer(answer)) => Ok(answer),
            Some(Fault::LoseAnswer | Fault::Count(_)) => {
                self.answer(&seen);
                Err(io::Error::other("lost"))
            }
            Some(Fault::BreakAfter(limit)) if seen.method == Method::GET => Ok(broken(self.answer(&seen), limit).await),
            Some(Fault::BreakAfter(_)) => {
                self.keep_part(&seen);
                Err(io::Error::other("broken"))
            }
            None => Ok(self.answer(&seen)),
        }
    }

    fn keep_part(&self, seen: &Seen) {
        let mut state = self.state();
        if !state.behaviour.resumes {
            return;
        }
        let id = seen.path.rsplit('/').next().unwrap_or_default().to_owned();
        if let Some(upload) = state.uploads.get_mut(&id) {
            upload.extend_from_slice(&seen.body);
        }
    }

    fn answer(&self, seen: &Seen) -> Response<Body> {
        let Some(path) = seen.path.strip_prefix("/v2/") else { return status(404) };
        if path.is_empty() {
            return json("{}");
        }
        if let Some((name, digest)) = path.split_once("/blobs/sha256:") {
            return self.blob(seen, name, &format!("sha256:{digest}"));
        }
        if let Some((name, id)) = path.split_once("/blobs/uploads/") {
            return self.upload(seen, name, id);
        }
        if let Some((name, reference)) = path.split_once("/manifests/") {
            return self.manifests(seen, name, reference);
        }
        if let Some((name, subject)) = path.split_once("/referrers/") {
            return self.referrers(name, subject);
        }
        status(404)
    }

    fn blob(&self, seen: &Seen, name: &str, digest: &str) -> Response<Body> {
        let state = self.state();
        let digest: Digest = digest.parse().unwrap();
        if !state.links.contains(&(name.to_owned(), digest)) {
            return error(404, "BLOB_UNKNOWN");
        }
        let bytes = state.blobs[&digest].clone();
        let builder = Response::builder().header("docker-content-digest", digest.to_string());
        if seen.method == Method::HEAD {
            return builder.header(header::CONTENT_LENGTH, bytes.len()).body(empty()).unwrap();
        }
        let start: Option<usize> =
            seen.header(header::RANGE).and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
        match start {
            Some(start) if state.behaviour.ranges => {
                let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
                let rest = bytes.slice(start..);
                builder.status(206).header(header::CONTENT_RANGE, range).body(full(rest)).unwrap()
            }
            Some(_) | None => builder.body(full(bytes)).unwrap(),
        }
    }

    fn upload(&self, seen: &Seen, name: &str, id: &str) -> Response<Body> {
        let mut state = self.state();
        let query: HashMap<String, String> = pairs(&seen.query);
        let place = |id: &str| format!("/v2/{name}/blobs/uploads/{id}?_state=opaque%2Bpart");
        match seen.method {
            Method::POST => {
                if let (Some(digest), Some(from)) = (query.get("mount"), query.get("from")) {
                    let digest: Digest = digest.parse().unwrap();
                    if state.behaviour.mounts && state.links.contains(&(from.clone(), digest)) {
                        state.links.push((name.to_owned(), digest));
                        return status(201);
                    }
                }
                let id = format!("u{}", state.log.len());
                state.uploads.insert(id.clone(), BytesMut::new());
                let mut builder = Response::builder().status(202).header(header::LOCATION, place(&id));
                if let Some(least) = state.behaviour.least_chunk {
                    builder = builder.header("oci-chunk-min-length", least);
                }
                builder.body(empty()).unwrap()
            }
            Method::DELETE => {
                state.uploads.remove(id);
                status(204)
            }
            _ if query.get("_state").map(String::as_str) != Some("opaque+part") => error(400, "BLOB_UPLOAD_INVALID"),
            Method::GET => {
                let resumes = state.behaviour.resumes;
                let Some(upload) = state.uploads.get(id).filter(|_| resumes) else {
                    return error(404, "BLOB_UPLOAD_UNKNOWN");
                };
                let range = format!("0-{}", upload.len().saturating_sub(1));
                Response::builder()
                    .status(204)
                    .header(header::RANGE, range)
                    .header(header::LOCATION, place(id))
                    .body(empty())
                    .unwrap()
            }
            Method::PATCH => {
                let Some(upload) = state.uploads.get_mut(id) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
                // Without a range, the bytes follow what is there.
                let range = seen.header(header::CONTENT_RANGE);
                let fits =
                    |range: &str| range.split_once('-').and_then(|(start, _)| start.parse().ok()) == Some(upload.len());
                if !range.is_none_or(fits) {
                    return status(416);
                }
                upload.extend_from_slice(&seen.body);
                let range = format!("0-{}", upload.len() - 1);
                Response::builder()
                    .status(202)
                    .header(header::RANGE, range)
                    .header(header::LOCATION, place(id))
                    .body(empty())
                    .unwrap()
            }
            Method::PUT => {
                let Some(mut upload) = state.uploads.remove(id) else { return error(404, "BLOB_UPLOAD_UNKNOWN") };
                upload.extend_from_slice(&seen.body);
                let digest: Digest = query["digest"].parse().unwrap();
                if digest.verify(&upload).is_err() {
                    return error(400, "DIGEST_INVALID");
                }
                state.blobs.insert(digest, upload.freeze());
                state.links.push((name.to_owned(), digest));
                status(201)
            }
            _ => status(405),
        }
    }

    fn manifests(&self, seen: &Seen, name: &str, reference: &str) -> Response<Body> {
        let mut state = self.state();
        let key = (name.to_owned(), reference.to_owned());
        match seen.method {
            Method::PUT => {
                let media_type = seen.header(header::CONTENT_TYPE).unwrap().to_owned();
                let digest = Digest::sha256(&seen.body);
                state.manifests.insert(key, (media_type.clone(), seen.body.clone()));
                state.manifests.insert((name.to_owned(), digest.to_string()), (media_type, seen.body.clone()));
                let mut builder = Response::builder().status(201).header("docker-content-digest", digest.to_string());
                if state.behaviour.referrers {
                    builder = builder.header("oci-subject", "sha256:whatever");
                }
                builder.body(empty()).unwrap()
            }
            Method::DELETE => status(if state.manifests.remove(&key).is_some() { 202 } else { 404 }),
            _ => {
                let Some((media_type, bytes)) = state.manifests.get(&key).cloned() else {
                    return error(404, "MANIFEST_UNKNOWN");
                };
                let builder = Response::builder()
                    .header(header::CONTENT_TYPE, media_type)
                    .header("docker-content-digest", Digest::sha256(&bytes).to_string());
                if seen.method == Method::HEAD {
                    return builder.header(header::CONTENT_LENGTH, bytes.len()).body(empty()).unwrap();
                }
                builder.body(full(bytes)).unwrap()
            }
        }
    }

    fn referrers(&self, name: &str, subject: &str) -> Response<Body> {
        let state = self.state();
        if !state.behaviour.referrers {
            return status(404);
        }
        let mut manifests = Vec::new();
        for ((repository, reference), (media_type, bytes)) in &state.manifests {
            let value: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
            if repository == name && reference.starts_with("sha256:") && value["subject"]["digest"] == subject {
                manifests
                    .push(serde_json::json!({ "mediaType": media_type, "digest": reference, "size": bytes.len() }));
            }
        }
        json(&serde_json::json!({ "schemaVersion": 2, "manifests": manifests }).to_string())
    }
}

/// The first bytes of an answer, and then nothing.
async fn broken(answer: Response<Body>, limit: usize) -> Response<Body> {
    let (mut parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    parts.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    let start = bytes.slice(..limit.min(bytes.len()));
    let pieces = futures_util::stream::iter([Ok(Frame::data(start)), Err(io::Error::other("broken"))]);
    // Let the first piece reach the wire before the connection is dropped.
    let pieces = pieces.then(|piece| async move {
        tokio::task::yield_now().await;
        piece
    });
    Response::from_parts(parts, StreamBody::new(pieces).boxed_unsync())
}

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

pub(crate) fn empty() -> Body {
    full(Bytes::new())
}

pub(crate) fn status(code: u16) -> Response<Body> {
    Response::builder().status(code).body(empty()).unwrap()
}

pub(crate) fn json(text: &str) -> Response<Body> {
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(full(text.to_owned())).unwrap()
}

pub(crate) fn error(code: u16, name: &str) -> Response<Body> {
    let body = serde_json::json!({ "errors": [{ "code": name, "message": "as the fake was told" }] });
    let mut answer = json(&body.to_string());
    *answer.status_mut() = StatusCode::from_u16(code).unwrap();
    answer
}

/// An answer with a header.
pub(crate) fn with(mut answer: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

/// The pairs of a query or form.
pub(crate) fn pairs(query: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8().unwrap().into_owned()
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}

/// A configuration that does not wait.
pub(crate) fn quick() -> ClientConfig {
    let no_wait = std::time::Duration::ZERO;
    let longest_wait = std::time::Duration::from_secs(1);
    ClientConfig { retries: Retries { times: 3, first_wait: no_wait, longest_wait }, ..ClientConfig::default() }
}
