//! A parsed Dockerfile: directives, global arguments, stages, and the statements in them.
//!
//! Nothing here is expanded, resolved or checked against a context; a value of these types says only what the file says.
//! Every node knows its place, and every [`Origin`] keeps how its instruction was written (casing, flags in order,
//! comments above it), so that a linter or a formatter needs no second parser.

use super::directive::Directives;
use super::heredoc::Heredoc;
use super::instruction::{ArgInstruction, FromInstruction, Instruction};
use super::span::{Span, Word};

/// A whole Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# syntax=`, `# escape=` and `# check=` at the top of the file.
    pub directives: Directives,
    /// The `ARG` instructions before the first `FROM`.
    pub global_args: Vec<Statement<ArgInstruction>>,
    /// The stages in file order; never empty.
    pub stages: Vec<Stage>,
}

/// One `FROM` and what follows it up to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// The instruction that opens the stage.
    pub from: Statement<FromInstruction>,
    /// Everything after it, in file order.
    pub instructions: Vec<Statement>,
}

impl Stage {
    /// The base as written, variables not expanded: an image, `scratch`, or an earlier stage.
    pub fn base(&self) -> &Word {
        &self.from.instruction.base
    }

    /// The value of `--platform`, not expanded.
    pub fn platform(&self) -> Option<&Word> {
        self.from.instruction.platform.as_ref()
    }

    /// The stage's name in lower case, when `AS name` gives one.
    pub fn name(&self) -> Option<&str> {
        self.from.instruction.alias.as_ref().map(|alias| alias.name.as_str())
    }
}

/// An instruction together with how and where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<T = Instruction> {
    /// What it means.
    pub instruction: T,
    /// How it was written.
    pub origin: Origin,
}

impl<T> Statement<T> {
    /// Where the whole statement stands, heredoc bodies included.
    pub fn span(&self) -> Span {
        self.origin.span
    }

    /// The same statement around another instruction.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Statement<U> {
        Statement { instruction: change(self.instruction), origin: self.origin }
    }
}

/// How an instruction was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// From the keyword to the end of its last line, heredoc bodies and terminators included.
    pub span: Span,
    /// From the keyword to the end of its last argument: the span to underline in messages.
    pub head: Span,
    /// The instruction's name in the author's casing.
    pub keyword: Word,
    /// Flags in the author's order.
    pub flags: Vec<Flag>,
    /// The instruction as one line: continuations joined, comments inside it dropped, surrounding space trimmed.
    /// Heredoc bodies are not part of it. This is the text shown in progress output and image history.
    pub text: String,
    /// Heredoc bodies in the order in which they follow.
    pub heredocs: Vec<Heredoc>,
    /// The comment lines directly above the keyword (no blank line between).
    pub comments: Vec<Comment>,
    /// Blank lines inside a continuation: legal today, announced to become an error.
    pub blank_continuations: Vec<Span>,
}

/// A comment line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The text after `#`, trimmed.
    pub text: String,
    /// From `#` to the end of the line.
    pub span: Span,
    /// Where `text` stands.
    pub content: Span,
}

/// A builder flag as written: `--name` or `--name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// The name without the dashes.
    pub name: Word,
    /// What follows the `=`, quotes and escapes removed; absent for a bare flag.
    pub value: Option<Word>,
    /// The whole flag.
    pub span: Span,
}
