//! Results as one tar: alone at its root, or several, each in a directory of its own.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::error::BuildError;
use crate::layer::{Encoding, Entry, Kind, LayerPath, LayerWriter, Mtime, PathError, Tree, WriteError, WriterOptions};
use crate::result::BuildResult;
use crate::solve::{Contents, blocking};

/// One result, and where in the tar it goes.
pub struct TarPart<'a> {
    /// Its files.
    pub result: &'a BuildResult,
    /// The directory that holds them; the root when `None`.
    pub directory: Option<String>,
    /// Files that are not the image's, by name: only their owner may read them.
    pub beside: Vec<(String, Vec<u8>)>,
}

/// What is needed to write a part.
struct Ready {
    tree: Arc<Tree>,
    contents: Contents,
    root: LayerPath,
    beside: Vec<(LayerPath, Vec<u8>)>,
    /// How old everything is.
    epoch: Option<i64>,
}

/// Writes file systems as one tar, owners and all, and gives the writer back.
pub async fn write_tar<W: Write + Send + 'static>(parts: Vec<TarPart<'_>>, to: W) -> Result<W, BuildError> {
    let mut ready = Vec::new();
    for TarPart { result, directory, beside } in parts {
        let tree = result.tree().await?;
        let (contents, _) = result.contents(&tree).await?;
        let named = |name: &str| LayerPath::parse(name).map_err(bad_name);
        let root = named(&directory.unwrap_or_default())?;
        let below = |(name, bytes): (String, Vec<u8>)| Ok((root.join(name.as_bytes()).map_err(bad_name)?, bytes));
        let beside = beside.into_iter().map(below).collect::<Result<_, BuildError>>()?;
        ready.push(Ready { tree, contents, root, beside, epoch: result.source_date_epoch });
    }
    blocking(move || tar(ready, to)).await.map_err(|source| BuildError::WriteTar { source })
}

fn bad_name(error: PathError) -> BuildError {
    BuildError::io("name a file of the tar", std::io::Error::new(std::io::ErrorKind::InvalidInput, error))
}

fn tar<W: Write>(parts: Vec<Ready>, to: W) -> Result<W, WriteError> {
    let options = WriterOptions { threads: NonZeroUsize::MIN, ..WriterOptions::new(Encoding::Uncompressed) };
    let mut writer = LayerWriter::new(to, options);
    let mut directories = HashSet::new();
    for part in parts {
        part.write(&mut writer, &mut directories)?;
    }
    let mut finished = writer.finish()?.sink;
    finished.flush().map_err(WriteError::Sink)?;
    Ok(finished)
}

impl Ready {
    /// Of a directory that another part has, too, the first counts.
    fn write<W: Write>(
        self,
        writer: &mut LayerWriter<W>,
        directories: &mut HashSet<LayerPath>,
    ) -> Result<(), WriteError> {
        if !self.root.is_root() {
            writer.append(self.settled(Entry::new(self.root.clone(), Kind::Dir, 0o755)))?;
        }
        let mut names: HashMap<u32, LayerPath> = HashMap::new();
        for node in self.tree.nodes().iter().filter(|node| !node.entry().path.is_root()) {
            let path = node.entry().path.clone();
            let placed = self.placed(&path)?;
            let entry = self.settled(Entry { path: placed.clone(), ..node.entry().clone() });
            if !matches!(entry.kind, Kind::File { .. }) {
                if !entry.is_dir() || directories.insert(placed) {
                    writer.append(entry)?;
                }
                continue;
            }
            if let Some(target) = names.get(&node.inode()) {
                writer.append(Entry { kind: Kind::Hardlink { target: target.clone() }, ..entry })?;
                continue;
            }
            names.insert(node.inode(), placed);
            let content = self.contents.open(&path).map_err(|source| WriteError::Source { path, source })?;
            writer.append_file(entry, content)?;
        }
        for (path, bytes) in &self.beside {
            let entry = Entry::new(path.clone(), Kind::File { size: bytes.len() as u64 }, 0o600);
            writer.append_file(self.settled(entry), &bytes[..])?;
        }
        Ok(())
    }

    fn placed(&self, path: &LayerPath) -> Result<LayerPath, WriteError> {
        self.root.join_path(path).map_err(|error| WriteError::Source {
            path: path.clone(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, error),
        })
    }

    fn settled(&self, entry: Entry) -> Entry {
        let mtime = self.epoch.map_or(entry.mtime, Mtime::from_secs);
        Entry { mtime, ..entry }
    }
}
