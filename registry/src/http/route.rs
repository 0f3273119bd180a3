//! From method, path and query to a typed route: a pure function. Repository names contain slashes, so a path is read
//! from its end.

use std::str::FromStr;

use http::Method;
use percent_encoding::percent_decode_str;
use wharf_spec::{Digest, DigestError, NameError, RepositoryName, Tag};

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// `/v2/` (end-1)
    Ping,
    /// `/v2/_catalog`
    Catalog,
    /// `/v2/<name>/tags/list` (end-8)
    Tags(RepositoryName),
    /// `/v2/<name>/manifests/<reference>` (end-3, end-7, end-9)
    Manifest(RepositoryName, ManifestReference),
    /// `/v2/<name>/blobs/<digest>` (end-2, end-10)
    Blob(RepositoryName, Digest),
    /// `/v2/<name>/blobs/uploads/` (end-4, end-11)
    Uploads(RepositoryName),
    /// `/v2/<name>/blobs/uploads/<id>` (end-5, end-6, end-13, end-14)
    Upload(RepositoryName, String),
    /// `/v2/<name>/referrers/<digest>` (end-12)
    Referrers(RepositoryName, Digest),
    /// `/api/v1/repositories/<name>/tags/<tag>/history`
    History(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/tags/<tag>/rollback`
    Rollback(RepositoryName, Tag),
    /// `/api/v1/repositories/<name>/tags/<tag>/restore`
    Restore(RepositoryName, Tag),
    /// `/livez`: the process answers
    Live,
    /// `/readyz`: the store answers, and no shutdown is under way
    Ready,
}

/// A tag or a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ManifestReference {
    /// A tag.
    Tag(Tag),
    /// A digest.
    Digest(Digest),
}

/// Why a request means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such path.
    #[error("there is nothing at this path; the API is described by the OCI distribution specification, below /v2/")]
    NotFound,
    /// The path exists, but not for this method.
    #[error("this path knows the methods {}", .0.join(", "))]
    Method(&'static [&'static str]),
    /// The name is no repository name.
    #[error(transparent)]
    Name(NameError),
    /// The tag is no tag.
    #[error(transparent)]
    Tag(NameError),
    /// Something is asked for under a tag that is no tag, so it cannot be there.
    #[error(transparent)]
    NoSuchTag(NameError),
    /// The digest is no digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

/// Every kind of path with its methods; `docs/api.md` is checked against it.
pub const TABLE: &[(&str, &[&str])] = &[
    ("/v2/", READ),
    ("/v2/_catalog", READ),
    ("/v2/<name>/tags/list", READ),
    ("/v2/<name>/manifests/<reference>", &["GET", "HEAD", "PUT", "DELETE"]),
    ("/v2/<name>/blobs/<digest>", &["GET", "HEAD", "DELETE"]),
    ("/v2/<name>/blobs/uploads/", &["POST"]),
    ("/v2/<name>/blobs/uploads/<id>", &["GET", "PATCH", "PUT", "DELETE"]),
    ("/v2/<name>/referrers/<digest>", READ),
    ("/api/v1/repositories/<name>/tags/<tag>/history", READ),
    ("/api/v1/repositories/<name>/tags/<tag>/rollback", &["POST"]),
    ("/api/v1/repositories/<name>/tags/<tag>/restore", &["POST"]),
    ("/livez", READ),
    ("/readyz", READ),
];

const READ: &[&str] = &["GET", "HEAD"];

impl Route {
    /// The pattern of [`TABLE`] it belongs to.
    pub const fn pattern(&self) -> usize {
        match self {
            Self::Ping => 0,
            Self::Catalog => 1,
            Self::Tags(_) => 2,
            Self::Manifest(..) => 3,
            Self::Blob(..) => 4,
            Self::Uploads(_) => 5,
            Self::Upload(..) => 6,
            Self::Referrers(..) => 7,
            Self::History(..) => 8,
            Self::Rollback(..) => 9,
            Self::Restore(..) => 10,
            Self::Live => 11,
            Self::Ready => 12,
        }
    }
}

/// Reads a request's path, as it came over the wire, for `method`.
pub fn route(method: &Method, path: &str) -> Result<Route, RouteError> {
    let reads = READ.contains(&method.as_str());
    let route = read_path(path).map_err(|error| match error {
        RouteError::Tag(error) if reads => RouteError::NoSuchTag(error),
        other => other,
    })?;
    let methods = TABLE[route.pattern()].1;
    if methods.contains(&method.as_str()) { Ok(route) } else { Err(RouteError::Method(methods)) }
}

fn read_path(path: &str) -> Result<Route, RouteError> {
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        return read_own_path(rest);
    }
    let Some(rest) = path.strip_prefix("/v2") else {
        return match path {
            "/livez" => Ok(Route::Live),
            "/readyz" => Ok(Route::Ready),
            _ => Err(RouteError::NotFound),
        };
    };
    if rest.is_empty() || rest == "/" {
        return Ok(Route::Ping);
    }
    let rest = rest.strip_prefix('/').ok_or(RouteError::NotFound)?;
    let segments: Vec<String> = rest.split('/').map(decode).collect::<Result<_, _>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match segments.as_slice() {
        ["_catalog"] => Ok(Route::Catalog),
        [name @ .., "tags", "list"] => Ok(Route::Tags(repository(name)?)),
        [name @ .., "manifests", reference] => Ok(Route::Manifest(repository(name)?, reference.parse()?)),
        [name @ .., "blobs", "uploads", ""] | [name @ .., "blobs", "uploads"] => Ok(Route::Uploads(repository(name)?)),
        [name @ .., "blobs", "uploads", id] => Ok(Route::Upload(repository(name)?, (*id).to_owned())),
        [name @ .., "blobs", digest] => Ok(Route::Blob(repository(name)?, digest.parse()?)),
        [name @ .., "referrers", digest] => Ok(Route::Referrers(repository(name)?, digest.parse()?)),
        _ => Err(RouteError::NotFound),
    }
}

/// What is below `/api/v1/`: ours, not the specification's.
fn read_own_path(rest: &str) -> Result<Route, RouteError> {
    let segments: Vec<String> = rest.split('/').map(decode).collect::<Result<_, _>>()?;
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let ["repositories", name @ .., "tags", tag, last] = segments.as_slice() else { return Err(RouteError::NotFound) };
    let route = match *last {
        "history" => Route::History,
        "rollback" => Route::Rollback,
        "restore" => Route::Restore,
        _ => return Err(RouteError::NotFound),
    };
    Ok(route(repository(name)?, tag.parse().map_err(RouteError::Tag)?))
}

/// A segment's text. An encoded slash stays an error: it must not make two segments of one.
fn decode(segment: &str) -> Result<String, RouteError> {
    let text = percent_decode_str(segment).decode_utf8().map_err(|_| RouteError::NotFound)?;
    if text.contains('/') { Err(RouteError::NotFound) } else { Ok(text.into_owned()) }
}

fn repository(segments: &[&str]) -> Result<RepositoryName, RouteError> {
    if segments.is_empty() {
        return Err(RouteError::NotFound);
    }
    segments.join("/").parse().map_err(RouteError::Name)
}

impl FromStr for ManifestReference {
    type Err = RouteError;

    fn from_str(text: &str) -> Result<Self, RouteError> {
        // A tag never has a colon, a digest always has one.
        if text.contains(':') {
            Ok(Self::Digest(text.parse()?))
        } else {
            text.parse().map(Self::Tag).map_err(RouteError::Tag)
        }
    }
}

/// A request's query: pairs in order, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the text after `?`. What is not UTF-8 is read with replacement characters, which no value here has.
    pub fn parse(text: Option<&str>) -> Self {
        let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        };
        Self(text.unwrap_or_default().split('&').filter(|part| !part.is_empty()).map(pair).collect())
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name`.
    pub fn all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a str> + use<'a, 'n> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn get(path: &str) -> Result<Route, RouteError> {
        route(&Method::GET, path)
    }

    #[test]
    fn paths_are_read_from_their_end() {
        let name = |text: &str| text.parse::<RepositoryName>().unwrap();
        let digest: Digest = DIGEST.parse().unwrap();
        assert_eq!(get("/v2/"), Ok(Route::Ping));
        assert_eq!(get("/v2"), Ok(Route::Ping));
        assert_eq!(get("/v2/_catalog"), Ok(Route::Catalog));
        assert_eq!(get("/v2/a/b/tags/list"), Ok(Route::Tags(name("a/b"))));
        let by_digest = Route::Manifest(name("manifests"), ManifestReference::Digest(digest));
        assert_eq!(get(&format!("/v2/manifests/manifests/{DIGEST}")), Ok(by_digest));
        assert_eq!(get(&format!("/v2/a/blobs/{}", DIGEST.replace(':', "%3A"))), Ok(Route::Blob(name("a"), digest)));
        let upload = Route::Upload(name("a/blobs/uploads"), "7".into());
        assert_eq!(get("/v2/a/blobs/uploads/blobs/uploads/7"), Ok(upload));
        let history = get("/api/v1/repositories/a/tags/b/tags/v1/history");
        assert_eq!(history, Ok(Route::History(name("a/tags/b"), "v1".parse().unwrap())));
        let rollback = route(&Method::POST, "/api/v1/repositories/a/tags/v1/rollback");
        assert_eq!(rollback, Ok(Route::Rollback(name("a"), "v1".parse().unwrap())));
        let post = route(&Method::POST, "/v2/a/blobs/uploads");
        assert_eq!(post, Ok(Route::Uploads(name("a"))));
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for path in [
            "/",
            "/v3/",
            "/v2x",
            "/v2/a",
            "/v2/tags/list",
            "/v2//manifests/x",
            "/v2/a%2Fb/tags/list",
            "/v2/%ff/tags/list",
            "/api/v1/",
            "/api/v1/repositories/tags/v1/history",
            "/api/v1/repositories/a/tags/v1/rollback",
            "/api/v1/repositories/a/tags/-/history",
            "/api/v1/repositories/a%2Fb/tags/v1/history",
        ] {
            assert!(get(path).is_err(), "{path}");
        }
        assert!(matches!(get("/v2/../../etc/manifests/passwd"), Err(RouteError::Name(_))));
        assert!(matches!(get("/v2/a/manifests/-x"), Err(RouteError::NoSuchTag(_))));
        assert!(matches!(route(&Method::PUT, "/v2/a/manifests/-x"), Err(RouteError::Tag(_))));
        assert!(matches!(get("/v2/a/blobs/md5:1"), Err(RouteError::Digest(_))));
        assert!(matches!(route(&Method::POST, "/v2/"), Err(RouteError::Method(_))));
    }

    #[test]
    fn a_query_is_decoded() {
        let query = Query::parse(Some("tag=a&tag=b&digest=sha256%3Aab&empty&x=1+2"));
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.get("digest"), Some("sha256:ab"));
        assert_eq!((query.get("empty"), query.get("x"), query.get("none")), (Some(""), Some("1 2"), None));
    }
}
