//! What every instruction's parser is given, and the errors they share.

use super::super::ast::Origin;
use super::super::diagnostic::Diagnostic;
use super::super::directive::Escape;
use super::super::flag::{Flags, Takes};
use super::super::instruction::CommandLine;
use super::super::json;
use super::super::keyword::Keyword;
use super::super::lines::Slice;
use super::super::span::{Span, Word};

/// An instruction taken apart as far as all instructions are alike.
pub(super) struct Arguments<'a> {
    pub(super) keyword: Keyword,
    pub(super) name: Slice<'a>,
    /// Everything after the flags, trimmed.
    pub(super) rest: Slice<'a>,
    pub(super) origin: &'a Origin,
    pub(super) escape: Escape,
}

impl<'a> Arguments<'a> {
    pub(super) fn flags(&self, known: &[(&str, Takes)]) -> Result<Flags<'a>, Diagnostic> {
        Flags::check(self.keyword, &self.origin.flags, known)
    }

    pub(super) fn no_flags(&self) -> Result<(), Diagnostic> {
        self.flags(&[]).map(|_| ())
    }

    /// An error about arguments that are not there.
    pub(super) fn missing(&self, expected: &str) -> Diagnostic {
        let keyword = self.keyword;
        let after = self.origin.head.end;
        Diagnostic::error(format!("{keyword} needs {expected}"), self.name.span())
            .label(Span::at(after), format!("expected {expected} here"))
    }

    /// The rest of the line as one word.
    pub(super) fn rest_of_line(&self, expected: &str) -> Result<Word, Diagnostic> {
        if self.rest.is_empty() { Err(self.missing(expected)) } else { Ok(self.rest.word()) }
    }

    /// JSON form or shell form.
    pub(super) fn command_line(&self) -> Result<CommandLine, Diagnostic> {
        command_line(&self.rest)
    }
}

pub(super) fn command_line(text: &Slice<'_>) -> Result<CommandLine, Diagnostic> {
    Ok(match json::string_array(text)? {
        Some(words) => CommandLine::Exec(words),
        None => CommandLine::Shell(text.word()),
    })
}
