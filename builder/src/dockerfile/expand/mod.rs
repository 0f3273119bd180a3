//! Variable expansion: from the words an author wrote to their values.
//!
//! `$v`, `${v}`, the operators `:-` `-` `:+` `+` `:?` `?` `#` `##` `%` `%%` `/` `//`, quotes and escapes, as the reference
//! frontend treats them. The environment is a function; nothing here knows where values come from. Which variables were
//! looked at is part of the result, because cache keys and the check for undefined variables need it.
//!
//! An unset variable expands to nothing. Positional and special parameters (`$1`, `$@`, …) are looked up like names.

mod lexer;
mod pattern;

use std::collections::BTreeSet;

use super::diagnostic::Diagnostic;
use super::directive::Escape;
use super::span::{Span, Word, place};
pub(super) use lexer::{Fault, Lexer, Mode, Quotes};
pub use pattern::PatternError;

/// The value of a variable, or `None` when it is unset.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The result of an expansion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expansion<T = String> {
    /// The text after expansion.
    pub value: T,
    /// Every look-up, in order, with repetitions.
    pub references: Vec<Reference>,
}

impl<T> Expansion<T> {
    /// Names that were looked up and are set.
    pub fn used(&self) -> BTreeSet<&str> {
        self.names(true)
    }

    /// Names that were looked up and are unset.
    pub fn undefined(&self) -> BTreeSet<&str> {
        self.names(false)
    }

    fn names(&self, defined: bool) -> BTreeSet<&str> {
        self.references.iter().filter(|r| r.defined == defined).map(|r| r.name.as_str()).collect()
    }
}

/// One look-up of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The variable's name.
    pub name: String,
    /// From the `$` to the end of the reference where that can be told, else the whole word.
    pub span: Span,
    /// Whether the variable is set.
    pub defined: bool,
    /// Whether the author provided for the case that it is not: `:-` `-` `:+` `+` `:?` `?`.
    pub guarded: bool,
}

/// Replaces variables and removes quotes and escapes: one word gives one word.
pub fn expand(word: &Word, escape: Escape, lookup: &Lookup<'_>) -> Result<Expansion, ExpandError> {
    run(&word.text, word.span, Mode::value(escape), lookup, |scanned| scanned.text)
}

/// Like [`expand`], then splits the result at blanks that are not quoted. A variable's value may become several words.
pub fn expand_words(word: &Word, escape: Escape, lookup: &Lookup<'_>) -> Result<Expansion<Vec<String>>, ExpandError> {
    run(&word.text, word.span, Mode::value(escape), lookup, |scanned| {
        scanned.pieces.into_iter().map(|piece| piece.text).collect()
    })
}

/// Expands the body of a heredoc: quotes stay, and the escape character is always `\`.
pub fn expand_heredoc(content: &str, body: Span, lookup: &Lookup<'_>) -> Result<Expansion, ExpandError> {
    let mode = Mode { quotes: Quotes::Ordinary, ..Mode::value(Escape::Backslash) };
    run(content, body, mode, lookup, |scanned| scanned.text)
}

fn run<T>(
    text: &str,
    span: Span,
    mode: Mode,
    lookup: &Lookup<'_>,
    finish: impl FnOnce(lexer::Scanned) -> T,
) -> Result<Expansion<T>, ExpandError> {
    let mut lexer = Lexer::new(text, mode, lookup);
    let scanned = lexer.scan().map_err(|fault| locate(fault, text, span))?;
    let references = lexer
        .references
        .into_iter()
        .map(|(reference, range)| Reference { span: place(text, span, range), ..reference })
        .collect();
    Ok(Expansion { value: finish(scanned), references })
}

fn locate(fault: Fault, text: &str, span: Span) -> ExpandError {
    ExpandError { cause: fault.cause, span: place(text, span, fault.range) }
}

/// Why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct ExpandError {
    /// The reason.
    pub cause: ExpandFault,
    /// The place.
    pub span: Span,
}

/// The reasons why a word cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpandFault {
    /// `'` without a second one.
    #[error("this single quote is never closed")]
    UnclosedSingleQuote,
    /// `"` without a second one.
    #[error("this double quote is never closed")]
    UnclosedDoubleQuote,
    /// `${` without `}`.
    #[error("this substitution has no closing `}}`")]
    UnclosedBrace,
    /// `${}`, `${:…` or `${{…`.
    #[error("bad substitution: a variable name must follow `${{`")]
    MissingName,
    /// `${v/p}` without its second slash.
    #[error("this replacement has no second `/`")]
    MissingSlash,
    /// `${v=…}` and other operators the language does not have.
    #[error("`{0}` is not an operator of variable substitution")]
    UnknownOperator(String),
    /// `${v:?message}` and `v` is unset or empty.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// The author's message, or a default.
        message: String,
    },
    /// The pattern of `#`, `%` or `/` is malformed.
    #[error("`{pattern}` is not a pattern")]
    Pattern {
        /// The pattern after expansion.
        pattern: String,
        /// What is wrong with it.
        source: PatternError,
    },
    /// Substitutions inside substitutions, too many levels.
    #[error("substitutions are nested too deeply")]
    TooDeep,
}

impl From<ExpandError> for Diagnostic {
    fn from(error: ExpandError) -> Self {
        let diagnostic = Self::error(error.cause.to_string(), error.span);
        match error.cause {
            ExpandFault::UnclosedSingleQuote | ExpandFault::UnclosedDoubleQuote => {
                diagnostic.help("close it, or escape it to mean the character itself")
            }
            ExpandFault::UnknownOperator(_) | ExpandFault::MissingName => diagnostic.help(
                "the forms are ${v}, ${v:-default}, ${v:+value}, ${v:?message}, ${v#prefix}, ${v%suffix}, ${v/old/new}",
            ),
            ExpandFault::Required { name, .. } => diagnostic.expected("the author requires a value here").help(
                format!("declare it with `ARG {name}=value` or `ENV {name}=value`, or pass `--build-arg {name}=value`"),
            ),
            ExpandFault::Pattern { source, .. } => {
                diagnostic.expected(source.to_string()).help("patterns know `*`, `?`, and an escape before these two")
            }
            ExpandFault::UnclosedBrace | ExpandFault::MissingSlash | ExpandFault::TooDeep => diagnostic,
        }
    }
}

#[cfg(test)]
mod tests;
