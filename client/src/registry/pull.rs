//! Manifests: asking for one, and whether there is one (distribution-spec, "Pulling manifests").

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::{Response, StatusCode};
use wharf_spec::{Algorithm, Descriptor, Digest, DigestMismatch, MediaKind, MediaType, RawManifest};

use super::RemoteRepository;
use super::answer::Context;
use super::endpoint::Endpoint;
use super::exchange::Call;
use crate::transfer::{Error, MAX_MANIFEST, Result, Target};

/// The digest a registry says its answer has.
pub(super) const DOCKER_CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

impl RemoteRepository {
    /// What `target` names now, without reading it; `None` when there is no such manifest.
    pub async fn resolve(&self, target: &Target) -> Result<Option<Descriptor>> {
        let doing = format!("resolve {}", self.named(target));
        let head = |endpoint: Endpoint| {
            let doing = doing.as_str();
            async move { self.head_manifest(&endpoint, target, doing).await }
        };
        match self.read(&doing, head).await {
            Ok(Head::Found(descriptor)) => return Ok(Some(*descriptor)),
            // Some registries do not say enough, or do not know HEAD.
            Ok(Head::Unclear) => {}
            Err(Error::ManifestNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        }
        match self.get_manifest(target).await {
            Ok(manifest) => Ok(Some(manifest.descriptor())),
            Err(Error::ManifestNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn get_manifest(&self, target: &Target) -> Result<RawManifest> {
        let doing = format!("pull {}", self.named(target));
        let get = |endpoint: Endpoint| {
            let doing = doing.as_str();
            async move { self.manifest_from(&endpoint, target, doing).await }
        };
        self.read(&doing, get).await
    }

    /// From the registry itself: what a mirror still has must not be written back.
    pub(super) async fn get_manifest_at_origin(&self, target: &Target) -> Result<RawManifest> {
        let (endpoint, doing) = (self.origin_endpoint().await, format!("pull {}", self.named(target)));
        let context = Context { endpoint: &endpoint, doing: &doing };
        self.inner().retrying(context, || self.manifest_from(&endpoint, target, &doing)).await
    }

    /// Whether the registry itself has the manifest: what a mirror has is of no use to a push.
    pub(super) async fn check_manifest(&self, digest: &Digest) -> Result<bool> {
        let endpoint = self.origin_endpoint().await;
        let target = Target::Digest(*digest);
        let doing = format!("look for {}", self.named(&target));
        let scopes = [self.push_scope()];
        let call = self.manifest_call(&endpoint, (Method::HEAD, &target), &scopes, &doing);
        let step = || async {
            let answer = self.inner().exchange(&call).await?;
            match answer.status() {
                StatusCode::OK => Ok(true),
                // 405 from a registry without HEAD: better to push once more than to fail.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
                _ => Err(self.inner().refusal(call.context(), answer).await.into()),
            }
        };
        self.inner().retrying(call.context(), step).await
    }

    pub(super) fn named(&self, target: &Target) -> String {
        match target {
            Target::Tag(tag) => format!("{}/{}:{tag}", self.host(), self.name()),
            Target::Digest(digest) => format!("{}/{}@{digest}", self.host(), self.name()),
        }
    }

    fn manifest_call<'a>(
        &self,
        endpoint: &'a Endpoint,
        (method, target): (Method, &Target),
        scopes: &'a [crate::auth::Scope],
        doing: &'a str,
    ) -> Call<'a> {
        let url = endpoint.url(self.name(), &format!("manifests/{target}"));
        let mut call = Call::new(endpoint, method, url, scopes, doing);
        for media_type in MediaType::MANIFESTS {
            call = call.header(ACCEPT, HeaderValue::from_static(media_type));
        }
        call
    }

    async fn head_manifest(&self, endpoint: &Endpoint, target: &Target, doing: &str) -> Result<Head> {
        let scopes = self.pull_scope(endpoint);
        let call = self.manifest_call(endpoint, (Method::HEAD, target), &scopes, doing);
        let answer = self.inner().exchange(&call).await?;
        match answer.status() {
            StatusCode::OK => {
                let found = head_descriptor(answer.headers(), target).map(Box::new);
                Ok(found.map_or(Head::Unclear, Head::Found))
            }
            StatusCode::NOT_FOUND => Err(self.no_manifest(target)),
            StatusCode::METHOD_NOT_ALLOWED => Ok(Head::Unclear),
            _ => Err(self.inner().refusal(call.context(), answer).await.into()),
        }
    }

    async fn manifest_from(&self, endpoint: &Endpoint, target: &Target, doing: &str) -> Result<RawManifest> {
        let scopes = self.pull_scope(endpoint);
        let call = self.manifest_call(endpoint, (Method::GET, target), &scopes, doing);
        let answer = self.inner().exchange(&call).await?;
        match answer.status() {
            StatusCode::OK => self.read_manifest(&call, answer, target).await,
            StatusCode::NOT_FOUND => Err(self.no_manifest(target)),
            _ => Err(self.inner().refusal(call.context(), answer).await.into()),
        }
    }

    fn no_manifest(&self, target: &Target) -> Error {
        Error::ManifestNotFound { origin: self.place(), target: target.clone() }
    }

    async fn read_manifest(&self, call: &Call<'_>, answer: Response, target: &Target) -> Result<RawManifest> {
        let promised = match target {
            Target::Digest(digest) => Some(*digest),
            Target::Tag(_) => header_digest(answer.headers()),
        };
        let sent_as = media_type(answer.headers());
        let body = self.inner().body(call.context(), answer, MAX_MANIFEST).await?;
        let body = body.ok_or_else(|| Error::HugeManifest { origin: self.place(), target: target.clone() })?;
        let algorithm = promised.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        if let Some(expected) = promised {
            let actual = Digest::of(algorithm, &body);
            if actual != expected {
                let mismatch = DigestMismatch { expected, actual };
                return Err(Error::WrongBytes { origin: self.place(), mismatch });
            }
        }
        RawManifest::parse(body.into(), sent_as.as_ref(), algorithm).map_err(|problem| Error::BadManifest {
            origin: self.place(),
            target: target.clone(),
            problem,
        })
    }
}

/// What a HEAD told.
enum Head {
    Found(Box<Descriptor>),
    Unclear,
}

fn head_descriptor(headers: &HeaderMap, target: &Target) -> Option<Descriptor> {
    let said = header_digest(headers);
    let digest = match target {
        Target::Digest(asked) => said.is_none_or(|said| said == *asked).then_some(*asked),
        Target::Tag(_) => said,
    }?;
    let size = headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()?;
    Some(Descriptor::new(media_type(headers)?.as_str(), digest, size))
}

fn header_digest(headers: &HeaderMap) -> Option<Digest> {
    headers.get(DOCKER_CONTENT_DIGEST)?.to_str().ok()?.parse().ok()
}

/// The manifest type an answer says it is. Servers that know no better say `application/json` or `text/plain`: then the
/// manifest itself knows.
fn media_type(headers: &HeaderMap) -> Option<MediaType> {
    let said = MediaType::new(headers.get(CONTENT_TYPE)?.to_str().ok()?);
    match said.kind() {
        MediaKind::Manifest | MediaKind::Index => Some(said),
        MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => None,
    }
}
