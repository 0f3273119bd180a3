//! The layer of a `COPY` once its sources are found: laid out, then written, each on a thread of its own.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::blame;
use super::copy_step::PreparedItem;
use super::read_ahead::{ReadAhead, Unread};
use super::remote::Download;
use super::stage_files::{ContentReader, Contents};
use super::transport::BlobSink;
use crate::context::{Context, stamp_of};
use crate::copy::{Laid, Layout, Origin, Ready, Rules, SourceFile, Spool, extract};
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::files::{Selection, Stamp};
use crate::layer::{Entry, Fingerprint, Format, Kind, LayerPath, LayerWriter, Open, Tree, WriteError, detect_archive};
use crate::plan::{Archives, Copy};

/// How the bytes of selected files are had.
#[derive(Clone)]
pub(super) enum Opener {
    Nothing,
    Context(Arc<Context>),
    Stage(Arc<Contents>),
}

impl Opener {
    fn open(&self, path: &LayerPath) -> io::Result<ContentReader> {
        match self {
            Self::Nothing => Err(io::ErrorKind::NotFound.into()),
            Self::Context(context) => context.open_file(path).map(ContentReader::File),
            Self::Stage(contents) => contents.open(path),
        }
    }

    /// How a file is read that contained this when it was looked at, if any change since then shows. Nothing is opened yet.
    fn later(&self, source: &SourceFile) -> Option<(Fingerprint, Open)> {
        let (content, path, opener) = (source.content?, source.path.clone(), self.clone());
        let unreadable = |path| |source| SourceFault { path, why: Why::Unreadable(source) };
        let open: Open = match self {
            Self::Context(context) => {
                let (stamp, context) = (source.stamp.filter(|stamp| context.lasts(stamp))?, Arc::clone(context));
                Box::new(move || {
                    let file = context.open_again(&path).map_err(unreadable(path.clone()))?;
                    Ok(Box::new(Watched { file, stamp, path }))
                })
            }
            // Layers do not change.
            Self::Stage(_) => Box::new(move || Ok(Box::new(opener.open(&path).map_err(unreadable(path))?))),
            Self::Nothing => return None,
        };
        Some((content, open))
    }

    /// An entry, and its file where that is of the source and need not be looked at again before it is read.
    fn file_of(&self, ready: Ready) -> (Coming, Option<Unread>) {
        let later = if let Origin::Source(source) = &ready.origin { self.later(source) } else { None };
        let Some((content, open)) = later else { return ((ready, None), None) };
        let size = file_size(&ready.entry.kind);
        ((ready, Some(content)), Some(Unread { size, open }))
    }
}

/// An entry on its way, and what its file contains if that is known.
type Coming = (Ready, Option<Fingerprint>);

/// A file that must be what it was when it was looked at, from before its first byte until after its last.
struct Watched {
    file: File,
    stamp: Stamp,
    path: LayerPath,
}

impl Read for Watched {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        // Looked at after each piece: after the last one, too.
        if stamp_of(&self.file)? == self.stamp {
            return Ok(count);
        }
        Err(SourceFault { path: self.path.clone(), why: Why::Changed }.into())
    }
}

/// What is wrong with a file of the source, on its way through a writer that knows files by what they are called in the layer.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}")]
struct SourceFault {
    path: LayerPath,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Unreadable(io::Error),
    Changed,
}

impl From<SourceFault> for io::Error {
    fn from(fault: SourceFault) -> Self {
        Self::other(fault)
    }
}

/// A layer to be laid out.
pub(super) struct Job {
    /// What is there.
    pub(super) below: Arc<Tree>,
    pub(super) rules: Rules,
    pub(super) copy: Copy,
    pub(super) items: Vec<PreparedItem>,
    pub(super) opener: Opener,
    /// Where the contents of archives wait.
    pub(super) room: PathBuf,
    /// The instruction.
    pub(super) span: Span,
}

impl Job {
    /// The layer's entries in order.
    pub(super) fn lay_out(mut self) -> Result<Laid, BuildError> {
        let (below, items) = (Arc::clone(&self.below), std::mem::take(&mut self.items));
        let mut layout = Layout::new(&below, self.rules.clone());
        let mut spool = Spool::new(&self.room).map_err(|error| BuildError::io("make a spool file", error))?;
        let (path, form) = (&self.copy.destination.path, self.copy.destination.form);
        for item in items {
            match item {
                PreparedItem::Selected { things, span } => {
                    for thing in things {
                        self.place(thing, span, &mut layout, &mut spool)?;
                    }
                }
                PreparedItem::Inline { name, text } => {
                    layout.write((&name, text), path, form).map_err(|error| blame::place(&error, self.span))?;
                }
                PreparedItem::Fetched { download, archives } => {
                    self.place_download(&download, archives, &mut layout, &mut spool)?;
                }
                PreparedItem::Promised { .. } => {}
            }
        }
        Ok(layout.finish())
    }

    fn place(
        &self,
        thing: Selection,
        span: Span,
        layout: &mut Layout<'_>,
        spool: &mut Spool,
    ) -> Result<(), BuildError> {
        let path = &thing.top.entry.path;
        let readable = |error: io::Error| BuildError::from(blame::unreadable(path, &error, span));
        if self.copy.archives == Archives::Extracted
            && matches!(thing.top.entry.kind, Kind::File { .. })
            && let Some(format) = detect_archive(self.opener.open(path).map_err(readable)?).map_err(readable)?
        {
            let archive = self.opener.open(path).map_err(readable)?;
            return self.extract((archive, format), &path.to_string(), span, (layout, spool));
        }
        layout
            .copy(thing, &self.copy.destination.path, self.copy.destination.form)
            .map_err(|error| blame::place(&error, span).into())
    }

    fn place_download(
        &self,
        download: &Download,
        archives: Archives,
        layout: &mut Layout<'_>,
        spool: &mut Spool,
    ) -> Result<(), BuildError> {
        let whole = || download.spool.slice(0, download.spool.end());
        if archives == Archives::Extracted {
            let format = detect_archive(whole()).map_err(|error| BuildError::io("read a download", error))?;
            if let Some(format) = format {
                let name = download.entry.path.to_string();
                return self.extract((whole(), format), &name, self.span, (layout, spool));
            }
        }
        layout
            .write_spooled(
                (&download.entry, download.spool.clone()),
                &self.copy.destination.path,
                self.copy.destination.form,
            )
            .map_err(|error| blame::place(&error, self.span).into())
    }

    fn extract(
        &self,
        (archive, format): (impl Read, Format),
        name: &str,
        span: Span,
        (layout, spool): (&mut Layout<'_>, &mut Spool),
    ) -> Result<(), BuildError> {
        extract(archive, format, layout, &self.copy.destination.path, spool)
            .map_err(|error| blame::archive(&error, name, span))
    }
}

/// A layer to be written.
pub(super) struct Writing {
    pub(super) ready: Laid,
    pub(super) opener: Opener,
}

/// Why a layer was not written.
pub(super) enum FillError {
    Write(WriteError),
    /// A file is not what it was when the key was made.
    Changed(LayerPath),
    /// A file of the source cannot be opened any more.
    Open(LayerPath, io::Error),
    /// The threads that read files did not start, or broke.
    Readers(io::Error),
}

impl From<io::Error> for FillError {
    fn from(error: io::Error) -> Self {
        Self::Readers(error)
    }
}

impl From<WriteError> for FillError {
    fn from(error: WriteError) -> Self {
        let WriteError::Source { path, source } = error else { return Self::Write(error) };
        match source.downcast::<SourceFault>() {
            Ok(SourceFault { path, why: Why::Changed }) => Self::Changed(path),
            Ok(SourceFault { path, why: Why::Unreadable(source) }) => Self::Open(path, source),
            Err(source) => Self::Write(WriteError::Source { path, source }),
        }
    }
}

impl FillError {
    /// The message, pointing at the instruction.
    pub(super) fn blame(self, span: Span) -> BuildError {
        match self {
            Self::Write(error) => blame::write(error, span),
            Self::Open(path, error) => blame::unreadable(&path, &error, span).into(),
            Self::Readers(error) => BuildError::io("read files", error),
            Self::Changed(path) => {
                let name = String::from_utf8_lossy(path.as_bytes()).into_owned();
                Diagnostic::error(format!("`{name}` changed while the build was reading it"), span)
                    .help("build again when nobody is writing to it")
                    .into()
            }
        }
    }
}

impl Writing {
    /// Adds every entry.
    pub(super) fn fill(self, writer: &mut LayerWriter<BlobSink>) -> Result<(), FillError> {
        let mut ahead = ReadAhead::new();
        for ready in self.ready {
            let (coming, file) = self.opener.file_of(ready);
            if !writer.opens() {
                add(writer, coming, file, &self.opener)?;
                continue;
            }
            for (coming, file) in ahead.push(coming, file)? {
                add(writer, coming, file, &self.opener)?;
            }
        }
        loop {
            let rest = ahead.rest()?;
            if rest.is_empty() {
                return Ok(());
            }
            for (coming, file) in rest {
                add(writer, coming, file, &self.opener)?;
            }
        }
    }
}

/// Adds an entry, with its file if it has one.
fn add(
    writer: &mut LayerWriter<BlobSink>,
    (Ready { entry, origin }, content): Coming,
    file: Option<Unread>,
    opener: &Opener,
) -> Result<(), FillError> {
    if let (Some(content), Some(file)) = (content, file) {
        return Ok(writer.append_known(entry, content, file.open)?);
    }
    match origin {
        Origin::Nothing => writer.append(entry)?,
        Origin::Text(text) => {
            writer.append_file(entry, &text[..])?;
        }
        Origin::Spool(spool, offset) => {
            let size = file_size(&entry.kind);
            writer.append_file(entry, spool.slice(offset, size))?;
        }
        Origin::Source(source) => add_source(writer, entry, source, opener)?,
    }
    Ok(())
}

/// Adds a file of the source that is looked at only now.
fn add_source(
    writer: &mut LayerWriter<BlobSink>,
    entry: Entry,
    source: SourceFile,
    opener: &Opener,
) -> Result<(), FillError> {
    let opened = opener.open(&source.path).map_err(|error| FillError::Open(source.path.clone(), error))?;
    let content = writer.append_file(entry, opened)?;
    let is_same = source.content.is_none_or(|before| before == content);
    if is_same { Ok(()) } else { Err(FillError::Changed(source.path)) }
}

fn file_size(kind: &Kind) -> u64 {
    match kind {
        Kind::File { size } => *size,
        Kind::Dir
        | Kind::Symlink { .. }
        | Kind::Hardlink { .. }
        | Kind::Char { .. }
        | Kind::Block { .. }
        | Kind::Fifo
        | Kind::Whiteout
        | Kind::Opaque => 0,
    }
}
