//! From source text to statements to stages.

mod arguments;
mod copy;
mod from;
mod healthcheck;
mod pairs;
mod run;
mod statement;

use super::ast::{Comment, Dockerfile, Origin, Stage, Statement};
use super::diagnostic::Diagnostic;
use super::directive::{DirectiveReader, Escape};
use super::heredoc;
use super::instruction::{FromInstruction, Instruction};
use super::lines::{Lines, LogicalLine, PhysicalLine};
use super::span::{Span, Word};
use statement::{Head, interpret, names_heredoc_instruction};

/// Parses a Dockerfile.
pub fn parse(source: &str) -> Result<Dockerfile, Diagnostic> {
    let mut parser = Parser::new(source, DirectiveReader::default());
    let mut global_args = Vec::new();
    let mut stages: Vec<Stage> = Vec::new();
    while let Some(statement) = parser.next_statement()? {
        let Statement { instruction, origin } = statement;
        match (instruction, stages.last_mut()) {
            (Parsed::From(from), _) => {
                stages.push(Stage { from: Statement { instruction: from, origin }, instructions: Vec::new() });
            }
            (Parsed::Other(instruction), Some(stage)) => stage.instructions.push(Statement { instruction, origin }),
            (Parsed::Other(Instruction::Arg(instruction)), None) => {
                global_args.push(Statement { instruction, origin });
            }
            (Parsed::Other(_), None) => return Err(before_first_from(&origin)),
        }
    }
    if stages.is_empty() {
        let title = if global_args.is_empty() { "this file has no instructions" } else { "this file has no FROM" };
        return Err(Diagnostic::error(title, Span::at(source.len()))
            .help("begin with the image to build on: `FROM image`, or `FROM scratch` for an empty one"));
    }
    Ok(Dockerfile { directives: parser.directives.directives, global_args, stages })
}

/// Parses the text stored by an `ONBUILD`, which must be one instruction.
///
/// Spans of the result point into `source`.
pub fn parse_trigger(source: &str, escape: Escape) -> Result<Statement, Diagnostic> {
    let mut parser = Parser::new(source, DirectiveReader::finished(escape));
    let Some(statement) = parser.next_statement()? else {
        return Err(Diagnostic::error("this ONBUILD trigger is empty", Span::at(0)));
    };
    if let Some(second) = parser.next_statement()? {
        return Err(Diagnostic::error("an ONBUILD trigger is a single instruction", second.origin.head)
            .label(statement.origin.head, "the trigger"));
    }
    statement::as_trigger(statement)
}

/// The text of a Dockerfile, which must be UTF-8. Spans of the error fit the text with invalid bytes replaced
/// ([`String::from_utf8_lossy`]).
pub fn decode(bytes: &[u8]) -> Result<&str, Diagnostic> {
    std::str::from_utf8(bytes).map_err(|error| {
        let start = error.valid_up_to();
        Diagnostic::error(
            "this file is not UTF-8 text",
            Span::new(start, start + char::REPLACEMENT_CHARACTER.len_utf8()),
        )
        .expected("not a character")
    })
}

fn before_first_from(origin: &Origin) -> Diagnostic {
    let keyword = &origin.keyword;
    Diagnostic::error(format!("{} stands before the first FROM", keyword.text), keyword.span)
        .expected("expected FROM or ARG")
        .help("begin with the image to build on: `FROM image`, or `FROM scratch` for an empty one")
}

/// An instruction on its way to its stage.
enum Parsed {
    From(FromInstruction),
    Other(Instruction),
}

struct Parser<'s> {
    lines: Lines<'s>,
    directives: DirectiveReader,
    /// Comment lines directly above the current place.
    comments: Vec<Comment>,
}

impl<'s> Parser<'s> {
    fn new(source: &'s str, directives: DirectiveReader) -> Self {
        Self { lines: Lines::new(source), directives, comments: Vec::new() }
    }

    fn next_statement(&mut self) -> Result<Option<Statement<Parsed>>, Diagnostic> {
        while let Some(line) = self.lines.next()? {
            if self.directives.accept(line)? {
                continue;
            }
            if line.is_comment() {
                self.comments.push(comment(line));
            } else if line.is_blank() {
                self.comments.clear();
            } else {
                return self.statement(line).map(Some);
            }
        }
        Ok(None)
    }

    fn statement(&mut self, first: PhysicalLine<'s>) -> Result<Statement<Parsed>, Diagnostic> {
        let escape = self.directives.directives.escape();
        let line = LogicalLine::read(first, &mut self.lines, escape)?;
        let whole = line.whole().trim();
        if whole.is_empty() {
            return Err(
                Diagnostic::error("a continuation with nothing to continue", first.span()).help("remove this line")
            );
        }
        let head = Head::read(&whole)?;
        let heredocs =
            if names_heredoc_instruction(&head)? { heredoc::read_all(&whole, &mut self.lines)? } else { Vec::new() };
        let end = heredocs.last().map_or(line.end, |_| self.lines.end_of_previous());
        let origin = Origin {
            span: Span::new(whole.span().start, end),
            head: whole.span(),
            keyword: head.name.word(),
            flags: head.flags.clone(),
            text: whole.as_str().to_owned(),
            heredocs,
            comments: std::mem::take(&mut self.comments),
            blank_continuations: line.blanks.clone(),
        };
        let instruction = interpret(&head, &origin, escape)?;
        Ok(Statement { instruction, origin })
    }
}

fn comment(line: PhysicalLine<'_>) -> Comment {
    let text = line.text.trim_start();
    let start = line.start + line.text.len() - text.len();
    let whole = Word::new(text, Span::new(start, start + text.len()));
    let content = text[1..].trim();
    let offset = text.len() - text[1..].trim_start().len();
    let place = if content.is_empty() { whole.place(1..1) } else { whole.place(offset..offset + content.len()) };
    Comment { text: content.to_owned(), span: whole.span, content: place }
}

#[cfg(test)]
mod tests;
