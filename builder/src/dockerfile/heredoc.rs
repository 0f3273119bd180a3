//! Heredocs: finding `<<NAME` words on a line and reading their bodies.
//!
//! Which words count is decided exactly as the reference frontend does it: the whole line is split the way a shell would, and
//! every word of the shape `[fd]<<[-]NAME` opens a heredoc. A line the shell lexer cannot split has none.

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
