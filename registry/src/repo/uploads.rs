//! Upload sessions. A session is a record, so any process that has the store open can take it up; bytes that were
//! acknowledged are durable. A whole blob in one request needs no session state at all.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use wharf_blobstore::{
    Blob, BlobUpload, Change, Error as StoreError, Expect, ObjectKey, Outcome, RecordsExt as _, UploadState, Version,
    Write,
};
use wharf_spec::{Algorithm, Digest, RepositoryName};

use super::blobs::Stamp;
use super::intake::{self, Arriving};
use super::{Error, Repositories, Result, keys};

/// Names an upload session: 32 hexadecimal digits nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId(ObjectKey);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SessionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse().map(Self).map_err(|_| Error::UnknownUpload)
    }
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// Bytes that are durable.
    pub size: u64,
}

/// `Content-Range` of a chunk: first and last byte, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRange {
    /// Position of the first byte.
    pub start: u64,
    /// Position of the last byte.
    pub end: u64,
}

/// The value of `uploads/<id>`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    repository: RepositoryName,
    algorithm: String,
    /// When something last arrived, seconds since 1970.
    pub(super) touched_at: u64,
    /// Nothing has arrived yet when there is none.
    state: Option<UploadState>,
    /// Length of the last chunk, when it was too short to have one after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    short_chunk: Option<u64>,
}

/// Whether a record under `uploads/` reads as a session.
pub(crate) fn read_session(entry: &wharf_blobstore::Entry) -> wharf_blobstore::Result<()> {
    wharf_blobstore::decode::<Session>(&entry.key, &entry.record.value).map(|_| ())
}

impl Session {
    fn algorithm(&self) -> Algorithm {
        self.algorithm.parse().unwrap_or_default()
    }

    /// How many bytes have arrived.
    pub(super) fn size(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.size)
    }

    /// The object that they go to.
    pub(super) fn epoch(&self) -> Option<ObjectKey> {
        self.state.as_ref().map(|state| state.epoch)
    }
}

impl Repositories {
    /// Begins a session.
    pub async fn begin_upload(&self, name: &RepositoryName, algorithm: Algorithm) -> Result<SessionId> {
        let id = SessionId(ObjectKey::new(self.store.ids.fresh()));
        let (repository, algorithm) = (name.clone(), algorithm.to_string());
        let session = Session { repository, algorithm, touched_at: self.now(), state: None, short_chunk: None };
        self.store.records.put_json(keys::upload(id), Expect::Absent, &session).await?;
        Ok(id)
    }

    /// Where a session stands.
    pub async fn upload_status(&self, name: &RepositoryName, id: SessionId) -> Result<SessionStatus> {
        let (session, _) = self.session(name, id).await?;
        Ok(SessionStatus { size: session.size() })
    }

    /// Appends a chunk, and makes it durable. When the client stops in the middle, what had arrived is kept, so that it
    /// can go on from there; a chunk that is not what its range says is dropped whole.
    pub async fn append(
        &self,
        name: &RepositoryName,
        id: SessionId,
        range: Option<ChunkRange>,
        body: Arriving,
    ) -> Result<SessionStatus> {
        let (repositories, name) = (self.clone(), name.clone());
        to_the_end(async move { repositories.append_now(&name, id, range, body).await }).await
    }

    async fn append_now(
        &self,
        name: &RepositoryName,
        id: SessionId,
        range: Option<ChunkRange>,
        body: Arriving,
    ) -> Result<SessionStatus> {
        let (session, version) = self.session(name, id).await?;
        let upload = self.take_up(&session, session.algorithm(), range).await?;
        let (mut upload, received) = intake::receive(upload, range, body).await;
        match &received {
            Ok(()) | Err(Error::Truncated) => {}
            Err(_) => return received.map(|()| SessionStatus { size: 0 }),
        }
        let state = upload.checkpoint().await?;
        let begun = session.state.is_none();
        // What is left of a chunk that broke off is no chunk: the client goes on from there.
        let length = range.filter(|_| received.is_ok()).map(|range| range.end - range.start + 1);
        let short_chunk = length.filter(|length| *length < self.least_chunk);
        let session = Session { touched_at: self.now(), state: Some(state.clone()), short_chunk, ..session };
        match self.store.records.put_json(keys::upload(id), Expect::Version(version), &session).await? {
            Outcome::Done(_) => received.map(|()| SessionStatus { size: state.size }),
            Outcome::Conflict => {
                // Another request was faster. What we began ourselves nobody else knows; what we went on with is his.
                if begun {
                    self.blobs.abandon(&state).await?;
                }
                Err(Error::UploadBusy)
            }
        }
    }

    /// Ends a session: appends the last chunk, verifies, and makes the blob `name`'s.
    pub async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: SessionId,
        digest: Digest,
        range: Option<ChunkRange>,
        body: Arriving,
    ) -> Result<Blob> {
        let (repositories, name) = (self.clone(), name.clone());
        to_the_end(async move { repositories.finish_now(&name, id, digest, (range, body)).await }).await
    }

    async fn finish_now(
        &self,
        name: &RepositoryName,
        id: SessionId,
        digest: Digest,
        (range, body): (Option<ChunkRange>, Arriving),
    ) -> Result<Blob> {
        let (session, version) = self.session(name, id).await?;
        // While nothing has arrived, the digest may still choose how it is hashed.
        let upload = self.take_up(&session, digest.algorithm(), range).await?;
        let (upload, received) = intake::receive(upload, range, body).await;
        received?;
        let committed = upload.commit(Some(digest)).await;
        if let (Err(StoreError::Mismatch(_)), Some(state)) = (&committed, &session.state) {
            self.blobs.abandon(state).await?;
        }
        let end = Write { key: keys::upload(id), expect: Expect::Version(version), change: Change::Retire };
        let mut writes = vec![end];
        if let Ok(blob) = &committed {
            writes.extend(self.link_writes(name, &digest, Stamp::Always).await?);
            // The blob was there already, so our bytes were not taken.
            if let Some(state) = session.state.as_ref().filter(|state| state.epoch != blob.epoch) {
                self.blobs.abandon(state).await?;
            }
        }
        self.store.records.write(writes).await?;
        Ok(committed?)
    }

    /// Takes a whole blob in one request, without a session.
    pub async fn put_blob(&self, name: &RepositoryName, digest: Digest, body: Arriving) -> Result<Blob> {
        let upload = self.blobs.upload(digest.algorithm()).await?;
        let (upload, received) = intake::receive(upload, None, body).await;
        received?;
        let blob = upload.commit(Some(digest)).await?;
        self.link(name, &digest, Stamp::Always).await?;
        Ok(blob)
    }

    /// Ends a session and forgets its bytes.
    pub async fn cancel_upload(&self, name: &RepositoryName, id: SessionId) -> Result<()> {
        let (session, version) = self.session(name, id).await?;
        self.drop_session(keys::upload(id), &session, version).await.map(|_| ())
    }

    /// The record first: whoever is still writing then fails to acknowledge, and never after its bytes are gone.
    pub(super) async fn drop_session(
        &self,
        key: wharf_blobstore::RecordKey,
        session: &Session,
        version: Version,
    ) -> Result<bool> {
        let outcome = self.store.records.swap(key, Expect::Version(version), Change::Retire).await?;
        if let (Outcome::Done(_), Some(state)) = (&outcome, &session.state) {
            self.blobs.abandon(state).await?;
        }
        Ok(outcome != Outcome::Conflict)
    }

    /// A session of this repository: knowing an id of another one gives nothing.
    async fn session(&self, name: &RepositoryName, id: SessionId) -> Result<(Session, Version)> {
        let found = self.store.records.get_json::<Session>(&keys::upload(id)).await?;
        found.filter(|(session, _)| session.repository == *name).ok_or(Error::UnknownUpload)
    }

    /// Opens the session's upload where it stands, after looking whether the chunk begins there.
    async fn take_up(&self, session: &Session, algorithm: Algorithm, range: Option<ChunkRange>) -> Result<BlobUpload> {
        let offset = session.size();
        if let Some(ChunkRange { start, .. }) = range.filter(|range| range.start != offset) {
            return Err(Error::OutOfOrder { offset, start });
        }
        if let (Some(length), Some(_)) = (session.short_chunk, range) {
            return Err(Error::ShortChunk { least: self.least_chunk, length });
        }
        let upload = match &session.state {
            Some(state) => self.blobs.resume(state).await,
            None => self.blobs.upload(algorithm).await,
        };
        upload.map_err(|error| match error {
            StoreError::UploadLost => Error::UnknownUpload,
            other => other.into(),
        })
    }
}

/// Runs to its end even when whoever waits for it gives up: a server drops the request when the client goes away, and
/// what had arrived by then is to be kept.
async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    match tokio::spawn(work).await {
        Ok(result) => result,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down.
            Err(_) => Err(Error::Truncated),
        },
    }
}
