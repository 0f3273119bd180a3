//! The layer of a `COPY` once its sources are found: laid out, then written, each on a thread of its own.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::blame;
use super::copy_step::PreparedItem;
use super::remote::Download;
use super::stage_files::{ContentReader, Contents};
use super::transport::BlobSink;
use crate::context::{Context, Vouched};
use crate::copy::{ContentDigests, Layout, Origin, Ready, Rules, Spool, extract};
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::files::Selection;
use crate::layer::{Entry, Format, Kind, LayerPath, LayerWriter, Tree, WriteError, detect_archive};
use crate::plan::{Archives, Copy};
use wharf_spec::Digest;

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

    /// Opens a file, and says what is in it where that need not be found out by reading.
    fn open_known(&self, path: &LayerPath) -> io::Result<(ContentReader, Option<Vouched>)> {
        match self {
            Self::Context(context) => {
                context.open_known(path).map(|(file, vouched)| (ContentReader::File(file), vouched))
            }
            Self::Nothing | Self::Stage(_) => self.open(path).map(|reader| (reader, None)),
        }
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
    pub(super) fn lay_out(&self) -> Result<Vec<Ready>, BuildError> {
        let mut layout = Layout::new(&self.below, self.rules.clone());
        let mut spool = Spool::new(&self.room).map_err(|error| BuildError::io("make a spool file", error))?;
        let (path, form) = (&self.copy.destination.path, self.copy.destination.form);
        for item in &self.items {
            match item {
                PreparedItem::Selected { things, span } => {
                    for thing in things {
                        self.place(thing, *span, &mut layout, &mut spool)?;
                    }
                }
                PreparedItem::Inline { name, text } => layout
                    .write((name, Arc::clone(text)), path, form)
                    .map_err(|error| blame::place(&error, self.span))?,
                PreparedItem::Fetched { download, archives } => {
                    self.place_download(download, *archives, &mut layout, &mut spool)?;
                }
                PreparedItem::Promised { .. } => {}
            }
        }
        Ok(layout.finish())
    }

    fn place(
        &self,
        thing: &Selection,
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
    pub(super) ready: Vec<Ready>,
    pub(super) opener: Opener,
    /// What each file of the source had in it when the key was made.
    pub(super) contents: ContentDigests,
}

/// Why a layer was not written.
pub(super) enum FillError {
    Write(WriteError),
    /// A file is not what it was when the key was made.
    Changed(LayerPath),
    /// A file of the source cannot be opened any more.
    Open(LayerPath, io::Error),
}

impl From<WriteError> for FillError {
    fn from(error: WriteError) -> Self {
        Self::Write(error)
    }
}

impl FillError {
    /// The message, pointing at the instruction.
    pub(super) fn blame(self, span: Span) -> BuildError {
        match self {
            Self::Write(error) => blame::write(error, span),
            Self::Open(path, error) => blame::unreadable(&path, &error, span).into(),
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
        for Ready { entry, origin } in self.ready {
            match origin {
                Origin::Nothing => writer.append(entry)?,
                Origin::Text(text) => {
                    writer.append_file(entry, &text[..])?;
                }
                Origin::Spool(spool, offset) => {
                    let size = file_size(&entry.kind);
                    writer.append_file(entry, spool.slice(offset, size))?;
                }
                Origin::Source(path) => {
                    let opened = self.opener.open_known(&path);
                    let opened = opened.map_err(|error| FillError::Open(path.clone(), error))?;
                    if !add_source(writer, entry, opened, self.contents.get(&path))? {
                        return Err(FillError::Changed(path));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Adds a file of the source; says whether it still is what it was when the key was made.
fn add_source(
    writer: &mut LayerWriter<BlobSink>,
    entry: Entry,
    (mut content, vouched): (ContentReader, Option<Vouched>),
    expected: Option<&Digest>,
) -> Result<bool, WriteError> {
    match (&mut content, vouched, expected) {
        (ContentReader::File(file), Some(vouched), Some(expected)) if vouched.digest == *expected => {
            writer.append_known(entry, &*file, vouched.digest)?;
            Ok(vouched.holds(file))
        }
        (content, _, expected) => {
            let digest = writer.append_file(entry, content)?;
            Ok(expected.is_none_or(|expected| *expected == digest))
        }
    }
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
