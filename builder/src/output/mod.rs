//! The result's files outside of any image: as a directory, or as one tar. Layers are fetched as far as they are needed.

use std::collections::HashMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use crate::error::BuildError;
use crate::event::StepId;
use crate::layer::{
    Encoding, Entry, FlatLayer, Format, Kind, LayerPath, LayerWriter, Ownership, TarLimits, Tree, WriteError,
    WriterOptions, unpack_flat,
};
use crate::result::BuildResult;
use crate::solve::{BlobReader, Contents, blocking};

/// What a file system would not take, and where.
pub type NotWritten = Vec<(LayerPath, crate::layer::Skipped)>;

/// No step needs what is written out.
const NO_STEP: Option<StepId> = None;

impl BuildResult {
    /// Writes the file system into `directory`, which is made if it is not there; what it holds stays unless the image has
    /// something else at the same path. Everything belongs to whoever runs this.
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
        let directory = directory.to_owned();
        let written = blocking(move || {
            let flat =
                layers.iter_mut().map(|(index, reader, format)| FlatLayer { index, blob: reader, format: *format });
            unpack_flat(flat, &directory, Ownership::Squashed, TarLimits::default())
        });
        written.await.map_err(|source| BuildError::WriteFiles { doing, source })
    }

    /// Writes the file system as one tar, owners and all, and gives the writer back.
    pub async fn write_tar<W: Write + Send + 'static>(&self, to: W) -> Result<W, BuildError> {
        let tree = self.files.depot.tree(&self.files.stack, NO_STEP).await?;
        let is_file = |entry: &Entry| matches!(entry.kind, Kind::File { .. });
        let nodes = tree.nodes().iter().map(crate::layer::Node::entry);
        let wanted: Vec<LayerPath> = nodes.filter(|entry| is_file(entry)).map(|entry| entry.path.clone()).collect();
        let contents = Contents::gather(&self.files.depot, (&self.files.stack, &tree), &wanted, NO_STEP).await?;
        let written = blocking(move || tar(&tree, &contents, to)).await;
        written.map_err(|source| BuildError::WriteTar { source })
    }
}

fn tar<W: Write>(tree: &Arc<Tree>, contents: &Contents, to: W) -> Result<W, WriteError> {
    let options = WriterOptions { threads: NonZeroUsize::MIN, ..WriterOptions::new(Encoding::Uncompressed) };
    let mut writer = LayerWriter::new(to, options);
    let mut names: HashMap<u32, LayerPath> = HashMap::new();
    for node in tree.nodes().iter().filter(|node| !node.entry().path.is_root()) {
        let entry = node.entry().clone();
        if !matches!(entry.kind, Kind::File { .. }) {
            writer.append(entry)?;
            continue;
        }
        if let Some(target) = names.get(&node.inode()) {
            writer.append(Entry { kind: Kind::Hardlink { target: target.clone() }, ..entry })?;
            continue;
        }
        names.insert(node.inode(), entry.path.clone());
        let path = entry.path.clone();
        let content = contents.open(&path).map_err(|source| WriteError::Source { path, source })?;
        writer.append_file(entry, content)?;
    }
    let mut finished = writer.finish()?.sink;
    finished.flush().map_err(WriteError::Sink)?;
    Ok(finished)
}
