//! Parser directives: `# syntax=`, `# escape=`, `# check=`.
//!
//! They stand before anything else in the file, one per line, each at most once. The first line that is not one of them
//! ends them for good.

use super::diagnostic::Diagnostic;
use super::lines::PhysicalLine;
use super::span::{Span, Spanned, Word};
use super::suggest::did_you_mean;
use crate::settings::truth;

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

impl Default for RuleSet {
    fn default() -> Self {
        Self::Named(Vec::new())
    }
}

impl RuleSet {
    /// Whether a rule is chosen. Names are compared as the reference linter does, exactly.
    pub fn contains(&self, rule: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| name.text == rule),
        }
    }

    fn parse(list: &Word) -> Self {
        if list.text == "all" {
            return Self::All;
        }
        Self::Named(split(list, ',').filter(|name| !name.text.is_empty()).collect())
    }
}

impl CheckOptions {
    /// Reads the text after `check=`.
    pub fn parse(text: &Word) -> Result<Self, Diagnostic> {
        let mut options =
            Self { skip: RuleSet::default(), experimental: RuleSet::default(), error: false, span: text.span };
        for option in split(text, ';') {
            let Some(equals) = option.text.find('=') else {
                return Err(unknown_option(&option));
            };
            let key = trimmed(&option.slice(0..equals));
            let value = trimmed(&option.slice(equals + 1..option.text.len()));
            match key.text.as_str() {
                "skip" => options.skip = RuleSet::parse(&value),
                "experimental" => options.experimental = RuleSet::parse(&value),
                "error" => options.error = truth(&value.text).ok_or_else(|| not_a_bool(&value))?,
                _ => return Err(unknown_option(&key)),
            }
        }
        Ok(options)
    }
}

/// `# check=…` in a comment directly above an instruction.
pub fn inline_check(comment: &super::ast::Comment) -> Option<Result<CheckOptions, Diagnostic>> {
    let (key, value) = key_and_value(&Word::new(comment.text.clone(), comment.content))?;
    key.text.eq_ignore_ascii_case("check").then(|| CheckOptions::parse(&value))
}

fn unknown_option(option: &Word) -> Diagnostic {
    Diagnostic::error(format!("`{}` is not an option of the check directive", option.text), option.span)
        .expected("expected `skip=`, `error=` or `experimental=`")
        .maybe_help(did_you_mean(&option.text, ["skip", "error", "experimental"]))
}

fn not_a_bool(value: &Word) -> Diagnostic {
    Diagnostic::error(format!("`{}` is neither true nor false", value.text), value.span)
        .expected("expected `true` or `false`")
}

fn split(word: &Word, separator: char) -> impl Iterator<Item = Word> {
    let mut at = 0;
    word.text.split(separator).map(move |part| {
        let piece = word.slice(at..at + part.len());
        at += part.len() + separator.len_utf8();
        trimmed(&piece)
    })
}

fn trimmed(word: &Word) -> Word {
    let start = word.text.len() - word.text.trim_start().len();
    word.slice(start..start + word.text.trim().len())
}

/// Reads directives until a line is none.
#[derive(Default)]
pub(super) struct DirectiveReader {
    pub(super) directives: Directives,
    done: bool,
}

impl DirectiveReader {
    /// Without directives, escaping with `escape`: for text that is not a file of its own.
    pub(super) fn finished(escape: Escape) -> Self {
        let escape = Spanned::new(escape, Span::at(0));
        Self { directives: Directives { escape: Some(escape), ..Directives::default() }, done: true }
    }

    /// Looks at the next line that begins a statement, comment or nothing; says whether it is a directive.
    pub(super) fn accept(&mut self, line: PhysicalLine<'_>) -> Result<bool, Diagnostic> {
        if self.done {
            return Ok(false);
        }
        let accepted = match Self::read(line) {
            Some((key, value)) => self.store(&key, value)?,
            None => false,
        };
        self.done = !accepted;
        Ok(accepted)
    }

    fn read(line: PhysicalLine<'_>) -> Option<(Word, Word)> {
        let text = line.text.trim_start();
        let content = text.strip_prefix('#')?;
        let start = line.start + line.text.len() - content.len();
        key_and_value(&Word::new(content, Span::new(start, start + content.len())))
    }

    fn store(&mut self, key: &Word, value: Word) -> Result<bool, Diagnostic> {
        let directives = &mut self.directives;
        let previous = match key.text.to_ascii_lowercase().as_str() {
            "syntax" => directives.syntax.replace(value).map(|old| old.span),
            "escape" => directives.escape.replace(parse_escape(&value)?).map(|old| old.span),
            "check" => directives.check.replace(CheckOptions::parse(&value)?).map(|old| old.span),
            _ => return Ok(false),
        };
        match previous {
            None => Ok(true),
            Some(first) => Err(Diagnostic::error(format!("the {} directive is given twice", key.text), key.span)
                .label(first, "first given here")),
        }
    }
}

fn parse_escape(value: &Word) -> Result<Spanned<Escape>, Diagnostic> {
    let escape = match value.text.as_str() {
        "\\" => Escape::Backslash,
        "`" => Escape::Backtick,
        other => {
            return Err(Diagnostic::error(format!("`{other}` cannot be the escape character"), value.span)
                .expected("expected \\ or `"));
        }
    };
    Ok(Spanned::new(escape, value.span))
}

/// Splits `key = value`; the key begins with a letter and goes on with letters and digits, the value is not empty.
fn key_and_value(text: &Word) -> Option<(Word, Word)> {
    let equals = text.text.find('=')?;
    let key = trimmed(&text.slice(0..equals));
    let value = trimmed(&text.slice(equals + 1..text.text.len()));
    let well_formed = key.text.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.text.chars().all(|c| c.is_ascii_alphanumeric())
        && !value.text.is_empty();
    well_formed.then_some((key, value))
}

/// The frontend a file asks for, whatever kind of file it is.
///
/// Looks for `# syntax=`, then `// syntax=`, then a JSON object with a `syntax` member; a first line `#!…` is skipped.
/// Only the first word of the value counts.
pub fn detect_syntax(source: &str) -> Option<String> {
    let source = source.trim_start_matches('\u{feff}');
    let source = match source.split_once('\n') {
        Some((first, rest)) if first.starts_with("#!") => rest,
        None if source.starts_with("#!") => "",
        _ => source,
    };
    let value = commented_syntax(source, "#").or_else(|| commented_syntax(source, "//")).or_else(|| {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(source).ok()?;
        object.get("syntax")?.as_str().map(str::to_owned)
    })?;
    Some(value.split(' ').next().unwrap_or_default().to_owned())
}

fn commented_syntax(source: &str, comment: &str) -> Option<String> {
    for line in source.lines() {
        let content = line.strip_prefix(comment)?;
        let (key, value) = key_and_value(&Word::new(content, Span::new(0, content.len())))?;
        match key.text.to_ascii_lowercase().as_str() {
            "syntax" => return Some(value.text),
            "escape" | "check" => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<CheckOptions, Diagnostic> {
        CheckOptions::parse(&Word::new(text, Span::new(0, text.len())))
    }

    #[test]
    fn p12_syntax_is_found_in_any_kind_of_file() {
        for source in [
            "# syntax=example/one:1\nFROM x",
            "#syntax = example/one:1   with more\n",
            "#!/usr/bin/env thing\n# SYNTAX=example/one:1",
            "# escape=`\n# syntax=example/one:1",
            "\u{feff}// syntax=example/one:1\nother language",
            "{\"a\": 1, \"syntax\": \"example/one:1 x\"}",
        ] {
            assert_eq!(detect_syntax(source).as_deref(), Some("example/one:1"), "{source}");
        }
    }

    #[test]
    fn p12_syntax_is_not_found_where_it_does_not_count() {
        for source in
            ["", "#!", "FROM x\n# syntax=a", "# a comment\n# syntax=a", "\n# syntax=a", "# syntax=", "{\"syntax\": 1}"]
        {
            assert_eq!(detect_syntax(source), None, "{source}");
        }
    }

    #[test]
    fn p13_check_options() {
        let options = check("skip=JSONArgsRecommended, StageNameCasing;error=true").unwrap();
        assert!(options.error);
        assert!(options.skip.contains("StageNameCasing") && options.skip.contains("JSONArgsRecommended"));
        assert!(!options.skip.contains("UndefinedVar"));
        assert_eq!(check("skip=all").unwrap().skip, RuleSet::All);
        assert!(check("experimental=all").unwrap().experimental.contains("anything"));
    }

    #[test]
    fn p13_malformed_check_options_are_errors() {
        assert!(check("skp=A").unwrap_err().help[0].contains("`skip`"));
        assert!(check("error=maybe").unwrap_err().title.contains("maybe"));
        assert!(check("skip").is_err());
    }
}
