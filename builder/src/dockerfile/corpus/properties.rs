//! What holds for any input whatever: no panic, and every span inside the source on character boundaries.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::SOURCES;
use crate::dockerfile::*;

/// Parses and checks every span of the result.
fn check(source: &str) -> Result<(), TestCaseError> {
    match parse(source) {
        Ok(file) => {
            for span in spans(&format!("{file:?}")) {
                prop_assert!(source.get(span.start..span.end).is_some(), "{span:?} does not fit {source:?}");
            }
            for statement in file.stages.iter().flat_map(|stage| &stage.instructions) {
                expand_everything(source, statement)?;
            }
            question_everything(source, &file)?;
        }
        Err(error) => {
            for label in &error.labels {
                let span = label.span;
                prop_assert!(source.get(span.start..span.end).is_some(), "{span:?} does not fit {source:?}");
            }
            prop_assert!(!error.title.is_empty());
            render(&error, "Dockerfile", source, true);
        }
    }
    Ok(())
}

/// What the linter and the outlines say about any file has its place in it.
fn question_everything(source: &str, file: &Dockerfile) -> Result<(), TestCaseError> {
    let grounds: Vec<lint::Ground> = file
        .stages
        .iter()
        .enumerate()
        .map(|(position, _)| position.checked_sub(1).map_or(lint::Ground::Scratch, lint::Ground::Stage))
        .collect();
    let given = BTreeMap::new();
    let facts = lint::Facts {
        build_args: &given,
        predefined: &[("TARGETPLATFORM".to_owned(), "linux/amd64".to_owned())],
        grounds: &grounds,
        looked_into: &|_| true,
        ignores: Some(&|path| path.len().is_multiple_of(2)),
    };
    for finding in lint::lint(file, &facts) {
        for span in [finding.span, finding.statement] {
            prop_assert!(source.get(span.start..span.end).is_some(), "{span:?} does not fit {source:?}");
            prop_assert!(*span.lines(source).end() <= source.lines().count().max(1), "{span:?} in {source:?}");
        }
        render(&finding.diagnostic(Level::Warning), "Dockerfile", source, false);
    }
    for target in outline::targets(file) {
        prop_assert!(source.get(target.span.start..target.span.end).is_some());
    }
    let all = (0..file.stages.len()).collect();
    let outline = outline::outline(file, &given, 0, &all);
    for span in outline.args.iter().map(|arg| arg.span).chain(outline.caches.iter().map(|used| used.span)) {
        prop_assert!(source.get(span.start..span.end).is_some());
    }
    Ok(())
}

/// Every span of a tree, from its debug text: whatever fields are added, none is forgotten.
fn spans(debug: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    for part in debug.split("Span { start: ").skip(1) {
        let Some((start, rest)) = part.split_once(", end: ") else { continue };
        let Some((end, _)) = rest.split_once(' ') else { continue };
        // Text of the file may look like a span; only real ones are numbers.
        if let (Ok(start), Ok(end)) = (start.parse(), end.parse()) {
            spans.push(Span::new(start, end));
        }
    }
    spans
}

fn expand_everything(source: &str, statement: &Statement) -> Result<(), TestCaseError> {
    let lookup = |name: &str| name.len().is_multiple_of(2).then(|| format!("<{name}>"));
    let mut found: Vec<Span> = Vec::new();
    let mut note = |outcome: Result<Vec<expand::Reference>, Span>| match outcome {
        Ok(references) => found.extend(references.iter().map(|reference| reference.span)),
        Err(span) => found.push(span),
    };
    match &statement.instruction {
        Instruction::Env(env) => {
            for word in env.pairs.iter().flat_map(|pair| [&pair.key, &pair.value]) {
                let expanded = expand::expand(word, Escape::default(), &lookup);
                note(expanded.map(|value| value.references).map_err(|error| error.span));
            }
        }
        Instruction::Run(run) => {
            for mount in &run.mounts {
                let resolved = mount.resolve(Escape::default(), &lookup);
                note(resolved.map(|value| value.references).map_err(|error| error.labels[0].span));
            }
        }
        _ => {}
    }
    for span in found {
        prop_assert!(source.get(span.start..span.end).is_some(), "{span:?} does not fit {source:?}");
    }
    Ok(())
}

#[derive(Clone, Debug)]
enum Edit {
    Insert(usize, String),
    Delete(usize, usize),
    Duplicate(usize, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let piece = prop_oneof![
        "\\PC{0,3}",
        proptest::sample::select(vec![
            "\\",
            "\\\n",
            "\n",
            "\r\n",
            "<<EOF",
            "<<-'E'",
            "EOF\n",
            "#",
            "[",
            "]",
            "\"",
            "'",
            "$",
            "${",
            "}",
            "--",
            "=",
            "`",
            "FROM a\n",
            "RUN ",
            "ONBUILD ",
            "COPY ",
            "--mount=",
            "\u{feff}",
            "# escape=`\n",
            "é",
            " ",
            "\t",
        ])
        .prop_map(str::to_owned),
    ];
    prop_oneof![
        (any::<usize>(), piece).prop_map(|(at, text)| Edit::Insert(at, text)),
        (any::<usize>(), 1..20_usize).prop_map(|(at, length)| Edit::Delete(at, length)),
        (any::<usize>(), 1..60_usize).prop_map(|(at, length)| Edit::Duplicate(at, length)),
    ]
}

fn apply(source: &mut String, edit: &Edit) {
    let at = |at: &usize| source.floor_char_boundary(at % (source.len() + 1));
    let end = |from: usize, length: &usize| source.floor_char_boundary((from + length).min(source.len()));
    match edit {
        Edit::Insert(position, text) => source.insert_str(at(position), text),
        Edit::Delete(position, length) => {
            let start = at(position);
            source.replace_range(start..end(start, length).max(start), "");
        }
        Edit::Duplicate(position, length) => {
            let start = at(position);
            let copy = source[start..end(start, length).max(start)].to_owned();
            source.insert_str(start, &copy);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn parsing_arbitrary_text_never_panics(source in "(\\PC|[\\n\\t\\r\\\\#\"'$<>\\[\\]=`-]){0,120}") {
        check(&source)?;
    }

    #[test]
    fn parsing_text_that_looks_like_a_dockerfile_never_panics(
        lines in proptest::collection::vec(
            "(FROM|RUN|COPY|ADD|ENV|ARG|ONBUILD RUN|ONBUILD COPY|CMD|HEALTHCHECK|VOLUME|#) ?(\\PC|[$\"'\\\\<=,{}\\[\\]-]){0,30}\\\\?",
            0..8,
        )
    ) {
        check(&format!("FROM a\n{}", lines.join("\n")))?;
    }

    #[test]
    fn parsing_a_mutated_corpus_never_panics(
        which in any::<proptest::sample::Index>(),
        edits in proptest::collection::vec(edit(), 1..6),
    ) {
        let mut source = which.get(&SOURCES).clone();
        for edit in &edits {
            apply(&mut source, edit);
        }
        check(&source)?;
    }

    #[test]
    fn triggers_and_bytes_never_panic(text in "(\\PC|[\\n\\\\]){0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = parse_trigger(&text, Escape::Backtick);
        if let Err(error) = decode(&bytes) {
            let lossy = String::from_utf8_lossy(&bytes);
            let span = error.labels[0].span;
            prop_assert_eq!(lossy.get(span.start..span.end), Some("\u{fffd}"));
        }
        directive::detect_syntax(&text);
    }
}
