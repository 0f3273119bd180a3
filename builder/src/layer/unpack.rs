//! Unpacking a layer into a directory of its own, to be one lower directory of an overlay.
//!
//! Layers unpack independently of each other: whiteouts become what the overlay understands (a 0:0 character device,
//! an opaque attribute). The blob is verified on the way: its digest, its length, the digest of its tar. On any error
//! the directory holds a part of the layer and must be thrown away.
//!
//! Two things an overlay of separately unpacked layers cannot show are reported, not hidden: parents that a layer left
//! out ([`Unpacked::implied`], see [`adopt_parents`]) and an opaque root
//! ([`LayerIndex::hides_everything_below`]).

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::Path;

use wharf_spec::{Digest, DigestMismatch, Hasher};

use super::ahead::read_ahead;
use super::disk::{Disk, Ownership, Skipped};
use super::entry::{Entry, Kind};
use super::fingerprint::Fingerprinter;
use super::index::{Assembled, Assembler, LayerIndex, Placed};
use super::path::LayerPath;
use super::sniff::{Decoder, Format};
use super::tar::{TarEntry, TarError, TarLimits, TarReader};
use super::tree::Tree;
use super::xattr::OverlayXattr;

/// How to unpack.
#[derive(Clone, Copy, Debug)]
pub struct UnpackOptions {
    /// How the overlay wants opaque directories marked.
    pub overlay: OverlayXattr,
    /// Whether files get their owners.
    pub ownership: Ownership,
    /// How much the layer may expand to.
    pub limits: TarLimits,
}

impl UnpackOptions {
    /// For an overlay mounted by root.
    pub fn for_root() -> Self {
        Self { overlay: OverlayXattr::Trusted, ownership: Ownership::Real, limits: TarLimits::default() }
    }

    /// For an overlay mounted inside a user namespace that maps all users.
    pub fn for_user_namespace() -> Self {
        Self { overlay: OverlayXattr::User, ..Self::for_root() }
    }
}

/// What a blob is promised to be; what is `None` is not checked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// Digest of the blob.
    pub digest: Option<Digest>,
    /// Length of the blob.
    pub size: Option<u64>,
    /// SHA-256 of the tar in it.
    pub diff_id: Option<Digest>,
}

/// An unpacked layer.
#[derive(Debug)]
pub struct Unpacked {
    /// What it holds.
    pub index: LayerIndex,
    /// SHA-256 of its tar.
    pub diff_id: Digest,
    /// Length of its tar.
    pub uncompressed_size: u64,
    /// Directories the layer needs but does not describe, in walk order. They were made `0755`, root, epoch.
    pub implied: Vec<LayerPath>,
    /// What the file system would not take.
    pub skipped: Vec<(LayerPath, Skipped)>,
}

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is damaged, hostile or too large.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The directory could not be written to.
    #[error("cannot unpack {path}")]
    Io {
        /// The entry.
        path: LayerPath,
        /// What the system said.
        source: io::Error,
    },
    /// The blob is not the promised one.
    #[error("the layer's blob is not the promised one")]
    Digest(#[source] Box<DigestMismatch>),
    /// The tar is not the one the image's configuration lists.
    #[error("the layer's content does not match the image's configuration")]
    DiffId(#[source] Box<DigestMismatch>),
    /// The blob is longer or shorter than promised.
    #[error("the layer's blob has {actual} bytes, expected {expected}")]
    Size {
        /// The promise.
        expected: u64,
        /// What came (at least).
        actual: u64,
    },
}

/// Unpacks `blob` into `dest`, which exists and is empty.
pub fn unpack(
    blob: impl Read + Send,
    format: impl Into<Format>,
    expected: Expected,
    dest: &Path,
    options: UnpackOptions,
) -> Result<Unpacked, UnpackError> {
    let mut disk = Disk::open(dest, options.ownership).map_err(blame(&LayerPath::root()))?;
    let blob = Verified::new(blob, expected);
    let decoder = Decoder::new(blob, format.into()).map_err(TarError::Read)?;
    let mut assembler = Assembler::default();
    let (extracted, decoder) = read_ahead(decoder, |input| {
        let mut tar = TarReader::hashing(input, options.limits);
        extract(&mut tar, &mut assembler, &mut disk)?;
        Ok(tar.finish()?)
    })
    .map_err(TarError::Read)?;
    let source = decoder.into_inner();
    let cut_off = source.failed;
    let verdict = source.verdict();
    // A blob that is not the promised one fails in many ways; the promise is the reason worth telling.
    let (diff_id, uncompressed_size, _) = match (extracted, verdict) {
        (Ok(read), Ok(())) => read,
        (Err(error), Err(_)) if cut_off => return Err(error),
        (_, Err(broken)) => return Err(broken),
        (Err(error), Ok(())) => return Err(error),
    };
    let diff_id = diff_id.unwrap_or_else(|| Digest::sha256(b""));
    if let Some(promised) = expected.diff_id
        && promised != diff_id
    {
        return Err(UnpackError::DiffId(Box::new(DigestMismatch { expected: promised, actual: diff_id })));
    }
    let Assembled { index, implied } = assembler.finish()?;
    finish_overlay(&mut disk, &index, &implied, options.overlay)?;
    Ok(Unpacked { index, diff_id, uncompressed_size, implied, skipped: disk.into_skipped() })
}

/// Gives directories that a layer needed but did not describe the metadata they have in the layers below it, so that
/// the overlay shows them unchanged. `lower` is the tree of exactly those layers: an unpacked layer with implied
/// directories cannot be shared between different stacks once this was done. A fresh upper directory wants the same
/// for its root: there `dirs` is `&[LayerPath::root()]`.
pub fn adopt_parents(dest: &Path, dirs: &[LayerPath], lower: &Tree, ownership: Ownership) -> Result<(), UnpackError> {
    let mut disk = Disk::open(dest, ownership).map_err(blame(&LayerPath::root()))?;
    for path in dirs.iter().rev() {
        if let Some(node) = lower.get(path).filter(|node| node.entry().is_dir()) {
            disk.finish_dir(node.entry()).map_err(blame(path))?;
        }
    }
    Ok(())
}

/// Makes every entry of the archive.
pub(super) fn extract(
    tar: &mut TarReader<impl Read>,
    assembler: &mut Assembler,
    disk: &mut Disk,
) -> Result<(), UnpackError> {
    while let Some(raw) = tar.next_entry()? {
        if let Some(placed) = assembler.place(&raw)? {
            extract_one(tar, &raw, placed, assembler, disk)?;
        }
    }
    Ok(())
}

fn extract_one(
    tar: &mut TarReader<impl Read>,
    raw: &TarEntry,
    placed: Placed,
    assembler: &mut Assembler,
    disk: &mut Disk,
) -> Result<(), UnpackError> {
    let Placed { entry, parents } = placed;
    for parent in parents {
        let dir = Entry::implied_dir(parent);
        disk.make(&dir).map_err(blame(&dir.path))?;
    }
    let Kind::File { size } = entry.kind else {
        disk.make(&entry).map_err(blame(&entry.path))?;
        assembler.commit(entry, None);
        return Ok(());
    };
    let mut file = File::from(disk.create(&entry.path).map_err(blame(&entry.path))?);
    let mut hasher = Fingerprinter::new();
    let mut written = 0;
    loop {
        let piece = tar.content()?;
        if piece.is_empty() {
            break;
        }
        hasher.update(piece);
        file.write_all(piece).map_err(blame(&entry.path))?;
        written += piece.len() as u64;
    }
    debug_assert_eq!(written, size, "{}", raw.display_name());
    disk.finish_file(&file.into(), &entry).map_err(blame(&entry.path))?;
    assembler.commit(entry, Some(hasher.finish()));
    Ok(())
}

/// Whiteouts, then directories from the bottom up: nothing is made in one after its times are set.
fn finish_overlay(
    disk: &mut Disk,
    index: &LayerIndex,
    implied: &[LayerPath],
    overlay: OverlayXattr,
) -> Result<(), UnpackError> {
    // Those above markers only are not there yet.
    for path in implied {
        disk.make(&Entry::implied_dir(path.clone())).map_err(blame(path))?;
    }
    let mut entries = index.iter().peekable();
    while let Some(one) = entries.next() {
        let path = &one.entry.path;
        match one.entry.kind {
            // A whiteout beside something new at the same path: a file hides by itself, a directory is opaque.
            Kind::Whiteout => match entries.peek().filter(|next| next.entry.path == *path && !next.entry.is_marker()) {
                None if implied.binary_search(path).is_ok() => disk.make_opaque(path, overlay),
                None => disk.make_whiteout(path),
                Some(real) if real.entry.is_dir() => disk.make_opaque(path, overlay),
                Some(_) => Ok(()),
            },
            Kind::Opaque => disk.make_opaque(path, overlay),
            Kind::File { .. }
            | Kind::Dir
            | Kind::Symlink { .. }
            | Kind::Hardlink { .. }
            | Kind::Char { .. }
            | Kind::Block { .. }
            | Kind::Fifo => Ok(()),
        }
        .map_err(blame(path))?;
    }
    let described = index.iter().filter(|one| one.entry.is_dir()).map(|one| one.entry);
    finish_dirs(disk, described.chain(implied.iter().cloned().map(Entry::implied_dir)).collect())
}

/// Gives directories their metadata, children before parents.
pub(super) fn finish_dirs(disk: &mut Disk, mut dirs: Vec<Entry>) -> Result<(), UnpackError> {
    dirs.sort_by(|a, b| b.path.cmp(&a.path));
    dirs.iter().try_for_each(|dir| disk.finish_dir(dir).map_err(blame(&dir.path)))
}

pub(super) fn blame(path: &LayerPath) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.clone();
    move |source| UnpackError::Io { path, source }
}

/// A blob's reader that counts and hashes.
struct Verified<R> {
    inner: R,
    expected: Expected,
    hasher: Option<Hasher>,
    size: u64,
    /// Whether it could not be read to its end.
    failed: bool,
}

impl<R: Read> Verified<R> {
    fn new(inner: R, expected: Expected) -> Self {
        let hasher = expected.digest.map(|digest| Hasher::new(digest.algorithm()));
        Self { inner, expected, hasher, size: 0, failed: false }
    }

    /// Reads what the decompressor left and compares.
    fn verdict(mut self) -> Result<(), UnpackError> {
        if self.failed {
            // Half a blob says nothing about the whole.
            return Err(TarError::Read(io::ErrorKind::UnexpectedEof.into()).into());
        }
        let mut rest = [0; 16 << 10];
        while self.read(&mut rest).map_err(TarError::Read)? > 0 {
            if let Some(expected) = self.expected.size.filter(|expected| self.size > *expected) {
                return Err(UnpackError::Size { expected, actual: self.size });
            }
        }
        if let Some(expected) = self.expected.size.filter(|expected| self.size != *expected) {
            return Err(UnpackError::Size { expected, actual: self.size });
        }
        match (self.expected.digest, self.hasher.map(Hasher::finish)) {
            (Some(expected), Some(actual)) if expected != actual => {
                Err(UnpackError::Digest(Box::new(DigestMismatch { expected, actual })))
            }
            _ => Ok(()),
        }
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // One byte beyond the promise is enough to know.
        let most = self.expected.size.map_or(u64::MAX, |size| (size + 1).saturating_sub(self.size));
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most]).inspect_err(|error| {
            self.failed |= error.kind() != io::ErrorKind::Interrupted;
        })?;
        self.size += count as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}
