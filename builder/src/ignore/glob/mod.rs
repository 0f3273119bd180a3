//! Path patterns: Go's `filepath.Match`, and the same with `**`.
//!
//! `*` is any run of characters but `/`, `?` one character but `/`, `[a-z]` and `[^a-z]` one character of a class (which may
//! be `/`, as in Go), `\` takes the next character literally. [`Glob`] knows `**` as well: any number of directories.

mod syntax;

use regex::Regex;
use syntax::{Token, parse};

/// A malformed pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {reason}")]
pub struct BadPattern {
    /// The pattern.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `[` without `]`.
    #[error("a character class is never closed")]
    UnclosedClass,
    /// `[]`, `[a-]`, `[-a]`.
    #[error("a character class is malformed")]
    MalformedClass,
    /// `\` at the end.
    #[error("nothing follows the backslash at its end")]
    TrailingBackslash,
    /// More wildcards than anyone needs.
    #[error("it is too large")]
    TooLarge,
}

/// Whether a whole path matches a pattern without `**`, as Go's `filepath.Match` decides it. Two stars are one.
pub fn match_go(pattern: &str, path: &str) -> Result<bool, BadPattern> {
    let tokens = parse(pattern)?;
    let path: Vec<char> = path.chars().collect();
    let (mut token, mut at) = (0, 0);
    // The last star seen, and where what it covers ends. An earlier star never has to cover more.
    let mut star: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), path.get(at)) {
            (Some(Token::Star), _) => {
                star = Some((token, at));
                token += 1;
                continue;
            }
            (Some(expected), Some(&c)) if expected.accepts(c) => {
                token += 1;
                at += 1;
                continue;
            }
            (None, None) => return Ok(true),
            _ => {}
        }
        match star {
            Some((position, covered)) if path.get(covered).is_some_and(|&c| c != '/') => {
                star = Some((position, covered + 1));
                token = position + 1;
                at = covered + 1;
            }
            _ => return Ok(false),
        }
    }
}

/// Whether a `COPY` source is a pattern rather than a path.
pub fn has_wildcards(path: &str) -> bool {
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Splits a `COPY` source into the directory before its first component with a wildcard, and the rest.
///
/// The rest is empty when there is no wildcard.
pub fn split_wildcards(path: &str) -> (&str, &str) {
    let mut start = 0;
    for component in path.split_inclusive('/') {
        if has_wildcards(component) {
            return (&path[..start], &path[start..]);
        }
        start += component.len();
    }
    (path, "")
}

/// The shortest path that means the same, lexically: no `.`, no doubled or trailing slashes, `..` resolved where possible.
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            component => kept.push(component),
        }
    }
    match (rooted, kept.join("/")) {
        (true, joined) => format!("/{joined}"),
        (false, joined) if joined.is_empty() => ".".to_owned(),
        (false, joined) => joined,
    }
}

/// A compiled pattern with `**`, as `.dockerignore`, `--exclude` and `--parents` use it.
#[derive(Clone, Debug)]
pub struct Glob {
    pattern: String,
    matcher: Matcher,
}

#[derive(Clone, Debug)]
enum Matcher {
    Exact(String),
    /// `text**`
    Prefix(String),
    /// `**text` or `**/text`, slash included
    Suffix(String),
    Regex(Regex),
}

impl Glob {
    /// Compiles a pattern. It should be [`clean`].
    pub fn new(pattern: &str) -> Result<Self, BadPattern> {
        let tokens = parse(pattern)?;
        let matcher = match literal_matcher(&tokens) {
            Some(matcher) => matcher,
            None => Matcher::Regex(
                Regex::new(&to_regex(&tokens))
                    .map_err(|_| BadPattern { pattern: pattern.to_owned(), reason: Reason::TooLarge })?,
            ),
        };
        Ok(Self { pattern: pattern.to_owned(), matcher })
    }

    /// The pattern as given.
    pub fn as_str(&self) -> &str {
        &self.pattern
    }

    /// Whether the whole path matches. Parents of the path are not considered.
    pub fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact(text) => path == text,
            Matcher::Prefix(prefix) => path.starts_with(prefix),
            Matcher::Suffix(suffix) => path.ends_with(suffix) || suffix.strip_prefix('/') == Some(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// Whether something beneath a directory may match. False only when nothing can.
    pub fn may_match_beneath(&self, directory: &str) -> bool {
        let mut components = self.pattern.split('/');
        for name in directory.split('/') {
            let Some(component) = components.next() else { return false };
            // A class may cover a slash and `**` any number of them: from here on everything is possible.
            if component.contains("**") || component.contains(['[', '\\']) {
                return true;
            }
            if !match_go(component, name).unwrap_or(true) {
                return false;
            }
        }
        components.next().is_some()
    }
}

/// The matcher for a pattern whose only wildcard is one `**` at an end.
fn literal_matcher(tokens: &[Token]) -> Option<Matcher> {
    match tokens {
        [Token::Star, Token::Star, rest @ ..] => plain_text(rest).map(Matcher::Suffix),
        [rest @ .., Token::Star, Token::Star] => literal_text(rest).map(Matcher::Prefix),
        all => literal_text(all).map(Matcher::Exact),
    }
}

fn literal_text(tokens: &[Token]) -> Option<String> {
    tokens.iter().map(Token::literal).collect()
}

/// Without escapes: `**\*` is not a suffix for Docker, though it could be.
fn plain_text(tokens: &[Token]) -> Option<String> {
    tokens.iter().map(|token| token.literal().filter(|_| !token.is_escaped())).collect()
}

fn to_regex(tokens: &[Token]) -> String {
    let mut source = String::from("(?s)^");
    let mut rest = tokens;
    while let Some((token, mut tail)) = rest.split_first() {
        match (token, tail) {
            (Token::Star, [Token::Star, after @ ..]) => {
                tail = match after {
                    [slash, after @ ..] if slash.literal() == Some('/') => after,
                    after => after,
                };
                source.push_str(if tail.is_empty() { ".*" } else { "(?:.*/)?" });
            }
            (token, _) => token.write_regex(&mut source),
        }
        rest = tail;
    }
    source.push('$');
    source
}

#[cfg(test)]
mod tests;
