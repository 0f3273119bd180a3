//! The instructions of the stages, in the order of lines, with what is known of variables at each.

use super::super::expand::{Expansion, Reference, expand, expand_heredoc, expand_words};
use super::super::suggest::did_you_mean;
use super::super::{
    AddInstruction, ArgInstruction, CommandLine, CopyInstruction, CopySource, Dockerfile, EnvInstruction, Escape,
    HealthcheckInstruction, Instruction, KeyValue, Keyword, Origin, PairForm, Statement, Word,
};
use super::bases::global_scope;
use super::rules::{
    COPY_IGNORED_FILE, EXPOSE_INVALID_FORMAT, EXPOSE_PROTO_CASING, JSON_ARGS_RECOMMENDED, LEGACY_KEY_VALUE_FORMAT,
    MULTIPLE_INSTRUCTIONS_DISALLOWED, SECRETS_USED_IN_ARG_OR_ENV, UNDEFINED_VAR, WORKDIR_RELATIVE_PATH,
};
use super::scope::Scope;
use super::{Facts, Findings, Ground};

/// Parts of a name that mean it holds a secret, unless one of the others is there too.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];
const NO_SECRET: [&str; 3] = ["public", "file", "version"];

/// What a stage hands on to stages that start from it.
#[derive(Clone, Default)]
struct Ending {
    /// `None` when nothing is known of it.
    scope: Option<Scope>,
    shell: bool,
    absolute: bool,
}

pub(super) fn check(file: &Dockerfile, facts: &Facts<'_>, findings: &mut Findings<'_>) {
    let globals = global_scope(file, facts, true);
    let mut endings: Vec<Ending> = Vec::new();
    for (position, stage) in file.stages.iter().enumerate() {
        let ground = facts.grounds.get(position).unwrap_or(&Ground::Unknown);
        let begin = match ground {
            Ground::Unknown => Ending::default(),
            Ground::Scratch => Ending { scope: Some(with_path(Scope::default())), ..Ending::default() },
            Ground::Stage(base) => endings.get(*base).cloned().unwrap_or_default(),
            Ground::Image { env, shell, .. } => {
                Ending { scope: Some(with_path(Scope::of(env))), shell: *shell, absolute: false }
            }
        };
        // Stages that are not looked into are gone through all the same: others may start from them.
        let mut unheard = Findings { options: None, list: Vec::new() };
        let findings = if (facts.looked_into)(position) { &mut *findings } else { &mut unheard };
        let mut walk = Walk {
            facts,
            globals: &globals,
            escape: file.directives.escape(),
            stage: begin,
            last: Last::default(),
            findings,
        };
        stage.instructions.iter().for_each(|statement| walk.statement(statement));
        endings.push(walk.stage);
    }
}

/// Builders give images without a search path one.
fn with_path(mut scope: Scope) -> Scope {
    if scope.get("PATH").is_none() {
        scope.set("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    scope
}

/// Instructions of which only the last counts.
#[derive(Default)]
struct Last<'a> {
    cmd: Option<&'a Origin>,
    entrypoint: Option<&'a Origin>,
    healthcheck: Option<&'a Origin>,
}

struct Walk<'a, 'f, 'o> {
    facts: &'a Facts<'a>,
    globals: &'a Scope,
    escape: Escape,
    stage: Ending,
    last: Last<'a>,
    findings: &'f mut Findings<'o>,
}

impl<'a> Walk<'a, '_, '_> {
    fn statement(&mut self, statement: &'a Statement) {
        let origin = &statement.origin;
        match &statement.instruction {
            Instruction::Add(add) => self.add(add, origin),
            Instruction::Arg(arg) => self.arg(arg, origin),
            Instruction::Cmd(cmd) => {
                let before = self.last.cmd.replace(origin);
                self.once(Keyword::Cmd, before);
                self.command(Keyword::Cmd, &cmd.command, origin);
            }
            Instruction::Copy(copy) => self.copy(copy, origin),
            Instruction::Entrypoint(entrypoint) => {
                let before = self.last.entrypoint.replace(origin);
                self.once(Keyword::Entrypoint, before);
                self.command(Keyword::Entrypoint, &entrypoint.command, origin);
            }
            Instruction::Env(env) => self.env(env, origin),
            Instruction::Expose(expose) => {
                expose.ports.iter().for_each(|port| self.port(port, origin));
            }
            Instruction::Healthcheck(HealthcheckInstruction::Cmd(_) | HealthcheckInstruction::None) => {
                let before = self.last.healthcheck.replace(origin);
                self.once(Keyword::Healthcheck, before);
            }
            Instruction::Label(label) => {
                self.legacy(Keyword::Label, (label.form, &label.pairs), origin);
                for word in label.pairs.iter().flat_map(|pair| [&pair.key, &pair.value]) {
                    self.value(word, origin);
                }
            }
            Instruction::Run(run) => {
                for mount in &run.mounts {
                    let values = mount.fields.iter().filter(|field| field.key.as_str() != "from");
                    values.filter_map(|field| field.value.as_ref()).for_each(|word| drop(self.value(word, origin)));
                }
            }
            Instruction::Shell(_) => self.stage.shell = true,
            Instruction::Stopsignal(stopsignal) => drop(self.value(&stopsignal.signal, origin)),
            Instruction::User(user) => drop(self.value(&user.user, origin)),
            Instruction::Volume(volume) => volume.paths.iter().for_each(|path| drop(self.value(path, origin))),
            Instruction::Workdir(workdir) => self.workdir(&workdir.path, origin),
            Instruction::Maintainer(_) | Instruction::Onbuild(_) => {}
        }
    }

    /// A word's value, as far as it is known, reporting variables nobody set.
    fn value(&mut self, word: &Word, origin: &Origin) -> Option<String> {
        let scope = self.stage.scope.as_ref()?;
        let Expansion { value, references } = scope.expand(|lookup| expand(word, self.escape, lookup))?;
        self.undefined(references, origin);
        Some(value)
    }

    fn undefined(&mut self, references: Vec<Reference>, origin: &Origin) {
        let Some(scope) = &self.stage.scope else { return };
        for reference in scope.unheard_of(references) {
            let name = &reference.name;
            let detail = format!("nothing sets `{name}` before this line");
            let global = self.globals.names().any(|known| known == name);
            let help = if global {
                Some(format!("the ARG before FROM is for FROM lines: declare it here too, with `ARG {name}`"))
            } else {
                did_you_mean(name, scope.names())
            };
            self.findings.advise(&UNDEFINED_VAR, origin, reference.span, detail, help);
        }
    }

    fn once(&mut self, keyword: Keyword, before: Option<&Origin>) {
        let Some(before) = before else { return };
        let detail = format!("this {keyword} has no effect: the stage has another one below");
        self.findings.note(&MULTIPLE_INSTRUCTIONS_DISALLOWED, before, before.head, detail);
    }

    fn command(&mut self, keyword: Keyword, command: &CommandLine, origin: &Origin) {
        let CommandLine::Shell(text) = command else { return };
        if self.stage.shell || text.text.is_empty() {
            return;
        }
        let detail = format!("{keyword} in shell form: signals reach the shell, not the program");
        let plain = !text.text.contains(['$', '"', '\'', '\\', '&', '|', ';', '<', '>', '*', '(', '`', '~', '\n']);
        let words: Vec<String> = text.text.split_whitespace().map(|word| format!("\"{word}\"")).collect();
        let help = if plain {
            format!("write {keyword} [{}]", words.join(", "))
        } else {
            format!("write it as a JSON array, {keyword} [\"program\", \"argument\"], or choose a shell with SHELL")
        };
        self.findings.advise(&JSON_ARGS_RECOMMENDED, origin, text.span, detail, Some(help));
    }

    fn arg(&mut self, arg: &ArgInstruction, origin: &Origin) {
        for declaration in &arg.args {
            let name = declaration.name.as_str();
            self.secret(Keyword::Arg, &declaration.name, origin);
            let default = declaration.default.as_ref().and_then(|word| self.value(word, origin));
            let global = || declaration.default.is_none().then(|| self.globals.get(name)).flatten();
            let value = self.facts.build_args.get(name).cloned().or(default).or_else(global);
            let Some(scope) = &mut self.stage.scope else { continue };
            scope.declare(name);
            if let Some(value) = value {
                scope.set(name, value);
            }
        }
    }

    fn env(&mut self, env: &EnvInstruction, origin: &Origin) {
        self.legacy(Keyword::Env, (env.form, &env.pairs), origin);
        let mut set = Vec::new();
        for pair in &env.pairs {
            self.secret(Keyword::Env, &pair.key, origin);
            set.push((self.value(&pair.key, origin), self.value(&pair.value, origin)));
        }
        if let Some(scope) = &mut self.stage.scope {
            for (name, value) in set {
                if let Some(name) = name {
                    scope.set(&name, value.unwrap_or_default());
                }
            }
        }
    }

    fn legacy(&mut self, keyword: Keyword, (form, pairs): (PairForm, &[KeyValue]), origin: &Origin) {
        let (PairForm::Legacy, [pair, ..]) = (form, pairs) else { return };
        let detail = format!("{keyword} without `=` is an old form");
        let quoted = if pair.value.text.contains([' ', '\t', '"']) {
            format!("\"{}\"", pair.value.text.replace('"', "\\\""))
        } else {
            pair.value.text.clone()
        };
        let help = Some(format!("write {keyword} {}={quoted}", pair.key.text));
        self.findings.advise(&LEGACY_KEY_VALUE_FORMAT, origin, pair.key.span.to(pair.value.span), detail, help);
    }

    fn secret(&mut self, keyword: Keyword, name: &Word, origin: &Origin) {
        let lower = name.text.to_lowercase();
        let has = |parts: &[&str]| lower.split('_').any(|part| parts.contains(&part));
        if has(&SECRET) && !has(&NO_SECRET) {
            let detail = format!("`{}` looks like a secret, and {keyword} stays in the image", name.text);
            let help = Some("hand it to the one RUN that needs it with --mount=type=secret".to_owned());
            self.findings.advise(&SECRETS_USED_IN_ARG_OR_ENV, origin, name.span, detail, help);
        }
    }

    fn workdir(&mut self, path: &Word, origin: &Origin) {
        let value = match self.stage.scope {
            Some(_) => self.value(path, origin),
            None => (!path.text.contains('$')).then(|| path.text.clone()),
        };
        let Some(value) = value else {
            // It may be absolute: nothing is known of what follows either.
            self.stage.absolute = true;
            return;
        };
        if value.starts_with('/') {
            self.stage.absolute = true;
        } else if !self.stage.absolute {
            let detail = format!("`{value}` is relative to wherever the base image happens to be");
            let help = Some(format!("write WORKDIR /{value}"));
            self.findings.advise(&WORKDIR_RELATIVE_PATH, origin, path.span, detail, help);
        }
    }

    fn port(&mut self, word: &Word, origin: &Origin) {
        let Some(scope) = &self.stage.scope else { return };
        let Some(Expansion { value: ports, references }) =
            scope.expand(|lookup| expand_words(word, self.escape, lookup))
        else {
            return;
        };
        self.undefined(references, origin);
        for port in ports {
            let protocol = port.split_once('/').map_or("", |(_, protocol)| protocol);
            if protocol != protocol.to_lowercase() {
                let detail = format!("the protocol `{protocol}` should be in lower case");
                self.findings.note(&EXPOSE_PROTO_CASING, origin, word.span, detail);
            }
            if let Some((_, container)) = port.rsplit_once(':') {
                let detail = format!("`{port}` names an address or a port of the host, which an image cannot have");
                let help = Some(format!("write EXPOSE {container}; whoever runs the image maps it"));
                self.findings.advise(&EXPOSE_INVALID_FORMAT, origin, word.span, detail, help);
            }
        }
    }

    fn copy(&mut self, copy: &CopyInstruction, origin: &Origin) {
        let flags = [&copy.chown, &copy.chmod].into_iter().flatten().chain(&copy.exclude);
        flags.for_each(|word| drop(self.value(word, origin)));
        self.sources(&copy.sources, copy.from.is_none(), origin);
        self.value(&copy.destination, origin);
    }

    fn add(&mut self, add: &AddInstruction, origin: &Origin) {
        let flags = [&add.chown, &add.chmod, &add.checksum].into_iter().flatten().chain(&add.exclude);
        flags.for_each(|word| drop(self.value(word, origin)));
        self.sources(&add.sources, true, origin);
        self.value(&add.destination, origin);
    }

    fn sources(&mut self, sources: &[CopySource], from_context: bool, origin: &Origin) {
        for source in sources {
            match source {
                CopySource::Inline(file) if file.expand => {
                    let Some(scope) = &self.stage.scope else { continue };
                    let expansion = scope.expand(|lookup| expand_heredoc(&file.content, file.body, lookup));
                    self.undefined(expansion.map(|expansion| expansion.references).unwrap_or_default(), origin);
                }
                CopySource::Inline(_) => {}
                CopySource::Path(word) => {
                    let known = self.value(word, origin);
                    let path = known.or_else(|| (!word.text.contains('$')).then(|| word.text.clone()));
                    if let (Some(path), true) = (path, from_context) {
                        self.ignored(&path, word, origin);
                    }
                }
            }
        }
    }

    fn ignored(&mut self, path: &str, word: &Word, origin: &Origin) {
        let Some(ignores) = self.facts.ignores else { return };
        let remote = path.contains("://") || path.starts_with("git@");
        let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        let path = parts.join("/");
        if !remote && !path.is_empty() && ignores(&path) {
            let detail = format!("`{path}` is left out by .dockerignore");
            let help = Some(format!("take it back in with a line `!{path}` at the end of .dockerignore"));
            self.findings.advise(&COPY_IGNORED_FILE, origin, word.span, detail, help);
        }
    }
}
