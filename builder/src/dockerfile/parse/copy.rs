//! `COPY` and `ADD`

use super::super::diagnostic::Diagnostic;
use super::super::flag::Takes;
use super::super::heredoc::{Heredoc, Opening};
use super::super::instruction::{AddInstruction, ArgumentForm, CopyInstruction, CopySource, InlineFile};
use super::super::json;
use super::super::lines::Slice;
use super::super::mount::{from_is_not_expanded, refers_to_variable};
use super::super::span::Word;
use super::super::words::blank_words;
use super::arguments::Arguments;

pub(super) fn copy(arguments: &Arguments<'_>) -> Result<CopyInstruction, Diagnostic> {
    let flags = arguments.flags(&[
        ("from", Takes::Value),
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Truth),
        ("parents", Takes::Truth),
        ("exclude", Takes::Values),
    ])?;
    let from = flags.value("from");
    if let Some(from) = from.as_ref().filter(|from| refers_to_variable(&from.text)) {
        return Err(from_is_not_expanded(from));
    }
    let (sources, destination, form) = sources_and_destination(arguments)?;
    Ok(CopyInstruction {
        from,
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.truth("link").unwrap_or(false),
        parents: flags.truth("parents").unwrap_or(false),
        exclude: flags.values("exclude"),
        sources,
        destination,
        form,
    })
}

pub(super) fn add(arguments: &Arguments<'_>) -> Result<AddInstruction, Diagnostic> {
    let flags = arguments.flags(&[
        ("checksum", Takes::Value),
        ("keep-git-dir", Takes::Truth),
        ("unpack", Takes::Truth),
        ("chown", Takes::Value),
        ("chmod", Takes::Value),
        ("link", Takes::Truth),
        ("exclude", Takes::Values),
    ])?;
    let (sources, destination, form) = sources_and_destination(arguments)?;
    let checksum = flags.value("checksum");
    if let (Some(checksum), [_, second, ..]) = (&checksum, sources.as_slice()) {
        return Err(Diagnostic::error("--checksum can vouch for only one source", checksum.span)
            .label(second.word().span, "a second source"));
    }
    Ok(AddInstruction {
        checksum,
        keep_git_dir: flags.truth("keep-git-dir"),
        unpack: flags.truth("unpack"),
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.truth("link").unwrap_or(false),
        exclude: flags.values("exclude"),
        sources,
        destination,
        form,
    })
}

fn sources_and_destination(arguments: &Arguments<'_>) -> Result<(Vec<CopySource>, Word, ArgumentForm), Diagnostic> {
    let json = json::string_array(&arguments.rest)?;
    let form = if json.is_some() { ArgumentForm::Json } else { ArgumentForm::Words };
    let words = json.unwrap_or_else(|| heredoc_words(&arguments.rest));
    let Some((destination, sources)) = words.split_last().filter(|(_, sources)| !sources.is_empty()) else {
        return Err(arguments.missing("a source and a destination"));
    };
    if form == ArgumentForm::Json {
        let sources = sources.iter().cloned().map(CopySource::Path).collect();
        return Ok((sources, destination.clone(), form));
    }
    if Opening::parse(&destination.text).is_some() {
        return Err(Diagnostic::error("a heredoc cannot be the destination", destination.span)
            .expected("expected a path")
            .help("heredocs are sources: write them before the destination"));
    }
    let mut heredocs = arguments.origin.heredocs.iter();
    let sources = sources.iter().map(|word| source(word, &mut heredocs)).collect::<Result<_, _>>()?;
    Ok((sources, destination.clone(), form))
}

/// Words between blanks, except that a heredoc's delimiter may stand apart from its `<<`.
fn heredoc_words(text: &Slice<'_>) -> Vec<Word> {
    let mut words: Vec<Slice<'_>> = Vec::new();
    let mut open = false;
    for word in blank_words(text) {
        if let Some(operator) = words.last_mut().filter(|_| open) {
            *operator = operator.to(word);
            open = false;
        } else {
            let operator = word.as_str().trim_start_matches(|c: char| c.is_ascii_digit());
            open = matches!(operator, "<<" | "<<-");
            words.push(word);
        }
    }
    words.iter().map(Slice::word).collect()
}

fn source<'h>(word: &Word, heredocs: &mut impl Iterator<Item = &'h Heredoc>) -> Result<CopySource, Diagnostic> {
    let Some(opening) = Opening::parse(&word.text) else {
        return Ok(CopySource::Path(word.clone()));
    };
    // Both were found on the same line in the same order; a word without a body stood in a line no shell could split.
    match heredocs.find(|heredoc| heredoc.name == opening.name) {
        Some(heredoc) => Ok(CopySource::Inline(inline_file(heredoc))),
        None => Err(Diagnostic::error(format!("the heredoc `{}` has no body", opening.name), word.span)
            .help("check the quotes on this line: one of them is not closed")),
    }
}

pub(super) fn inline_file(heredoc: &Heredoc) -> InlineFile {
    InlineFile {
        name: Word::new(&heredoc.name, heredoc.opening.span),
        content: heredoc.content(),
        expand: heredoc.expand,
        body: heredoc.span,
    }
}
