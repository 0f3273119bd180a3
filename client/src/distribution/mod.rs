//! The storage of a CNCF Distribution registry (`registry:2`, `registry:3`), a directory or a bucket, read as it lies: moving
//! away from one needs no running server. Nothing is written, and nothing is used without its digest.
//!
//! ```text
//! docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link    a digest
//! docker/registry/v2/repositories/<name>/_manifests/revisions/<alg>/<hex>/link the repository has this manifest
//! docker/registry/v2/blobs/<alg>/<two digits>/<hex>/data                       bytes of blobs and manifests
//! ```

mod files;

use std::path::Path;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use wharf_blobstore::s3::{S3Config, S3Files};
use wharf_spec::{Descriptor, Digest, RawManifest, RepositoryName, Tag};

use crate::transfer::{ByteStream, Error, ImageSource, Origin, Result, Target, parse_manifest};
use files::Files;

/// Below the directory that the registry was configured with.
const ROOT: &str = "docker/registry/v2";

/// Components of a repository's name; what lies deeper is not looked at.
const MAX_DEPTH: usize = 32;

/// Manifests that are looked at at once.
const AT_ONCE: usize = 16;

/// A registry's storage.
#[derive(Clone, Debug)]
pub struct DistributionStorage {
    files: Files,
    /// Where `blobs` and `repositories` lie: empty, or ending in `/`.
    root: String,
}

/// One repository in it.
#[derive(Clone, Debug)]
pub struct DistributionRepository {
    storage: DistributionStorage,
    name: RepositoryName,
}

impl DistributionStorage {
    /// The storage at `path`: the directory the registry was configured with (`rootdirectory`), or the one below it that has
    /// `repositories`.
    pub async fn open(path: &Path) -> Result<Self> {
        Self::find(Files::Directory(path.to_owned())).await
    }

    /// The storage in a bucket; the prefix is what the registry was configured with (`rootdirectory`).
    pub async fn open_bucket(config: &S3Config) -> Result<Self> {
        Self::find(Files::Bucket(S3Files::new(config)?)).await
    }

    async fn find(files: Files) -> Result<Self> {
        for root in [format!("{ROOT}/"), String::new()] {
            if !files.names(&format!("{root}repositories")).await?.is_empty() {
                return Ok(Self { files, root });
            }
        }
        // An empty registry has the directory all the same.
        let root = format!("{ROOT}/");
        if files.names(ROOT).await?.iter().any(|name| name == "repositories") {
            return Ok(Self { files, root });
        }
        let problem = format!("it has no {ROOT}/repositories, so it is no registry's storage");
        Err(Error::BadFile { path: files.shown(""), problem })
    }

    /// The names of all repositories, in order. Directories that are no repository are passed over.
    pub async fn repositories(&self) -> Result<Vec<RepositoryName>> {
        let (mut found, mut waiting) = (Vec::new(), vec![(String::new(), 0)]);
        while let Some((name, depth)) = waiting.pop() {
            let entries = self.files.names(format!("{}repositories/{name}", self.root).trim_end_matches('/')).await?;
            if entries.iter().any(|entry| entry == "_manifests") {
                found.extend(name.parse::<RepositoryName>());
            }
            if depth == MAX_DEPTH {
                continue;
            }
            let below = entries.into_iter().filter(|entry| !entry.starts_with('_'));
            let join = |entry: String| if name.is_empty() { entry } else { format!("{name}/{entry}") };
            waiting.extend(below.map(|entry| (join(entry), depth + 1)));
        }
        found.sort();
        Ok(found)
    }

    /// One of them.
    pub fn repository(&self, name: RepositoryName) -> DistributionRepository {
        DistributionRepository { storage: self.clone(), name }
    }

    fn data(&self, digest: &Digest) -> String {
        let hex = digest.hex();
        format!("{}blobs/{}/{}/{hex}/data", self.root, digest.algorithm(), &hex[..2])
    }
}

impl DistributionRepository {
    fn files(&self) -> &Files {
        &self.storage.files
    }

    fn place(&self) -> String {
        format!("{}repositories/{}", self.storage.root, self.name)
    }

    fn manifests(&self) -> String {
        format!("{}/_manifests", self.place())
    }

    fn tag_link(&self, tag: &Tag) -> String {
        format!("{}/tags/{tag}/current/link", self.manifests())
    }

    /// Its tags, in order.
    pub async fn tags(&self) -> Result<Vec<Tag>> {
        let names = self.files().names(&format!("{}/tags", self.manifests())).await?;
        let tags = names.iter().filter_map(|name| name.parse::<Tag>().ok());
        let linked = |tag: Tag| async move {
            let there = self.files().has(&self.tag_link(&tag)).await?;
            Ok::<_, Error>(there.then_some(tag))
        };
        let mut linked = stream::iter(tags).map(linked).buffered(AT_ONCE);
        let mut found = Vec::new();
        while let Some(tag) = linked.next().await {
            found.extend(tag?);
        }
        Ok(found)
    }

    /// Manifests about other manifests (signatures, SBOMs). Such registries keep no list of them.
    pub async fn referrers(&self) -> Result<Vec<Digest>> {
        let revisions = format!("{}/revisions", self.manifests());
        let mut digests = Vec::new();
        for algorithm in self.files().names(&revisions).await? {
            let names = self.files().names(&format!("{revisions}/{algorithm}")).await?;
            digests.extend(names.iter().filter_map(|hex| format!("{algorithm}:{hex}").parse::<Digest>().ok()));
        }
        // A manifest that is missing or damaged is nobody's referrer; its tag, if it has one, will say so.
        let look = |digest: Digest| async move {
            let loaded = self.load(digest, &Target::Digest(digest)).await;
            loaded.is_ok_and(|manifest| manifest.subject().is_some()).then_some(digest)
        };
        let found = stream::iter(digests).map(look).buffered(AT_ONCE);
        Ok(found.filter_map(std::future::ready).collect().await)
    }

    /// A manifest of this repository: one that only another repository has is not found.
    async fn load(&self, digest: Digest, target: &Target) -> Result<RawManifest> {
        let link = format!("{}/revisions/{}/{}/link", self.manifests(), digest.algorithm(), digest.hex());
        let missing = || Error::ManifestNotFound { origin: self.origin(), target: target.clone() };
        if !self.files().has(&link).await? {
            return Err(missing());
        }
        let bytes = self.files().small(&self.storage.data(&digest)).await?.ok_or_else(missing)?;
        parse_manifest(bytes, &Descriptor::new("", digest, 0), target, &self.origin())
    }
}

#[async_trait]
impl ImageSource for DistributionRepository {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        let digest = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(tag) => {
                let link = self.tag_link(tag);
                let Some(bytes) = self.files().small(&link).await? else {
                    return Err(Error::ManifestNotFound { origin: self.origin(), target: target.clone() });
                };
                let text = String::from_utf8_lossy(&bytes).trim().to_owned();
                let problem = |error: wharf_spec::DigestError| format!("it should hold a digest: {error}");
                let path = self.files().shown(&link);
                text.parse().map_err(|error| Error::BadFile { path, problem: problem(error) })?
            }
        };
        self.load(digest, target).await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        // One byte more than promised, so that a longer file is noticed.
        let bytes =
            self.files().read(&self.storage.data(&descriptor.digest), descriptor.size.saturating_add(1)).await?;
        bytes.ok_or_else(|| Error::no_blob(self.origin(), descriptor))
    }

    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::File(self.files().shown(&self.place()))
    }
}
