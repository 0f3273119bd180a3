//! The result's files outside of any image: as a directory, or as one tar. Layers are fetched as far as they are needed.

mod recompress;
mod tar;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use wharf_spec::{Algorithm, Digest, Hasher};

pub use tar::{TarPart, write_tar};

use crate::error::BuildError;
use crate::event::StepId;
use crate::layer::{Entry, FlatLayer, Format, Kind, LayerPath, Ownership, TarLimits, Tree, unpack_flat};
use crate::result::BuildResult;
use crate::solve::{BlobReader, Contents, blocking};

/// What a file system would not take, and where.
pub type NotWritten = Vec<(LayerPath, crate::layer::Skipped)>;

/// No step needs what is written out.
const NO_STEP: Option<StepId> = None;

/// Something in the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultPath {
    /// Where.
    pub path: LayerPath,
    /// Whether it is a directory.
    pub is_directory: bool,
}

impl BuildResult {
    /// Writes the file system into `directory`, which is made if it is not there; what it holds stays unless the image has
    /// something else at the same path. Everything belongs to whoever runs this, and is as old as the image says it is.
    pub async fn write_directory(&self, directory: &Path) -> Result<NotWritten, BuildError> {
        let doing = format!("write {}", directory.display());
        std::fs::create_dir_all(directory).map_err(|error| BuildError::io(doing.clone(), error))?;
        let mut layers = Vec::new();
        for layer in self.files.stack.layers() {
            let index = self.files.depot.index(layer, NO_STEP).await?;
            let blob = self.files.depot.fetch(layer, NO_STEP).await?;
            let reader = BlobReader::open(self.files.depot.blobs(), &blob).await?;
            layers.push((index, reader, Format::from(crate::solve::compression(layer)?)));
        }
        let dest = directory.to_owned();
        let written = blocking(move || {
            let flat =
                layers.iter_mut().map(|(index, reader, format)| FlatLayer { index, blob: reader, format: *format });
            unpack_flat(flat, &dest, Ownership::Squashed, TarLimits::default())
        });
        let skipped = written.await.map_err(|source| BuildError::WriteFiles { doing, source })?;
        if let Some(epoch) = self.source_date_epoch {
            let tree = self.tree().await?;
            set_times(&tree, directory, epoch);
        }
        Ok(skipped)
    }

    /// Everything in it but the root, each directory right before its content.
    pub async fn paths(&self) -> Result<Vec<ResultPath>, BuildError> {
        let tree = self.tree().await?;
        let nodes = tree.nodes().iter().map(crate::layer::Node::entry).filter(|entry| !entry.path.is_root());
        Ok(nodes.map(|entry| ResultPath { path: entry.path.clone(), is_directory: entry.is_dir() }).collect())
    }

    /// What each of its regular files hashes to.
    pub async fn file_digests(&self) -> Result<Vec<(LayerPath, Digest)>, BuildError> {
        let tree = self.tree().await?;
        let (contents, files) = self.contents(&tree).await?;
        let hashed = blocking(move || {
            let hash = |path: LayerPath| {
                let (mut hasher, mut content) = (Hasher::new(Algorithm::Sha256), contents.open(&path)?);
                let mut buffer = vec![0; 64 << 10];
                loop {
                    match content.read(&mut buffer)? {
                        0 => return Ok((path, hasher.finish())),
                        count => hasher.update(&buffer[..count]),
                    }
                }
            };
            files.into_iter().map(hash).collect::<std::io::Result<Vec<_>>>()
        });
        hashed.await.map_err(|error| BuildError::io("read the image's files", error))
    }

    async fn tree(&self) -> Result<Arc<Tree>, BuildError> {
        self.files.depot.tree(&self.files.stack, NO_STEP).await
    }

    /// The bytes of all regular files, and which those are.
    async fn contents(&self, tree: &Tree) -> Result<(Contents, Vec<LayerPath>), BuildError> {
        let is_file = |entry: &Entry| matches!(entry.kind, Kind::File { .. });
        let nodes = tree.nodes().iter().map(crate::layer::Node::entry);
        let wanted: Vec<LayerPath> = nodes.filter(|entry| is_file(entry)).map(|entry| entry.path.clone()).collect();
        let contents = Contents::gather(&self.files.depot, (&self.files.stack, tree), &wanted, NO_STEP).await?;
        Ok((contents, wanted))
    }
}

/// Makes everything that was written `epoch` seconds old, directories after what is in them. What a file system will not
/// have, it will not have.
fn set_times(tree: &Tree, root: &Path, epoch: i64) {
    let time = Timespec { tv_sec: epoch, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    for node in tree.nodes().iter().rev() {
        let _ = utimensat(CWD, root.join(node.entry().path.as_path()), &times, AtFlags::SYMLINK_NOFOLLOW);
    }
}
