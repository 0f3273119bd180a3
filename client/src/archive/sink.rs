//! Writing images into one archive: an OCI layout that is a `docker save` file, too.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tempfile::TempPath;
use tokio::io::AsyncWrite;
use tokio::sync::Semaphore;
use wharf_spec::{Descriptor, Digest, Index, ManifestView, MediaKind, Platform, RawManifest, Reference, Tag};

use super::docker::{self, DockerImage, MANIFEST_FILE, REPOSITORIES_FILE};
use super::tar_writer::TarWriter;
use crate::layout::index::{self, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, blob_path};
use crate::transfer::{BlobBody, Error, ImageSink, Origin, Result, choose_platform, verified};

/// An archive that is being written. It is complete after [`ArchiveWriter::finish`]; dropped before, a file leaves nothing
/// behind.
pub struct ArchiveWriter {
    shared: Arc<Shared>,
    /// The temporary file, and where it goes in the end.
    file: Option<(TempPath, PathBuf)>,
}

struct Shared {
    origin: Origin,
    /// A tar has one end: whoever holds the permit takes the writer out and puts it back. A writer that is not put back
    /// failed in the middle of something.
    turn: Semaphore,
    writer: Mutex<Option<TarWriter>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    written: HashSet<Digest>,
    manifests: HashMap<Digest, RawManifest>,
    index: Vec<Listed>,
}

struct Listed {
    descriptor: Descriptor,
    tag: Option<Tag>,
    reference: Option<Reference>,
}

/// One image of an archive, as a sink.
#[derive(Clone)]
pub struct ArchiveImage {
    shared: Arc<Shared>,
    name: Option<Reference>,
}

impl ArchiveWriter {
    /// Writes to a file, which appears when it is finished.
    pub async fn create(path: &Path) -> Result<Self> {
        let failed = |source| Error::io(format!("write {}", path.display()), source);
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        let fresh = tempfile::Builder::new().permissions(mode).tempfile_in(dir).map_err(failed)?;
        let (file, temporary) = fresh.into_parts();
        let out = tokio::io::BufWriter::with_capacity(256 << 10, tokio::fs::File::from_std(file));
        let mut writer = Self::start(Box::new(out), Origin::File(path.to_owned())).await?;
        writer.file = Some((temporary, path.to_owned()));
        Ok(writer)
    }

    /// Writes to a stream, such as standard output.
    pub async fn to_stream(out: impl AsyncWrite + Send + Unpin + 'static) -> Result<Self> {
        Self::start(Box::new(out), Origin::Stream).await
    }

    async fn start(out: Box<dyn AsyncWrite + Send + Unpin>, origin: Origin) -> Result<Self> {
        let mut writer = TarWriter::new(out, origin.clone());
        writer.file(LAYOUT_FILE, LAYOUT_VERSION.as_bytes()).await?;
        for name in ["blobs/", "blobs/sha256/"] {
            writer.directory(name).await?;
        }
        let shared =
            Shared { origin, turn: Semaphore::new(1), writer: Mutex::new(Some(writer)), state: Mutex::default() };
        Ok(Self { shared: Arc::new(shared), file: None })
    }

    /// An image to be put under `name`. The tag given to [`copy`](crate::transfer::copy) should be the name's own.
    pub fn image(&self, name: Option<Reference>) -> ArchiveImage {
        ArchiveImage { shared: self.shared.clone(), name }
    }

    /// Lists an image whose manifest was put without a tag.
    pub fn list(&self, descriptor: &Descriptor) {
        self.shared.state().index.push(Listed { descriptor: descriptor.clone(), tag: None, reference: None });
    }

    /// Writes the lists and ends the archive.
    pub async fn finish(self) -> Result<()> {
        let (index, docker, repositories) = self.shared.state().lists();
        let mut writer = self.shared.take_writer().await?;
        let json = |value: serde_json::Result<Vec<u8>>| value.expect("lists are plain data");
        writer.file(INDEX_FILE, &json(serde_json::to_vec(&index))).await?;
        writer.file(MANIFEST_FILE, &json(serde_json::to_vec(&docker))).await?;
        writer.file(REPOSITORIES_FILE, &json(serde_json::to_vec(&repositories))).await?;
        writer.finish().await?;
        let Some((temporary, path)) = self.file else { return Ok(()) };
        let failed = |source| Error::io(format!("write {}", path.display()), source);
        std::fs::File::open(&temporary).and_then(|file| file.sync_all()).map_err(failed)?;
        temporary.persist(&path).map_err(|error| failed(error.error))
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn slot(&self) -> MutexGuard<'_, Option<TarWriter>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take_writer(&self) -> Result<TarWriter> {
        let _turn = self.turn.acquire().await.map_err(|_| Error::Abandoned(self.origin.clone()))?;
        self.slot().take().ok_or_else(|| Error::Abandoned(self.origin.clone()))
    }

    async fn put(&self, digest: &Digest, length: u64, body: &dyn BlobBody) -> Result<()> {
        let _turn = self.turn.acquire().await.map_err(|_| Error::Abandoned(self.origin.clone()))?;
        if self.state().written.contains(digest) {
            return Ok(());
        }
        // Opened only now: a source that waits for its turn holds no connection.
        let descriptor = Descriptor::new("", *digest, length);
        let bytes = verified(&descriptor, self.origin.clone(), body.open(0).await?);
        let mut writer = self.slot().take().ok_or_else(|| Error::Abandoned(self.origin.clone()))?;
        writer.stream(&blob_path(digest), length, bytes).await?;
        *self.slot() = Some(writer);
        self.state().written.insert(*digest);
        Ok(())
    }
}

impl State {
    /// `index.json`, `manifest.json` and `repositories`.
    fn lists(&self) -> (Index, Vec<DockerImage>, BTreeMap<String, BTreeMap<String, String>>) {
        let mut index = index::empty();
        let mut images = Vec::new();
        let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        for Listed { descriptor, tag, reference } in &self.index {
            index::add(&mut index, descriptor, tag.as_ref(), reference.as_ref());
            // Docker would take a chart or a signature for a broken image.
            let image = self.image_of(&descriptor.digest);
            let Some(manifest) = image.filter(|image| image.config.media_type.kind() == MediaKind::Config) else {
                continue;
            };
            images.push(docker::entry(manifest, reference.as_ref()));
            if let (Some(reference), Some(top)) = (reference, manifest.layers.last()) {
                let name = docker::familiar(reference);
                let (repository, tag) = name.rsplit_once(':').unwrap_or((&name, "latest"));
                repositories.entry(repository.to_owned()).or_default().insert(tag.to_owned(), top.digest.hex());
            }
        }
        (index, images, repositories)
    }

    /// The one image that Docker would make of it: of an index, this machine's, else the first.
    fn image_of(&self, digest: &Digest) -> Option<&wharf_spec::Manifest> {
        match self.manifests.get(digest)?.view() {
            ManifestView::Manifest(manifest) => Some(manifest),
            ManifestView::Index(index) => {
                let chosen = choose_platform(index, &Platform::host()).or(index.manifests.first())?;
                match self.manifests.get(&chosen.digest)?.view() {
                    ManifestView::Manifest(manifest) => Some(manifest),
                    ManifestView::Index(_) => None,
                }
            }
        }
    }
}

#[async_trait]
impl ImageSink for ArchiveImage {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.shared.state().written.contains(&descriptor.digest))
    }

    async fn mount(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        self.shared.put(&descriptor.digest, descriptor.size, body).await
    }

    async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        Ok(self.shared.state().manifests.contains_key(digest))
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let bytes = bytes::Bytes::copy_from_slice(manifest.bytes());
        self.shared.put(&manifest.digest(), bytes.len() as u64, &bytes).await?;
        let mut state = self.shared.state();
        state.manifests.insert(manifest.digest(), manifest.clone());
        if tag.is_some() || manifest.subject().is_some() {
            let reference = self.name.as_ref().and_then(|name| Some(name.with_tag(tag?.clone())));
            state.index.push(Listed { descriptor: manifest.descriptor(), tag: tag.cloned(), reference });
        }
        Ok(())
    }

    fn destination(&self) -> Origin {
        self.shared.origin.clone()
    }
}
