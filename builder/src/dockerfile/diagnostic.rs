//! Messages that point into a Dockerfile, and their rendering for a terminal.
//!
//! The parser returns its errors as [`Diagnostic`]s, and whoever executes the file builds more of them from the spans of its
//! statements. [`render`] is pure: it takes the source text and gives back the text to print.

use super::span::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For information.
    Info,
    /// Works, but is probably not meant.
    Warning,
    /// Cannot go on.
    Error,
}

/// One message about a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// What happened, in one line without a final stop.
    pub title: String,
    /// The places it is about, the most important first. Empty when it concerns no particular place.
    pub labels: Vec<Label>,
    /// Facts that explain the cause.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: Vec<String>,
}

/// A place and what to say there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What to say beside it; may be empty.
    pub text: String,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(title: impl Into<String>, span: Span) -> Self {
        Self::new(Level::Error, title).label(span, "")
    }

    /// A warning at a place.
    pub fn warning(title: impl Into<String>, span: Span) -> Self {
        Self::new(Level::Warning, title).label(span, "")
    }

    /// A message about no particular place.
    pub fn new(level: Level, title: impl Into<String>) -> Self {
        Self { level, title: title.into(), labels: Vec::new(), notes: Vec::new(), help: Vec::new() }
    }

    /// Says `text` beside the primary place: usually what was expected there.
    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        if let Some(label) = self.labels.first_mut() {
            label.text = text.into();
        }
        self
    }

    /// Points at a further place.
    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds advice when there is some.
    #[must_use]
    pub fn maybe_help(self, text: Option<String>) -> Self {
        match text {
            Some(text) => self.help(text),
            None => self,
        }
    }

    /// The most important place.
    pub fn primary_span(&self) -> Option<Span> {
        self.labels.first().map(|label| label.span)
    }
}
