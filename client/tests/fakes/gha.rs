//! The cache of GitHub Actions: version 2 with signed addresses below `/blob/`, and version 1.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::GHA_TOKEN;
use super::azure::Blobs;
use super::http::{Request, Response};

pub struct Cache {
    url: String,
    blobs: Blobs,
    /// Key and version of what was begun, and where its bytes go.
    begun: BTreeMap<(String, String), String>,
    /// What was finished, oldest first.
    finished: Vec<(String, String)>,
    numbers: Vec<(String, String)>,
}

impl Cache {
    pub fn at(url: &str) -> Self {
        let (blobs, begun) = (Blobs::default(), BTreeMap::new());
        Self { url: url.to_owned(), blobs, begun, finished: Vec::new(), numbers: Vec::new() }
    }

    pub fn answer(&mut self, request: &Request) -> Response {
        if let Some(path) = request.path.strip_prefix("/blob/") {
            if request.query.get("sig").map(String::as_str) != Some("signature-that-nobody-may-see") {
                return Response::new(403);
            }
            assert_eq!(request.header("authorization"), "", "the token is not for this machine");
            return self.blobs.answer(request, path);
        }
        if request.header("authorization") != format!("Bearer {GHA_TOKEN}") {
            return text(401, &json!({ "code": "unauthenticated", "msg": "bad token" }));
        }
        if let Some(method) = request.path.strip_prefix("/twirp/github.actions.results.api.v1.CacheService/") {
            assert_eq!(request.header("content-type"), "application/json");
            let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
            return self.second(method, &asked);
        }
        let Some(path) = request.path.strip_prefix("/_apis/artifactcache/") else { return Response::new(404) };
        self.first(request, path)
    }

    fn address(&self, place: &str) -> String {
        format!("{}/blob/{place}?sig=signature-that-nobody-may-see", self.url)
    }

    fn begin(&mut self, key: &str, version: &str) -> Option<String> {
        let place = self.begun.len().to_string();
        let entry = (key.to_owned(), version.to_owned());
        if self.begun.contains_key(&entry) {
            return None;
        }
        self.begun.insert(entry, place.clone());
        Some(place)
    }

    fn newest(&self, stem: &str, version: &str) -> Option<(&str, String)> {
        let fits = |entry: &&(String, String)| entry.0.starts_with(stem) && entry.1 == version;
        let entry = self.finished.iter().rev().find(fits)?;
        Some((&entry.0, self.address(&self.begun[entry])))
    }

    fn second(&mut self, method: &str, asked: &Value) -> Response {
        let field = |name: &str| asked[name].as_str().unwrap_or_default().to_owned();
        let (key, version) = (field("key"), field("version"));
        match method {
            "CreateCacheEntry" => match self.begin(&key, &version) {
                Some(place) => text(200, &json!({ "ok": true, "signed_upload_url": self.address(&place) })),
                None => text(409, &json!({ "code": "already_exists", "msg": "cache entry already exists" })),
            },
            "FinalizeCacheEntryUpload" => {
                let size =
                    self.begun.get(&(key.clone(), version.clone())).and_then(|place| self.blobs.whole.get(place));
                let right = size.map(Vec::len) == field("size_bytes").parse().ok();
                if right {
                    self.finished.push((key, version));
                }
                text(200, &json!({ "ok": right, "entry_id": "1" }))
            }
            "GetCacheEntryDownloadURL" => {
                let stems = asked["restore_keys"].as_array().cloned().unwrap_or_default();
                let found = stems.iter().find_map(|stem| self.newest(stem.as_str().unwrap_or_default(), &version));
                match found {
                    Some((key, url)) => {
                        text(200, &json!({ "ok": true, "signed_download_url": url, "matched_key": key }))
                    }
                    None => text(200, &json!({ "ok": false, "signed_download_url": "", "matched_key": "" })),
                }
            }
            other => panic!("there is no {other}"),
        }
    }

    fn first(&mut self, request: &Request, path: &str) -> Response {
        assert!(request.header("accept").contains("api-version=6.0-preview.1"));
        match (request.method.as_str(), path.split_once('/')) {
            ("GET", None) => match self.newest(&request.query["keys"], &request.query["version"]) {
                Some((key, url)) => text(200, &json!({ "cacheKey": key, "archiveLocation": url })),
                None => Response::new(204),
            },
            ("POST", None) => {
                let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
                let entry = (asked["key"].as_str().expect("a key"), asked["version"].as_str().expect("a version"));
                if self.begin(entry.0, entry.1).is_none() {
                    return text(409, &json!({ "message": "Cache already exists" }));
                }
                self.numbers.push((entry.0.to_owned(), entry.1.to_owned()));
                text(201, &json!({ "cacheId": self.numbers.len() }))
            }
            (method, Some((_, number))) => {
                let number: usize = number.parse().expect("a number");
                let entry = self.numbers[number - 1].clone();
                let bytes = self.blobs.whole.entry(self.begun[&entry].clone()).or_default();
                if method == "PATCH" {
                    let start = request.header("content-range").strip_prefix("bytes ").expect("a range");
                    assert!(start.starts_with(&format!("{}-", bytes.len())), "{start}");
                    bytes.extend_from_slice(&request.body);
                } else {
                    let asked: Value = serde_json::from_slice(&request.body).expect("JSON");
                    assert_eq!(asked["size"].as_u64(), Some(bytes.len() as u64));
                    self.finished.push(entry);
                }
                Response::new(204)
            }
            (method, None) => panic!("{method} {}", request.target),
        }
    }

    /// Keys without their random ends.
    pub fn names(&self) -> Vec<String> {
        let stems = self.finished.iter().map(|(key, _)| key.split('#').next().unwrap_or_default().to_owned());
        let mut stems: Vec<String> = stems.collect();
        stems.sort();
        stems
    }

    pub fn lose(&mut self, part: &str) {
        self.finished.retain(|(key, _)| !key.contains(part));
    }
}

fn text(status: u16, body: &Value) -> Response {
    Response::with(status, body.to_string())
}
