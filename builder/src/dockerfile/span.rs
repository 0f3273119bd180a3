//! Places in a Dockerfile, and text that remembers its place.
//!
//! Every span is a half-open byte range of the source text as it was handed to [`parse`](super::parse), byte-order mark and
//! carriage returns included. Both ends lie inside that text and on character boundaries. Spans of one file must not be
//! used with the text of another.

use std::ops::{Range, RangeInclusive};

/// A half-open byte range of the source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset just past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The empty range at `offset`, for things that are missing there.
    pub fn at(offset: usize) -> Self {
        Self::new(offset, offset)
    }

    /// The smallest span that covers both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self::new(self.start.min(other.start), self.end.max(other.end))
    }

    /// Number of bytes covered.
    pub fn len(self) -> usize {
        self.end - self.start
    }

    /// The lines of `source` it touches, counted from one.
    pub fn lines(self, source: &str) -> RangeInclusive<usize> {
        let line = |offset: usize| {
            let before = source.get(..source.floor_char_boundary(offset)).unwrap_or_default();
            before.matches('\n').count() + 1
        };
        // A span that takes a line's break in ends on that line.
        line(self.start)..=line(self.end.saturating_sub(1).max(self.start))
    }

    /// Whether the span covers no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A piece of text and where it was written.
///
/// The text of a word inside an instruction is *unexpanded*: variables, quotes and escapes are as the author wrote them,
/// only line continuations are gone. [`expand`](super::expand::expand) turns it into its value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Word {
    /// The text, variables not yet replaced.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

impl Word {
    /// A word from its parts.
    pub fn new(text: impl Into<String>, span: Span) -> Self {
        Self { text: text.into(), span }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A part of the word, by offsets into its text.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        let span = self.place(range.clone());
        Self::new(&self.text[range], span)
    }

    /// Where a part of the word stands.
    ///
    /// A text is shorter than its place when quotes, escapes or continuations were taken out of it. Only when nothing was
    /// taken out do offsets carry over; otherwise the whole word has to do.
    pub fn place(&self, range: Range<usize>) -> Span {
        place(&self.text, self.span, range)
    }
}

/// See [`Word::place`].
pub(super) fn place(text: &str, span: Span, range: Range<usize>) -> Span {
    if text.len() == span.len() { Span::new(span.start + range.start, span.start + range.end) } else { span }
}

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// A value at a place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}
