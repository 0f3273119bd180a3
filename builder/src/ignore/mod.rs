//! `.dockerignore` files and path patterns.
//!
//! [`IgnoreFile`] says which paths of a context do not exist for the build; [`glob`] holds the patterns it is made of, and
//! those of `COPY` sources, `--exclude` and `--parents`. Paths are slash-separated and relative to the root of the context,
//! without leading slash or `.`. Nothing here touches a file system.

pub mod glob;

use crate::dockerfile::{Diagnostic, Span};
use glob::{BadPattern, Glob};

/// An ordered list of patterns. The last one that matches a path or one of its parents decides.
#[derive(Clone, Debug, Default)]
pub struct IgnoreFile {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// As written, and in which line; 0 when it stands in no file.
    text: String,
    line: usize,
    glob: Glob,
    /// `!pattern`: what it matches is included again.
    include: bool,
}

/// Which rules match a directory or one of its parents: what a walker hands down from a directory to what is in it.
#[derive(Clone, Debug, Default)]
pub struct Inherited {
    matched: Vec<bool>,
}

/// Why an ignore file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {cause}")]
pub struct IgnoreError {
    /// The line, counted from one.
    pub line: usize,
    /// Where the pattern stands in the text.
    pub span: Span,
    /// The reason.
    pub cause: IgnoreFault,
}

/// The reasons why an ignore file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreFault {
    /// `!` and nothing else.
    #[error("`!` without a pattern")]
    LoneExclamationMark,
    /// A malformed pattern.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
}

impl From<IgnoreError> for Diagnostic {
    fn from(error: IgnoreError) -> Self {
        let diagnostic = Self::error(error.cause.to_string(), error.span);
        match error.cause {
            IgnoreFault::LoneExclamationMark => diagnostic.expected("expected a pattern after this"),
            IgnoreFault::Pattern(_) => {
                diagnostic.help("a backslash before `[`, `*`, `?` or `\\` makes it an ordinary character")
            }
        }
    }
}

impl IgnoreFile {
    /// Reads the text of an ignore file.
    ///
    /// Lines that start with `#` are comments, but only in the first column. Blanks around a pattern are dropped, paths are
    /// cleaned lexically, and a leading slash means nothing.
    pub fn parse(text: &str) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        let mut start = 0;
        for (index, raw) in text.split_inclusive('\n').enumerate() {
            let line = if index == 0 { raw.strip_prefix('\u{feff}').unwrap_or(raw) } else { raw };
            let line_start = start + raw.len() - line.len();
            start += raw.len();
            let pattern = line.trim();
            if line.starts_with('#') || pattern.is_empty() {
                continue;
            }
            let offset = line_start + line.len() - line.trim_start().len();
            let span = Span::new(offset, offset + pattern.len());
            let rule = Rule::from_line(pattern).map_err(|cause| IgnoreError { line: index + 1, span, cause })?;
            rules.push(Rule { line: index + 1, ..rule });
        }
        Ok(Self { rules })
    }

    /// Builds one from single patterns, such as the values of `COPY --exclude`. Blank ones are skipped.
    pub fn from_patterns<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, IgnoreFault> {
        let patterns = patterns.into_iter().map(str::trim).filter(|pattern| !pattern.is_empty());
        Ok(Self { rules: patterns.map(Rule::from_line).collect::<Result<_, _>>()? })
    }

    /// Whether there is no rule at all.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether a rule takes something back in.
    pub fn takes_back(&self) -> bool {
        self.rules.iter().any(|rule| rule.include)
    }

    /// Whether a path is left out. The root is never left out.
    pub fn excludes(&self, path: &str) -> bool {
        self.check_with_parents(path).0
    }

    /// The rule that leaves a path out, as written, and its line counted from one.
    pub fn culprit(&self, path: &str) -> Option<(&str, usize)> {
        let (excluded, inherited) = self.check_with_parents(path);
        let matched = self.rules.iter().zip(inherited.matched).rfind(|(_, matched)| *matched);
        matched.filter(|_| excluded).map(|(rule, _)| (rule.text.as_str(), rule.line))
    }

    /// [`excludes`](Self::excludes) for a walker, which knows what matched the directory that a path is in.
    ///
    /// `parent` is what this function returned for that directory, [`Inherited::default`] at the root.
    pub fn check(&self, path: &str, parent: &Inherited) -> (bool, Inherited) {
        let mut excluded = false;
        let mut matched = Vec::with_capacity(self.rules.len());
        for (index, rule) in self.rules.iter().enumerate() {
            let inherited = parent.matched.get(index).copied().unwrap_or(false);
            let hit = inherited || (!is_root(path) && rule.glob.matches(path));
            if hit {
                excluded = !rule.include;
            }
            matched.push(hit);
        }
        (excluded, Inherited { matched })
    }

    /// Whether everything beneath an excluded directory is excluded too, so that a walker need not enter it.
    ///
    /// Never true when something beneath may be included again; may be false when nothing is.
    pub fn may_skip(&self, directory: &str) -> bool {
        let (excluded, inherited) = self.check_with_parents(directory);
        // What is beneath inherits every match of the directory. Only a `!` rule that does not match yet can change its fate.
        excluded
            && self
                .rules
                .iter()
                .zip(inherited.matched)
                .all(|(rule, matched)| !rule.include || matched || !rule.glob.may_match_beneath(directory))
    }

    fn check_with_parents(&self, path: &str) -> (bool, Inherited) {
        let parents = path.match_indices('/').map(|(slash, _)| slash);
        parents
            .chain([path.len()])
            .fold((false, Inherited::default()), |(_, inherited), end| self.check(&path[..end], &inherited))
    }
}

impl Rule {
    fn from_line(pattern: &str) -> Result<Self, IgnoreFault> {
        let (include, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest.trim()),
            None => (false, pattern),
        };
        if pattern.is_empty() {
            return Err(IgnoreFault::LoneExclamationMark);
        }
        let cleaned = glob::clean(pattern);
        let relative = match cleaned.strip_prefix('/') {
            Some(rest) if !rest.is_empty() => rest,
            _ => &cleaned,
        };
        Ok(Self { text: pattern.to_owned(), line: 0, glob: Glob::new(relative)?, include })
    }
}

fn is_root(path: &str) -> bool {
    path.is_empty() || path == "."
}

#[cfg(test)]
mod tests;
