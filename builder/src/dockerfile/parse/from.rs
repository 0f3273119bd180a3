//! `FROM`

use super::super::diagnostic::Diagnostic;
use super::super::flag::Takes;
use super::super::instruction::{FromInstruction, StageAlias};
use super::super::lines::Slice;
use super::super::words::blank_words;
use super::arguments::Arguments;

pub(super) fn from(arguments: &Arguments<'_>) -> Result<FromInstruction, Diagnostic> {
    let flags = arguments.flags(&[("platform", Takes::Value)])?;
    let platform = flags.value("platform");
    let words = blank_words(&arguments.rest);
    match words.as_slice() {
        [] => Err(arguments.missing("an image or a stage")),
        [base] => Ok(FromInstruction { platform, base: base.word(), alias: None }),
        [base, keyword, name] if is_as(keyword) => {
            Ok(FromInstruction { platform, base: base.word(), alias: Some(alias(keyword, name)?) })
        }
        [_, keyword] if is_as(keyword) => {
            Err(Diagnostic::error("AS without a name", keyword.span()).expected("expected a stage name after this"))
        }
        [base, extra] => Err(unexpected(extra).help(format!(
            "to name the stage, write `FROM {} AS {}`",
            base.as_str(),
            extra.as_str()
        ))),
        [_, keyword, _, extra, ..] if is_as(keyword) => Err(unexpected(extra)),
        [_, extra, ..] => Err(unexpected(extra)),
    }
}

fn is_as(word: &Slice<'_>) -> bool {
    word.as_str().eq_ignore_ascii_case("as")
}

fn unexpected(word: &Slice<'_>) -> Diagnostic {
    Diagnostic::error(format!("unexpected `{}` after the image", word.as_str()), word.span())
        .expected("expected `AS name` or the end of the line")
}

fn alias(keyword: &Slice<'_>, written: &Slice<'_>) -> Result<StageAlias, Diagnostic> {
    let name = written.as_str().to_lowercase();
    let well_formed = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if !well_formed {
        return Err(Diagnostic::error(format!("`{}` cannot be the name of a stage", written.as_str()), written.span())
            .expected("expected a letter, then letters, digits, `-`, `_` or `.`"));
    }
    Ok(StageAlias { keyword: keyword.word(), name, written: written.word() })
}
