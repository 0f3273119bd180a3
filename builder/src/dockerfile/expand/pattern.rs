//! The patterns of `${v#p}`, `${v##p}`, `${v%p}`, `${v%%p}`, `${v/p/r}` and `${v//p/r}`: `*`, `?`, and escapes.
//!
//! Translated to a regular expression, so that matching takes linear time whatever the pattern.

use regex::Regex;

/// Which of several possible matches to take.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Length {
    Shortest,
    Longest,
}

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// An escape before something that needs none.
    #[error("invalid escape '{0}'")]
    InvalidEscape(String),
    /// More wildcards than anyone needs.
    #[error("the pattern is too large")]
    TooLarge,
}

enum Token {
    AnyChar,
    AnyRun,
    Literal(char),
}

pub(super) struct Pattern {
    tokens: Vec<Token>,
}

impl Pattern {
    pub(super) fn parse(text: &str, escape: char) -> Result<Self, PatternError> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::AnyRun,
                '?' => Token::AnyChar,
                c if c == escape => match chars.next() {
                    // `}` and `/` are escaped for the sake of the `${}` around the pattern.
                    Some(next @ ('*' | '?' | '}' | '/')) => Token::Literal(next),
                    Some(next) if next == escape => Token::Literal(next),
                    next => return Err(PatternError::InvalidEscape(escape.to_string() + &String::from_iter(next))),
                },
                c => Token::Literal(c),
            });
        }
        Ok(Self { tokens })
    }

    /// `value` without the part at its start that matches.
    pub(super) fn trim_start<'v>(&self, value: &'v str, length: Length) -> Result<&'v str, PatternError> {
        let regex = compile(self.tokens.iter(), length, true)?;
        Ok(regex.find(value).map_or(value, |found| &value[found.end()..]))
    }

    /// `value` without the part at its end that matches.
    ///
    /// A regular expression finds the leftmost match, never the shortest that touches the end, so both sides are reversed.
    pub(super) fn trim_end(&self, value: &str, length: Length) -> Result<String, PatternError> {
        let regex = compile(self.tokens.iter().rev(), length, true)?;
        let reversed: String = value.chars().rev().collect();
        let kept = regex.find(&reversed).map_or(reversed.as_str(), |found| &reversed[found.end()..]);
        Ok(kept.chars().rev().collect())
    }

    /// `value` with the first match replaced.
    pub(super) fn replace_first(&self, value: &str, replacement: &str) -> Result<String, PatternError> {
        let regex = compile(self.tokens.iter(), Length::Longest, false)?;
        Ok(regex.replace(value, regex::NoExpand(replacement)).into_owned())
    }

    /// `value` with every match replaced.
    pub(super) fn replace_all(&self, value: &str, replacement: &str) -> Result<String, PatternError> {
        let regex = compile(self.tokens.iter(), Length::Longest, false)?;
        Ok(regex.replace_all(value, regex::NoExpand(replacement)).into_owned())
    }
}

fn compile<'t>(tokens: impl Iterator<Item = &'t Token>, length: Length, anchored: bool) -> Result<Regex, PatternError> {
    let mut source = String::from(if anchored { "^" } else { "" });
    for token in tokens {
        match (token, length) {
            (Token::AnyChar, _) => source.push('.'),
            (Token::AnyRun, Length::Shortest) => source.push_str(".*?"),
            (Token::AnyRun, Length::Longest) => source.push_str(".*"),
            (Token::Literal(c), _) => source.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
    }
    Regex::new(&source).map_err(|_| PatternError::TooLarge)
}
