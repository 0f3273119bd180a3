//! How things are written and named: casing, names of stages, comments that describe.

use std::collections::BTreeMap;

use super::super::suggest::did_you_mean;
use super::super::{Dockerfile, Instruction, Origin, Word};
use super::Findings;
use super::rules::{
    CONSISTENT_INSTRUCTION_CASING, DUPLICATE_STAGE_NAME, FROM_AS_CASING, INVALID_DEFINITION_DESCRIPTION,
    MAINTAINER_DEPRECATED, NO_EMPTY_CONTINUATION, RESERVED_STAGE_NAME, STAGE_NAME_CASING,
};

/// Names that mean something else.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(file: &Dockerfile, findings: &mut Findings<'_>) {
    stage_names(file, findings);
    casing(file, findings);
    for origin in origins(file) {
        if let Some(blank) = origin.blank_continuations.first() {
            let text = "a blank line inside an instruction will be an error one day".to_owned();
            findings.advise(&NO_EMPTY_CONTINUATION, origin, *blank, text, Some("remove the blank line".to_owned()));
        }
    }
    for statement in file.stages.iter().flat_map(|stage| &stage.instructions) {
        if let Instruction::Maintainer(maintainer) = &statement.instruction {
            let help = format!("write LABEL org.opencontainers.image.authors=\"{}\"", maintainer.name.text);
            let (origin, span) = (&statement.origin, statement.origin.keyword.span);
            let detail = "MAINTAINER is deprecated".to_owned();
            findings.advise(&MAINTAINER_DEPRECATED, origin, span, detail, Some(help));
        }
    }
    descriptions(file, findings);
}

/// Every statement's origin.
fn origins(file: &Dockerfile) -> impl Iterator<Item = &Origin> {
    let stages = file.stages.iter().flat_map(|stage| {
        std::iter::once(&stage.from.origin).chain(stage.instructions.iter().map(|statement| &statement.origin))
    });
    file.global_args.iter().map(|statement| &statement.origin).chain(stages)
}

fn stage_names(file: &Dockerfile, findings: &mut Findings<'_>) {
    let mut known: BTreeMap<&str, usize> = BTreeMap::new();
    for stage in &file.stages {
        let Some(alias) = &stage.from.instruction.alias else { continue };
        let (origin, written) = (&stage.from.origin, &alias.written);
        if written.text != alias.name {
            let detail = format!("the name of stage `{}` is not in lower case", written.text);
            let help = Some(format!("write `{}`", alias.name));
            findings.advise(&STAGE_NAME_CASING, origin, written.span, detail, help);
        }
        if !same_casing(&origin.keyword, &alias.keyword) {
            let detail = format!("`{}` and `{}` are not in the same case", origin.keyword.text, alias.keyword.text);
            findings.note(&FROM_AS_CASING, origin, alias.keyword.span, detail);
        }
        if RESERVED.contains(&alias.name.as_str()) {
            let detail = format!("`{}` is a reserved word and no name for a stage", alias.name);
            findings.note(&RESERVED_STAGE_NAME, origin, written.span, detail);
        }
        *known.entry(&alias.name).or_default() += 1;
        if known[alias.name.as_str()] > 1 {
            let detail = format!("there is a stage named `{}` already", alias.name);
            findings.note(&DUPLICATE_STAGE_NAME, origin, written.span, detail);
        }
    }
}

/// A keyword in mixed casing is reported by another rule.
fn same_casing(from: &Word, other: &Word) -> bool {
    match casing_of(&from.text) {
        Some(Casing::Lower) => other.text == other.text.to_lowercase(),
        Some(Casing::Upper) => other.text == other.text.to_uppercase(),
        None => true,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Casing {
    Lower,
    Upper,
}

fn casing_of(word: &str) -> Option<Casing> {
    if word == word.to_uppercase() {
        return Some(Casing::Upper);
    }
    (word == word.to_lowercase()).then_some(Casing::Lower)
}

/// What most instructions of the stages do is right.
fn casing(file: &Dockerfile, findings: &mut Findings<'_>) {
    let in_stages = || {
        file.stages.iter().flat_map(|stage| {
            std::iter::once(&stage.from.origin).chain(stage.instructions.iter().map(|statement| &statement.origin))
        })
    };
    let count = |wanted| in_stages().filter(|origin| casing_of(&origin.keyword.text) == Some(wanted)).count();
    let (majority, word) =
        if count(Casing::Lower) > count(Casing::Upper) { (Casing::Lower, "lower") } else { (Casing::Upper, "upper") };
    for origin in in_stages() {
        let keyword = &origin.keyword;
        if casing_of(&keyword.text) != Some(majority) {
            let detail = format!("`{}` should be in {word} case like most of this file", keyword.text);
            findings.note(&CONSISTENT_INSTRUCTION_CASING, origin, keyword.span, detail);
        }
    }
}

/// The comment line directly above a `FROM … AS name` or an `ARG` describes it when it begins with the name.
fn descriptions(file: &Dockerfile, findings: &mut Findings<'_>) {
    let mut check = |origin: &Origin, names: &[&str]| {
        let (Some(comment), Some(first)) = (origin.comments.last(), names.first()) else { return };
        if super::inline_check(comment).is_some() {
            return;
        }
        let word = comment.text.split(' ').next().unwrap_or_default();
        if !names.contains(&word) {
            let detail = format!("this comment does not begin with `{first}`, which it seems to describe");
            let help = did_you_mean(word, names.iter().copied())
                .unwrap_or_else(|| format!("write `# {first} …`, or leave a blank line below the comment"));
            findings.advise(&INVALID_DEFINITION_DESCRIPTION, origin, comment.span, detail, Some(help));
        }
    };
    for statement in &file.global_args {
        check(&statement.origin, &argument_names(&statement.instruction));
    }
    for stage in &file.stages {
        if let Some(name) = stage.name() {
            check(&stage.from.origin, &[name]);
        }
        for statement in &stage.instructions {
            if let Instruction::Arg(arg) = &statement.instruction {
                check(&statement.origin, &argument_names(arg));
            }
        }
    }
}

fn argument_names(arg: &super::super::ArgInstruction) -> Vec<&str> {
    arg.args.iter().map(|declaration| declaration.name.as_str()).collect()
}
