//! Bytes to a signed address of Azure Blob Storage: whole, or in blocks that a list makes one blob.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use reqwest::Url;

use super::GhaError;
use super::http::Http;
use crate::transfer::{BlobBody, ByteStream, Error, Result};

/// A block, of which a blob may have 50,000. What fits into one is sent whole.
const BLOCK: usize = 16 << 20;

const DOING: &str = "send to the cache";

/// A stream in pieces of one length, but for the last one.
pub(super) struct Pieces {
    stream: ByteStream,
    length: usize,
    buffer: BytesMut,
    ended: bool,
}

impl Pieces {
    pub(super) fn of(stream: ByteStream, length: usize) -> Self {
        Self { stream, length, buffer: BytesMut::new(), ended: false }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended && self.buffer.len() < self.length {
            match self.stream.try_next().await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => self.ended = true,
            }
        }
        let length = self.buffer.len().min(self.length);
        Ok((length > 0).then(|| self.buffer.split_to(length).freeze()))
    }
}

/// Sends a body of this length.
pub(super) async fn upload(
    http: &Http,
    url: &Url,
    (size, body): (u64, &dyn BlobBody),
    failed: &(dyn Fn(GhaError) -> Error + Sync),
) -> Result<()> {
    let mut pieces = Pieces::of(body.open(0).await?, BLOCK);
    if size <= BLOCK as u64 {
        let whole = pieces.next().await?.unwrap_or_default();
        return put(http, url, whole, Some("BlockBlob")).await.map_err(failed);
    }
    let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
    let mut number = 0_u32;
    while let Some(piece) = pieces.next().await? {
        // All of one length, as the service wants them.
        let id = STANDARD.encode(format!("{number:08}"));
        let mut address = url.clone();
        address.query_pairs_mut().append_pair("comp", "block").append_pair("blockid", &id);
        put(http, &address, piece, None).await.map_err(failed)?;
        list.push_str(&format!("<Latest>{id}</Latest>"));
        number += 1;
    }
    list.push_str("</BlockList>");
    let mut address = url.clone();
    address.query_pairs_mut().append_pair("comp", "blocklist");
    put(http, &address, list.into(), None).await.map_err(failed)
}

async fn put(http: &Http, url: &Url, body: Bytes, kind: Option<&'static str>) -> Result<(), GhaError> {
    let make = || {
        let request = http.client().put(url.clone()).header("x-ms-version", "2021-08-06").body(body.clone());
        match kind {
            Some(kind) => request.header("x-ms-blob-type", kind),
            None => request,
        }
    };
    let answer = http.send(DOING, body.len() as u64, make).await?;
    if answer.status.is_success() { Ok(()) } else { Err(http.refused(DOING, &answer)) }
}
