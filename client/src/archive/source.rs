//! Reading images from an archive.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempPath;
use tokio::io::AsyncRead;
use wharf_spec::{Descriptor, Digest, Index, MediaKind, RawManifest, Reference};

use super::docker::{Assembled, DockerImage, MANIFEST_FILE, assemble};
use super::scan::{Contents, Span};
use super::spool::{spool, unwrap_file};
use crate::layout::NamedImage;
use crate::layout::index::{self, INDEX_FILE, blob_path};
use crate::span::read_span;
use crate::transfer::{ByteStream, Error, ImageSource, MAX_MANIFEST, Origin, Result, Target, parse_manifest};

/// An archive of images: an OCI layout in a tar, or what `docker save` wrote. Clones are the same archive.
#[derive(Clone, Debug)]
pub struct Archive {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// What messages call it.
    origin: Origin,
    /// The file that is read: the archive, or what was made of it.
    path: PathBuf,
    /// Deletes that file in the end when it is ours.
    _temporary: Option<TempPath>,
    contents: Contents,
    images: Images,
}

/// The two formats.
#[derive(Debug)]
enum Images {
    Layout(Box<Index>),
    Docker(Vec<DockerParts>),
}

#[derive(Debug)]
struct DockerParts {
    manifest: RawManifest,
    names: Vec<String>,
    blobs: HashMap<Digest, Span>,
}

impl Archive {
    /// Opens an archive file; one that is compressed as a whole is unpacked into a temporary file in `scratch`.
    pub async fn open(path: &Path, scratch: &Path) -> Result<Self> {
        let (path, scratch) = (path.to_owned(), scratch.to_owned());
        blocking(move || {
            let origin = Origin::File(path.clone());
            match unwrap_file(&path, &scratch)? {
                Some(plain) => Self::read(origin, plain.path().to_owned(), Some(plain.into_temp_path())),
                None => Self::read(origin, path, None),
            }
        })
        .await
    }

    /// Reads an archive from a stream, such as standard input, into a temporary file in `scratch`.
    pub async fn from_stream(stream: impl AsyncRead + Send + Unpin, scratch: &Path) -> Result<Self> {
        let spooled = spool(stream, scratch).await?;
        let scratch = scratch.to_owned();
        blocking(move || {
            let file = match unwrap_file(spooled.path(), &scratch)? {
                Some(plain) => plain,
                None => spooled,
            };
            Self::read(Origin::Stream, file.path().to_owned(), Some(file.into_temp_path()))
        })
        .await
    }

    fn read(origin: Origin, path: PathBuf, temporary: Option<TempPath>) -> Result<Self> {
        let contents = Contents::scan(&path)?;
        let images = read_images(&contents, &origin)?;
        Ok(Self { shared: Arc::new(Shared { origin, path, _temporary: temporary, contents, images }) })
    }

    /// The images in it; one with several names comes once for each.
    pub fn images(&self) -> Vec<NamedImage> {
        match &self.shared.images {
            Images::Layout(index) => index.manifests.iter().map(NamedImage::of).collect(),
            Images::Docker(images) => images.iter().flat_map(DockerParts::named).collect(),
        }
    }

    fn load(&self, descriptor: &Descriptor, target: &Target) -> Result<RawManifest> {
        let origin = self.origin();
        match self.shared.contents.read(&blob_path(&descriptor.digest), MAX_MANIFEST)? {
            Some(bytes) => parse_manifest(bytes, descriptor, target, &origin),
            None => Err(Error::ManifestNotFound { origin, target: target.clone() }),
        }
    }

    fn span(&self, digest: &Digest) -> Option<Span> {
        match &self.shared.images {
            Images::Layout(_) => self.shared.contents.find(&blob_path(digest)),
            Images::Docker(images) => images.iter().find_map(|image| image.blobs.get(digest).copied()),
        }
    }
}

/// Scanning and hashing take a while and wait for the disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Error::io("read the archive", std::io::Error::other(error))),
    }
}

fn read_images(contents: &Contents, origin: &Origin) -> Result<Images> {
    let bad = |problem: String| Error::place(origin.clone(), format!("{origin} cannot be used: {problem}"));
    // Docker since 25 writes both formats; the layout is the one with manifests in it.
    if let Some(bytes) = contents.read(INDEX_FILE, MAX_MANIFEST)? {
        let index = serde_json::from_slice(&bytes).map_err(|error| bad(format!("{INDEX_FILE} in it: {error}")))?;
        return Ok(Images::Layout(Box::new(index)));
    }
    let Some(bytes) = contents.read(MANIFEST_FILE, MAX_MANIFEST)? else {
        return Err(bad(format!("there is neither {INDEX_FILE} nor {MANIFEST_FILE} in it: not an archive of images")));
    };
    let listed: Vec<DockerImage> =
        serde_json::from_slice(&bytes).map_err(|error| bad(format!("{MANIFEST_FILE} in it: {error}")))?;
    let images = listed.iter().map(|image| assemble(contents, image).map(DockerParts::from).map_err(bad));
    images.collect::<Result<_>>().map(Images::Docker)
}

impl From<Assembled> for DockerParts {
    fn from(Assembled { manifest, blobs, names }: Assembled) -> Self {
        Self { manifest, names, blobs: blobs.into_iter().collect() }
    }
}

impl DockerParts {
    fn named(&self) -> Vec<NamedImage> {
        let descriptor = self.manifest.descriptor();
        let named = |name: Option<String>| NamedImage { name, descriptor: descriptor.clone() };
        if self.names.is_empty() {
            return vec![named(None)];
        }
        self.names.iter().map(|name| named(Some(name.clone()))).collect()
    }

    fn answers_to(&self, target: &Target, only: bool) -> bool {
        match target {
            Target::Digest(digest) => self.manifest.digest() == *digest,
            Target::Tag(tag) => {
                let tags = self.names.iter().filter_map(|name| name.parse::<Reference>().ok()?.tag);
                tags.into_iter().any(|known| known == *tag) || (only && tag.as_str() == "latest")
            }
        }
    }
}

#[async_trait]
impl ImageSource for Archive {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        let missing = || Error::ManifestNotFound { origin: self.origin(), target: target.clone() };
        match &self.shared.images {
            Images::Layout(index) => match (index::pick(index, target), target) {
                (Some(entry), _) => self.load(entry, target),
                (None, Target::Digest(digest)) => self.load(&Descriptor::new("", *digest, 0), target),
                (None, Target::Tag(_)) => Err(missing()),
            },
            Images::Docker(images) => {
                let only = images.len() == 1;
                let found = images.iter().find(|image| image.answers_to(target, only));
                found.map(|image| image.manifest.clone()).ok_or_else(missing)
            }
        }
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        let span = self.span(&descriptor.digest).ok_or_else(|| Error::no_blob(self.origin(), descriptor))?;
        if span.length != descriptor.size {
            let (digest, expected) = (descriptor.digest, descriptor.size);
            return Err(Error::WrongSize { origin: self.origin(), digest, expected, actual: span.length });
        }
        read_span(&self.shared.path, span.start, span.length).await
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let Images::Layout(index) = &self.shared.images else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in &index.manifests {
            match entry.media_type.kind() {
                MediaKind::Manifest | MediaKind::Index => {}
                MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => continue,
            }
            let manifest = self.load(entry, &Target::Digest(entry.digest))?;
            if manifest.subject().is_some_and(|subject| subject.digest == *digest) {
                found.push(manifest.descriptor());
            }
        }
        Ok(found)
    }

    fn origin(&self) -> Origin {
        self.shared.origin.clone()
    }
}
