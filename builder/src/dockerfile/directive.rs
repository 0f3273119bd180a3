//! Parser directives: `# syntax=`, `# escape=`, `# check=`.

use super::span::{Span, Spanned, Word};

/// The directives at the top of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `# syntax=`: the frontend the author asked for, kept for information.
    pub syntax: Option<Word>,
    /// `# escape=`, when given.
    pub escape: Option<Spanned<Escape>>,
    /// `# check=`
    pub check: Option<CheckOptions>,
}

impl Directives {
    /// The escape character in force.
    pub fn escape(&self) -> Escape {
        self.escape.as_ref().map_or_else(Escape::default, |escape| escape.value)
    }
}

/// The character that escapes others and continues lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escape {
    /// `\`
    #[default]
    Backslash,
    /// `` ` ``
    Backtick,
}

impl Escape {
    /// The character itself.
    pub fn char(self) -> char {
        match self {
            Self::Backslash => '\\',
            Self::Backtick => '`',
        }
    }
}

/// The value of `# check=skip=A,B;error=true`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// Rules not to report.
    pub skip: RuleSet,
    /// Experimental rules to report as well.
    pub experimental: RuleSet,
    /// Whether findings fail the build.
    pub error: bool,
    /// The value's place.
    pub span: Span,
}

/// A choice of lint rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleSet {
    /// `all`
    All,
    /// The rules named; possibly none.
    Named(Vec<Word>),
}
