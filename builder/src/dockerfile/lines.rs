//! Physical and logical lines.
//!
//! A *physical* line ends at a line feed. A *logical* line is what an instruction is written on: physical lines joined where
//! one ends with the escape character, without the comments and blank lines in between. A logical line remembers where each
//! of its parts came from, so that every piece of it can be pointed at in the source.

use std::ops::Range;

use super::diagnostic::Diagnostic;
use super::directive::Escape;
use super::span::{Span, Word};

/// The longest physical line, line feed not counted.
pub const MAX_LINE_BYTES: usize = 64 * 1024 - 1;

/// A physical line.
#[derive(Clone, Copy)]
pub(super) struct PhysicalLine<'s> {
    /// The line without its line break.
    pub(super) text: &'s str,
    /// The line with its line break.
    pub(super) raw: &'s str,
    /// Offset of its first byte.
    pub(super) start: usize,
}

impl PhysicalLine<'_> {
    pub(super) fn span(&self) -> Span {
        Span::new(self.start, self.start + self.text.len())
    }

    pub(super) fn is_comment(&self) -> bool {
        self.text.trim_start().starts_with('#')
    }

    pub(super) fn is_blank(&self) -> bool {
        self.text.trim_start().is_empty()
    }
}

/// The physical lines of a source text, byte-order mark skipped.
pub(super) struct Lines<'s> {
    source: &'s str,
    at: usize,
}

impl<'s> Lines<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        let bom = '\u{feff}';
        Self { source, at: if source.starts_with(bom) { bom.len_utf8() } else { 0 } }
    }

    /// Offset of the next line.
    pub(super) fn offset(&self) -> usize {
        self.at
    }

    /// End of the line read last, line break excluded.
    pub(super) fn end_of_previous(&self) -> usize {
        self.source[..self.at].trim_end_matches(['\r', '\n']).len()
    }

    pub(super) fn next(&mut self) -> Result<Option<PhysicalLine<'s>>, Diagnostic> {
        let rest = &self.source[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let length = rest.find('\n').map_or(rest.len(), |feed| feed + 1);
        let raw = &rest[..length];
        let start = self.at;
        if raw.trim_end_matches('\n').len() > MAX_LINE_BYTES {
            return Err(Diagnostic::error(format!("this line is longer than {MAX_LINE_BYTES} bytes"), Span::at(start))
                .help("break it with the escape character, or move the content into a file and COPY it"));
        }
        self.at += length;
        Ok(Some(PhysicalLine { text: raw.trim_end_matches(['\r', '\n']), raw, start }))
    }
}

/// A logical line.
pub(super) struct LogicalLine {
    /// The joined text. It starts without blanks; blanks at the start of continuation lines are kept.
    pub(super) text: String,
    /// Blank lines inside it.
    pub(super) blanks: Vec<Span>,
    /// End of its last physical line, line break excluded.
    pub(super) end: usize,
    segments: Vec<Segment>,
}

/// From byte `at` of the text on, bytes come from `source` on.
struct Segment {
    at: usize,
    source: usize,
}

impl LogicalLine {
    /// Reads the logical line that begins with `first`.
    pub(super) fn read(first: PhysicalLine<'_>, lines: &mut Lines<'_>, escape: Escape) -> Result<Self, Diagnostic> {
        let text = first.text.trim_start();
        let indent = first.text.len() - text.len();
        let mut line = Self { text: String::new(), blanks: Vec::new(), end: first.span().end, segments: Vec::new() };
        let mut continued = line.push(text, first.start + indent, escape);
        while continued && let Some(next) = lines.next()? {
            if next.is_comment() {
                continue;
            }
            if next.is_blank() {
                line.blanks.push(next.span());
                continue;
            }
            line.end = next.span().end;
            continued = line.push(next.text, next.start, escape);
        }
        Ok(line)
    }

    /// Appends a physical line and says whether another one continues it.
    fn push(&mut self, text: &str, source: usize, escape: Escape) -> bool {
        let continued = strip_continuation(text, escape);
        self.segments.push(Segment { at: self.text.len(), source });
        self.text.push_str(continued.unwrap_or(text));
        continued.is_some()
    }

    /// The whole line as a slice.
    pub(super) fn whole(&self) -> Slice<'_> {
        Slice { line: self, start: 0, end: self.text.len() }
    }

    fn source_offset(&self, at: usize) -> usize {
        let index = self.segments.partition_point(|segment| segment.at <= at).saturating_sub(1);
        self.segments.get(index).map_or(0, |segment| segment.source + (at - segment.at))
    }

    fn span(&self, range: Range<usize>) -> Span {
        let start = self.source_offset(range.start);
        // The end belongs to the last byte inside, not to the first byte after: that may stand lines below.
        let end = if range.is_empty() { start } else { self.source_offset(range.end - 1) + 1 };
        Span::new(start, end)
    }
}

/// The line without its continuation mark, or `None` when it has none.
///
/// The mark is the escape character at the end, blanks after it allowed, unless another escape character precedes it.
fn strip_continuation(text: &str, escape: Escape) -> Option<&str> {
    let before = text.trim_end_matches([' ', '\t']).strip_suffix(escape.char())?;
    (!before.ends_with(escape.char())).then_some(before)
}

/// A part of a logical line.
#[derive(Clone, Copy)]
pub(super) struct Slice<'l> {
    line: &'l LogicalLine,
    start: usize,
    end: usize,
}

impl<'l> Slice<'l> {
    pub(super) fn as_str(&self) -> &'l str {
        &self.line.text[self.start..self.end]
    }

    pub(super) fn span(&self) -> Span {
        self.line.span(self.start..self.end)
    }

    pub(super) fn word(&self) -> Word {
        Word::new(self.as_str(), self.span())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// A part of this part, by offsets relative to it.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        Self { line: self.line, start: self.start + range.start, end: self.start + range.end }
    }

    /// Everything from an offset relative to it.
    pub(super) fn from(&self, offset: usize) -> Self {
        self.slice(offset..self.end - self.start)
    }

    /// Without blanks at either end.
    pub(super) fn trim(&self) -> Self {
        let text = self.as_str();
        let start = text.len() - text.trim_start().len();
        self.slice(start..start + text.trim().len())
    }

    /// Where `part`, borrowed from this slice's text, stands; the whole slice when it is not from there.
    pub(super) fn locate(&self, part: &str) -> Self {
        let text = self.as_str();
        let offset = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize);
        match offset {
            Some(offset) if offset + part.len() <= text.len() => self.slice(offset..offset + part.len()),
            _ => *self,
        }
    }

    /// Both and what lies between.
    pub(super) fn to(&self, other: Self) -> Self {
        Self { line: self.line, start: self.start, end: other.end }
    }
}
