//! Heredocs: finding `<<NAME` words on a line and reading their bodies.
//!
//! Which words count is decided exactly as the reference frontend does it: the whole line is split the way a shell would, and
//! every word of the shape `[fd]<<[-]NAME` opens a heredoc. A line the shell lexer cannot split has none.

use super::diagnostic::Diagnostic;
use super::expand::{Lexer, Mode, Quotes};
use super::lines::{Lines, Slice};
use super::span::{Span, Word};

/// A heredoc as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heredoc {
    /// The delimiter with quotes and escapes removed: the line that ends the body.
    pub name: String,
    /// The opening word, such as `<<-'EOF'`.
    pub opening: Word,
    /// The number before `<<`, when there is one.
    pub descriptor: Option<u32>,
    /// `<<-`: leading tabs are to be stripped from the body.
    pub strip_tabs: bool,
    /// Whether variables in the body are to be expanded: no part of the delimiter was quoted.
    pub expand: bool,
    /// The body as written, line breaks included.
    pub body: String,
    /// Where the body stands, terminator excluded.
    pub span: Span,
}

impl Heredoc {
    /// The body as its reader sees it: leading tabs stripped when the opening asks for it.
    pub fn content(&self) -> String {
        if !self.strip_tabs {
            return self.body.clone();
        }
        self.body.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

/// An opening word: `[fd]<<[-]NAME`.
pub(super) struct Opening {
    pub(super) name: String,
    descriptor: Option<u32>,
    strip_tabs: bool,
    expand: bool,
}

/// Heredoc words are shell syntax: their escape character is a backslash whatever the file says.
const SHELL: Mode =
    Mode { escape: '\\', quotes: Quotes::Remove, keep_escapes: false, keep_unset: true, join_heredocs: true };

impl Opening {
    /// Reads a word; `None` when it opens no heredoc.
    pub(super) fn parse(word: &str) -> Option<Self> {
        let operator = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let descriptor = word[..word.len() - operator.len()].parse().ok();
        let delimiter = operator.strip_prefix("<<")?;
        let stripped = delimiter.strip_prefix('-');
        let delimiter = stripped.unwrap_or(delimiter).trim_start();
        if delimiter.contains('<') {
            return None;
        }
        let name = only_word(delimiter, Quotes::Remove)?;
        // Quotes that quote are in one of these and not in the other.
        let expand = only_word(delimiter, Quotes::Keep)? == name;
        Some(Self { name, descriptor, strip_tabs: stripped.is_some(), expand })
    }
}

fn only_word(text: &str, quotes: Quotes) -> Option<String> {
    let scanned = Lexer::new(text, Mode { quotes, ..SHELL }, &|_| None).scan().ok()?;
    match <[_; 1]>::try_from(scanned.pieces) {
        Ok([piece]) => Some(piece.text),
        Err(_) => None,
    }
}

/// The heredocs opened on a line, without their bodies.
fn openings(line: &Slice<'_>) -> Vec<(Opening, Word)> {
    if !line.as_str().contains("<<") {
        return Vec::new();
    }
    let mode = Mode { quotes: Quotes::Keep, keep_escapes: true, ..SHELL };
    // A line that cannot be split as shell words has no heredocs: `<<` may be anything there.
    let Ok(scanned) = Lexer::new(line.as_str(), mode, &|_| None).scan() else { return Vec::new() };
    let pieces = scanned.pieces.into_iter();
    pieces.filter_map(|piece| Some((Opening::parse(&piece.text)?, line.slice(piece.range).word()))).collect()
}

/// Reads the bodies of all heredocs opened on a line, in order.
pub(super) fn read_all(line: &Slice<'_>, lines: &mut Lines<'_>) -> Result<Vec<Heredoc>, Diagnostic> {
    openings(line).into_iter().map(|(opening, word)| read_body(opening, word, lines)).collect()
}

fn read_body(opening: Opening, word: Word, lines: &mut Lines<'_>) -> Result<Heredoc, Diagnostic> {
    let start = lines.offset();
    let mut body = String::new();
    while let Some(line) = lines.next()? {
        let terminator = if opening.strip_tabs { line.text.trim_start_matches('\t') } else { line.text };
        if terminator == opening.name {
            let Opening { name, descriptor, strip_tabs, expand } = opening;
            let span = Span::new(start, line.start);
            return Ok(Heredoc { name, opening: word, descriptor, strip_tabs, expand, body, span });
        }
        body.push_str(line.raw);
    }
    Err(Diagnostic::error("this heredoc is never closed", word.span)
        .expected(format!("expected a line that is exactly `{}`", opening.name))
        .help("the closing line must have no blanks around it; `<<-` allows leading tabs")
        .help("a `<<` that is meant as an operator of the shell needs quotes, or no blanks around it"))
}
