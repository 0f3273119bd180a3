//! The registry over HTTP. `route.rs` says what a request means, `handlers/` translate between HTTP and [`crate::repo`],
//! `error.rs` says how errors look on the wire, `server.rs` owns connections.

mod advice;
mod auth;
mod body;
mod conditions;
mod direct;
mod error;
mod handlers;
mod range;
mod remembered;
mod route;
mod server;
mod stall;
mod tls;
mod warning;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

pub use auth::{Access, Authenticator, HtpasswdError};
pub use error::Failure;
pub use route::{ManifestReference, Query, Route, RouteError, TABLE, route};
pub use server::{ServeError, Timeouts, serve};
pub use tls::{TlsError, acceptor};
pub use warning::{Notice, NoticeError};

use self::remembered::Remembered;
use crate::repo::Repositories;

/// What the registry allows.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest manifest accepted, in bytes; the specification asks for 4 MiB at least.
    pub manifest: usize,
    /// Tags that one `PUT` may set.
    pub tags: usize,
    /// How long a client may send nothing in the middle of a body.
    pub body_idle: Duration,
    /// Whether deleting is allowed.
    pub delete: bool,
    /// What everybody who pushes or pulls is told.
    pub notice: Option<Notice>,
    /// Whether clients are sent to the store itself for blobs, where it has addresses for that, and how long an address
    /// is good for.
    pub redirect: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        let body_idle = Duration::from_mins(1);
        Self { manifest: 4 << 20, tags: 100, body_idle, delete: true, notice: None, redirect: None }
    }
}

/// The registry as a service: a cheap handle, one for all connections.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    repositories: Repositories,
    authenticator: Option<Authenticator>,
    limits: Limits,
    draining: AtomicBool,
    remembered: Remembered,
}

/// What a handler needs of a request.
struct Call {
    request: http::request::Parts,
    query: Query,
    /// Who asks, for the history of tags.
    user: String,
}

impl Registry {
    /// A registry over `repositories`. Without an authenticator everybody may do everything.
    pub fn new(repositories: Repositories, authenticator: Option<Authenticator>, limits: Limits) -> Self {
        let draining = AtomicBool::new(false);
        let remembered = Remembered::default();
        Self { inner: Arc::new(Inner { repositories, authenticator, limits, draining, remembered }) }
    }

    /// From now on `/readyz` says no, so that load balancers look elsewhere.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Answers a request.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let head = parts.method == Method::HEAD;
        let mut response = match self.dispatch(parts, body).await {
            Ok(response) => response,
            Err(failure) => failure.response(),
        };
        let headers = response.headers_mut();
        headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if head {
            let length = http_body::Body::size_hint(response.body()).exact();
            if let Some(length) = length.filter(|_| !response.headers().contains_key(header::CONTENT_LENGTH)) {
                response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
            }
            *response.body_mut() = Body::empty();
        }
        response
    }

    async fn dispatch(&self, request: http::request::Parts, body: Body) -> Result<Response<Body>, Failure> {
        let route = route::route(&request.method, request.uri.path())?;
        match route {
            Route::Live => return Ok(body::empty(StatusCode::OK)),
            Route::Ready => return self.ready().await,
            _ => {}
        }
        let access = if matches!(request.method, Method::GET | Method::HEAD) { Access::Read } else { Access::Write };
        let user = match &self.inner.authenticator {
            Some(authenticator) => authenticator.check(&request.headers, &route, access).await?,
            None => "anonymous".to_owned(),
        };
        // Before anything is read: what is read later may be newer, and is then forgotten sooner than it must.
        let generation = if remembered::is_plain(&route, &request) {
            self.inner.repositories.store().records.generation()
        } else {
            None
        };
        let Some(generation) = generation else { return self.handle(route, request, user, body).await };
        let place = request.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        if let Some(response) = self.inner.remembered.get(generation, &place) {
            return Ok(response);
        }
        let whole = request.method == Method::GET;
        let response = self.handle(route, request, user, body).await?;
        Ok(if whole { self.inner.remembered.put(generation, &place, response).await } else { response })
    }

    async fn handle(
        &self,
        route: Route,
        request: http::request::Parts,
        user: String,
        body: Body,
    ) -> Result<Response<Body>, Failure> {
        let query = Query::parse(request.uri.query());
        let call = Call { request, query, user };
        match route {
            Route::Ping => Ok(handlers::ping()),
            Route::Catalog => self.catalog(&call).await,
            Route::Tags(name) => self.tags(&name, &call).await,
            Route::Manifest(name, reference) => self.manifest(name, reference, call, body).await,
            Route::Blob(name, digest) => self.blob(&name, &digest, &call).await,
            Route::Uploads(name) => self.begin(&name, call, body).await,
            Route::Upload(name, id) => self.upload(&name, &id, call, body).await,
            Route::Referrers(name, subject) => self.referrers(&name, &subject, &call).await,
            Route::History(name, tag) => self.history(name, tag).await,
            Route::Rollback(name, tag) => self.rollback(name, tag, call, body).await,
            Route::Restore(name, tag) => self.restore(name, tag, call).await,
            Route::Live | Route::Ready => Err(RouteError::NotFound.into()),
        }
    }

    async fn ready(&self) -> Result<Response<Body>, Failure> {
        if self.inner.draining.load(Ordering::Relaxed) {
            return Err(Failure::ShuttingDown);
        }
        self.inner.repositories.list(None, 1).await?;
        Ok(body::empty(StatusCode::OK))
    }
}
