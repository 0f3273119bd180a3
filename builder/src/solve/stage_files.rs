//! The result of a stage as a tree of files: names and hashes from indexes, bytes from wherever its layers are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::depot::{Depot, LayerFault, compression};
use super::layer::Stack;
use super::transport::{BlobReader, blocking};
use crate::copy::{Spool, SpoolSlice};
use crate::error::BuildError;
use crate::event::StepId;
use crate::files::{Files, FilesError, Found};
use crate::layer::{
    Decoder, Fingerprint, Fingerprinter, Format, Kind, LayerPath, Node, TarError, TarKind, TarLimits, TarReader, Tree,
};

/// A stage's files, without their bytes.
#[derive(Clone)]
pub(crate) struct StageFiles {
    pub(crate) tree: Arc<Tree>,
}

fn found(node: &Node) -> Found {
    let inode =
        matches!(node.entry().kind, Kind::File { .. }).then(|| u64::from(node.inode())).and_then(NonZeroU64::new);
    Found { entry: node.entry().clone(), inode, stamp: None, content: node.content() }
}

impl Files for StageFiles {
    fn get(&self, path: &LayerPath) -> Result<Option<Found>, FilesError> {
        Ok(self.tree.get(path).map(found))
    }

    fn list(&self, path: &LayerPath) -> Result<Vec<Found>, FilesError> {
        Ok(self.tree.children(path).map(found).collect())
    }

    fn fingerprint(&self, files: Vec<&mut Found>) -> Result<(), FilesError> {
        // An index knows all of them from the beginning.
        match files.into_iter().find(|file| file.content.is_none()) {
            None => Ok(()),
            Some(file) => Err(FilesError::Io { path: file.entry.path.clone(), source: io::ErrorKind::NotFound.into() }),
        }
    }
}

/// The bytes of some files of a stage.
pub(crate) struct Contents {
    places: HashMap<LayerPath, Place>,
    spool: Option<Spool>,
}

enum Place {
    /// In an unpacked layer.
    Unpacked(Arc<PathBuf>),
    /// In the spool.
    Spooled { offset: u64, size: u64 },
}

/// Reads one file's bytes.
pub(crate) enum ContentReader {
    File(File),
    Spool(SpoolSlice),
}

impl Read for ContentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Spool(slice) => slice.read(buffer),
        }
    }
}

impl Contents {
    /// Makes the bytes of `wanted` regular files of `stack` readable: from unpacked layers where there are, else by
    /// reading each layer that holds one of them once.
    pub(crate) async fn gather(
        depot: &Depot,
        (stack, tree): (&Stack, &Tree),
        wanted: &[LayerPath],
        step: Option<StepId>,
    ) -> Result<Self, BuildError> {
        let mut by_layer: BTreeMap<usize, Vec<&Node>> = BTreeMap::new();
        for node in wanted.iter().filter_map(|path| tree.get(path)) {
            by_layer.entry(node.layer()).or_default().push(node);
        }
        let mut contents = Self { places: HashMap::new(), spool: None };
        for (at, nodes) in by_layer {
            let layer = &stack.layers()[at];
            if let Some(directory) = depot.where_unpacked(layer, &stack.lowest(at)) {
                let directory = Arc::new(directory);
                let place = |node: &Node| (node.entry().path.clone(), Place::Unpacked(Arc::clone(&directory)));
                contents.places.extend(nodes.into_iter().map(place));
                continue;
            }
            let format = Format::from(compression(layer)?);
            let blob = depot.fetch(layer, step).await?;
            let reader = BlobReader::open(depot.blobs(), &blob).await?;
            let mut spool = match contents.spool.take() {
                Some(spool) => spool,
                None => Spool::new(depot.cache().room()).map_err(|error| BuildError::io("make a spool file", error))?,
            };
            let wanted: HashMap<Fingerprint, u64> = nodes.iter().filter_map(|node| sized(node)).collect();
            let picked = blocking(move || pick(reader, format, &wanted, &mut spool).map(|places| (places, spool)));
            let (places, spool) = picked.await.map_err(|source| LayerFault::Damaged { digest: blob.digest, source })?;
            contents.spool = Some(spool);
            for node in nodes {
                let place = node.content().and_then(|digest| places.get(&digest));
                let (offset, size) = *place.ok_or(LayerFault::WrongContent { digest: blob.digest })?;
                contents.places.insert(node.entry().path.clone(), Place::Spooled { offset, size });
            }
        }
        Ok(contents)
    }

    /// Opens one of the files.
    pub(crate) fn open(&self, path: &LayerPath) -> io::Result<ContentReader> {
        match (self.places.get(path), &self.spool) {
            (Some(Place::Unpacked(directory)), _) => open_beneath(directory, path).map(ContentReader::File),
            (Some(Place::Spooled { offset, size }), Some(spool)) => {
                Ok(ContentReader::Spool(spool.slice(*offset, *size)))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn open_beneath(directory: &Path, path: &LayerPath) -> io::Result<File> {
    let root = rustix::fs::open(directory, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(root, path.as_path(), flags, Mode::empty(), within)?))
}

fn sized(node: &Node) -> Option<(Fingerprint, u64)> {
    match node.entry().kind {
        Kind::File { size } => Some((node.content()?, size)),
        _ => None,
    }
}

/// Copies the files with these contents into the spool; says where each is.
fn pick(
    blob: BlobReader,
    format: Format,
    wanted: &HashMap<Fingerprint, u64>,
    spool: &mut Spool,
) -> Result<HashMap<Fingerprint, (u64, u64)>, TarError> {
    let mut tar = TarReader::new(Decoder::new(blob, format).map_err(TarError::Read)?, TarLimits::default());
    let sizes: HashSet<u64> = wanted.values().copied().collect();
    let mut places = HashMap::new();
    while let Some(raw) = tar.next_entry()? {
        // Sizes tell most of what is not wanted without reading it.
        if raw.kind != TarKind::File || !sizes.contains(&raw.size) {
            continue;
        }
        let offset = spool.end();
        let mut hasher = Fingerprinter::new();
        loop {
            let piece = tar.content()?;
            if piece.is_empty() {
                break;
            }
            hasher.update(piece);
            spool.append(piece).map_err(TarError::Read)?;
        }
        let digest = hasher.finish();
        if wanted.contains_key(&digest) && !places.contains_key(&digest) {
            places.insert(digest, (offset, raw.size));
        } else {
            // Not wanted: the next file takes its room.
            spool.rewind(offset);
        }
        if places.len() == wanted.len() {
            break;
        }
    }
    Ok(places)
}
