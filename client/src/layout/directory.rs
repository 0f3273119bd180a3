//! A layout as a directory.
//!
//! Written so that a reader never sees half a file: a blob appears under its digest when it is complete and checked, and
//! `index.json` is replaced in one step. Whatever a hostile directory holds, nothing is used that does not
//! have the digest that was asked for.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use wharf_spec::{Descriptor, Digest, Index, MediaKind, RawManifest, Tag};

use super::index::{self, INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, NamedImage, blob_path};
use crate::span::{read_small, read_span};
use crate::transfer::{
    BlobBody, ByteStream, Error, ImageSink, ImageSource, Origin, Result, Target, parse_manifest, verified,
};

/// Indexes within indexes.
pub(super) const MAX_DEPTH: usize = 8;

/// An OCI layout in a directory. Clones are the same layout.
#[derive(Clone, Debug)]
pub struct LayoutDirectory {
    path: PathBuf,
    /// Held while `index.json` is read, changed and replaced.
    changing: Arc<Mutex<()>>,
}

impl LayoutDirectory {
    /// A layout that is there.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        let file = path.join(LAYOUT_FILE);
        let text = fs::read(&file).map_err(|source| Error::io(format!("read {}", file.display()), source))?;
        let version = serde_json::from_slice::<serde_json::Value>(&text).ok();
        let version = version.and_then(|value| value.get("imageLayoutVersion")?.as_str().map(ToOwned::to_owned));
        match version {
            Some(version) if version.starts_with("1.") => Ok(Self { path, changing: Arc::default() }),
            Some(_) | None => {
                Err(Error::BadFile { path: file, problem: "it does not say that this is an OCI layout 1.x".to_owned() })
            }
        }
    }

    /// A layout that is there, or a new one.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if path.join(LAYOUT_FILE).exists() {
            return Self::open(path);
        }
        let blobs = path.join("blobs");
        fs::create_dir_all(&blobs).map_err(|source| Error::io(format!("create {}", blobs.display()), source))?;
        let layout = Self { path, changing: Arc::default() };
        layout.write_index(&index::empty())?;
        layout.replace(LAYOUT_FILE, LAYOUT_VERSION.as_bytes())?;
        Ok(layout)
    }

    /// The images it lists.
    pub fn images(&self) -> Result<Vec<NamedImage>> {
        Ok(self.read_index()?.manifests.iter().map(NamedImage::of).collect())
    }

    /// Lists a manifest that was put without a tag.
    pub fn list(&self, descriptor: &Descriptor, tag: Option<&Tag>) -> Result<()> {
        self.change_index(|index| index::add(index, descriptor, tag, None))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn change_index(&self, change: impl FnOnce(&mut Index)) -> Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = self.read_index()?;
        change(&mut index);
        self.write_index(&index)
    }

    fn read_index(&self) -> Result<Index> {
        let path = self.path.join(INDEX_FILE);
        let bytes = read_small(&path)?;
        serde_json::from_slice(&bytes).map_err(|error| Error::BadFile { path, problem: error.to_string() })
    }

    fn write_index(&self, index: &Index) -> Result<()> {
        self.replace(INDEX_FILE, &serde_json::to_vec(index).expect("an index is plain data"))
    }

    /// Replaces a file in one step.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let write = || {
            let mut fresh = tempfile::Builder::new().permissions(readable()).tempfile_in(&self.path)?;
            fresh.write_all(bytes)?;
            fresh.as_file().sync_all()?;
            fresh.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| Error::io(format!("write {}", path.display()), source))
    }

    fn blob_file(&self, digest: &Digest) -> PathBuf {
        self.path.join(blob_path(digest))
    }

    fn has_file(&self, digest: &Digest, size: Option<u64>) -> bool {
        // A link to a file will do (build tools make layouts of links): the bytes are checked all the same.
        let found = fs::metadata(self.blob_file(digest)).ok().filter(fs::Metadata::is_file);
        found.is_some_and(|found| size.is_none_or(|size| found.len() == size))
    }

    /// Whether a manifest is there with all it names: in a directory that anybody may have changed, the one says nothing
    /// about the other.
    fn is_complete(&self, digest: &Digest, depth: usize) -> bool {
        let Ok(manifest) = self.load(&Descriptor::new("", *digest, 0), &Target::Digest(*digest)) else { return false };
        depth < MAX_DEPTH
            && manifest.blobs().iter().all(|blob| self.has_file(&blob.digest, Some(blob.size)))
            && manifest.children().iter().all(|child| self.is_complete(&child.digest, depth + 1))
    }

    /// A new file beside where it will be. Renaming within a directory is one step.
    fn fresh_file(&self, digest: &Digest) -> Result<NamedTempFile> {
        let path = self.blob_file(digest);
        let dir = path.parent().unwrap_or(&self.path);
        let failed = |source| Error::io(format!("create a file in {}", dir.display()), source);
        fs::create_dir_all(dir).map_err(failed)?;
        tempfile::Builder::new().prefix(".incoming-").permissions(readable()).tempfile_in(dir).map_err(failed)
    }

    fn publish(&self, fresh: NamedTempFile, digest: &Digest) -> Result<()> {
        let path = self.blob_file(digest);
        let done = fresh.as_file().sync_all().and_then(|()| fresh.persist(&path).map_err(Into::into));
        done.map(drop).map_err(|source| Error::io(format!("write {}", path.display()), source))
    }

    pub(super) fn load(&self, descriptor: &Descriptor, target: &Target) -> Result<RawManifest> {
        let not_found = || Error::ManifestNotFound { origin: self.origin(), target: target.clone() };
        if !self.has_file(&descriptor.digest, None) {
            return Err(not_found());
        }
        let bytes = read_small(&self.blob_file(&descriptor.digest))?;
        parse_manifest(bytes, descriptor, target, &self.origin())
    }
}

/// Temporary files are private by default; a layout is for whoever may read its directory.
fn readable() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[async_trait]
impl ImageSource for LayoutDirectory {
    async fn manifest(&self, target: &Target) -> Result<RawManifest> {
        let index = self.read_index()?;
        match (index::pick(&index, target), target) {
            (Some(entry), _) => self.load(entry, target),
            // Children of an index are not listed; the manifest itself knows its type.
            (None, Target::Digest(digest)) => self.load(&Descriptor::new("", *digest, 0), target),
            (None, Target::Tag(_)) => Err(Error::ManifestNotFound { origin: self.origin(), target: target.clone() }),
        }
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream> {
        if !self.has_file(&descriptor.digest, None) {
            return Err(Error::no_blob(self.origin(), descriptor));
        }
        // One byte more than promised, so that a longer file is noticed.
        read_span(&self.blob_file(&descriptor.digest), 0, descriptor.size.saturating_add(1)).await
    }

    async fn referrers(&self, digest: &Digest) -> Result<Vec<Descriptor>> {
        let mut found = Vec::new();
        for entry in self.read_index()?.manifests {
            match entry.media_type.kind() {
                MediaKind::Manifest | MediaKind::Index => {}
                MediaKind::Config | MediaKind::Layer(_) | MediaKind::Unknown => continue,
            }
            let manifest = self.load(&entry, &Target::Digest(entry.digest))?;
            if manifest.subject().is_some_and(|subject| subject.digest == *digest) {
                found.push(manifest.descriptor());
            }
        }
        Ok(found)
    }

    fn origin(&self) -> Origin {
        Origin::File(self.path.clone())
    }
}

#[async_trait]
impl ImageSink for LayoutDirectory {
    async fn has_blob(&self, descriptor: &Descriptor) -> Result<bool> {
        Ok(self.has_file(&descriptor.digest, Some(descriptor.size)))
    }

    async fn mount(&self, _: &Descriptor, _: &Origin) -> Result<bool> {
        Ok(false)
    }

    async fn put_blob(&self, descriptor: &Descriptor, body: &dyn BlobBody) -> Result<()> {
        let fresh = self.fresh_file(&descriptor.digest)?;
        let failed = |source| Error::io(format!("write {}", self.blob_file(&descriptor.digest).display()), source);
        let mut file = tokio::fs::File::from_std(fresh.reopen().map_err(failed)?);
        let mut bytes = verified(descriptor, self.origin(), body.open(0).await?);
        while let Some(piece) = bytes.try_next().await? {
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        self.publish(fresh, &descriptor.digest)
    }

    async fn has_manifest(&self, digest: &Digest) -> Result<bool> {
        Ok(self.is_complete(digest, 0))
    }

    async fn put_manifest(&self, manifest: &RawManifest, tag: Option<&Tag>) -> Result<()> {
        let digest = manifest.digest();
        let mut fresh = self.fresh_file(&digest)?;
        let written = fresh.write_all(manifest.bytes());
        written.map_err(|source| Error::io(format!("write {}", self.blob_file(&digest).display()), source))?;
        self.publish(fresh, &digest)?;
        // What refers to something else is found through the list only.
        if tag.is_some() || manifest.subject().is_some() {
            self.list(&manifest.descriptor(), tag)?;
        }
        Ok(())
    }

    fn destination(&self) -> Origin {
        self.origin()
    }
}
