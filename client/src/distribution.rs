//! The storage directory of a CNCF Distribution registry (`registry:2`, `registry:3`), read as it lies on disk: moving
//! away from one needs no running server. Nothing is written, and nothing is used without its digest.
//!
//! ```text
//! docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link    a digest
//! docker/registry/v2/repositories/<name>/_manifests/revisions/<alg>/<hex>/link the repository has this manifest
//! docker/registry/v2/blobs/<alg>/<two digits>/<hex>/data                       bytes of blobs and manifests
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use wharf_spec::{Descriptor, Digest, RawManifest, RepositoryName, Tag};

use crate::span::{read_small, read_span};
use crate::transfer::{ByteStream, Error, ImageSource, Origin, Result, Target, parse_manifest};

/// Below the directory that the registry was configured with.
const ROOT: &str = "docker/registry/v2";

/// Components of a repository's name; what lies deeper is not looked at.
const MAX_DEPTH: usize = 32;

/// A registry's storage directory.
#[derive(Clone, Debug)]
pub struct DistributionStorage {
    /// The directory with `blobs` and `repositories`.
    root: PathBuf,
}

/// One repository in it.
#[derive(Clone, Debug)]
pub struct DistributionRepository {
    root: PathBuf,
    name: RepositoryName,
}

impl DistributionStorage {
    /// The storage at `path`: the directory the registry was configured with (`rootdirectory`), or the one below it that has
    /// `repositories`.
    pub fn open(path: &Path) -> Result<Self> {
        let candidates = [path.join(ROOT), path.to_owned()];
        match candidates.into_iter().find(|root| root.join("repositories").is_dir()) {
            Some(root) => Ok(Self { root }),
            None => Err(Error::BadFile {
                path: path.to_owned(),
                problem: format!("it has no {ROOT}/repositories, so it is no registry's storage"),
            }),
        }
    }

    /// The names of all repositories, in order. Directories that are no repository are passed over.
    pub fn repositories(&self) -> Result<Vec<RepositoryName>> {
        let (mut found, top) = (Vec::new(), self.root.join("repositories"));
        let mut waiting = vec![(top.clone(), 0)];
        while let Some((directory, depth)) = waiting.pop() {
            for entry in list(&directory)? {
                if entry.starts_with('_') {
                    continue;
                }
                let path = directory.join(&entry);
                if path.join("_manifests").is_dir() {
                    let relative = path.strip_prefix(&top).ok().and_then(|path| path.to_str()?.parse().ok());
                    found.extend(relative);
                }
                if depth < MAX_DEPTH && path.is_dir() {
                    waiting.push((path, depth + 1));
                }
            }
        }
        found.sort();
        Ok(found)
    }

    /// One of them.
    pub fn repository(&self, name: RepositoryName) -> DistributionRepository {
        DistributionRepository { root: self.root.clone(), name }
    }
}

impl DistributionRepository {
    fn manifests(&self) -> PathBuf {
        self.root.join("repositories").join(self.name.as_str()).join("_manifests")
    }

    /// Its tags, in order.
    pub fn tags(&self) -> Result<Vec<Tag>> {
        let names = list(&self.manifests().join("tags"))?;
        let linked = |tag: &Tag| self.manifests().join("tags").join(tag.as_str()).join("current/link").is_file();
        Ok(names.iter().filter_map(|name| name.parse().ok()).filter(linked).collect())
    }

    /// Manifests about other manifests (signatures, SBOMs). Such registries keep no list of them.
    pub fn referrers(&self) -> Result<Vec<Digest>> {
        let (mut found, revisions) = (Vec::new(), self.manifests().join("revisions"));
        for algorithm in list(&revisions)? {
            for hex in list(&revisions.join(&algorithm))? {
                let Ok(digest) = format!("{algorithm}:{hex}").parse::<Digest>() else { continue };
                // A manifest that is missing or damaged is nobody's referrer; its tag, if it has one, will say so.
                if self.load(digest, &Target::Digest(digest)).is_ok_and(|manifest| manifest.subject().is_some()) {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    fn data(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs").join(digest.algorithm().to_string()).join(&hex[..2]).join(&hex).join("data")
    }

    /// A manifest of this repository: one that only another repository has is not found.
    fn load(&self, digest: Digest, target: &Target) -> Result<RawManifest> {
        let link =
            self.manifests().join("revisions").join(digest.algorithm().to_string()).join(digest.hex()).join("link");
        let data = self.data(&digest);
        if !link.is_file() || !data.is_file() {
            return Err(Error::ManifestNotFound { origin: self.origin(), target: target.clone() });
        }
        parse_manifest(read_small(&data)?, &Descriptor::new("", digest, 0), target, &self.origin())
    }
}

#[async_trait]
impl ImageSource for DistributionRepository {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        let digest = match target {
            Target::Digest(digest) => *digest,
            Target::Tag(tag) => {
                let link = self.manifests().join("tags").join(tag.as_str()).join("current/link");
                if !link.is_file() {
                    return Err(Error::ManifestNotFound { origin: self.origin(), target: target.clone() });
                }
                let text = String::from_utf8_lossy(&read_small(&link)?).trim().to_owned();
                let problem = |error: wharf_spec::DigestError| format!("it should hold a digest: {error}");
                text.parse().map_err(|error| Error::BadFile { path: link, problem: problem(error) })?
            }
        };
        self.load(digest, target)
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        let data = self.data(&descriptor.digest);
        if !data.is_file() {
            return Err(Error::no_blob(self.origin(), descriptor));
        }
        // One byte more than promised, so that a longer file is noticed.
        read_span(&data, 0, descriptor.size.saturating_add(1)).await
    }

    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>> {
        Ok(Vec::new())
    }

    fn origin(&self) -> Origin {
        Origin::File(self.root.join("repositories").join(self.name.as_str()))
    }
}

/// Names in a directory, in order; none when it is not there.
fn list(directory: &Path) -> Result<Vec<String>> {
    let failed = |source| Error::io(format!("read {}", directory.display()), source);
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(failed(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(failed)?.file_name().into_string());
    }
    names.sort();
    Ok(names)
}
