//! The Dockerfile language: text in, typed stages out.
//!
//! Pure functions only: nothing here reads a file, an environment variable or a clock, and nothing panics on any input.
//!
//! ```text
//! text -> lines (continuations, comments) -> statements (keyword, flags, words, heredocs) -> typed instructions in stages
//! ```
//!
//! Words stay unexpanded in the tree; [`expand`] gives their value in an environment. Errors are [`Diagnostic`]s
//! with spans into the source text. This module knows the language and not what the instructions do.

pub mod ast;
pub mod diagnostic;
pub mod directive;
pub mod expand;
pub mod heredoc;
pub mod instruction;
pub mod keyword;
pub mod lint;
pub mod mount;
pub mod outline;
pub mod span;
pub mod suggest;

mod flag;
mod json;
mod lines;
mod parse;
mod words;

pub use ast::{Comment, Dockerfile, Flag, Origin, Stage, Statement};
pub use diagnostic::{Diagnostic, Label, Level, render};
pub use directive::{CheckOptions, Directives, Escape, RuleSet};
pub use instruction::*;
pub use keyword::Keyword;
pub use lines::MAX_LINE_BYTES;
pub use mount::{Mount, MountSpec};
pub use parse::{decode, parse, parse_trigger};
pub use span::{Span, Spanned, Word};

#[cfg(test)]
mod corpus;
