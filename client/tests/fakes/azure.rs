//! Block blobs of an account `ann`, which stands in the path: `/ann/CONTAINER/BLOB`.

use std::collections::{BTreeMap, BTreeSet};

use super::http::{Request, Response};

#[derive(Default)]
pub struct Account {
    containers: BTreeSet<String>,
    blobs: Blobs,
}

/// Blobs by path, and blocks that are in none yet.
#[derive(Default)]
pub struct Blobs {
    pub whole: BTreeMap<String, Vec<u8>>,
    blocks: BTreeMap<(String, String), Vec<u8>>,
}

impl Account {
    pub fn answer(&mut self, request: &Request) -> Response {
        if !request.header("authorization").starts_with("SharedKey ann:") {
            return Response::new(403);
        }
        let Some(path) = request.path.strip_prefix("/ann/") else { return Response::new(404) };
        let Some((container, _)) = path.split_once('/') else {
            assert_eq!(request.query.get("restype").map(String::as_str), Some("container"), "{}", request.target);
            let fresh = self.containers.insert(path.to_owned());
            return Response::new(if fresh { 201 } else { 409 });
        };
        if !self.containers.contains(container) {
            return Response::new(404).header("x-ms-error-code", "ContainerNotFound");
        }
        self.blobs.answer(request, path)
    }

    pub fn names(&self) -> Vec<String> {
        self.blobs.whole.keys().cloned().collect()
    }

    pub fn lose(&mut self, part: &str) {
        self.blobs.whole.retain(|key, _| !key.contains(part));
    }
}

impl Blobs {
    pub fn answer(&mut self, request: &Request, path: &str) -> Response {
        let operation = request.query.get("comp").map(String::as_str);
        match (request.method.as_str(), operation) {
            ("PUT", None) => {
                assert_eq!(request.header("x-ms-blob-type"), "BlockBlob");
                self.whole.insert(path.to_owned(), request.body.clone());
                Response::new(201).header("etag", "\"x\"")
            }
            ("PUT", Some("block")) => {
                let block = (path.to_owned(), request.query["blockid"].clone());
                self.blocks.insert(block, request.body.clone());
                Response::new(201)
            }
            ("PUT", Some("blocklist")) => {
                let list = String::from_utf8(request.body.clone()).expect("XML");
                let named = list.split('<').filter_map(|part| part.split_once('>'));
                let ids = named.filter(|(tag, id)| matches!(*tag, "Latest" | "Uncommitted") && !id.is_empty());
                let mut whole = Vec::new();
                for (_, id) in ids {
                    match self.blocks.remove(&(path.to_owned(), id.to_owned())) {
                        Some(block) => whole.extend(block),
                        None => return Response::new(400),
                    }
                }
                // What was sent and is not in the list goes.
                self.blocks.retain(|(of, _), _| of != path);
                self.whole.insert(path.to_owned(), whole);
                Response::new(201).header("etag", "\"x\"")
            }
            ("GET" | "HEAD", None) => {
                let Some(bytes) = self.whole.get(path) else {
                    return Response::new(404).header("x-ms-error-code", "BlobNotFound");
                };
                let (status, range, part) = request.part(bytes);
                let dated = "Sun, 06 Nov 1994 08:49:37 GMT";
                let response = Response::with(status, part).header("etag", "\"x\"").header("last-modified", dated);
                match range {
                    Some(range) => response.header("content-range", range),
                    None => response,
                }
            }
            (method, _) => panic!("{method} {}", request.target),
        }
    }
}
