//! Getting what a plain URL names, outside of any registry: for `ADD https://…`.

use futures_util::{StreamExt as _, TryStreamExt as _};
use reqwest::{StatusCode, Url, redirect};

use super::client::{builder, root_cause, setup};
use super::{Error, tls};
use crate::ClientConfig;
use crate::transfer::ByteStream;

/// Redirects followed, as browsers do.
const REDIRECTS: usize = 10;

/// What a URL answered.
pub struct PlainAnswer {
    /// The status, after redirects.
    pub status: StatusCode,
    /// `Last-Modified`, as it stands.
    pub last_modified: Option<String>,
    /// `Content-Disposition`, as it stands.
    pub content_disposition: Option<String>,
    /// `Content-Length`.
    pub size: Option<u64>,
    /// The bytes.
    pub body: ByteStream,
}

/// Gets `url`, without any credentials.
pub async fn get(config: &ClientConfig, url: &str) -> Result<PlainAnswer, Error> {
    let address = Url::parse(url).map_err(|error| Error::Setup { problem: format!("`{url}` is no URL: {error}") })?;
    let host = address.host_str().unwrap_or_default().to_owned();
    let unreachable = {
        let host = host.clone();
        move |error: reqwest::Error| Error::Unreachable {
            host: host.clone(),
            doing: "get a file".to_owned(),
            problem: root_cause(&error.without_url()),
            transient: false,
        }
    };
    let client =
        builder(config, tls::strict(config)?)?.redirect(redirect::Policy::limited(REDIRECTS)).build().map_err(setup)?;
    let answer = client.get(address).send().await.map_err(&unreachable)?;
    let header = |name: &str| Some(answer.headers().get(name)?.to_str().ok()?.to_owned());
    let (last_modified, content_disposition) = (header("last-modified"), header("content-disposition"));
    let (status, size) = (answer.status(), answer.content_length());
    let body = answer.bytes_stream().map_err(move |error| unreachable(error).into()).boxed();
    Ok(PlainAnswer { status, last_modified, content_disposition, size, body })
}
