//! Uploads in parts, as the protocol has them: begun, parts sent in any order, then completed or aborted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::{JoinError, JoinSet};

use super::bucket::{Bucket, Call};
use super::documents::{self, Initiated, Part, Parts, Upload, Uploads, unquoted};
use crate::{Error, Result};

/// The highest number of a part.
pub(super) const LAST: u16 = 10_000;

/// The smallest part there may be, but for the last one of an upload.
pub(super) const SMALLEST: usize = 5 << 20;

const MIB: usize = 1 << 20;

/// How long the part with this number is: parts grow, so that 10,000 of them hold the 5 TiB that an object may have,
/// and an upload of ordinary size is a small part at a time in memory.
pub(super) fn part_size(number: u16) -> usize {
    match number / 1000 {
        0 => 8 * MIB,
        1 => 16 * MIB,
        2 => 32 * MIB,
        3 => 64 * MIB,
        4 => 128 * MIB,
        5 => 256 * MIB,
        6 => 512 * MIB,
        _ => 1536 * MIB,
    }
}

/// An upload in parts, of one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Multipart<'a> {
    pub(super) bucket: &'a Bucket,
    pub(super) key: &'a str,
    pub(super) upload: &'a str,
}

/// Parts that are being sent, several at a time. Those that have not arrived when it is dropped do not.
pub(super) struct Sending {
    parts: JoinSet<Result<Part>>,
    /// For errors: an infinitive.
    doing: &'static str,
}

impl Sending {
    pub(super) fn new(doing: &'static str) -> Self {
        Self { parts: JoinSet::new(), doing }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Begins to send a part of the object `key`.
    pub(super) fn begin(
        &mut self,
        bucket: &Arc<Bucket>,
        (key, upload): (String, String),
        (number, body): (u16, Bytes),
    ) {
        let bucket = Arc::clone(bucket);
        self.parts.spawn(async move {
            let size = body.len() as u64;
            let etag = Multipart { bucket: &bucket, key: &key, upload: &upload }.send(number, body).await?;
            Ok(Part { number, etag, size, last_modified: String::new() })
        });
    }

    /// Waits for one of them; `None` when there is none.
    pub(super) async fn arrived(&mut self) -> Result<Option<Part>> {
        let Some(sent) = self.parts.join_next().await else { return Ok(None) };
        let lost = |error: JoinError| Error::Unavailable { doing: self.doing.to_owned(), problem: error.to_string() };
        sent.map_err(lost)?.map(Some)
    }

    /// Gives up those on their way, and waits until they are.
    pub(super) async fn stop(&mut self) {
        self.parts.shutdown().await;
    }
}

/// Begins an upload; its id.
pub(super) async fn begin(bucket: &Bucket, key: &str) -> Result<String> {
    let call = bucket.creating(Method::POST, key, "begin an upload to S3").parameter("uploads", "");
    let answer = bucket.send(&call).await?;
    if answer.status != StatusCode::OK {
        return Err(bucket.refusal(&call, &answer));
    }
    let begun: Initiated = documents::read(&answer.body)
        .map_err(|problem| Error::Unavailable { doing: "begin an upload to S3".to_owned(), problem })?;
    Ok(begun.upload_id)
}

/// Uploads in parts that are under way, of objects whose keys begin so; the keys are as the store knows them. Some
/// services (`MinIO`) name only those whose key is exactly the prefix.
pub(super) async fn under_way(bucket: &Bucket, prefix: &str) -> Result<Vec<Upload>> {
    let doing = "look for uploads on S3";
    let (mut found, mut after) = (Vec::new(), None::<(String, String)>);
    loop {
        let call = Call::bucket(Method::GET, doing).parameter("uploads", "").parameter("prefix", bucket.full(prefix));
        let call = match after.take() {
            Some((key, upload)) => call.parameter("key-marker", key).parameter("upload-id-marker", upload),
            None => call,
        };
        let answer = bucket.send(&call).await?;
        if answer.status != StatusCode::OK {
            return Err(bucket.refusal(&call, &answer));
        }
        let page: Uploads =
            documents::read(&answer.body).map_err(|problem| Error::Unavailable { doing: doing.to_owned(), problem })?;
        let got_on = !page.under_way.is_empty() && !page.next_key_marker.is_empty();
        found.extend(page.under_way.into_iter().filter_map(|upload| {
            let key = bucket.relative(&upload.key)?.to_owned();
            Some(Upload { key, ..upload })
        }));
        if !page.is_truncated || !got_on {
            return Ok(found);
        }
        after = Some((page.next_key_marker, page.next_upload_id_marker));
    }
}

impl Multipart<'_> {
    fn call(&self, method: Method, doing: &'static str) -> Call {
        Call::new(method, self.key, doing).parameter("uploadId", self.upload)
    }

    /// Sends a part; its entity tag. [`Error::UploadLost`] when the upload was completed or aborted.
    pub(super) async fn send(&self, number: u16, body: Bytes) -> Result<String> {
        let call = self.call(Method::PUT, "upload to S3").parameter("partNumber", number.to_string()).body(body);
        let answer = self.bucket.send(&call).await?;
        match (answer.status, answer.etag()) {
            (StatusCode::OK, Some(tag)) => Ok(tag),
            (StatusCode::NOT_FOUND, _) if answer.problem().code != "NoSuchBucket" => Err(Error::UploadLost),
            _ => Err(self.bucket.refusal(&call, &answer)),
        }
    }

    /// Every part that was sent. [`Error::UploadLost`] when the upload was completed or aborted.
    pub(super) async fn parts(&self) -> Result<BTreeMap<u16, Part>> {
        let mut parts = BTreeMap::new();
        let mut after = 0_u16;
        loop {
            let call = self.call(Method::GET, "look at an upload on S3");
            let call = if after == 0 { call } else { call.parameter("part-number-marker", after.to_string()) };
            let answer = self.bucket.send(&call).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if answer.problem().code != "NoSuchBucket" => return Err(Error::UploadLost),
                _ => return Err(self.bucket.refusal(&call, &answer)),
            }
            let page: Parts = documents::read(&answer.body)
                .map_err(|problem| Error::Unavailable { doing: "look at an upload on S3".to_owned(), problem })?;
            let last = page.parts.iter().map(|part| part.number).max().unwrap_or(0);
            let numbered = page.parts.into_iter().map(|part| {
                let etag = unquoted(&part.etag).to_owned();
                (part.number, Part { etag, ..part })
            });
            parts.extend(numbered);
            if !page.is_truncated || last <= after {
                return Ok(parts);
            }
            after = last;
        }
    }

    /// Makes the object of these parts. Only who knows that nobody else completes this upload may call it: an answer
    /// that got lost is made good by looking whether the object is there.
    pub(super) async fn complete(&self, parts: &BTreeMap<u16, Part>) -> Result<()> {
        let listed = parts.values().map(|part| (part.number, format!("\"{}\"", part.etag)));
        let body = documents::complete(listed);
        let call = self.call(Method::POST, "complete an upload to S3").body(body.into());
        // The protocol may answer 200 first and fail then.
        for _ in 0..5 {
            let answer = self.bucket.send(&call).await?;
            match answer.status {
                StatusCode::OK if documents::is_error(&answer.body) => {
                    if answer.problem().code != "InternalError" {
                        return Err(self.bucket.refusal(&call, &answer));
                    }
                }
                StatusCode::OK => return Ok(()),
                StatusCode::NOT_FOUND if answer.problem().code != "NoSuchBucket" => {
                    let size = parts.values().map(|part| part.size).sum();
                    let there = self.bucket.size(self.key).await? == Some(size);
                    return if there { Ok(()) } else { Err(Error::UploadLost) };
                }
                StatusCode::BAD_REQUEST if answer.problem().code == "InvalidPart" => return Err(Error::UploadLost),
                _ => return Err(self.bucket.refusal(&call, &answer)),
            }
        }
        let (doing, problem) = ("complete an upload to S3".to_owned(), "it kept failing".to_owned());
        Err(Error::Unavailable { doing, problem })
    }

    /// Forgets the upload. Forgetting what is not there is fine.
    pub(super) async fn abort(&self) -> Result<()> {
        let call = self.call(Method::DELETE, "abort an upload to S3");
        let answer = self.bucket.send(&call).await?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::NOT_FOUND if answer.problem().code != "NoSuchBucket" => Ok(()),
            _ => Err(self.bucket.refusal(&call, &answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_largest_object() {
        let sizes: Vec<u64> = (1..=LAST).map(|number| part_size(number) as u64).collect();
        assert!(sizes.iter().sum::<u64>() >= 5 << 40);
        assert!(sizes.is_sorted() && sizes.iter().all(|size| (5 << 20..=5 << 30).contains(size)));
        let below = |limit: u64| {
            sizes
                .iter()
                .scan(0, |sum, size| {
                    *sum += size;
                    Some(*sum)
                })
                .take_while(|sum| *sum < limit)
                .count()
        };
        assert!(part_size(u16::try_from(below(16 << 30)).unwrap()) <= 16 * MIB, "16 GiB in parts of 16 MiB at most");
    }
}
