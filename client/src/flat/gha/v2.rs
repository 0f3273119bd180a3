//! Version 2: three calls in JSON, and signed addresses for the bytes.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::http::{Answer, Http};
use super::{Begun, GhaError, generation};

const SERVICE: &str = "twirp/github.actions.results.api.v1.CacheService";

#[derive(Deserialize)]
struct Located {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    signed_download_url: String,
    #[serde(default)]
    matched_key: String,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default)]
    ok: bool,
    #[serde(default)]
    signed_upload_url: String,
}

#[derive(Deserialize)]
struct Finished {
    #[serde(default)]
    ok: bool,
}

async fn call(http: &Http, doing: &'static str, method: &str, body: &impl Serialize) -> Result<Answer, GhaError> {
    let url = http.url(&format!("{SERVICE}/{method}"))?;
    let body = serde_json::to_vec(body).unwrap_or_default();
    let make = || {
        let request = http.own(http.client().post(url.clone())).header("content-type", "application/json");
        request.body(body.clone())
    };
    http.send(doing, body.len() as u64, make).await
}

fn address(http: &Http, doing: &'static str, text: &str) -> Result<Url, GhaError> {
    Url::parse(text).map_err(|error| http.odd(doing, format!("its signed address: {error}")))
}

/// Where the newest whose key begins so can be read.
pub(super) async fn locate(http: &Http, stem: &str) -> Result<Option<Url>, GhaError> {
    const DOING: &str = "look into the cache";
    let body = json!({ "key": stem, "restore_keys": [stem], "version": generation() });
    let answer = call(http, DOING, "GetCacheEntryDownloadURL", &body).await?;
    if answer.is_missing() {
        return Ok(None);
    }
    if !answer.status.is_success() {
        return Err(http.refused(DOING, &answer));
    }
    let found: Located = http.json(DOING, &answer)?;
    if !found.ok || !found.matched_key.starts_with(stem) {
        return Ok(None);
    }
    address(http, DOING, &found.signed_download_url).map(Some)
}

/// Makes room for a key.
pub(super) async fn begin(http: &Http, key: &str) -> Result<Begun, GhaError> {
    const DOING: &str = "begin an upload to the cache";
    let answer = call(http, DOING, "CreateCacheEntry", &json!({ "key": key, "version": generation() })).await?;
    if answer.is_taken() {
        return Ok(Begun::Taken);
    }
    if !answer.status.is_success() {
        return Err(http.refused(DOING, &answer));
    }
    let created: Created = http.json(DOING, &answer)?;
    if !created.ok {
        return Err(http.refused(DOING, &answer));
    }
    address(http, DOING, &created.signed_upload_url).map(Begun::Address)
}

/// Makes what was sent visible.
pub(super) async fn finish(http: &Http, key: &str, size: u64) -> Result<(), GhaError> {
    const DOING: &str = "finish an upload to the cache";
    // As protocols of this kind write long numbers.
    let body = json!({ "key": key, "size_bytes": size.to_string(), "version": generation() });
    let answer = call(http, DOING, "FinalizeCacheEntryUpload", &body).await?;
    if !answer.status.is_success() {
        return Err(http.refused(DOING, &answer));
    }
    let finished: Finished = http.json(DOING, &answer)?;
    if finished.ok { Ok(()) } else { Err(http.refused(DOING, &answer)) }
}
