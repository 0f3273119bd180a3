//! One repository of a remote registry, as a place that images are read from and written to.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use wharf_spec::{Descriptor, Digest, RawManifest, RegistryHost, RepositoryName, Tag};

use super::answer::Context;
use super::client::{Client, Inner, lock};
use super::endpoint::Endpoint;
use super::upload::Session;
use crate::Notice;
use crate::auth::Scope;
use crate::transfer::{BlobBody, ByteStream, ImageSink, ImageSource, Origin, Result, Target};

/// A repository of a registry. Cloning is cheap.
#[derive(Clone)]
pub struct RemoteRepository {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    host: RegistryHost,
    name: RepositoryName,
    /// Uploads that began before their blob was put: taken up by the put that follows.
    begun: Mutex<HashMap<Digest, Session>>,
}

impl fmt::Debug for RemoteRepository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteRepository({}/{})", self.host(), self.name())
    }
}

impl RemoteRepository {
    pub(super) fn new(client: Client, host: RegistryHost, name: RepositoryName) -> Self {
        Self { shared: Arc::new(Shared { client, host, name, begun: Mutex::default() }) }
    }

    /// The registry.
    pub fn host(&self) -> &RegistryHost {
        &self.shared.host
    }

    /// The repository's name.
    pub fn name(&self) -> &RepositoryName {
        &self.shared.name
    }

    /// Whether it said a moment ago that it has taken this blob: nothing is asked.
    pub fn took_lately(&self, digest: &Digest) -> bool {
        self.inner().arrived.lately(self.host(), self.name(), digest)
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.shared.client.inner
    }

    pub(super) fn place(&self) -> Origin {
        Origin::Registry { host: self.host().clone(), repository: self.name().clone() }
    }

    /// Where writes go.
    pub(super) async fn origin_endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::origin(self.host());
        self.shared.client.settled(endpoint).await
    }

    /// Where reads go, in this order.
    pub(super) async fn readers(&self) -> Vec<Endpoint> {
        let mut readers = Vec::new();
        for mirror in Endpoint::mirrors(&self.inner().config, self.host()) {
            readers.push(self.shared.client.settled(mirror).await);
        }
        readers.push(self.origin_endpoint().await);
        readers
    }

    /// What reading from a machine needs: a mirror may call the repository something else.
    pub(super) fn pull_scope(&self, endpoint: &Endpoint) -> [Scope; 1] {
        [Scope::Pull(endpoint.repository(self.name()))]
    }

    pub(super) fn push_scope(&self) -> Scope {
        Scope::Push(self.name().clone())
    }

    /// Does a reading step at each machine until one succeeds. Mirrors get one try each: the registry itself is the one
    /// worth waiting for.
    pub(super) async fn read<T, F>(&self, doing: &str, step: impl Fn(Endpoint) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        for endpoint in self.readers().await {
            let context = Context { endpoint: &endpoint, doing };
            if !endpoint.is_mirror() {
                return self.inner().retrying(context, || step(endpoint.clone())).await;
            }
            match step(endpoint.clone()).await {
                Ok(found) => return Ok(found),
                Err(error) => self.mirror_failed(context, &error),
            }
        }
        unreachable!("the registry itself is always the last reader")
    }

    pub(super) fn mirror_failed(&self, context: Context<'_>, error: &dyn fmt::Display) {
        self.inner().tell(Notice::MirrorFailed {
            host: context.endpoint.host.to_string(),
            doing: context.doing.to_owned(),
            problem: error.to_string(),
        });
    }

    pub(super) fn keep_session(&self, digest: Digest, session: Session) {
        lock(&self.shared.begun).insert(digest, session);
    }

    pub(super) fn take_session(&self, digest: &Digest) -> Option<Session> {
        lock(&self.shared.begun).remove(digest)
    }
}

#[async_trait]
impl ImageSource for RemoteRepository {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        self.get_manifest(target).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        self.download(descriptor).await
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        self.list_referrers(digest).await
    }

    fn origin(&self) -> Origin {
        self.place()
    }
}

#[async_trait]
impl ImageSink for RemoteRepository {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        self.check_blob(&descriptor.digest).await
    }

    async fn mount(&self, descriptor: &Descriptor, origin: &Origin) -> Result<bool> {
        match origin {
            Origin::Registry { host, repository } if host == self.host() && repository != self.name() => {
                self.mount_blob(&descriptor.digest, repository).await
            }
            Origin::Registry { .. } | Origin::Store { .. } | Origin::File(_) | Origin::Place(_) | Origin::Stream => {
                Ok(false)
            }
        }
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        self.upload(descriptor, body).await
    }

    async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        self.check_manifest(digest).await
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        self.push_manifest(manifest, tag).await
    }

    fn destination(&self) -> Origin {
        self.place()
    }
}
