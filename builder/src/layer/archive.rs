//! Archives that `ADD` extracts: their files, straight into a layer, without a directory in between.
//!
//! An archive is read twice: [`Archive::scan`] finds out what it makes (and the digests for a cache key),
//! [`Archive::replay`] hands the contents over. What a later entry of the archive replaces is not handed over, links
//! come after what they name, and names are resolved as unpacking would: the result is fit for a
//! [`LayerWriter`](super::LayerWriter).

use std::collections::HashMap;
use std::io::{self, Read};

use super::entry::{Entry, Kind};
use super::index::{Assembled, Assembler, LayerIndex, Placed};
use super::path::LayerPath;
use super::sniff::{Decoder, Format};
use super::tar::{TarError, TarLimits, TarReader};

/// What an archive makes.
pub struct Archive {
    format: Format,
    limits: TarLimits,
    assembled: Assembled,
    /// The surviving names of each thing in the archive, by the order in which things come.
    names: HashMap<u32, Vec<LayerPath>>,
}

impl Archive {
    /// Reads `archive` to its end.
    pub fn scan(archive: impl Read, format: Format, limits: TarLimits) -> Result<Self, TarError> {
        let decoder = Decoder::new(archive, format).map_err(TarError::Read)?;
        let mut tar = TarReader::new(decoder, limits);
        let mut assembler = Assembler::default();
        assembler.read_all(&mut tar)?;
        let names = assembler.names();
        Ok(Self { format, limits, assembled: assembler.finish()?, names })
    }

    /// What it makes, relative to where it is extracted. Its root entry, if it has one, describes that directory.
    pub fn index(&self) -> &LayerIndex {
        &self.assembled.index
    }

    /// Directories it needs but does not describe, in walk order: to be made unless they exist.
    pub fn implied(&self) -> &[LayerPath] {
        &self.assembled.implied
    }

    /// Reads the same archive again and hands over every entry of [`Archive::index`]: first the directories in walk
    /// order, then the rest as it comes, files with their content.
    pub fn replay<E: From<TarError>>(
        &self,
        archive: impl Read,
        mut take: impl FnMut(Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let first = |one: &Entry| one.is_dir() || one.is_marker();
        for one in self.index().iter().filter(|one| first(&one.entry)) {
            take(one.entry, &mut io::empty())?;
        }
        let decoder = Decoder::new(archive, self.format).map_err(TarError::Read)?;
        let mut tar = TarReader::new(decoder, self.limits);
        let mut assembler = Assembler::default();
        while let Some(raw) = tar.next_entry()? {
            let Some(Placed { entry, .. }) = assembler.place(&raw)? else { continue };
            // Directories went before; links come with what they name.
            let Some(number) = assembler.commit(entry.clone(), None) else { continue };
            let Some((name, others)) = self.names.get(&number).and_then(|names| names.split_first()) else { continue };
            if entry.is_dir() {
                continue;
            }
            take(Entry { path: name.clone(), ..entry.clone() }, &mut Content(&mut tar))?;
            for other in others {
                let kind = Kind::Hardlink { target: name.clone() };
                take(Entry { path: other.clone(), kind, ..entry.clone() }, &mut io::empty())?;
            }
        }
        Ok(())
    }
}

/// The content of a tar's current entry, for code that wants a reader.
struct Content<'a, R>(&'a mut TarReader<R>);

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.0.content_up_to(buffer.len()).map_err(|error| match error {
            TarError::Read(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        })?;
        buffer[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}
