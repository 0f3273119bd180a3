//! [`Records`] in a bucket: one object each, written on conditions; see `envelope.rs` and `names.rs`.
//!
//! A version is the object's entity tag. Deleting writes a tombstone, because not every service deletes on a condition
//! (some do not look at it, and delete), and an unconditional delete is a lost update. Only what is retired, never to be
//! created again, leaves none.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, StatusCode, header};

use super::bucket::{Bucket, Call, Condition, Written};
use super::documents::{Listed, unquoted};
use super::envelope::{Content, TOMBSTONE};
use super::lineage::Lineage;
use super::listing::{Listing, PAGE};
use super::names;
use super::recent::{Known, Recent};
use crate::{Change, Entry, Error, Expect, Ids, Outcome, Record, RecordKey, Records, Result, Version, Write};

/// Where records lie.
pub(super) const RECORDS: &str = "records/";

/// Requests under way at once for one call.
const AT_ONCE: usize = 32;

/// Names asked for at least: tombstones may be among them.
const SMALLEST: usize = 100;

/// How often a record is created that was deleted and created and deleted meanwhile.
const ATTEMPTS: usize = 16;

/// Records in a bucket. Cloning is cheap; clones share connections and what was read lately.
#[derive(Clone, Debug)]
pub struct S3Records {
    bucket: Arc<Bucket>,
    ids: Arc<dyn Ids>,
    recent: Arc<Recent>,
}

/// What lies under a record's name.
#[derive(Debug)]
enum Found {
    Nothing,
    Tombstone(String, Lineage),
    Record(Known),
}

/// What became of a write.
#[derive(Debug)]
enum Settled {
    /// It was carried out, and is there; the entity tag.
    There(String),
    /// It was carried out, and another came over it.
    Overwritten,
    /// It was not, and will not be: what it was to replace is gone.
    Never,
}

/// What is to be written over.
#[derive(Clone, Copy, Debug)]
struct Over<'a> {
    condition: Condition<'a>,
    lineage: &'a Lineage,
}

impl S3Records {
    pub(super) fn new(bucket: Arc<Bucket>, ids: Arc<dyn Ids>) -> Self {
        Self { bucket, ids, recent: Arc::default() }
    }

    async fn find(&self, key: &RecordKey) -> Result<Found> {
        let name = object(key);
        let known = self.recent.get(&name);
        let call = Call::new(Method::GET, &name, "read a record from S3");
        let call = match &known {
            Some(known) => call.header(header::IF_NONE_MATCH, format!("\"{}\"", known.tag)),
            None => call,
        };
        let answer = self.bucket.send(&call).await?;
        match (answer.status, known) {
            (StatusCode::NOT_MODIFIED, Some(known)) => Ok(Found::Record(known)),
            (StatusCode::NOT_FOUND, _) if answer.problem().code != "NoSuchBucket" => Ok(Found::Nothing),
            (StatusCode::OK, _) => {
                let corrupt =
                    |problem: &str| Error::CorruptRecord { key: key.to_string(), problem: problem.to_owned() };
                let tag = answer.etag().ok_or_else(|| corrupt("it came without an ETag"))?;
                match Content::open(&answer.body).ok_or_else(|| corrupt("it is not one of Wharf's"))? {
                    (Content::Record(value), lineage) => {
                        let known = Known { tag, value, lineage };
                        self.recent.put(&name, known.clone());
                        Ok(Found::Record(known))
                    }
                    (Content::Gone, lineage) => Ok(Found::Tombstone(tag, lineage)),
                }
            }
            _ => Err(self.bucket.refusal(&call, &answer)),
        }
    }

    async fn swap(&self, write: Write) -> Result<Outcome> {
        let Write { key, expect, change } = write;
        let retires = change == Change::Retire;
        let content = match change {
            Change::Put(value) => Content::Record(value),
            Change::Delete | Change::Retire => Content::Gone,
        };
        let outcome = match expect {
            Expect::Version(version) => match tag(&version) {
                Some(tag) => {
                    let known = self.recent.get(&object(&key)).filter(|known| known.tag == tag);
                    let lineage = known.map(|known| known.lineage).unwrap_or_default();
                    self.put(&key, Over { condition: Condition::Tag(tag), lineage: &lineage }, &content).await?
                }
                None => Outcome::Conflict,
            },
            Expect::Absent => self.create(&key, &content).await?,
        };
        if retires && outcome != Outcome::Conflict {
            self.remove_tombstone(&key).await;
        }
        Ok(outcome)
    }

    /// Nobody creates this record again, so deleting what lies there, which no condition guards, takes nothing but the
    /// tombstone, however late it happens. The record is gone already; where this does not happen, a tombstone stays.
    async fn remove_tombstone(&self, key: &RecordKey) {
        let name = object(key);
        if let Err(error) = self.bucket.delete(&name).await {
            tracing::debug!(name, error = &error as &dyn std::error::Error, "a tombstone stays");
        }
    }

    /// Writes where there is nothing, or a tombstone.
    async fn create(&self, key: &RecordKey, content: &Content) -> Result<Outcome> {
        if *content == Content::Gone {
            return Ok(match self.find(key).await? {
                Found::Nothing | Found::Tombstone(..) => Outcome::Done(gone("")),
                Found::Record(_) => Outcome::Conflict,
            });
        }
        let nothing = Lineage::nothing();
        let absent = Over { condition: Condition::Absent, lineage: &nothing };
        let mut outcome = self.put(key, absent, content).await?;
        for _ in 0..ATTEMPTS {
            if outcome != Outcome::Conflict {
                return Ok(outcome);
            }
            outcome = match self.find(key).await? {
                Found::Record(_) => return Ok(Outcome::Conflict),
                Found::Tombstone(tag, lineage) => {
                    self.put(key, Over { condition: Condition::Tag(&tag), lineage: &lineage }, content).await?
                }
                Found::Nothing => self.put(key, absent, content).await?,
            };
        }
        Err(Error::Contended { key: key.to_string() })
    }

    async fn put(&self, key: &RecordKey, over: Over<'_>, content: &Content) -> Result<Outcome> {
        let name = object(key);
        let (body, lineage) = content.seal(over.lineage, &*self.ids);
        let written = self.bucket.write_if(&name, over.condition, body.clone()).await?;
        let tag = match written {
            Written::Done(tag) => tag,
            Written::Refused => return Ok(Outcome::Conflict),
            Written::Doubtful => match self.settle(&name, &body, &lineage).await? {
                Settled::There(tag) => tag,
                // Whoever was told of this version finds another, as if he had come a little later.
                Settled::Overwritten => return Ok(Outcome::Done(gone("and another came"))),
                Settled::Never => return Ok(Outcome::Conflict),
            },
        };
        Ok(match content {
            Content::Record(value) => {
                self.recent.put(&name, Known { tag: tag.clone(), value: value.clone(), lineage });
                Outcome::Done(Version(tag))
            }
            Content::Gone => {
                self.recent.forget(&name);
                Outcome::Done(gone(&tag))
            }
        })
    }

    /// What became of a write that was not answered and found, when it was tried again, that something else was there.
    async fn settle(&self, name: &str, body: &Bytes, tried: &Lineage) -> Result<Settled> {
        let Some((tag, found)) = self.bucket.read_small(name).await? else { return Err(Written::unknown()) };
        if found == *body {
            return Ok(Settled::There(tag));
        }
        match Content::open(&found).and_then(|(_, lineage)| lineage.has(tried)) {
            Some(true) => Ok(Settled::Overwritten),
            Some(false) => Ok(Settled::Never),
            None => Err(Written::unknown()),
        }
    }

    /// The record that was listed, as it is now; `None` for one that is gone meanwhile.
    async fn listed(&self, listed: Listed) -> Result<Option<Entry>> {
        let Some(key) = listed.key.strip_prefix(RECORDS).and_then(names::key) else { return Ok(None) };
        let tag = unquoted(&listed.etag);
        let known = match self.recent.get(&listed.key).filter(|known| known.tag == tag) {
            Some(known) => known,
            None => match self.find(&key).await? {
                Found::Record(known) => known,
                Found::Nothing | Found::Tombstone(..) => return Ok(None),
            },
        };
        Ok(Some(Entry { key, record: record(known) }))
    }
}

#[async_trait]
impl Records for S3Records {
    async fn get(&self, key: &RecordKey) -> Result<Option<Record>> {
        Ok(match self.find(key).await? {
            Found::Record(known) => Some(record(known)),
            Found::Nothing | Found::Tombstone(..) => None,
        })
    }

    async fn get_many(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>> {
        stream::iter(keys.to_vec()).map(|key| async move { self.get(&key).await }).buffered(AT_ONCE).try_collect().await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<Entry>> {
        let after = after.map(|after| RECORDS.to_owned() + &names::name(after));
        let mut listing = Listing::new(&self.bucket, &(RECORDS.to_owned() + &names::prefix(prefix)), after.as_deref());
        let mut entries: Vec<Entry> = Vec::new();
        while entries.len() < limit && !listing.ended() {
            let wanted = limit - entries.len();
            let mut page = listing.next(wanted.clamp(SMALLEST, PAGE)).await?;
            page.retain(|listed| listed.size != TOMBSTONE);
            if page.len() > wanted {
                page.truncate(wanted);
                listing.go_back(&page[wanted - 1].key);
            }
            let records = stream::iter(page).map(|listed| self.listed(listed)).buffered(AT_ONCE);
            let found: Vec<Option<Entry>> = records.try_collect().await?;
            entries.extend(found.into_iter().flatten());
        }
        Ok(entries)
    }

    async fn write(&self, batch: Vec<Write>) -> Result<Vec<Outcome>> {
        stream::iter(batch).map(|write| self.swap(write)).buffered(AT_ONCE).try_collect().await
    }
}

fn record(known: Known) -> Record {
    Record { value: known.value, version: Version(known.tag) }
}

/// Where a record lies.
fn object(key: &RecordKey) -> String {
    RECORDS.to_owned() + &names::name(key.as_str())
}

/// A version that was a tombstone's: nobody can expect it, because there is no record that has it.
fn gone(tag: &str) -> Version {
    Version(format!("gone {tag}"))
}

/// The entity tag that a version is; `None` for one that was never given out for a record. Nothing else may get into a
/// header, where spaces around it would not count.
fn tag(version: &Version) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'+' | b'/' | b'=');
    (!version.0.is_empty() && version.0.bytes().all(plain)).then_some(&version.0)
}
