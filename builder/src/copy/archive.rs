//! `ADD` of a tar: its members go onto the layout, their contents into the spool.
//!
//! Owners are the archive's, unless `--chown` says otherwise. A name with `..` that leads out of the archive is an
//! error; links are followed inside the destination only.

use std::io::{self, Read};

use super::layout::{Layout, Origin, PlaceError};
use super::spool::Spool;
use crate::layer::{
    Decoder, Entry, Format, Kind, LayerPath, PathError, TarEntry, TarError, TarKind, TarLimits, TarReader, travels,
};

/// Why an archive cannot be extracted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It is damaged or hostile.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// A name leads out of it.
    #[error("{name} cannot be extracted")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A hard link to nothing.
    #[error("{name} is a hard link to {target}, which is not in the archive")]
    Link {
        /// The link.
        name: String,
        /// Its target.
        target: String,
    },
    /// Something cannot be put where it should go.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The spool cannot be written.
    #[error("cannot spool an archive")]
    Spool(#[source] io::Error),
}

/// Extracts `archive` into `destination`.
pub(crate) fn extract(
    archive: impl Read,
    format: Format,
    layout: &mut Layout<'_>,
    destination: &str,
    spool: &mut Spool,
) -> Result<(), ArchiveError> {
    let root = layout.make_directories(destination)?;
    let decoder = Decoder::new(archive, format).map_err(TarError::Read)?;
    let mut tar = TarReader::new(decoder, TarLimits::default());
    while let Some(raw) = tar.next_entry()? {
        let path = parse(&raw, &raw.name)?;
        if raw.kind == TarKind::Hardlink {
            let target = parse(&raw, &raw.link)?;
            let (original, origin, id) = layout.member(&root, &target).ok_or_else(|| ArchiveError::Link {
                name: raw.display_name(),
                target: String::from_utf8_lossy(&raw.link).into_owned(),
            })?;
            layout.put_member(&root, &Entry { path, ..original }, (origin, id))?;
            continue;
        }
        let Some(entry) = entry(&raw, path) else { continue };
        let body = match entry.kind {
            Kind::File { .. } => {
                let offset = spool.end();
                spool_content(&mut tar, spool)?;
                (Origin::Spool(spool.clone(), offset), Some(layout.new_member()))
            }
            _ => (Origin::Nothing, None),
        };
        layout.put_member(&root, &entry, body)?;
    }
    Ok(())
}

fn spool_content(tar: &mut TarReader<impl Read>, spool: &mut Spool) -> Result<(), ArchiveError> {
    loop {
        let piece = tar.content()?;
        if piece.is_empty() {
            return Ok(());
        }
        spool.append(piece).map_err(ArchiveError::Spool)?;
    }
}

fn parse(raw: &TarEntry, name: &[u8]) -> Result<LayerPath, ArchiveError> {
    LayerPath::parse(name).map_err(|source| ArchiveError::Name { name: raw.display_name(), source })
}

fn entry(raw: &TarEntry, path: LayerPath) -> Option<Entry> {
    let kind = match raw.kind {
        TarKind::File => Kind::File { size: raw.size },
        TarKind::Dir => Kind::Dir,
        TarKind::Symlink => Kind::Symlink { target: raw.link.as_slice().into() },
        TarKind::Hardlink => return None,
        TarKind::Char { major, minor } => Kind::Char { major, minor },
        TarKind::Block { major, minor } => Kind::Block { major, minor },
        TarKind::Fifo => Kind::Fifo,
    };
    let mut entry = Entry::new(path, kind, raw.mode & 0o7777);
    (entry.uid, entry.gid, entry.mtime) = (raw.uid, raw.gid, raw.mtime);
    entry.xattrs = raw
        .xattrs
        .iter()
        .filter(|(name, _)| travels(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    Some(entry)
}
