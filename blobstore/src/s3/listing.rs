//! Listing the bucket: names under a prefix, in the order of their bytes, page by page.

use http::{Method, StatusCode};

use super::bucket::{Bucket, Call};
use super::documents::{self, Listed, Page};
use crate::{Error, Result};

/// The longest page that services give.
pub(super) const PAGE: usize = 1000;

/// Goes through the names that begin with a prefix.
#[derive(Debug)]
pub(super) struct Listing<'a> {
    bucket: &'a Bucket,
    prefix: String,
    after: Option<String>,
    ended: bool,
}

impl<'a> Listing<'a> {
    /// Names of the store that begin with `prefix` and are greater than `after`.
    pub(super) fn new(bucket: &'a Bucket, prefix: &str, after: Option<&str>) -> Self {
        // Not every service bears a start outside of the prefix.
        let ended = after.is_some_and(|after| after > prefix && !after.starts_with(prefix));
        let after =
            after.filter(|after| after.starts_with(prefix) && !after.is_empty()).map(|after| bucket.full(after));
        Self { bucket, prefix: bucket.full(prefix), after, ended }
    }

    /// The next names, `limit` at most, as the store knows them; empty at the end.
    pub(super) async fn next(&mut self, limit: usize) -> Result<Vec<Listed>> {
        if self.ended || limit == 0 {
            return Ok(Vec::new());
        }
        let call = Call::bucket(Method::GET, "list the bucket")
            .parameter("list-type", "2")
            .parameter("max-keys", limit.min(PAGE).to_string())
            .parameter("prefix", self.prefix.clone());
        let call = match &self.after {
            Some(after) => call.parameter("start-after", after.clone()),
            None => call,
        };
        let answer = self.bucket.send(&call).await?;
        if answer.status != StatusCode::OK {
            return Err(self.bucket.refusal(&call, &answer));
        }
        let unreadable = |problem| Error::Unavailable { doing: "list the bucket".to_owned(), problem };
        let page: Page = documents::read(&answer.body).map_err(unreadable)?;
        if !page.contents.is_sorted_by(|a, b| a.key < b.key) {
            // Going on after the last one would leave others out for ever.
            let problem = "the service does not list names in the order of their bytes, as S3 does".to_owned();
            return Err(Error::Refused { doing: "list the bucket".to_owned(), problem });
        }
        self.ended = !page.is_truncated;
        if let Some(last) = page.contents.last() {
            if self.after.as_ref().is_some_and(|after| *after >= last.key) {
                return Err(unreadable("the listing does not get on".to_owned()));
            }
            self.after = Some(last.key.clone());
        }
        let named = page.contents.into_iter().filter_map(|listed| {
            let key = self.bucket.relative(&listed.key)?.to_owned();
            Some(Listed { key, ..listed })
        });
        Ok(named.collect())
    }

    /// Goes on after this one, which was among the last.
    pub(super) fn go_back(&mut self, key: &str) {
        self.after = Some(self.bucket.full(key));
        self.ended = false;
    }

    /// Whether there is nothing more.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }
}
