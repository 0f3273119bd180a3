//! Places in bake files, and complaints that point at one.
//!
//! Several files make one definition, so a place names its file. A complaint about the command line has no place.

use wharf_builder::dockerfile::suggest::did_you_mean;
use wharf_builder::dockerfile::{Diagnostic, Level, Span, render};

use crate::failure::Failure;

/// A range of bytes in one of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Which of [`Files`].
    pub file: usize,
    /// Where in it.
    pub span: Span,
}

impl Place {
    /// Bytes of a file.
    pub fn new(file: usize, range: std::ops::Range<usize>) -> Self {
        Self { file, span: Span { start: range.start, end: range.end.max(range.start) } }
    }
}

/// A file as it was read.
#[derive(Clone, Debug)]
pub struct BakeFile {
    /// As the user names it.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// What is wrong with a definition.
#[derive(Clone, Debug)]
pub struct Complaint {
    place: Option<Place>,
    diagnostic: Diagnostic,
}

/// What reading a definition gives.
pub type Result<T> = std::result::Result<T, Box<Complaint>>;

impl Complaint {
    /// Something wrong at a place of a file.
    pub fn at(place: Place, title: impl Into<String>) -> Box<Self> {
        Box::new(Self { place: Some(place), diagnostic: Diagnostic::error(title, place.span) })
    }

    /// Something wrong that no file says.
    pub fn general(title: impl Into<String>) -> Box<Self> {
        Box::new(Self { place: None, diagnostic: Diagnostic::new(Level::Error, title) })
    }

    /// Says `text` beside the place.
    #[must_use]
    pub fn expected(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.diagnostic = self.diagnostic.expected(text);
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.diagnostic = self.diagnostic.note(text);
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        self.diagnostic = self.diagnostic.help(text);
        self
    }

    /// Names the nearest of what is known.
    #[must_use]
    pub fn nearest<'c>(mut self: Box<Self>, word: &str, known: impl IntoIterator<Item = &'c str>) -> Box<Self> {
        self.diagnostic = self.diagnostic.maybe_help(did_you_mean(word, known));
        self
    }

    /// What happened, without its place.
    pub fn title(&self) -> &str {
        &self.diagnostic.title
    }

    /// For the terminal.
    pub fn failure(&self, files: &[BakeFile], color: bool) -> Failure {
        match self.place.and_then(|place| files.get(place.file)) {
            Some(file) => {
                Failure::rendered(render(&self.diagnostic, &file.name, &file.text, color).trim_end().to_owned())
            }
            None => {
                let mut failure = Failure::usage(self.diagnostic.title.clone());
                for hint in self.diagnostic.notes.iter().chain(&self.diagnostic.help) {
                    failure = failure.hint(hint);
                }
                failure
            }
        }
    }
}
