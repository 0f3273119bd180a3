//! Reading the value of `--mount` into fields: comma-separated values, keys checked, values left for later.

use super::{MountField, MountSpec};
use crate::dockerfile::diagnostic::Diagnostic;
use crate::dockerfile::directive::Escape;
use crate::dockerfile::span::Word;
use crate::dockerfile::suggest::did_you_mean;

/// Every key of every mount type, aliases last.
const KEYS: [&str; 18] = [
    "type",
    "target",
    "source",
    "from",
    "id",
    "sharing",
    "readonly",
    "readwrite",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
    "dst",
    "destination",
    "src",
    "ro",
];

/// Keys that may stand alone, meaning `=true`.
const BARE: [&str; 5] = ["readonly", "ro", "readwrite", "rw", "required"];

impl MountSpec {
    /// Reads a flag's value, and checks all that can be checked before variables are known.
    pub(in crate::dockerfile) fn parse(value: &Word, escape: Escape) -> Result<Self, Diagnostic> {
        let fields = split_fields(value)?.iter().map(field).collect::<Result<_, _>>()?;
        let spec = Self { fields, span: value.span };
        if !value.text.contains('$') {
            spec.resolve(escape, &|_| None)?;
        }
        Ok(spec)
    }
}

fn field(text: &Word) -> Result<MountField, Diagnostic> {
    let equals = text.text.find('=');
    let mut key = text.slice(0..equals.unwrap_or(text.text.len()));
    key.text.make_ascii_lowercase();
    if !KEYS.contains(&key.text.as_str()) && key.text != "rw" {
        return Err(Diagnostic::error(format!("`{}` is not an option of a mount", key.text), key.span)
            .maybe_help(did_you_mean(&key.text, KEYS)));
    }
    let value = equals.map(|equals| text.slice(equals + 1..text.text.len()));
    match &value {
        None if !BARE.contains(&key.text.as_str()) => {
            Err(Diagnostic::error(format!("`{}` needs a value", key.text), key.span)
                .expected(format!("expected `{}=…`", key.text)))
        }
        Some(value) if key.text == "from" && refers_to_variable(&value.text) => Err(from_is_not_expanded(value)),
        _ => Ok(MountField { key, value }),
    }
}

/// Whether a text holds something that looks like a variable.
pub(in crate::dockerfile) fn refers_to_variable(text: &str) -> bool {
    text.find('$').is_some_and(|dollar| dollar + 1 < text.len())
}

/// `from` names a stage or image of the graph, which must be known before any variable of a stage is.
pub(in crate::dockerfile) fn from_is_not_expanded(value: &Word) -> Diagnostic {
    Diagnostic::error("variables cannot be used in `from`", value.span)
        .expected("expected a stage, image or context by name")
        .help(format!("give it a stage of its own: `FROM {} AS name`, then use `from=name`", value.text))
}

/// Splits comma-separated values. A field in double quotes may hold commas; two quotes in it stand for one.
pub(in crate::dockerfile) fn split_fields(value: &Word) -> Result<Vec<Word>, Diagnostic> {
    let text = value.text.as_str();
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (field, end) = match text[at..].strip_prefix('"') {
            Some(_) => quoted_field(value, at)?,
            None => plain_field(value, at)?,
        };
        fields.push(field);
        if end == text.len() {
            return Ok(fields);
        }
        at = end + 1;
    }
}

fn plain_field(value: &Word, at: usize) -> Result<(Word, usize), Diagnostic> {
    let text = value.text.as_str();
    let end = text[at..].find(',').map_or(text.len(), |comma| at + comma);
    if text[at..end].is_empty() {
        return Err(Diagnostic::error("this option is empty", value.place(at..end)).expected("expected `key=value`"));
    }
    match text[at..end].find('"') {
        Some(quote) => {
            Err(Diagnostic::error("a double quote inside an option", value.place(at + quote..at + quote + 1))
                .help("put the whole option in double quotes, and the whole flag value in single quotes"))
        }
        None => Ok((value.slice(at..end), end)),
    }
}

fn quoted_field(value: &Word, at: usize) -> Result<(Word, usize), Diagnostic> {
    let text = value.text.as_str();
    let mut content = String::new();
    let mut from = at + 1;
    while let Some(quote) = text[from..].find('"').map(|quote| from + quote) {
        content.push_str(&text[from..quote]);
        from = quote + 1;
        if text[from..].starts_with('"') {
            content.push('"');
            from += 1;
        } else if from == text.len() || text[from..].starts_with(',') {
            return Ok((Word::new(content, value.place(at..from)), from));
        } else {
            return Err(Diagnostic::error("text after the closing quote of an option", value.place(from..from + 1))
                .expected("expected a comma"));
        }
    }
    Err(Diagnostic::error("this double quote is never closed", value.place(at..at + 1)))
}
