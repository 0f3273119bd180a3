//! Messages that point into a Dockerfile, and their rendering for a terminal.
//!
//! The parser returns its errors as [`Diagnostic`]s, and whoever executes the file builds more of them from the spans of its
//! statements. [`render`] is pure: it takes the source text and gives back the text to print.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Renderer, Snippet};

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

/// Renders a message with an excerpt of the source, ending in a line break.
///
/// `source_name` is shown as the file's name; `color` adds ANSI styles. Spans that do not fit the text are clamped, and
/// control characters never reach the result, whatever a Dockerfile holds.
pub fn render(diagnostic: &Diagnostic, source_name: &str, source_text: &str, color: bool) -> String {
    let source = Source::new(source_text);
    let title = level(diagnostic.level).primary_title(printable(&shortened(&diagnostic.title)));
    let mut group = if diagnostic.labels.is_empty() {
        Group::with_title(title)
    } else {
        let annotations = diagnostic.labels.iter().enumerate().map(|(index, label)| {
            let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let text = (!label.text.is_empty()).then(|| printable(&label.text));
            kind.span(source.range(label.span)).label(text)
        });
        title.element(Snippet::source(source.text).path(printable(source_name)).annotations(annotations))
    };
    group = group.elements(diagnostic.notes.iter().map(|note| annotate_snippets::Level::NOTE.message(printable(note))));
    group = group.elements(diagnostic.help.iter().map(|help| annotate_snippets::Level::HELP.message(printable(help))));
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = renderer.render(&[group]);
    text.push('\n');
    text
}

fn level(level: Level) -> annotate_snippets::Level<'static> {
    match level {
        Level::Info => annotate_snippets::Level::INFO,
        Level::Warning => annotate_snippets::Level::WARNING,
        Level::Error => annotate_snippets::Level::ERROR,
    }
}

/// A source text without its byte-order mark, which would shift the excerpt by an invisible column.
struct Source<'s> {
    text: &'s str,
    bom: usize,
}

impl<'s> Source<'s> {
    fn new(text: &'s str) -> Self {
        match text.strip_prefix('\u{feff}') {
            Some(rest) => Self { text: rest, bom: text.len() - rest.len() },
            None => Self { text, bom: 0 },
        }
    }

    fn range(&self, span: Span) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start.saturating_sub(self.bom));
        let end = self.text.floor_char_boundary(span.end.saturating_sub(self.bom));
        start..end.max(start)
    }
}

/// Text from a Dockerfile must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// A title quotes words of the source, and a word may be as long as a file.
fn shortened(title: &str) -> String {
    const LONGEST: usize = 300;
    match title.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &title[..end]),
        None => title.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Diagnostic, Level, Span, render};

    #[test]
    fn p14_excerpt_with_line_number_caret_and_help() {
        let source = "FROM alpine\nRUNN echo hi\n";
        let diagnostic = Diagnostic::error("`RUNN` is not an instruction", Span::new(12, 16))
            .expected("expected an instruction")
            .note("instructions are not case-sensitive")
            .help("did you mean `RUN`?");
        let expected = "\
error: `RUNN` is not an instruction
 --> Dockerfile:2:1
  |
2 | RUNN echo hi
  | ^^^^ expected an instruction
  |
  = note: instructions are not case-sensitive
  = help: did you mean `RUN`?
";
        assert_eq!(render(&diagnostic, "Dockerfile", source, false), expected);
    }

    #[test]
    fn p14_a_second_place_is_shown_too() {
        let source = "FROM a AS x\nFROM b AS x\n";
        let diagnostic = Diagnostic::warning("two stages are called x", Span::new(22, 23))
            .label(Span::new(10, 11), "first used here");
        let text = render(&diagnostic, "Dockerfile", source, false);
        assert!(text.contains("1 | FROM a AS x"), "{text}");
        assert!(text.contains("- first used here"), "{text}");
        assert!(text.starts_with("warning: "), "{text}");
    }

    #[test]
    fn p14_several_lines_in_one_span() {
        let source = "FROM a\nRUN one \\\n  two \\\n  three\nRUN x\n";
        let text = render(&Diagnostic::error("failed", Span::new(7, 31)), "Dockerfile", source, false);
        for part in ["2 |", "RUN one", "three"] {
            assert!(text.contains(part), "{part} missing in\n{text}");
        }
        assert!(!text.contains("RUN x"), "{text}");
    }

    #[test]
    fn a_message_without_a_place() {
        let diagnostic = Diagnostic::new(Level::Info, "nothing to do").help("write a Dockerfile");
        assert_eq!(
            render(&diagnostic, "Dockerfile", "", false),
            "info: nothing to do\n |\n = help: write a Dockerfile\n"
        );
    }

    #[test]
    fn control_characters_stay_out() {
        let source = "FROM a\n\u{1b}[31mRED\n";
        let diagnostic = Diagnostic::error("`\u{1b}[31mRED`", Span::new(7, 15)).help("\u{1b}[0m").expected("\u{7}");
        let text = render(&diagnostic, "\u{1b}x", source, false);
        assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
        assert!(render(&diagnostic, "x", source, true).contains('\u{1b}'), "styles are wanted");
    }

    #[test]
    fn spans_that_do_not_fit_are_clamped() {
        for (start, end) in [(0, 1000), (900, 1000), (8, 3), (7, 8)] {
            let text = render(&Diagnostic::error("x", Span { start, end }), "Dockerfile", "FROM a\né\n", false);
            assert!(text.starts_with("error: x"), "{text}");
        }
    }

    #[test]
    fn p1_a_byte_order_mark_does_not_shift_the_caret() {
        let text = render(&Diagnostic::error("x", Span::new(3, 7)), "Dockerfile", "\u{feff}FORM a\n", false);
        assert!(text.contains("1 | FORM a\n  | ^^^^\n"), "{text}");
    }
}
