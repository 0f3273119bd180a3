//! Version 1: the service takes the bytes itself, in pieces.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{RequestBuilder, Url};
use serde::Deserialize;
use serde_json::json;

use super::blocks::Pieces;
use super::http::{Answer, Http};
use super::{Begun, GhaError, generation};
use crate::transfer::{BlobBody, Error, Result as TransferResult};

/// What is sent at once.
const PIECE: usize = 16 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Located {
    #[serde(default)]
    archive_location: String,
    #[serde(default)]
    cache_key: String,
}

#[derive(Deserialize)]
struct Reserved {
    #[serde(rename = "cacheId", alias = "cacheID")]
    id: u64,
}

fn url(http: &Http, path: &str) -> Result<Url, GhaError> {
    http.url(&format!("_apis/artifactcache/{path}"))
}

fn asking(http: &Http, request: RequestBuilder) -> RequestBuilder {
    http.own(request).header(ACCEPT, "application/json;api-version=6.0-preview.1")
}

async fn post(http: &Http, doing: &'static str, path: &str, body: serde_json::Value) -> Result<Answer, GhaError> {
    let (url, body) = (url(http, path)?, body.to_string());
    let make =
        || asking(http, http.client().post(url.clone())).header(CONTENT_TYPE, "application/json").body(body.clone());
    http.send(doing, body.len() as u64, make).await
}

/// Where the newest whose key begins so can be read.
pub(super) async fn locate(http: &Http, stem: &str) -> Result<Option<Url>, GhaError> {
    const DOING: &str = "look into the cache";
    let mut url = url(http, "cache")?;
    url.query_pairs_mut().append_pair("keys", stem).append_pair("version", &generation());
    let answer = http.send(DOING, 0, || asking(http, http.client().get(url.clone()))).await?;
    if answer.is_missing() || (answer.status.is_success() && answer.body.is_empty()) {
        return Ok(None);
    }
    if !answer.status.is_success() {
        return Err(http.refused(DOING, &answer));
    }
    let found: Located = http.json(DOING, &answer)?;
    if !found.cache_key.starts_with(stem) {
        return Ok(None);
    }
    let address = Url::parse(&found.archive_location);
    address.map(Some).map_err(|error| http.odd(DOING, format!("its signed address: {error}")))
}

/// Makes room for a key.
pub(super) async fn begin(http: &Http, key: &str, size: u64) -> Result<Begun, GhaError> {
    const DOING: &str = "begin an upload to the cache";
    let body = json!({ "key": key, "version": generation(), "cacheSize": size });
    let answer = post(http, DOING, "caches", body).await?;
    if answer.is_taken() {
        return Ok(Begun::Taken);
    }
    if !answer.status.is_success() {
        return Err(http.refused(DOING, &answer));
    }
    http.json(DOING, &answer).map(|reserved: Reserved| Begun::Number(reserved.id))
}

/// Sends the bytes and makes them visible.
pub(super) async fn upload(
    http: &Http,
    (id, size): (u64, u64),
    body: &dyn BlobBody,
    failed: &(dyn Fn(GhaError) -> Error + Sync),
) -> TransferResult<()> {
    const DOING: &str = "send to the cache";
    let path = format!("caches/{id}");
    let mut pieces = Pieces::of(body.open(0).await?, PIECE);
    let mut sent = 0;
    while let Some(piece) = pieces.next().await? {
        let end = sent + piece.len() as u64;
        send(http, &path, piece, sent).await.map_err(failed)?;
        sent = end;
    }
    let answer = post(http, DOING, &path, json!({ "size": size })).await.map_err(failed)?;
    if answer.status.is_success() { Ok(()) } else { Err(failed(http.refused(DOING, &answer))) }
}

async fn send(http: &Http, path: &str, piece: Bytes, start: u64) -> Result<(), GhaError> {
    const DOING: &str = "send to the cache";
    let length = piece.len() as u64;
    let (url, range) = (url(http, path)?, format!("bytes {start}-{}/*", start + length.saturating_sub(1)));
    let make = || {
        let request = asking(http, http.client().patch(url.clone()));
        request.header(CONTENT_TYPE, "application/octet-stream").header(CONTENT_RANGE, &range).body(piece.clone())
    };
    let answer = http.send(DOING, length, make).await?;
    if answer.status.is_success() { Ok(()) } else { Err(http.refused(DOING, &answer)) }
}
