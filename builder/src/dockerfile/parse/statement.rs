//! One statement: its head (keyword, flags, the rest), and which parser reads the rest.

use super::super::ast::{Flag, Origin, Statement};
use super::super::diagnostic::Diagnostic;
use super::super::directive::Escape;
use super::super::flag::take_flags;
use super::super::instruction::{
    ArgumentForm, CmdInstruction, EntrypointInstruction, ExposeInstruction, Instruction, MaintainerInstruction,
    OnbuildInstruction, ShellInstruction, StopsignalInstruction, UserInstruction, VolumeInstruction,
    WorkdirInstruction,
};
use super::super::json;
use super::super::keyword::Keyword;
use super::super::lines::Slice;
use super::super::span::Span;
use super::super::suggest::did_you_mean;
use super::super::words::{blank_words, split_first};
use super::arguments::Arguments;
use super::{Parsed, copy, from, healthcheck, pairs, run};

/// What all statements have in common.
pub(super) struct Head<'l> {
    pub(super) keyword: Keyword,
    pub(super) name: Slice<'l>,
    pub(super) flags: Vec<Flag>,
    pub(super) rest: Slice<'l>,
}

impl<'l> Head<'l> {
    pub(super) fn read(text: &Slice<'l>) -> Result<Self, Diagnostic> {
        let (name, arguments) = split_first(text);
        let keyword = Keyword::parse(name.as_str()).ok_or_else(|| unknown_instruction(&name))?;
        let (flags, rest) = take_flags(&arguments);
        Ok(Self { keyword, name, flags, rest })
    }
}

fn unknown_instruction(name: &Slice<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("`{}` is not an instruction", name.as_str()), name.span())
        .expected("expected an instruction");
    match did_you_mean(name.as_str(), Keyword::ALL.map(Keyword::as_str)) {
        Some(help) => diagnostic.help(help),
        None => diagnostic.help("if this line continues the one above, end that one with a backslash"),
    }
}

/// Whether heredoc words on the line open heredocs: `ADD`, `COPY`, `RUN`, also behind `ONBUILD`, but not in JSON form.
pub(super) fn names_heredoc_instruction(head: &Head<'_>) -> Result<bool, Diagnostic> {
    if head.keyword == Keyword::Onbuild {
        return match Head::read(&head.rest) {
            Ok(inner) if inner.keyword != Keyword::Onbuild => names_heredoc_instruction(&inner),
            _ => Ok(false),
        };
    }
    Ok(head.keyword.takes_heredocs() && json::string_array(&head.rest)?.is_none())
}

/// Reads the arguments as the keyword demands.
pub(super) fn interpret(head: &Head<'_>, origin: &Origin, escape: Escape) -> Result<Parsed, Diagnostic> {
    let arguments = Arguments { keyword: head.keyword, name: head.name, rest: head.rest, origin, escape };
    let instruction = match head.keyword {
        Keyword::From => return from::from(&arguments).map(Parsed::From),
        Keyword::Add => copy::add(&arguments).map(Instruction::Add),
        Keyword::Arg => pairs::arg(&arguments).map(Instruction::Arg),
        Keyword::Cmd => cmd(&arguments).map(Instruction::Cmd),
        Keyword::Copy => copy::copy(&arguments).map(Instruction::Copy),
        Keyword::Entrypoint => entrypoint(&arguments).map(Instruction::Entrypoint),
        Keyword::Env => pairs::env(&arguments).map(Instruction::Env),
        Keyword::Expose => expose(&arguments).map(Instruction::Expose),
        Keyword::Healthcheck => healthcheck::healthcheck(&arguments).map(Instruction::Healthcheck),
        Keyword::Label => pairs::label(&arguments).map(Instruction::Label),
        Keyword::Maintainer => maintainer(&arguments).map(Instruction::Maintainer),
        Keyword::Onbuild => onbuild(&arguments).map(Instruction::Onbuild),
        Keyword::Run => run::run(&arguments).map(Instruction::Run),
        Keyword::Shell => shell(&arguments).map(Instruction::Shell),
        Keyword::Stopsignal => stopsignal(&arguments).map(Instruction::Stopsignal),
        Keyword::User => user(&arguments).map(Instruction::User),
        Keyword::Volume => volume(&arguments).map(Instruction::Volume),
        Keyword::Workdir => workdir(&arguments).map(Instruction::Workdir),
    };
    instruction.map(Parsed::Other)
}

fn cmd(arguments: &Arguments<'_>) -> Result<CmdInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(CmdInstruction { command: arguments.command_line()? })
}

fn entrypoint(arguments: &Arguments<'_>) -> Result<EntrypointInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(EntrypointInstruction { command: arguments.command_line()? })
}

fn expose(arguments: &Arguments<'_>) -> Result<ExposeInstruction, Diagnostic> {
    arguments.no_flags()?;
    let ports: Vec<_> = blank_words(&arguments.rest).iter().map(Slice::word).collect();
    if ports.is_empty() { Err(arguments.missing("a port")) } else { Ok(ExposeInstruction { ports }) }
}

fn volume(arguments: &Arguments<'_>) -> Result<VolumeInstruction, Diagnostic> {
    arguments.no_flags()?;
    let (paths, form) = match json::string_array(&arguments.rest)? {
        Some(paths) => (paths, ArgumentForm::Json),
        None => (blank_words(&arguments.rest).iter().map(Slice::word).collect(), ArgumentForm::Words),
    };
    if paths.is_empty() {
        return Err(arguments.missing("a path"));
    }
    if let Some(blank) = paths.iter().find(|path| path.text.trim().is_empty()) {
        return Err(Diagnostic::error("a volume's path cannot be empty", blank.span).expected("expected a path"));
    }
    Ok(VolumeInstruction { paths, form })
}

fn user(arguments: &Arguments<'_>) -> Result<UserInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(UserInstruction { user: arguments.rest_of_line("a user")? })
}

fn workdir(arguments: &Arguments<'_>) -> Result<WorkdirInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(WorkdirInstruction { path: arguments.rest_of_line("a path")? })
}

fn stopsignal(arguments: &Arguments<'_>) -> Result<StopsignalInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(StopsignalInstruction { signal: arguments.rest_of_line("a signal")? })
}

fn maintainer(arguments: &Arguments<'_>) -> Result<MaintainerInstruction, Diagnostic> {
    arguments.no_flags()?;
    Ok(MaintainerInstruction { name: arguments.rest_of_line("a name")? })
}

fn shell(arguments: &Arguments<'_>) -> Result<ShellInstruction, Diagnostic> {
    arguments.no_flags()?;
    match json::string_array(&arguments.rest)? {
        Some(shell) if !shell.is_empty() => Ok(ShellInstruction { shell }),
        None if !arguments.rest.is_empty() => {
            let words: Vec<_> = arguments.rest.as_str().split_whitespace().map(|word| format!("\"{word}\"")).collect();
            Err(Diagnostic::error("SHELL takes a JSON array of strings", arguments.rest.span())
                .expected("expected a JSON array")
                .help(format!("write SHELL [{}]", words.join(", "))))
        }
        Some(_) | None => Err(arguments.missing("a JSON array with a program")),
    }
}

fn onbuild(arguments: &Arguments<'_>) -> Result<OnbuildInstruction, Diagnostic> {
    arguments.no_flags()?;
    let rest = &arguments.rest;
    if rest.is_empty() {
        return Err(arguments.missing("an instruction"));
    }
    let head = Head::read(rest)?;
    check_trigger(head.keyword, &head.name)?;
    let outer = arguments.origin;
    let origin = Origin {
        span: Span::new(head.name.span().start, outer.span.end),
        head: rest.span(),
        keyword: head.name.word(),
        flags: head.flags.clone(),
        text: rest.as_str().to_owned(),
        heredocs: outer.heredocs.clone(),
        comments: Vec::new(),
        blank_continuations: Vec::new(),
    };
    let trigger = with_heredocs(rest.as_str(), &origin);
    match interpret(&head, &origin, arguments.escape)? {
        Parsed::From(_) => Err(not_a_trigger(Keyword::From, &head.name)),
        Parsed::Other(instruction) => {
            Ok(OnbuildInstruction { trigger, statement: Box::new(Statement { instruction, origin }) })
        }
    }
}

/// A line and the heredocs opened on it, put together again.
pub(super) fn with_heredocs(line: &str, origin: &Origin) -> String {
    let mut text = line.to_owned();
    for heredoc in &origin.heredocs {
        text.push('\n');
        text.push_str(&heredoc.body);
        text.push_str(&heredoc.name);
    }
    text
}

fn check_trigger(keyword: Keyword, name: &Slice<'_>) -> Result<(), Diagnostic> {
    match keyword {
        Keyword::From | Keyword::Maintainer | Keyword::Onbuild => Err(not_a_trigger(keyword, name)),
        _ => Ok(()),
    }
}

fn not_a_trigger(keyword: Keyword, name: &Slice<'_>) -> Diagnostic {
    Diagnostic::error(format!("{keyword} cannot be triggered by ONBUILD"), name.span())
        .expected("expected another instruction")
}

/// Accepts a parsed statement as the content of an `ONBUILD`.
pub(super) fn as_trigger(statement: Statement<Parsed>) -> Result<Statement, Diagnostic> {
    let Statement { instruction, origin } = statement;
    match instruction {
        Parsed::From(_) | Parsed::Other(Instruction::Maintainer(_) | Instruction::Onbuild(_)) => Err(
            Diagnostic::error(format!("{} cannot be triggered by ONBUILD", origin.keyword.text), origin.keyword.span),
        ),
        Parsed::Other(instruction) => Ok(Statement { instruction, origin }),
    }
}
