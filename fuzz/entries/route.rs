//! Any method, path and query: what is read is plain, and nothing panics.

use http::Method;
use wharf_registry::http::{ManifestReference, Query, Route, TABLE, route as read};

const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::PUT, Method::POST, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// The first byte chooses the method; the rest is `path?query`.
pub fn route(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let method = &METHODS[usize::from(*first) % METHODS.len()];
    let target = String::from_utf8_lossy(rest);
    let (path, query) = target.split_once('?').map_or((&*target, None), |(path, query)| (path, Some(query)));
    if let Ok(route) = read(method, path) {
        assert!(plain(&route), "{path} is {route:?}");
        assert!(TABLE[route.pattern()].1.contains(&method.as_str()), "{method} {route:?}");
    }
    let query = Query::parse(query);
    for name in ["n", "last", "tag", "mount", "from", "digest"] {
        assert_eq!(query.get(name), query.all(name).next());
    }
}

/// Whether nothing in a route can reach outside of its repository, or break out of a header.
pub fn plain(route: &Route) -> bool {
    let name = match route {
        Route::Tags(name) | Route::Uploads(name) | Route::Blob(name, _) | Route::Referrers(name, _) => name,
        Route::Manifest(name, ManifestReference::Digest(_)) => name,
        Route::Manifest(name, ManifestReference::Tag(tag))
        | Route::History(name, tag)
        | Route::Rollback(name, tag)
        | Route::Restore(name, tag) => {
            if tag.as_str().contains(['/', '%', '\r', '\n', '\0']) {
                return false;
            }
            name
        }
        Route::Upload(name, id) => {
            if id.contains('/') {
                return false;
            }
            name
        }
        // Routes without a repository.
        _ => return true,
    };
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    let components = name.as_str().split('/');
    let mut plain = components.map(|component| {
        !component.is_empty() && !component.starts_with(['_', '.', '-']) && component.bytes().all(plain)
    });
    plain.all(|plain| plain) && !name.as_str().contains("..")
}
