//! Small answers that are asked for again and again: manifests, lists, configurations.
//!
//! An answer is remembered together with the generation the store's records were at before it was made, and given again
//! only while they are at that same generation: so it is what would be answered anew, whoever wrote in between, from
//! whatever process. Stores that cannot tell their generation cheaply remember nothing.
//!
//! Who may ask is decided before; no answer that is remembered depends on who asks.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Response, StatusCode, header, request};
use http_body_util::BodyExt as _;
use wharf_blobstore::Generation;

use super::route::Route;

/// Locks, so that repositories do not wait for each other; what is kept behind each, in bytes; and the largest answer.
const SHARDS: usize = 16;
const SHARD_BYTES: usize = 512 << 10;
const LARGEST: usize = 128 << 10;
/// What an answer takes beside its body, about.
const OVERHEAD: usize = 1 << 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

/// Answers of one generation.
#[derive(Debug, Default)]
struct Shard {
    generation: Option<Generation>,
    bytes: usize,
    answers: HashMap<String, (HeaderMap, Bytes)>,
}

/// Whether an answer to this may be remembered: it reads records, changes nothing, and depends on nothing but the path and
/// the query.
pub(super) fn is_plain(route: &Route, request: &request::Parts) -> bool {
    let conditional = [header::IF_NONE_MATCH, header::RANGE].iter().any(|name| request.headers.contains_key(name));
    let reads = match route {
        Route::Manifest(..) => matches!(request.method, Method::GET | Method::HEAD),
        // `HEAD` of a blob marks it as needed.
        Route::Blob(..) | Route::Tags(_) | Route::Referrers(..) | Route::Catalog => request.method == Method::GET,
        Route::Live | Route::Ready | Route::Ping | Route::Uploads(_) | Route::Upload(..) => false,
        Route::History(..) | Route::Rollback(..) | Route::Restore(..) => false,
    };
    reads && !conditional
}

impl Remembered {
    fn shard(&self, place: &str) -> std::sync::MutexGuard<'_, Shard> {
        let index = usize::try_from(self.hasher.hash_one(place) % SHARDS as u64).unwrap_or(0);
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer for this path and query, if one of this generation is known.
    pub(super) fn get(&self, generation: Generation, place: &str) -> Option<Response<Body>> {
        let shard = self.shard(place);
        let (headers, bytes) = shard.answers.get(place).filter(|_| shard.generation == Some(generation))?;
        let mut response = Response::new(Body::from(bytes.clone()));
        *response.headers_mut() = headers.clone();
        Some(response)
    }

    /// Remembers an answer that was made after the records were seen at `generation`, if it is one worth it.
    pub(super) async fn put(&self, generation: Generation, place: &str, response: Response<Body>) -> Response<Body> {
        let length = http_body::Body::size_hint(response.body()).exact();
        let length = length.or_else(|| response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok());
        if response.status() != StatusCode::OK || length.is_none_or(|length| length > LARGEST as u64) {
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = match body.collect().await {
            Ok(collected) => {
                let bytes = collected.to_bytes();
                self.shard(place).insert(generation, place, (parts.headers.clone(), bytes.clone()));
                Body::from(bytes)
            }
            // The connection ends with it, as it would have in the middle of the body.
            Err(error) => Body::from_stream(stream::iter([Err::<Bytes, _>(error)])),
        };
        Response::from_parts(parts, body)
    }
}

impl Shard {
    fn insert(&mut self, generation: Generation, place: &str, answer: (HeaderMap, Bytes)) {
        let size = place.len() + answer.1.len() + OVERHEAD;
        // What is asked for often is soon here again.
        if self.generation != Some(generation) || self.bytes + size > SHARD_BYTES {
            self.answers.clear();
            self.bytes = 0;
        }
        self.generation = Some(generation);
        if self.answers.insert(place.to_owned(), answer).is_none() {
            self.bytes += size;
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use wharf_blobstore::embedded;

    use super::super::{Limits, Registry};
    use super::*;
    use crate::repo::Repositories;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn index(number: usize) -> String {
        format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[],"annotations":{{"number":"{number}"}}}}"#)
    }

    async fn call(registry: &Registry, method: Method, path: &str, body: String) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, INDEX);
        let (parts, body) = registry.answer(request.body(Body::from(body)).unwrap()).await.into_parts();
        (parts.status, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    }

    async fn get(registry: &Registry, path: &str) -> (StatusCode, String) {
        call(registry, Method::GET, path, String::new()).await
    }

    #[tokio::test]
    async fn what_another_process_writes_is_seen_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let open =
            || Registry::new(Repositories::new(embedded::open(directory.path()).unwrap()), None, Limits::default());
        let (writer, reader) = (open(), open());
        let (tag, tags) = ("/v2/app/manifests/latest", "/v2/app/tags/list");
        assert_eq!(get(&reader, tag).await.0, StatusCode::NOT_FOUND);
        for number in 0..20 {
            assert_eq!(call(&writer, Method::PUT, tag, index(number)).await.0, StatusCode::CREATED);
            for _ in 0..3 {
                assert_eq!(get(&reader, tag).await, (StatusCode::OK, index(number)));
                assert_eq!(get(&reader, tags).await.1, r#"{"name":"app","tags":["latest"]}"#);
            }
        }
        assert_eq!(call(&writer, Method::DELETE, tag, String::new()).await.0, StatusCode::ACCEPTED);
        assert_eq!(get(&reader, tag).await.0, StatusCode::NOT_FOUND);
        assert_eq!(get(&reader, tags).await.1, r#"{"name":"app","tags":[]}"#);
    }

    #[tokio::test]
    async fn an_answer_is_given_again_only_in_its_generation() {
        let remembered = Remembered::default();
        let answer = |text: &'static str| {
            let mut response = Response::new(Body::from(text));
            response.headers_mut().insert(header::ETAG, http::HeaderValue::from_static("\"tag\""));
            response
        };
        remembered.put(Generation(1), "/a", answer("one")).await;
        let found = remembered.get(Generation(1), "/a").unwrap();
        assert_eq!(found.headers()[header::ETAG], "\"tag\"");
        assert_eq!(found.into_body().collect().await.unwrap().to_bytes(), "one");
        assert!(remembered.get(Generation(2), "/a").is_none());
        assert!(remembered.get(Generation(1), "/b").is_none());
        remembered.put(Generation(2), "/a", answer("two")).await;
        assert!(remembered.get(Generation(1), "/a").is_none());
        let mut refused = answer("gone");
        *refused.status_mut() = StatusCode::NOT_FOUND;
        remembered.put(Generation(2), "/b", refused).await;
        assert!(remembered.get(Generation(2), "/b").is_none());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let remembered = Remembered::default();
        for number in 0..2000 {
            let answer = Response::new(Body::from(vec![0; 20_000]));
            remembered.put(Generation(1), &number.to_string(), answer).await;
        }
        let kept: usize = remembered.shards.iter().map(|shard| shard.lock().unwrap().answers.len() * 20_000).sum();
        assert!(kept > 0 && kept <= SHARDS * SHARD_BYTES, "{kept}");
        let large = Response::new(Body::from(vec![0; LARGEST + 1]));
        remembered.put(Generation(1), "large", large).await;
        assert!(remembered.get(Generation(1), "large").is_none());
    }
}
