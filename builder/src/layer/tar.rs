//! Reading tar streams that anybody may have written: ustar, GNU, PAX, old V7; sparse files come out expanded.
//!
//! Guarantees: no input makes it panic or allocate more than about a megabyte per entry; limits on size and number of
//! entries hold for what comes out, not for what went in; every error names the entry it is about. Names are handed on
//! as they are stored: [`LayerPath::parse`](super::LayerPath::parse) decides whether they are acceptable.

mod fields;
mod sparse;

use std::io::{self, Read};

use wharf_spec::{Algorithm, Digest, Hasher};

use super::entry::{Mtime, Xattrs};
use super::fingerprint::{Fingerprint, Fingerprinter};
use super::header::padding;
use super::path::{LayerPath, PathError};
use fields::{Extension, RawHeader};
use sparse::Segments;

pub(super) use fields::is_header;

/// The unit of a tar stream.
pub(super) const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;
/// The longest PAX block or GNU long name anyone has a use for.
const MOST_EXTENSION: u64 = 1 << 20;

/// How much a stream may expand to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarLimits {
    /// Bytes of the tar, and bytes of file content (holes count).
    pub bytes: u64,
    /// Number of entries.
    pub entries: u64,
}

impl Default for TarLimits {
    /// 256 GiB in ten million entries.
    fn default() -> Self {
        Self { bytes: 256 << 30, entries: 10_000_000 }
    }
}

/// Why a stream is not taken for a layer.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The bytes could not be read or decompressed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// It ends in the middle of something.
    #[error("the archive ends in the middle of {name}")]
    Truncated {
        /// The entry, or "a header".
        name: String,
    },
    /// A header that is none.
    #[error("damaged tar header at byte {offset}: {what}")]
    Header {
        /// Where it starts in the uncompressed archive.
        offset: u64,
        /// The field.
        what: &'static str,
    },
    /// A kind of entry that no file system has.
    #[error("{name} is of a kind that cannot be unpacked (`{}`)", flag.escape_ascii())]
    Kind {
        /// The entry.
        name: String,
        /// Its type flag.
        flag: u8,
    },
    /// A name that leads out of the image or that Linux cannot store.
    #[error("the archive holds an impossible name, {name}")]
    Name {
        /// As stored.
        name: String,
        /// What is wrong with it.
        source: PathError,
    },
    /// A name that is reserved for whiteouts but is none.
    #[error("{name} misuses the reserved prefix `.wh.`")]
    ReservedName {
        /// As stored.
        name: String,
    },
    /// Something beneath what is no directory.
    #[error("{path} lies beneath something that is no directory")]
    ParentNotDirectory {
        /// The entry.
        path: LayerPath,
    },
    /// Symlinks of the layer itself that lead in circles.
    #[error("{path} leads through more than 255 symbolic links")]
    TooManyLinks {
        /// The entry.
        path: LayerPath,
    },
    /// A hard link to something that is not in this layer, or to a directory.
    #[error("the hard link {path} points to {target}, which is no file of the same layer")]
    DanglingHardlink {
        /// The link.
        path: LayerPath,
        /// What it names.
        target: LayerPath,
    },
    /// More bytes than allowed.
    #[error("the archive is larger than {limit} bytes when unpacked")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// More entries than allowed.
    #[error("the archive has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
}

/// What kind of thing an entry says it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link.
    Symlink,
    /// Another name.
    Hardlink,
    /// A character device.
    Char {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// An entry as the stream has it: nothing is checked but that it is well-formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarEntry {
    /// Its name as stored: perhaps absolute, perhaps with `..`.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: TarKind,
    /// Target of a link.
    pub link: Vec<u8>,
    /// Length of the content that [`TarReader::content`] will give; 0 for anything but a file.
    pub size: u64,
    /// `0..=0o7777`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Time of last modification.
    pub mtime: Mtime,
    /// All extended attributes in the stream, also such as no image should have.
    pub xattrs: Xattrs,
}

impl TarEntry {
    /// The name for messages.
    pub fn display_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }
}

/// Reads one tar stream, entry by entry.
pub struct TarReader<R> {
    input: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes of the stream handed out so far.
    offset: u64,
    /// Bytes of the stream read so far; for the limit.
    read: u64,
    hasher: Option<Hasher>,
    limits: TarLimits,
    entries: u64,
    expanded: u64,
    content: Segments,
    content_name: Vec<u8>,
    /// Bytes between the end of the content and the next header.
    padding: u64,
}

impl<R: Read> TarReader<R> {
    /// Reads uncompressed `input`.
    pub fn new(input: R, limits: TarLimits) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            start: 0,
            end: 0,
            offset: 0,
            read: 0,
            hasher: None,
            limits,
            entries: 0,
            expanded: 0,
            content: Segments::default(),
            content_name: Vec::new(),
            padding: 0,
        }
    }

    /// The same, and hashes everything for [`TarReader::finish`].
    pub fn hashing(input: R, limits: TarLimits) -> Self {
        Self { hasher: Some(Hasher::new(Algorithm::Sha256)), ..Self::new(input, limits) }
    }

    /// The next entry; what was left of the last one's content is skipped. `None` at the end of the archive.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        self.skip_content()?;
        let mut extension = Extension::default();
        loop {
            let at = self.offset;
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let header = RawHeader::parse(&header).map_err(|what| TarError::Header { offset: at, what })?;
            if header.is_extension() {
                let body = self.extension_body(header.size)?;
                extension.add(header.flag, &body).map_err(|what| TarError::Header { offset: at, what })?;
                continue;
            }
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(TarError::TooManyEntries { limit: self.limits.entries });
            }
            return self.entry(header, extension, at).map(Some);
        }
    }

    /// The next piece of the current entry's content, empty at its end.
    pub fn content(&mut self) -> Result<&[u8], TarError> {
        self.content_up_to(usize::MAX)
    }

    /// Reads what is left of the current entry's content; what it is.
    pub fn hash_content(&mut self) -> Result<Fingerprint, TarError> {
        let mut hasher = Fingerprinter::new();
        loop {
            match self.content()? {
                [] => return Ok(hasher.finish()),
                piece => hasher.update(piece),
            }
        }
    }

    /// Like [`TarReader::content`], but not more than `most` bytes.
    pub(super) fn content_up_to(&mut self, most: usize) -> Result<&[u8], TarError> {
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        if let Some(hole) = self.content.hole() {
            let count = usize::try_from(hole).unwrap_or(usize::MAX).min(ZEROS.len()).min(most);
            self.content.take(count as u64);
            return Ok(&ZEROS[..count]);
        }
        let left = self.content.stored();
        if left == 0 {
            return Ok(&[]);
        }
        if self.fill()? == 0 {
            return Err(TarError::Truncated { name: String::from_utf8_lossy(&self.content_name).into_owned() });
        }
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.end - self.start).min(most);
        self.content.take(count as u64);
        self.consume(count);
        Ok(&self.buffer[self.start - count..self.start])
    }

    /// Reads what is left of the stream, padding and all. Returns its digest (when hashing), its length, and the reader.
    pub fn finish(mut self) -> Result<(Option<Digest>, u64, R), TarError> {
        while self.fill()? > 0 {
            self.consume(self.end - self.start);
        }
        Ok((self.hasher.map(Hasher::finish), self.offset, self.input))
    }

    fn entry(&mut self, header: RawHeader, mut extension: Extension, at: u64) -> Result<TarEntry, TarError> {
        let damaged = |what| TarError::Header { offset: at, what };
        let sparse = extension.sparse.take();
        let (flag, old_sparse) = (header.flag, header.sparse());
        let size = extension.size.unwrap_or(header.size);
        let mut entry = match header.into_entry(extension).map_err(damaged)? {
            Ok(entry) => entry,
            Err(name) => return Err(TarError::Kind { name: String::from_utf8_lossy(&name).into_owned(), flag }),
        };
        self.content_name.clone_from(&entry.name);
        if entry.kind != TarKind::File {
            return Ok(entry);
        }
        self.padding = padding(size) as u64;
        self.content = match (old_sparse.map_err(damaged)?, sparse) {
            (Some(mut map), _) => {
                while map.continues {
                    let block = self.block()?.ok_or_else(truncated_header)?;
                    map.extend(&block).map_err(damaged)?;
                }
                map.finish(size).map_err(damaged)?
            }
            (None, Some(map)) if map.in_content() => {
                let (list, used) = self.sparse_list(size, at)?;
                map.with_list(list, size - used).map_err(damaged)?
            }
            (None, Some(map)) => map.finish(size).map_err(damaged)?,
            (None, None) => Segments::whole(size),
        };
        entry.size = self.content.size();
        self.expanded = self.expanded.saturating_add(entry.size);
        if self.expanded > self.limits.bytes {
            return Err(TarError::TooLarge { limit: self.limits.bytes });
        }
        Ok(entry)
    }

    /// The map that PAX sparse files of version 1.0 have before their content: decimal numbers, one a line, padded to
    /// whole blocks. Returns offsets and lengths, and how many bytes of content the map took.
    fn sparse_list(&mut self, size: u64, at: u64) -> Result<(Vec<u64>, u64), TarError> {
        let damaged = || TarError::Header { offset: at, what: "sparse map" };
        let mut used = 0;
        let mut parser = sparse::ListParser::default();
        while !parser.complete() {
            if used + BLOCK as u64 > size.next_multiple_of(BLOCK as u64) || used >= MOST_EXTENSION {
                return Err(damaged());
            }
            let block = self.block()?.ok_or_else(truncated_header)?;
            used += BLOCK as u64;
            parser.feed(&block).map_err(|_| damaged())?;
        }
        if used > size { Err(damaged()) } else { Ok((parser.numbers(), used)) }
    }

    fn extension_body(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MOST_EXTENSION {
            return Err(TarError::Header { offset: self.offset, what: "extended header of more than a mebibyte" });
        }
        let mut body = Vec::with_capacity(usize::try_from(size).unwrap_or(0).next_multiple_of(BLOCK));
        while (body.len() as u64) < size {
            body.extend_from_slice(&self.block()?.ok_or_else(truncated_header)?);
        }
        body.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        Ok(body)
    }

    /// The next header; `None` at the end, which is two zero blocks or nothing more to read.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let at = self.offset;
        let Some(block) = self.block()? else { return Ok(None) };
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        match self.block()? {
            Some(second) if second.iter().any(|byte| *byte != 0) => {
                Err(TarError::Header { offset: at, what: "a lone zero block" })
            }
            Some(_) | None => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            let ready = self.fill()?;
            if ready == 0 {
                return if filled == 0 { Ok(None) } else { Err(truncated_header()) };
            }
            let count = ready.min(BLOCK - filled);
            block[filled..filled + count].copy_from_slice(&self.buffer[self.start..self.start + count]);
            filled += count;
            self.consume(count);
        }
        Ok(Some(block))
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let mut left = self.content.all_stored() + std::mem::take(&mut self.padding);
        while left > 0 {
            let ready = self.fill()?;
            if ready == 0 {
                return Err(TarError::Truncated { name: String::from_utf8_lossy(&self.content_name).into_owned() });
            }
            let count = usize::try_from(left).unwrap_or(usize::MAX).min(ready);
            self.consume(count);
            left -= count as u64;
        }
        self.content = Segments::default();
        Ok(())
    }

    /// Makes sure something is buffered; says how much, 0 at the end of the stream.
    fn fill(&mut self) -> Result<usize, TarError> {
        while self.start == self.end {
            let count = match self.input.read(&mut self.buffer) {
                Ok(0) => return Ok(0),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TarError::Read(error)),
            };
            self.read += count as u64;
            if self.read > self.limits.bytes {
                return Err(TarError::TooLarge { limit: self.limits.bytes });
            }
            if let Some(hasher) = &mut self.hasher {
                hasher.update(&self.buffer[..count]);
            }
            (self.start, self.end) = (0, count);
        }
        Ok(self.end - self.start)
    }

    fn consume(&mut self, count: usize) {
        self.start += count;
        self.offset += count as u64;
    }
}

fn truncated_header() -> TarError {
    TarError::Truncated { name: "a header".to_owned() }
}
