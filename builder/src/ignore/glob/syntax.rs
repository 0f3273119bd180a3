//! Patterns taken apart into tokens.

use std::fmt::Write as _;

use super::{BadPattern, Reason};

pub(super) enum Token {
    Star,
    AnyChar,
    Literal { c: char, escaped: bool },
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// Whether a single character fits; a star is no single character.
    pub(super) fn accepts(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::AnyChar => c != '/',
            Self::Literal { c: literal, .. } => c == *literal,
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }

    pub(super) fn literal(&self) -> Option<char> {
        match self {
            Self::Literal { c, .. } => Some(*c),
            Self::Star | Self::AnyChar | Self::Class { .. } => None,
        }
    }

    pub(super) fn is_escaped(&self) -> bool {
        matches!(self, Self::Literal { escaped: true, .. })
    }

    pub(super) fn write_regex(&self, out: &mut String) {
        match self {
            Self::Star => out.push_str("[^/]*"),
            Self::AnyChar => out.push_str("[^/]"),
            Self::Literal { c, .. } => out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Self::Class { negated, ranges } => write_class(*negated, ranges, out),
        }
    }
}

fn write_class(negated: bool, ranges: &[(char, char)], out: &mut String) {
    let mut ranges = ranges.iter().filter(|(low, high)| low <= high).peekable();
    if ranges.peek().is_none() {
        // A class of nothing accepts nothing; its negation, anything.
        out.push_str(if negated { "." } else { "[^\\s\\S]" });
        return;
    }
    out.push_str(if negated { "[^" } else { "[" });
    for (low, high) in ranges {
        for (separator, c) in [("", *low), ("-", *high)] {
            out.push_str(separator);
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{{{:x}}}", u32::from(c));
        }
    }
    out.push(']');
}

/// Reads a whole pattern; a mistake anywhere in it is an error, matched or not.
pub(super) fn parse(pattern: &str) -> Result<Vec<Token>, BadPattern> {
    let mut chars = pattern.chars().peekable();
    let mut tokens = Vec::new();
    let bad = |reason| BadPattern { pattern: pattern.to_owned(), reason };
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::AnyChar,
            '[' => class(&mut chars).map_err(bad)?,
            '\\' => Token::Literal { c: chars.next().ok_or_else(|| bad(Reason::TrailingBackslash))?, escaped: true },
            c => Token::Literal { c, escaped: false },
        });
    }
    Ok(tokens)
}

type Chars<'p> = std::iter::Peekable<std::str::Chars<'p>>;

fn class(chars: &mut Chars<'_>) -> Result<Token, Reason> {
    let negated = chars.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.next_if_eq(&']').is_some() {
            return Ok(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let high = if chars.next_if_eq(&'-').is_some() { class_char(chars)? } else { low };
        ranges.push((low, high));
    }
}

fn class_char(chars: &mut Chars<'_>) -> Result<char, Reason> {
    match chars.next() {
        None => Err(Reason::UnclosedClass),
        Some('-' | ']') => Err(Reason::MalformedClass),
        Some('\\') => chars.next().ok_or(Reason::UnclosedClass),
        Some(c) => Ok(c),
    }
}
