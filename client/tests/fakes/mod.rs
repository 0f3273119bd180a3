//! Services that keep bytes by name, in this process and on loopback: a bucket, a container, the cache of GitHub Actions.
//!
//! Written after what the services document, as far as flat places use it; a real one may be stricter. They look whether
//! requests are signed, not whether the signatures are right.

#![allow(clippy::disallowed_methods, reason = "a service has a clock of its own")]
#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this")]

mod azure;
mod gha;
mod http;
mod s3;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use self::http::{Request, Response};

type Hook = Box<dyn FnMut(&Request) -> Option<Response> + Send>;

/// Which service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A bucket `cache` whose key is `ann`.
    S3,
    /// An account `ann` without containers.
    Azure,
    /// Both versions of the protocol; the token is [`GHA_TOKEN`].
    Gha,
}

/// The token of the fake cache service.
pub const GHA_TOKEN: &str = "token-that-nobody-may-see";

/// A service that runs until the process ends. Clones are the same.
#[derive(Clone)]
pub struct Fake {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    kind: Kind,
    s3: s3::Bucket,
    azure: azure::Account,
    gha: gha::Cache,
    log: Vec<String>,
    hooks: Vec<Hook>,
}

impl Fake {
    /// Starts one.
    pub fn start(kind: Kind) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let gha = gha::Cache::at(&url);
        let (s3, azure) = (s3::Bucket::default(), azure::Account::default());
        let state = Arc::new(Mutex::new(State { kind, s3, azure, gha, log: Vec::new(), hooks: Vec::new() }));
        let fake = Self { url, state };
        let answering = fake.clone();
        http::serve(listener, move |request| answering.answer(request));
        fake
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, request: &Request) -> Response {
        let mut state = self.state();
        state.log.push(format!("{} {}", request.method, request.target));
        if let Some(response) = state.hooks.iter_mut().find_map(|hook| hook(request)) {
            return response;
        }
        match state.kind {
            Kind::S3 => state.s3.answer(request),
            Kind::Azure => state.azure.answer(request),
            Kind::Gha => state.gha.answer(request),
        }
    }

    /// Asked about every request, before it is answered.
    pub fn hook(&self, hook: impl FnMut(&Request) -> Option<Response> + Send + 'static) {
        self.state().hooks.push(Box::new(hook));
    }

    /// Answers so to the first `times` requests whose line contains `part`.
    pub fn fail(&self, mut times: usize, part: &'static str, status: u16) {
        self.hook(move |request| {
            let hit = times > 0 && format!("{} {}", request.method, request.target).contains(part);
            times -= usize::from(hit);
            hit.then(|| Response::new(status))
        });
    }

    /// The requests so far, as `METHOD /path?query`; forgets them.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.state().log)
    }

    /// The names of what is there.
    pub fn names(&self) -> Vec<String> {
        let state = self.state();
        match state.kind {
            Kind::S3 => state.s3.names(),
            Kind::Azure => state.azure.names(),
            Kind::Gha => state.gha.names(),
        }
    }

    /// Loses what has this in its name.
    pub fn lose(&self, part: &str) {
        let mut state = self.state();
        match state.kind {
            Kind::S3 => state.s3.lose(part),
            Kind::Azure => state.azure.lose(part),
            Kind::Gha => state.gha.lose(part),
        }
    }

    /// Makes everything in a bucket this many seconds old.
    pub fn age(&self, seconds: u64) {
        self.state().s3.age(seconds);
    }
}
