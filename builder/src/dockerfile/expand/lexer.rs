//! The shell-like scanner under variable expansion and heredoc detection.
//!
//! One pass over the text, recursion only into `${…}`, and that bounded.

use std::ops::Range;

use super::pattern::{Length, Pattern};
use super::{ExpandFault, Lookup, Reference};
use crate::dockerfile::directive::Escape;
use crate::dockerfile::span::Span;

/// Deeper nesting is refused rather than risking the stack.
const MAX_DEPTH: usize = 64;

/// What happens to quote characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::dockerfile) enum Quotes {
    /// They group, and are removed.
    Remove,
    /// They group, and stay.
    Keep,
    /// They are characters like any other.
    Ordinary,
}

/// How to scan.
#[derive(Clone, Copy)]
pub(in crate::dockerfile) struct Mode {
    pub(in crate::dockerfile) escape: char,
    pub(in crate::dockerfile) quotes: Quotes,
    /// Escape characters stay in the result.
    pub(in crate::dockerfile) keep_escapes: bool,
    /// References to unset variables stay in the result as written.
    pub(in crate::dockerfile) keep_unset: bool,
    /// Blanks after `<<` belong to the word.
    pub(in crate::dockerfile) join_heredocs: bool,
}

impl Mode {
    /// Expansion to a value.
    pub(in crate::dockerfile) fn value(escape: Escape) -> Self {
        Self {
            escape: escape.char(),
            quotes: Quotes::Remove,
            keep_escapes: false,
            keep_unset: false,
            join_heredocs: false,
        }
    }
}

/// What went wrong, and where in the scanned text.
pub(in crate::dockerfile) struct Fault {
    pub(in crate::dockerfile) cause: ExpandFault,
    pub(in crate::dockerfile) range: Range<usize>,
}

/// A word of the result.
pub(in crate::dockerfile) struct Piece {
    pub(in crate::dockerfile) text: String,
    /// What it came from.
    pub(in crate::dockerfile) range: Range<usize>,
}

/// The result of a scan: as one text, and split at unquoted blanks.
#[derive(Default)]
pub(in crate::dockerfile) struct Scanned {
    pub(in crate::dockerfile) text: String,
    pub(in crate::dockerfile) pieces: Vec<Piece>,
    word: String,
    word_start: Option<usize>,
}

impl Scanned {
    /// A character that separates words when it is a blank.
    fn plain(&mut self, c: char, at: usize) {
        self.text.push(c);
        self.split(c, at);
    }

    /// Text that is part of a word whatever it holds.
    fn literal(&mut self, text: &str, at: usize) {
        self.text.push_str(text);
        self.word.push_str(text);
        self.word_start.get_or_insert(at);
    }

    /// A variable's value: blanks in it separate words.
    fn value(&mut self, text: &str, at: usize) {
        self.text.push_str(text);
        for c in text.chars() {
            self.split(c, at);
        }
    }

    fn split(&mut self, c: char, at: usize) {
        if !c.is_whitespace() {
            self.word.push(c);
            self.word_start.get_or_insert(at);
        } else if !self.word.is_empty() {
            self.end_word(at);
        }
    }

    fn end_word(&mut self, at: usize) {
        if let Some(start) = self.word_start.take()
            && !self.word.is_empty()
        {
            self.pieces.push(Piece { text: std::mem::take(&mut self.word), range: start..at.max(start) });
        }
    }
}

pub(in crate::dockerfile) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    mode: Mode,
    keep_escapes: bool,
    depth: usize,
    lookup: &'a Lookup<'a>,
    /// Look-ups so far; their spans are not yet filled in.
    pub(super) references: Vec<(Reference, Range<usize>)>,
}

impl<'a> Lexer<'a> {
    pub(in crate::dockerfile) fn new(text: &'a str, mode: Mode, lookup: &'a Lookup<'a>) -> Self {
        Self { text, at: 0, mode, keep_escapes: mode.keep_escapes, depth: 0, lookup, references: Vec::new() }
    }

    /// Scans to the end of the text.
    pub(in crate::dockerfile) fn scan(&mut self) -> Result<Scanned, Fault> {
        let (scanned, _) = self.scan_to(None)?;
        Ok(scanned)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn fault(&self, cause: ExpandFault, start: usize) -> Fault {
        Fault { cause, range: start..self.at }
    }

    /// Scans up to and past `stop`, or to the end. The flag says whether `stop` was there.
    fn scan_to(&mut self, stop: Option<char>) -> Result<(Scanned, bool), Fault> {
        let mut out = Scanned::default();
        while let Some(c) = self.peek() {
            let start = self.at;
            match c {
                c if Some(c) == stop => {
                    self.next();
                    out.end_word(start);
                    return Ok((out, true));
                }
                '\'' if self.mode.quotes != Quotes::Ordinary => {
                    let quoted = self.single_quoted()?;
                    out.literal(&quoted, start);
                }
                '"' if self.mode.quotes != Quotes::Ordinary => {
                    let quoted = self.double_quoted()?;
                    out.literal(&quoted, start);
                }
                '$' => {
                    let value = self.dollar()?;
                    out.value(&value, start);
                }
                '<' if self.mode.join_heredocs => {
                    let joined = self.heredoc_operator();
                    out.literal(joined, start);
                }
                c if c == self.mode.escape => self.escaped(&mut out),
                c => {
                    self.next();
                    out.plain(c, start);
                }
            }
        }
        out.end_word(self.at);
        Ok((out, false))
    }

    fn escaped(&mut self, out: &mut Scanned) {
        let start = self.at;
        self.next();
        if self.keep_escapes {
            out.literal(self.mode.escape.encode_utf8(&mut [0; 4]), start);
        }
        // An escape at the very end stands for nothing.
        if let Some(c) = self.next() {
            out.literal(c.encode_utf8(&mut [0; 4]), start);
        }
    }

    /// `<`, or `<<` or `<<-` with the blanks that follow: a heredoc's delimiter may stand apart from it.
    fn heredoc_operator(&mut self) -> &'a str {
        let start = self.at;
        self.next();
        if self.peek() == Some('<') {
            self.next();
            let rest = &self.text[self.at..];
            let blanks = rest.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace)).unwrap_or(rest);
            self.at = self.text.len() - blanks.trim_start().len();
        }
        &self.text[start..self.at]
    }

    fn single_quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.next();
        let Some(length) = self.text[self.at..].find('\'') else {
            return Err(self.fault(ExpandFault::UnclosedSingleQuote, start));
        };
        let inner = self.at..self.at + length;
        self.at = inner.end + 1;
        Ok(match self.mode.quotes {
            Quotes::Keep => self.text[start..self.at].to_owned(),
            Quotes::Remove | Quotes::Ordinary => self.text[inner].to_owned(),
        })
    }

    fn double_quoted(&mut self) -> Result<String, Fault> {
        let start = self.at;
        let keep = self.mode.quotes == Quotes::Keep;
        self.next();
        let mut out = String::from(if keep { "\"" } else { "" });
        loop {
            match self.peek() {
                None => {
                    self.at = start + 1;
                    return Err(self.fault(ExpandFault::UnclosedDoubleQuote, start));
                }
                Some('"') => {
                    self.next();
                    out.push_str(if keep { "\"" } else { "" });
                    return Ok(out);
                }
                Some('$') => out.push_str(&self.dollar()?),
                Some(c) if c == self.mode.escape => {
                    self.next();
                    if self.keep_escapes {
                        out.push(c);
                    }
                    // Only these three can be escaped in double quotes; before anything else the escape is a character.
                    match self.peek() {
                        Some(next) if next == '"' || next == '$' || next == self.mode.escape => {
                            self.next();
                            out.push(next);
                        }
                        Some(_) => out.push(c),
                        None => {}
                    }
                }
                Some(c) => {
                    self.next();
                    out.push(c);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, Fault> {
        let start = self.at;
        self.next();
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".to_owned());
            }
            let value = self.look_up(name, start, false);
            return Ok(self.or_as_written(value, start));
        }
        self.next();
        if self.depth == MAX_DEPTH {
            return Err(self.fault(ExpandFault::TooDeep, start));
        }
        self.depth += 1;
        let value = self.braces(start);
        self.depth -= 1;
        value
    }

    fn or_as_written(&self, value: Option<String>, start: usize) -> String {
        match value {
            Some(value) => value,
            None if self.mode.keep_unset => self.text[start..self.at].to_owned(),
            None => String::new(),
        }
    }

    /// What follows `${`.
    fn braces(&mut self, start: usize) -> Result<String, Fault> {
        match self.peek() {
            None => return Err(self.fault(ExpandFault::UnclosedBrace, start)),
            Some('{' | '}' | ':') => return Err(self.fault(ExpandFault::MissingName, start)),
            Some(_) => {}
        }
        let name = self.name();
        let operator_at = self.at;
        match self.next() {
            None => Err(self.fault(ExpandFault::UnclosedBrace, start)),
            Some('}') => {
                let value = self.look_up(name, start, false);
                Ok(self.or_as_written(value, start))
            }
            Some(':') => match self.next() {
                Some(c @ ('-' | '+' | '?')) => self.conditional(name, c, true, start),
                None => Err(self.fault(ExpandFault::UnclosedBrace, start)),
                Some(_) => Err(self.unknown_operator(operator_at)),
            },
            Some(c @ ('-' | '+' | '?')) => self.conditional(name, c, false, start),
            Some(c @ ('#' | '%')) => self.trim(name, c, start),
            Some('/') => self.replace(name, start),
            Some(_) => Err(self.unknown_operator(operator_at)),
        }
    }

    fn unknown_operator(&self, operator_at: usize) -> Fault {
        let operator = self.text[operator_at..self.at].to_owned();
        self.fault(ExpandFault::UnknownOperator(operator), operator_at)
    }

    /// `-`, `+`, `?`, with `:` also for a variable that is set but empty.
    fn conditional(&mut self, name: &str, operator: char, colon: bool, start: usize) -> Result<String, Fault> {
        let word = self.operand('}', false, start)?;
        let value = self.look_up(name, start, true);
        if value.is_none() && self.mode.keep_unset {
            return Ok(self.text[start..self.at].to_owned());
        }
        let present = value.filter(|value| !(colon && value.is_empty()));
        match (operator, present) {
            ('+', Some(_)) | ('-', None) => Ok(word),
            ('+', None) => Ok(String::new()),
            (_, Some(value)) => Ok(value),
            (_, None) => {
                let default = if colon { "must be set and not empty" } else { "must be set" };
                let message = if word.is_empty() { default.to_owned() } else { word };
                Err(self.fault(ExpandFault::Required { name: name.to_owned(), message }, start))
            }
        }
    }

    /// `#`, `##`, `%`, `%%`.
    fn trim(&mut self, name: &str, operator: char, start: usize) -> Result<String, Fault> {
        let word = self.operand('}', true, start)?;
        let Some(value) = self.look_up(name, start, false) else { return Ok(self.or_as_written(None, start)) };
        let (pattern, length) = match word.strip_prefix(operator) {
            Some(rest) => (rest, Length::Longest),
            None => (word.as_str(), Length::Shortest),
        };
        let trimmed = Pattern::parse(pattern, self.mode.escape).and_then(|parsed| match operator {
            '#' => parsed.trim_start(&value, length).map(str::to_owned),
            _ => parsed.trim_end(&value, length),
        });
        trimmed.map_err(|source| self.fault(ExpandFault::Pattern { pattern: pattern.to_owned(), source }, start))
    }

    /// `/` and `//`.
    fn replace(&mut self, name: &str, start: usize) -> Result<String, Fault> {
        let all = self.peek() == Some('/');
        if all {
            self.next();
        }
        let pattern = self.operand('/', true, start)?;
        let replacement = self.operand('}', true, start)?;
        let Some(value) = self.look_up(name, start, false) else { return Ok(self.or_as_written(None, start)) };
        let replaced = Pattern::parse(&pattern, self.mode.escape).and_then(|parsed| {
            if all { parsed.replace_all(&value, &replacement) } else { parsed.replace_first(&value, &replacement) }
        });
        replaced.map_err(|source| self.fault(ExpandFault::Pattern { pattern, source }, start))
    }

    /// The expanded text up to `stop`. Patterns keep their escapes, to be read by whoever matches them.
    fn operand(&mut self, stop: char, keep_escapes: bool, start: usize) -> Result<String, Fault> {
        let outer = std::mem::replace(&mut self.keep_escapes, keep_escapes);
        let scanned = self.scan_to(Some(stop));
        self.keep_escapes = outer;
        match scanned? {
            (scanned, true) => Ok(scanned.text),
            (_, false) if stop == '/' => Err(self.fault(ExpandFault::MissingSlash, start)),
            (_, false) => Err(self.fault(ExpandFault::UnclosedBrace, start)),
        }
    }

    /// Letters, digits and `_`; or digits only when it starts with one; or one special parameter.
    fn name(&mut self) -> &'a str {
        let start = self.at;
        match self.peek() {
            Some(c) if c.is_ascii_digit() => {
                while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.next();
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => {
                self.next();
            }
            _ => {
                while self.peek().is_some_and(|c| c.is_alphanumeric() || c == '_') {
                    self.next();
                }
            }
        }
        &self.text[start..self.at]
    }

    fn look_up(&mut self, name: &str, start: usize, guarded: bool) -> Option<String> {
        let value = (self.lookup)(name);
        let reference = Reference { name: name.to_owned(), span: Span::at(0), defined: value.is_some(), guarded };
        self.references.push((reference, start..self.at));
        value
    }
}
