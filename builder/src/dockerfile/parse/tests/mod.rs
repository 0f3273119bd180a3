//! One test per rule of the language that a corpus file would show less clearly.

mod arguments;
mod heredocs;
mod instructions;
mod lines;

use crate::dockerfile::*;

fn file(source: &str) -> Dockerfile {
    parse(source).unwrap_or_else(|error| panic!("{}", render(&error, "Dockerfile", source, false)))
}

fn error(source: &str) -> Diagnostic {
    match parse(source) {
        Ok(file) => panic!("{source:?} parses: {file:#?}"),
        Err(error) => error,
    }
}

/// Parses one instruction of a stage.
fn statement(source: &str) -> Statement {
    let mut file = file(&format!("FROM base\n{source}"));
    file.stages[0].instructions.pop().unwrap_or_else(|| panic!("no instruction in {source:?}"))
}

fn statement_error(source: &str) -> Diagnostic {
    error(&format!("FROM base\n{source}"))
}

fn run(source: &str) -> RunCommand {
    match statement(source).instruction {
        Instruction::Run(run) => run.command,
        other => panic!("{other:?}"),
    }
}

fn shell(source: &str) -> String {
    run(source).shell_text().unwrap_or_else(|| panic!("no shell text in {source:?}")).to_owned()
}

fn copy(source: &str) -> CopyInstruction {
    match statement(source).instruction {
        Instruction::Copy(copy) => copy,
        other => panic!("{other:?}"),
    }
}

fn texts(words: &[Word]) -> Vec<&str> {
    words.iter().map(Word::as_str).collect()
}

/// The source text a word came from.
fn at(source: &str, span: Span) -> &str {
    &source[span.start..span.end]
}
