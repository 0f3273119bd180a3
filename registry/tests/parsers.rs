//! Whatever bytes arrive: the parsers answer, and what they accept is plain.

use axum::body::Body;
use http::{Method, Request};
use proptest::prelude::*;
use wharf_blobstore::Store;
use wharf_registry::http::{Limits, ManifestReference, Query, Registry, Route, TABLE, route};
use wharf_registry::repo::Repositories;

fn methods() -> impl Strategy<Value = Method> {
    proptest::sample::select(vec![
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ])
}

/// Paths that are nearly right: the words of the API, names, digests, and things that do not belong there.
fn paths() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => proptest::sample::select(vec![
            "manifests", "blobs", "uploads", "tags", "list", "referrers", "_catalog", "_tags", "history", "rollback", "", ".", "..", "%2e%2e", "%2F",
            "%00", "%0d%0a", "a", "a-b", "A", "latest", ":", "sha256:", "0123456789abcdef0123456789abcdef",
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,12}",
        1 => "[a-z0-9._-]{1,20}",
    ];
    let root = proptest::sample::select(vec!["/v2/", "/api/v1/repositories/"]);
    (root, proptest::collection::vec(word, 0..7)).prop_map(|(root, words)| format!("{root}{}", words.join("/")))
}

fn plain(route: &Route) -> bool {
    let name = match route {
        Route::Tags(name) | Route::Uploads(name) | Route::Blob(name, _) | Route::Referrers(name, _) => Some(name),
        Route::History(name, tag) | Route::Rollback(name, tag) | Route::Restore(name, tag) => {
            if tag.as_str().contains(['/', '%', '\r', '\n', '\0']) {
                return false;
            }
            Some(name)
        }
        Route::Manifest(name, reference) => {
            if let ManifestReference::Tag(tag) = reference
                && tag.as_str().contains(['/', '%', '\r', '\n', '\0'])
            {
                return false;
            }
            Some(name)
        }
        Route::Upload(name, id) => {
            if id.contains('/') {
                return false;
            }
            Some(name)
        }
        Route::Ping | Route::Catalog | Route::Live | Route::Ready => None,
    };
    name.is_none_or(|name| {
        let components_are_plain = name.as_str().split('/').all(|component| {
            !component.is_empty()
                && !component.starts_with(['_', '.', '-'])
                && component
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte))
        });
        components_are_plain && !name.as_str().contains("..")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_path_is_read_as_anything_but_a_plain_route(method in methods(), path in paths()) {
        if let Ok(read) = route(&method, &path) {
            prop_assert!(plain(&read), "{path} is {read:?}");
            prop_assert!(TABLE[read.pattern()].1.contains(&method.as_str()));
        }
    }

    #[test]
    fn any_text_is_a_path(method in methods(), path in "\\PC{0,80}") {
        if let Ok(read) = route(&method, &path) {
            prop_assert!(plain(&read), "{path} is {read:?}");
        }
    }

    #[test]
    fn any_text_is_a_query(text in "\\PC{0,80}", bytes in proptest::collection::vec(0u8..128, 0..40)) {
        let _ = Query::parse(Some(&text));
        let _ = Query::parse(std::str::from_utf8(&bytes).ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Requests with hostile headers are answered, never with a fault of ours.
    #[test]
    fn any_request_is_answered(
        method in methods(),
        path in paths(),
        range in "(bytes=)?[-0-9, ]{0,30}",
        chunk in "[-0-9bytes /*]{0,20}",
        query in "(n=|last=|tag=|mount=|from=|digest=|artifactType=)[a-z0-9:%/.+-]{0,20}",
        text in "[ -~]{0,40}",
    ) {
        let target = format!("{path}?{query}");
        let request = Request::builder()
            .method(method)
            .uri(&target)
            .header("range", &range)
            .header("content-range", &chunk)
            .header("content-type", &text)
            .header("if-none-match", &text)
            .body(Body::from(text.clone()));
        // What is no URI never gets past the server's own parser.
        if let Ok(request) = request {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let registry = Registry::new(Repositories::new(Store::memory()), None, Limits::default());
            let answer = runtime.block_on(registry.answer(request));
            prop_assert!(answer.status().as_u16() < 500, "{target}: {}", answer.status());
        }
    }
}
