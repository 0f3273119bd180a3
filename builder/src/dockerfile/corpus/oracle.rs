//! Another parser's opinion of the valid corpus: where the `parse-dockerfile` crate parses a file, both must see the same
//! stages, instructions, sources, commands and heredocs.

use parse_dockerfile as other;

use super::valid;
use crate::dockerfile::*;

/// What both parsers can be asked.
#[derive(Debug, PartialEq)]
enum Fact {
    Stage { base: String, name: Option<String> },
    Keyword(&'static str),
    Flags(Vec<String>),
    Exec(Vec<String>),
    Copy { paths: Vec<String>, inline: Vec<(String, bool)>, destination: String },
    Heredocs(Vec<(String, bool)>),
}

/// Files where the other parser departs from the reference frontend, and how.
const DEPARTURES: [(&str, &str); 2] = [
    ("continuations", "an escaped escape character at the end of a line does not continue it"),
    ("p4-escaped-escape-does-not-continue", "the same"),
];

#[test]
fn another_parser_sees_the_same() {
    let mut compared = 0;
    let mut wrong = Vec::new();
    for (name, source, file) in valid() {
        let Ok(theirs) = other::parse(&source) else { continue };
        let (ours, theirs) = (ours(&file), theirs_facts(&theirs));
        let difference = ours.iter().zip(&theirs).find(|(ours, theirs)| ours != theirs);
        let agree = difference.is_none() && ours.len() == theirs.len();
        let departs = DEPARTURES.iter().any(|(departure, _)| *departure == name);
        if agree == departs {
            wrong.push(format!("{name}: {} and {} facts, first difference: {difference:#?}", ours.len(), theirs.len()));
        }
        compared += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 20, "the other parser understands only {compared} files");
}

fn ours(file: &Dockerfile) -> Vec<Fact> {
    let mut facts: Vec<Fact> = file.global_args.iter().map(|_| Fact::Keyword("ARG")).collect();
    for stage in &file.stages {
        facts.push(Fact::Stage {
            base: stage.base().text.clone(),
            name: stage.from.instruction.alias.as_ref().map(|alias| alias.written.text.clone()),
        });
        for statement in &stage.instructions {
            facts.push(Fact::Keyword(statement.instruction.keyword().as_str()));
            if matches!(statement.instruction, Instruction::Copy(_) | Instruction::Add(_) | Instruction::Run(_)) {
                facts.push(Fact::Flags(statement.origin.flags.iter().map(|flag| flag.name.text.clone()).collect()));
            }
            our_details(statement, &mut facts);
        }
    }
    facts
}

fn our_details(statement: &Statement, facts: &mut Vec<Fact>) {
    let heredocs = || statement.origin.heredocs.iter().map(|doc| (doc.content(), doc.expand)).collect();
    let exec = |words: &[Word]| Fact::Exec(words.iter().map(|word| word.text.clone()).collect());
    match &statement.instruction {
        Instruction::Run(run) => {
            facts.push(Fact::Heredocs(heredocs()));
            if let RunCommand::Exec(words) = &run.command {
                facts.push(exec(words));
            }
        }
        Instruction::Cmd(CmdInstruction { command: CommandLine::Exec(words) })
        | Instruction::Entrypoint(EntrypointInstruction { command: CommandLine::Exec(words) })
        | Instruction::Shell(ShellInstruction { shell: words }) => facts.push(exec(words)),
        Instruction::Copy(CopyInstruction { sources, destination, .. })
        | Instruction::Add(AddInstruction { sources, destination, .. }) => {
            let mut paths = Vec::new();
            let mut inline = Vec::new();
            for source in sources {
                match source {
                    CopySource::Path(path) => paths.push(path.text.clone()),
                    CopySource::Inline(file) => inline.push((file.content.clone(), file.expand)),
                }
            }
            facts.push(Fact::Copy { paths, inline, destination: destination.text.clone() });
        }
        _ => {}
    }
}

fn theirs_facts(file: &other::Dockerfile<'_>) -> Vec<Fact> {
    let mut facts = Vec::new();
    for instruction in &file.instructions {
        if let other::Instruction::From(from) = instruction {
            let name = from.as_.as_ref().map(|(_, name)| name.value.to_string());
            facts.push(Fact::Stage { base: from.image.value.to_string(), name });
            continue;
        }
        facts.push(Fact::Keyword(their_keyword(instruction)));
        their_details(instruction, &mut facts);
    }
    facts
}

fn their_keyword(instruction: &other::Instruction<'_>) -> &'static str {
    match instruction {
        other::Instruction::Add(_) => "ADD",
        other::Instruction::Arg(_) => "ARG",
        other::Instruction::Cmd(_) => "CMD",
        other::Instruction::Copy(_) => "COPY",
        other::Instruction::Entrypoint(_) => "ENTRYPOINT",
        other::Instruction::Env(_) => "ENV",
        other::Instruction::Expose(_) => "EXPOSE",
        other::Instruction::Healthcheck(_) => "HEALTHCHECK",
        other::Instruction::Label(_) => "LABEL",
        other::Instruction::Maintainer(_) => "MAINTAINER",
        other::Instruction::Onbuild(_) => "ONBUILD",
        other::Instruction::Run(_) => "RUN",
        other::Instruction::Shell(_) => "SHELL",
        other::Instruction::Stopsignal(_) => "STOPSIGNAL",
        other::Instruction::User(_) => "USER",
        other::Instruction::Volume(_) => "VOLUME",
        other::Instruction::Workdir(_) => "WORKDIR",
        _ => "another",
    }
}

fn their_details(instruction: &other::Instruction<'_>, facts: &mut Vec<Fact>) {
    let exec = |command: &other::Command<'_>| match command {
        other::Command::Exec(words) => {
            Some(Fact::Exec(words.value.iter().map(|word| word.value.to_string()).collect()))
        }
        _ => None,
    };
    let flags = |flags: &[other::Flag<'_>]| Fact::Flags(flags.iter().map(|flag| flag.name.value.to_string()).collect());
    match instruction {
        other::Instruction::Run(run) => {
            facts.push(flags(&run.options));
            facts.push(Fact::Heredocs(run.here_docs.iter().map(|doc| (doc.value.to_string(), doc.expand)).collect()));
            facts.extend(exec(&run.arguments));
        }
        other::Instruction::Cmd(cmd) => facts.extend(exec(&cmd.arguments)),
        other::Instruction::Entrypoint(entrypoint) => facts.extend(exec(&entrypoint.arguments)),
        other::Instruction::Shell(shell) => {
            facts.push(Fact::Exec(shell.arguments.iter().map(|word| word.value.to_string()).collect()));
        }
        other::Instruction::Copy(copy) => {
            facts.push(flags(&copy.options));
            facts.push(their_copy(&copy.src, &copy.dest));
        }
        other::Instruction::Add(add) => {
            facts.push(flags(&add.options));
            facts.push(their_copy(&add.src, &add.dest));
        }
        _ => {}
    }
}

fn their_copy(sources: &[other::Source<'_>], destination: &other::UnescapedString<'_>) -> Fact {
    let mut paths = Vec::new();
    let mut inline = Vec::new();
    for source in sources {
        match source {
            other::Source::Path(path) => paths.push(path.value.to_string()),
            other::Source::HereDoc(doc) => inline.push((doc.value.to_string(), doc.expand)),
            _ => {}
        }
    }
    Fact::Copy { paths, inline, destination: destination.value.to_string() }
}
