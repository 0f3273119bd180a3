//! `ARG`, `ENV`, `LABEL`: names with values.

use super::super::diagnostic::Diagnostic;
use super::super::instruction::{ArgDeclaration, ArgInstruction, EnvInstruction, KeyValue, LabelInstruction, PairForm};
use super::super::span::Word;
use super::super::words::{quoted_words, split_first};
use super::arguments::Arguments;

pub(super) fn arg(arguments: &Arguments<'_>) -> Result<ArgInstruction, Diagnostic> {
    arguments.no_flags()?;
    let words = quoted_words(&arguments.rest, arguments.escape.char());
    if words.is_empty() {
        return Err(arguments.missing("a name"));
    }
    Ok(ArgInstruction { args: words.into_iter().map(declaration).collect::<Result<_, _>>()? })
}

fn declaration(word: Word) -> Result<ArgDeclaration, Diagnostic> {
    match split_pair(&word) {
        Some(pair) => {
            let KeyValue { key, value } = named(pair)?;
            Ok(ArgDeclaration { name: key, default: Some(value) })
        }
        None => Ok(ArgDeclaration { name: word, default: None }),
    }
}

pub(super) fn env(arguments: &Arguments<'_>) -> Result<EnvInstruction, Diagnostic> {
    let (pairs, form) = pairs(arguments)?;
    Ok(EnvInstruction { pairs, form })
}

pub(super) fn label(arguments: &Arguments<'_>) -> Result<LabelInstruction, Diagnostic> {
    let (pairs, form) = pairs(arguments)?;
    Ok(LabelInstruction { pairs, form })
}

/// The first word decides: with `=` in it, all words are `key=value`; without, it is the key of one pair, and everything
/// after it, blanks and all, is the value.
fn pairs(arguments: &Arguments<'_>) -> Result<(Vec<KeyValue>, PairForm), Diagnostic> {
    arguments.no_flags()?;
    let words = quoted_words(&arguments.rest, arguments.escape.char());
    let Some(first) = words.first() else {
        return Err(arguments.missing("a name and a value"));
    };
    if !first.text.contains('=') {
        return legacy(arguments).map(|pair| (vec![pair], PairForm::Legacy));
    }
    let pairs = words.iter().map(|word| match split_pair(word) {
        Some(pair) => named(pair),
        None => Err(Diagnostic::error(format!("`{}` has no value", word.text), word.span)
            .expected("expected `name=value`")
            .help("put a value that holds blanks in quotes")),
    });
    Ok((pairs.collect::<Result<_, _>>()?, PairForm::Assignments))
}

fn legacy(arguments: &Arguments<'_>) -> Result<KeyValue, Diagnostic> {
    let (key, value) = split_first(&arguments.rest);
    if value.is_empty() {
        let keyword = arguments.keyword;
        return Err(Diagnostic::error(format!("{keyword} needs a value for `{}`", key.as_str()), key.span())
            .expected("expected `name=value`")
            .help(format!("write `{keyword} {}=` for an empty value", key.as_str())));
    }
    Ok(KeyValue { key: key.word(), value: value.word() })
}

fn split_pair(word: &Word) -> Option<KeyValue> {
    let equals = word.text.find('=')?;
    Some(KeyValue { key: word.slice(0..equals), value: word.slice(equals + 1..word.text.len()) })
}

fn named(pair: KeyValue) -> Result<KeyValue, Diagnostic> {
    if pair.key.text.is_empty() {
        return Err(Diagnostic::error("a value without a name", pair.key.span.to(pair.value.span))
            .expected("expected `name=value`"));
    }
    Ok(pair)
}
