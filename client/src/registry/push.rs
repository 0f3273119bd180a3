//! Pushing: blobs with retries that go on where the registry says it stands, and manifests.

use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method};
use reqwest::Response;
use wharf_spec::{Descriptor, Digest, DigestMismatch, RawManifest, RepositoryName, Tag};

use super::answer::Context;
use super::exchange::{Call, Payload};
use super::pieces::Pieces;
use super::pull::DOCKER_CONTENT_DIGEST;
use super::retry::{wait_after, waits as fresh_waits};
use super::upload::{Begun, Push, Session};
use super::{Error, RemoteRepository};
use crate::auth::Scope;
use crate::transfer::{self, BlobBody, Result, Target};

/// Chunks when the registry names a least size and the user none: few enough that round trips do not count, small
/// enough that a broken connection costs little.
const USUAL_CHUNK: u64 = 64 << 20;

/// How a registry says that it keeps track of referrers.
const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

impl RemoteRepository {
    pub(super) async fn check_blob(&self, digest: &Digest) -> Result<bool> {
        if self.took_lately(digest) {
            return Ok(true);
        }
        let doing = format!("look for blob {digest} in {}/{}", self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        let push = Push { repository: self, endpoint: &endpoint, doing: &doing, scopes: &scopes };
        let context = Context { endpoint: &endpoint, doing: &doing };
        self.inner().retrying(context, || push.check_existing(digest)).await
    }

    pub(super) async fn mount_blob(&self, digest: &Digest, from: &RepositoryName) -> Result<bool> {
        let doing = format!("mount blob {digest} from {from} into {}/{}", self.host(), self.name());
        let endpoint = self.origin_endpoint().await;
        let scopes = [self.push_scope(), Scope::Pull(from.clone())];
        let push = Push { repository: self, endpoint: &endpoint, doing: &doing, scopes: &scopes };
        match push.initiate(Some((digest, from))).await {
            Ok(Begun::Mounted) => Ok(true),
            Ok(Begun::Session(session)) => {
                self.keep_session(*digest, session);
                Ok(false)
            }
            // Whatever is wrong with the other repository, the bytes can still be sent.
            Err(transfer::Error::Registry(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn upload(&self, blob: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        let doing = format!("push blob {} to {}/{}", blob.digest, self.host(), self.name());
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        let push = Push { repository: self, endpoint: &endpoint, doing: &doing, scopes: &scopes };
        let session = self.take_session(&blob.digest);
        let offset = session.as_ref().map_or(0, |session| session.sent);
        let mut upload = Upload { push, blob, body, session, offset };
        upload.run().await?;
        self.inner().arrived.note(self.host(), self.name(), &blob.digest);
        Ok(())
    }

    pub(super) async fn push_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let target = tag.map_or(Target::Digest(manifest.digest()), |tag| Target::Tag(tag.clone()));
        let answer = self.put_manifest_as(manifest, &target).await?;
        // Without the referrers API the client keeps the list (distribution-spec, "Pushing Manifests with Subject").
        match manifest.subject() {
            Some(subject) if !answer.headers().contains_key(OCI_SUBJECT) => {
                self.add_to_fallback_tag(&subject.digest, manifest).await
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) async fn put_manifest_as(&self, manifest: &RawManifest, target: &Target) -> Result<Response> {
        let doing = format!("push {}", self.named(target));
        let (endpoint, scopes) = (self.origin_endpoint().await, [self.push_scope()]);
        let url = endpoint.url(self.name(), &format!("manifests/{target}"));
        let bytes = bytes::Bytes::copy_from_slice(manifest.bytes());
        let media_type = HeaderValue::from_str(manifest.media_type().as_str())
            .map_err(|_| Context { endpoint: &endpoint, doing: &doing }.nonsense("a media type with odd bytes"))?;
        let call = Call::new(&endpoint, Method::PUT, url, &scopes, &doing)
            .header(CONTENT_TYPE, media_type)
            .payload(Payload::Bytes(bytes));
        let step = || async {
            let answer = self.inner().exchange(&call).await?;
            if answer.status().is_success() {
                return Ok(answer);
            }
            Err(transfer::Error::from(self.inner().refusal(call.context(), answer).await))
        };
        let answer = self.inner().retrying(call.context(), step).await?;
        self.check_stored(manifest, &answer)?;
        Ok(answer)
    }

    /// A registry that stored something else would break every client that pulls by digest.
    fn check_stored(&self, manifest: &RawManifest, answer: &Response) -> Result<()> {
        let said = answer.headers().get(DOCKER_CONTENT_DIGEST).and_then(|value| value.to_str().ok()?.parse().ok());
        match said {
            Some(actual @ Digest { .. })
                if actual.algorithm() == manifest.digest().algorithm() && actual != manifest.digest() =>
            {
                let mismatch = DigestMismatch { expected: manifest.digest(), actual };
                Err(transfer::Error::WrongBytes { origin: self.place(), mismatch })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// A blob on its way.
struct Upload<'a> {
    push: Push<'a>,
    blob: &'a Descriptor,
    body: &'a dyn BlobBody,
    /// `None` when the next try begins anew.
    session: Option<Session>,
    /// Bytes the registry has.
    offset: u64,
}

impl Upload<'_> {
    async fn run(&mut self) -> Result<()> {
        let inner = self.push.repository.inner();
        let retries = &inner.config.retries;
        let mut waits = fresh_waits(retries);
        loop {
            let before = self.offset;
            let error = match self.attempt().await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            if self.offset > before {
                waits = fresh_waits(retries);
            }
            let wait = match &error {
                transfer::Error::Registry(known) if lost_session(known) => waits.next(),
                transfer::Error::Registry(known) => wait_after(known, waits.next(), retries),
                _ => None,
            };
            let Some(wait) = wait else {
                if let Some(session) = &self.session {
                    self.push.cancel(session).await;
                }
                return Err(error);
            };
            let context = Context { endpoint: self.push.endpoint, doing: self.push.doing };
            inner.say_retrying(context, &error, wait);
            tokio::time::sleep(wait).await;
            if self.stands_already().await? {
                return Ok(());
            }
        }
    }

    /// After a failure: where the upload stands, or that it must begin anew, or that the blob is there after all (the
    /// answer to the last request was lost).
    async fn stands_already(&mut self) -> Result<bool> {
        if let Some(session) = &mut self.session {
            match self.push.status(session).await {
                Ok(Some(offset)) if offset > 0 && offset <= self.blob.size => {
                    self.offset = offset;
                    return Ok(false);
                }
                Ok(Some(_)) => self.push.cancel(&session.clone()).await,
                Ok(None) | Err(_) => {}
            }
        }
        self.session = None;
        self.offset = 0;
        // A registry that cannot be reached now is the next try's to find out.
        Ok(self.push.check_existing(&self.blob.digest).await.unwrap_or(false))
    }

    async fn attempt(&mut self) -> Result<()> {
        let mut session = match self.session.take() {
            Some(session) => session,
            None => match self.push.initiate(None).await? {
                Begun::Session(session) => session,
                Begun::Mounted => return Ok(()),
            },
        };
        let result = self.send(&mut session).await;
        self.session = Some(session);
        result
    }

    async fn send(&mut self, session: &mut Session) -> Result<()> {
        let chunk = self.chunk_size(session);
        if self.offset == 0 && self.blob.size <= chunk {
            return self.push.send_whole(session, self.blob, self.body).await;
        }
        let mut pieces = Pieces::new(self.body.open(self.offset).await?);
        while self.offset < self.blob.size {
            let length = chunk.min(self.blob.size - self.offset);
            let (push, start) = (&self.push, self.offset);
            let (part, pump) = pieces.lend(length);
            let (received, ()) = tokio::join!(push.send_piece(session, (start, length), part), pump);
            let received = received?;
            self.offset = received.min(self.blob.size);
            if received != start + length {
                // It took less than it was given: go on from there.
                pieces = Pieces::new(self.body.open(self.offset).await?);
                self.check_progress(start)?;
            }
        }
        self.push.commit(session, &self.blob.digest).await
    }

    fn check_progress(&self, start: u64) -> Result<()> {
        if self.offset > start {
            return Ok(());
        }
        let context = Context { endpoint: self.push.endpoint, doing: self.push.doing };
        Err(context.broke_off(format!("it keeps only {} bytes", self.offset)).into())
    }

    /// How much goes into one request: everything, unless somebody wants chunks.
    fn chunk_size(&self, session: &Session) -> u64 {
        let configured = self.push.repository.inner().config.chunk_size;
        match (configured, session.least_chunk) {
            (None, None) => u64::MAX,
            (wanted, least) => wanted.unwrap_or(USUAL_CHUNK).max(least.unwrap_or(1)).max(1),
        }
    }
}

/// The registry forgot the upload, or has another idea of where it stands: beginning anew helps.
fn lost_session(error: &Error) -> bool {
    matches!(error, Error::NotFound { .. } | Error::Rejected { status: 416, .. })
}
