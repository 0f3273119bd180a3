//! Builder flags: `--name` and `--name=value` between the keyword and the arguments.

use super::ast::Flag;
use super::diagnostic::Diagnostic;
use super::keyword::Keyword;
use super::lines::Slice;
use super::span::Word;
use super::suggest::nearest;

/// Takes the flags off the front of the arguments. `--` ends them and is dropped.
pub(super) fn take_flags<'l>(arguments: &Slice<'l>) -> (Vec<Flag>, Slice<'l>) {
    let mut flags = Vec::new();
    let mut rest = arguments.trim();
    while rest.as_str().starts_with("--") {
        let (value, length) = unquote(rest.as_str());
        let raw = rest.slice(0..length);
        rest = rest.from(length).trim();
        if value == "--" {
            break;
        }
        flags.push(flag(&value, &raw));
    }
    (flags, rest)
}

/// Reads one word, removing quotes and backslashes. Returns it and the number of bytes it took.
fn unquote(text: &str) -> (String, usize) {
    let mut value = String::new();
    let mut quote: Option<char> = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if quote.is_none() && c.is_whitespace() => return (value, at),
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c if quote == Some(c) => quote = None,
            '\'' | '"' if quote.is_none() => quote = Some(c),
            c => value.push(c),
        }
    }
    (value, text.len())
}

fn flag(value: &str, raw: &Slice<'_>) -> Flag {
    // Both are the same character: unquoting removes characters, but neither adds nor reorders any.
    let (Some(equals), Some(raw_equals)) = (value.find('='), raw.as_str().find('=')) else {
        let name = Word::new(&value[2..], raw.from(2).span());
        return Flag { name, value: None, span: raw.span() };
    };
    Flag {
        name: Word::new(&value[2..equals], raw.slice(2..raw_equals).span()),
        value: Some(Word::new(&value[equals + 1..], raw.from(raw_equals + 1).span())),
        span: raw.span(),
    }
}

/// What a flag takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `true` or `false`; at most once.
    Truth,
    /// A value; at most once.
    Value,
    /// A value; any number of times.
    Values,
}

/// The flags of one instruction, checked against what it knows.
pub(super) struct Flags<'f> {
    flags: &'f [Flag],
}

impl<'f> Flags<'f> {
    pub(super) fn check(keyword: Keyword, flags: &'f [Flag], known: &[(&str, Takes)]) -> Result<Self, Diagnostic> {
        for (index, flag) in flags.iter().enumerate() {
            let name = flag.name.as_str();
            let Some((_, takes)) = known.iter().find(|(known, _)| *known == name) else {
                return Err(unknown_flag(keyword, flag, known));
            };
            if let Some(first) = flags[..index].iter().find(|earlier| earlier.name.text == name)
                && *takes != Takes::Values
            {
                return Err(Diagnostic::error(format!("--{name} is given twice"), flag.span)
                    .label(first.span, "first given here"));
            }
            match (takes, &flag.value) {
                (Takes::Truth, Some(value)) => {
                    truth(value)?;
                }
                (Takes::Value | Takes::Values, None) => {
                    return Err(Diagnostic::error(format!("--{name} needs a value"), flag.span)
                        .expected(format!("expected `--{name}=…`")));
                }
                (Takes::Truth, None) | (Takes::Value | Takes::Values, Some(_)) => {}
            }
        }
        Ok(Self { flags })
    }

    /// The value of a flag; an empty value is as good as none.
    pub(super) fn value(&self, name: &str) -> Option<Word> {
        self.values(name).into_iter().next()
    }

    /// The values of a flag; empty ones are left out.
    pub(super) fn values(&self, name: &str) -> Vec<Word> {
        let named = self.flags.iter().filter(|flag| flag.name.text == name);
        named.filter_map(|flag| flag.value.clone()).filter(|value| !value.text.is_empty()).collect()
    }

    /// Whether a flag is on; `None` when it is not given.
    pub(super) fn truth(&self, name: &str) -> Option<bool> {
        let flag = self.flags.iter().find(|flag| flag.name.text == name)?;
        Some(flag.value.as_ref().is_none_or(|value| value.text.eq_ignore_ascii_case("true")))
    }
}

fn truth(value: &Word) -> Result<bool, Diagnostic> {
    match value.text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Diagnostic::error(format!("`{}` is neither true nor false", value.text), value.span)
            .expected("expected `true` or `false`")),
    }
}

fn unknown_flag(keyword: Keyword, flag: &Flag, known: &[(&str, Takes)]) -> Diagnostic {
    let names = || known.iter().map(|(name, _)| *name);
    let diagnostic = Diagnostic::error(format!("{keyword} has no flag --{}", flag.name.text), flag.name.span);
    match (known, nearest(&flag.name.text, names())) {
        (_, Some(name)) => diagnostic.expected("unknown flag").help(format!("did you mean `--{name}`?")),
        ([], None) => diagnostic
            .expected(format!("{keyword} has no flags"))
            .help("if the dashes belong to the arguments, write `--` before them"),
        (_, None) => {
            let list = names().map(|name| format!("--{name}")).collect::<Vec<_>>().join(", ");
            diagnostic.expected("unknown flag").note(format!("{keyword} knows {list}"))
        }
    }
}
