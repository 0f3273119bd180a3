//! A Dockerfile's parse as text that a person can check against the file: one line for each thing, places as line:column.

use std::fmt::Write as _;

use crate::dockerfile::*;

pub(super) fn describe(file: &Dockerfile, source: &str) -> String {
    let mut out = Description { source, text: String::new() };
    out.directives(&file.directives);
    for arg in &file.global_args {
        out.line(0, &format!("{} ARG {}", out.place(arg.span()), declarations(&arg.instruction)));
    }
    for (index, stage) in file.stages.iter().enumerate() {
        let mut head = format!("{} stage {index} from {}", out.place(stage.from.span()), quoted(stage.base()));
        if let Some(platform) = stage.platform() {
            let _ = write!(head, " platform {}", quoted(platform));
        }
        if let Some(name) = stage.name() {
            let _ = write!(head, " as {name}");
        }
        out.line(0, &head);
        for statement in &stage.instructions {
            out.statement(1, statement);
        }
    }
    out.text
}

struct Description<'s> {
    source: &'s str,
    text: String,
}

fn quoted(word: &Word) -> String {
    format!("{:?}", word.text)
}

fn list(words: &[Word]) -> String {
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn declarations(arg: &ArgInstruction) -> String {
    let declaration = |arg: &ArgDeclaration| match &arg.default {
        Some(default) => format!("{}={}", quoted(&arg.name), quoted(default)),
        None => quoted(&arg.name),
    };
    arg.args.iter().map(declaration).collect::<Vec<_>>().join(" ")
}

fn pairs(pairs: &[KeyValue], form: PairForm) -> String {
    let pairs: Vec<_> = pairs.iter().map(|pair| format!("{}={}", quoted(&pair.key), quoted(&pair.value))).collect();
    format!("{} {form:?}", pairs.join(" "))
}

fn command(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(text) => format!("shell {}", quoted(text)),
        CommandLine::Exec(words) => format!("exec {}", list(words)),
    }
}

impl Description<'_> {
    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{}{}", "  ".repeat(depth), text.trim_end());
    }

    fn place(&self, span: Span) -> String {
        let before = &self.source[..span.start];
        let line = before.matches('\n').count() + 1;
        let last = self.source[..span.end].matches('\n').count() + 1;
        let column = before.len() - before.rfind('\n').map_or(0, |feed| feed + 1) + 1;
        if last == line { format!("{line}:{column}") } else { format!("{line}:{column}-{last}") }
    }

    fn directives(&mut self, directives: &Directives) {
        if let Some(syntax) = &directives.syntax {
            self.line(0, &format!("syntax {}", quoted(syntax)));
        }
        if let Some(escape) = &directives.escape {
            self.line(0, &format!("escape {:?}", escape.value));
        }
        if let Some(check) = &directives.check {
            self.line(0, &format!("check skip={:?} error={}", rules(&check.skip), check.error));
        }
    }

    fn statement(&mut self, depth: usize, statement: &Statement) {
        let origin = &statement.origin;
        let keyword = &origin.keyword.text;
        for comment in &origin.comments {
            self.line(depth, &format!("# {}", comment.text));
        }
        for blank in &origin.blank_continuations {
            self.line(depth, &format!("{} blank line in continuation", self.place(*blank)));
        }
        let arguments = arguments(&statement.instruction);
        self.line(depth, &format!("{} {keyword} {arguments}", self.place(statement.span())));
        for flag in &origin.flags {
            let value = flag.value.as_ref().map(|value| format!("={}", quoted(value))).unwrap_or_default();
            self.line(depth + 1, &format!("--{}{value}", flag.name.text));
        }
        self.details(depth + 1, &statement.instruction);
    }

    fn details(&mut self, depth: usize, instruction: &Instruction) {
        match instruction {
            Instruction::Run(run) => self.run(depth, run),
            Instruction::Copy(CopyInstruction { sources, destination, form, .. })
            | Instruction::Add(AddInstruction { sources, destination, form, .. }) => {
                for source in sources {
                    match source {
                        CopySource::Path(path) => self.line(depth, &format!("source {}", quoted(path))),
                        CopySource::Inline(file) => self.inline(depth, "inline", file),
                    }
                }
                self.line(depth, &format!("destination {} {form:?}", quoted(destination)));
            }
            Instruction::Onbuild(onbuild) => {
                self.line(depth, &format!("trigger {:?}", onbuild.trigger));
                self.statement(depth, &onbuild.statement);
            }
            _ => {}
        }
    }

    fn run(&mut self, depth: usize, run: &RunInstruction) {
        for mount in &run.mounts {
            match mount.resolve(Escape::default(), &|name| Some(format!("<{name}>"))) {
                Ok(mount) => self.line(depth, &format!("{:?}", mount.value)),
                Err(error) => self.line(depth, &format!("with variables: {}", error.title)),
            }
        }
        for device in &run.devices {
            self.line(depth, &format!("device {:?} required={}", device.name, device.required));
        }
        match &run.command {
            RunCommand::Shell(text) => self.line(depth, &format!("shell {}", quoted(text))),
            RunCommand::Exec(words) => self.line(depth, &format!("exec {}", list(words))),
            RunCommand::Script(file) => self.inline(depth, "script", file),
            RunCommand::Executable(file) => self.inline(depth, "executable", file),
            RunCommand::ShellWithHeredocs { script, .. } => self.line(depth, &format!("shell {script:?}")),
        }
    }

    fn inline(&mut self, depth: usize, kind: &str, file: &InlineFile) {
        let InlineFile { name, content, expand, body } = file;
        self.line(depth, &format!("{kind} {} expand={expand} at {} {content:?}", quoted(name), self.place(*body)));
    }
}

fn rules(rules: &RuleSet) -> Vec<&str> {
    match rules {
        RuleSet::All => vec!["all"],
        RuleSet::Named(names) => names.iter().map(Word::as_str).collect(),
    }
}

fn arguments(instruction: &Instruction) -> String {
    match instruction {
        Instruction::Arg(arg) => declarations(arg),
        Instruction::Cmd(cmd) => command(&cmd.command),
        Instruction::Entrypoint(entrypoint) => command(&entrypoint.command),
        Instruction::Env(env) => pairs(&env.pairs, env.form),
        Instruction::Expose(expose) => list(&expose.ports),
        Instruction::Healthcheck(HealthcheckInstruction::None) => "none".to_owned(),
        Instruction::Healthcheck(HealthcheckInstruction::Cmd(check)) => command(&check.command),
        Instruction::Label(label) => pairs(&label.pairs, label.form),
        Instruction::Maintainer(maintainer) => quoted(&maintainer.name),
        Instruction::Shell(shell) => list(&shell.shell),
        Instruction::Stopsignal(stopsignal) => quoted(&stopsignal.signal),
        Instruction::User(user) => quoted(&user.user),
        Instruction::Volume(volume) => format!("{} {:?}", list(&volume.paths), volume.form),
        Instruction::Workdir(workdir) => quoted(&workdir.path),
        Instruction::Add(_) | Instruction::Copy(_) | Instruction::Onbuild(_) | Instruction::Run(_) => String::new(),
    }
}
