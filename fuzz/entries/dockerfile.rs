//! Any bytes as a Dockerfile, or as a word to expand: an answer, with places that lie inside the text, and no panic.

use wharf_builder::dockerfile::expand::{ExpandError, Expansion, expand, expand_heredoc, expand_words};
use wharf_builder::dockerfile::{Diagnostic, Escape, Span, Word, decode, parse, render};

/// The input is the file.
pub fn dockerfile(data: &[u8]) {
    let text = match decode(data) {
        Ok(text) => text,
        Err(problem) => return shown(&problem, &String::from_utf8_lossy(data)),
    };
    match parse(text) {
        Ok(file) => {
            assert!(!file.stages.is_empty());
            let statements = file.stages.iter().flat_map(|stage| &stage.instructions);
            for span in statements.map(wharf_builder::dockerfile::Statement::span) {
                inside(span, text);
            }
        }
        Err(problem) => shown(&problem, text),
    }
}

/// The input is a word: one expanded as one, as several, and as the body of a heredoc. Half of all names are set.
pub fn expansion(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let span = Span::new(0, text.len());
    let word = Word::new(text, span);
    let lookup = |name: &str| name.len().is_multiple_of(2).then(|| format!("<{name}> \"$x\" \\"));
    for escape in [Escape::Backslash, Escape::Backtick] {
        let (one, several) = (expand(&word, escape, &lookup), expand_words(&word, escape, &lookup));
        assert_eq!(one.is_ok(), several.is_ok(), "{text:?}");
        for span in places(&one).into_iter().chain(places(&several)) {
            inside(span, text);
        }
    }
    for span in places(&expand_heredoc(text, span, &lookup)) {
        inside(span, text);
    }
}

fn places<T>(outcome: &Result<Expansion<T>, ExpandError>) -> Vec<Span> {
    match outcome {
        Ok(expansion) => expansion.references.iter().map(|reference| reference.span).collect(),
        Err(error) => vec![error.span],
    }
}

fn inside(span: Span, text: &str) {
    assert!(text.get(span.start..span.end).is_some(), "{span:?} is not in {text:?}");
}

fn shown(problem: &Diagnostic, text: &str) {
    for label in &problem.labels {
        inside(label.span, text);
    }
    assert!(!render(problem, "Dockerfile", text, true).is_empty());
}
