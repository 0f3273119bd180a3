//! Goes through the instructions of one stage: what each means once everything before it is known.
//!
//! An instruction either changes the configuration, or adds a step that makes a layer, or both; each leaves an entry in
//! the history (ONBUILD leaves none). The order of effects is the order of lines: an `ARG` sets a variable just as an
//! `ENV` does, and whichever comes later wins.

use wharf_spec::{ImageConfig, Platform};

use super::env::{Env, set_line};
use super::globals::NOT_IN_ENVIRONMENT;
use super::graph::{
    Archives, ContextId, Copy, Destination, DestinationForm, FileSource, Item, Link, MakeDirectory, Memory, Parents,
    PastStep, Step, Work,
};
use super::triggers::Located;
use crate::dockerfile::expand::{expand, expand_heredoc, expand_words};
use crate::dockerfile::{ArgInstruction, Diagnostic, EnvInstruction, Escape, InlineFile, Instruction, Span, Word};
use crate::event::{StepId, StepInfo};
use crate::git::GitSource;
use crate::request::BuildRequest;

/// What other builders note in a configuration that is not true of an image built on it.
const STALE: [&str; 4] = ["container", "container_config", "moby.buildkit.cache.v0", "moby.buildkit.buildinfo.v1"];

/// The search path of images that set none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Turns what a `--from` means into where files come from; stages and contexts get their place in the plan.
pub(super) trait Sources {
    fn resolve(&mut self, word: &Word) -> Result<FileSource, Diagnostic>;
    /// The main context.
    fn main(&mut self, span: Span) -> Result<FileSource, Diagnostic>;
    /// A repository's files.
    fn repository(&mut self, source: GitSource, keep_git_dir: bool) -> FileSource;
}

/// What a stage knows about the build it is in.
pub(super) struct Setting<'a> {
    pub(super) request: &'a BuildRequest,
    /// The global scope.
    pub(super) globals: &'a Env,
    pub(super) proxies: &'a [(String, String)],
    pub(super) escape: Escape,
    pub(super) memory: Memory,
    /// The stage's name in messages.
    pub(super) stage: &'a str,
}

/// A stage while its instructions are gone through.
pub(super) struct Interpreter<'a> {
    pub(super) setting: &'a Setting<'a>,
    pub(super) sources: &'a mut dyn Sources,
    /// All variables: the image's and arguments, in textual order.
    pub(super) env: Env,
    /// Arguments declared so far, in order; without a value they are unset.
    pub(super) args: Vec<(String, Option<String>)>,
    pub(super) config: ImageConfig,
    pub(super) history: Vec<PastStep>,
    pub(super) steps: Vec<Step>,
    /// Whether this stage has a `CMD` of its own.
    pub(super) has_cmd: bool,
    /// The statement at hand.
    pub(super) text: String,
    pub(super) span: Span,
    pub(super) infos: &'a mut Vec<StepInfo>,
}

/// What a stage inherits.
#[derive(Clone, Default)]
pub(super) struct Inheritance {
    pub(super) env: Env,
    pub(super) args: Vec<(String, Option<String>)>,
    pub(super) config: ImageConfig,
    pub(super) history: Vec<PastStep>,
}

impl Inheritance {
    /// What an image passes on: triggers are used up, and what it was made at is no concern of its children.
    pub(super) fn of_image(config: &ImageConfig) -> Self {
        let mut config = config.clone();
        config.created = None;
        for stale in STALE {
            config.extra.remove(stale);
        }
        let history = std::mem::take(&mut config.history).into_iter().map(PastStep::Base).collect();
        config.rootfs.diff_ids.clear();
        Self { env: Env::default(), args: Vec::new(), config, history }
    }

    /// What nothing passes on.
    pub(super) fn scratch(platform: &Platform) -> Self {
        let mut config = ImageConfig::scratch(platform);
        "/".clone_into(&mut config.config.working_dir);
        Self { config, ..Self::default() }
    }

    /// The state in which a stage's first instruction finds things.
    pub(super) fn begin(mut self) -> Self {
        self.config.config.on_build.clear();
        let lines = &mut self.config.config.env;
        if Env::of(lines).get("PATH").is_none() {
            set_line(lines, "PATH", DEFAULT_PATH);
        }
        // What the image sets wins over arguments of the stage it was.
        for (name, value) in Env::of(lines).iter() {
            self.env.set(name, value);
        }
        self
    }
}

impl<'a> Interpreter<'a> {
    pub(super) fn new(
        setting: &'a Setting<'a>,
        sources: &'a mut dyn Sources,
        inherited: Inheritance,
        infos: &'a mut Vec<StepInfo>,
    ) -> Self {
        let Inheritance { env, args, config, history } = inherited.begin();
        let (text, span) = (String::new(), Span::at(0));
        Self { setting, sources, env, args, config, history, steps: Vec::new(), has_cmd: false, text, span, infos }
    }

    /// Goes through one statement.
    pub(super) fn interpret(&mut self, located: &Located) -> Result<(), Diagnostic> {
        self.text = located.text();
        self.span = located.place.span(located.statement.origin.head);
        let done = self.dispatch(&located.statement.instruction);
        done.map_err(|diagnostic| located.place.locate(diagnostic))
    }

    fn dispatch(&mut self, instruction: &Instruction) -> Result<(), Diagnostic> {
        match instruction {
            Instruction::Add(add) => self.add(add),
            Instruction::Arg(arg) => self.arg(arg),
            Instruction::Cmd(cmd) => self.cmd(cmd),
            Instruction::Copy(copy) => self.copy(copy),
            Instruction::Entrypoint(entrypoint) => self.entrypoint(entrypoint),
            Instruction::Env(env) => self.set_env(env),
            Instruction::Expose(expose) => self.expose(expose),
            Instruction::Healthcheck(healthcheck) => self.healthcheck(healthcheck),
            Instruction::Label(label) => self.label(label),
            Instruction::Maintainer(maintainer) => self.maintainer(maintainer),
            Instruction::Onbuild(onbuild) => {
                self.config.config.on_build.push(onbuild.trigger.clone());
                Ok(())
            }
            Instruction::Run(run) => self.run(run),
            Instruction::Shell(shell) => self.shell(shell),
            Instruction::Stopsignal(stopsignal) => self.stopsignal(stopsignal),
            Instruction::User(user) => {
                let user = self.expand(&user.user)?;
                self.remember(format!("USER {user}"));
                self.config.config.user = user;
                Ok(())
            }
            Instruction::Volume(volume) => self.volume(volume),
            Instruction::Workdir(workdir) => {
                let path = self.expand(&workdir.path)?;
                self.workdir(&path);
                Ok(())
            }
        }
    }

    /// Begins with all files of a context, as if it were a base image of one layer.
    pub(super) fn whole_context(&mut self, context: ContextId, name: &str, span: Span) {
        (self.text, self.span) = (format!("FROM {name}"), span);
        let copy = Copy {
            source: Some(FileSource::Context(context)),
            items: vec![Item::Path { pattern: "/".to_owned(), span }],
            destination: Destination { path: "/".to_owned(), form: DestinationForm::Directory },
            owner: None,
            mode: None,
            exclude: Vec::new(),
            archives: Archives::Kept,
            parents: Parents::Dropped,
            link: Link::Merged,
        };
        self.push(Work::Copy(Box::new(copy)), format!("FROM {name} # buildkit"));
    }

    /// What the stage passes on, and its steps.
    pub(super) fn finish(self) -> (Inheritance, Vec<Step>) {
        let Self { env, args, config, history, steps, .. } = self;
        (Inheritance { env, args, config, history }, steps)
    }

    /// A word's value in the environment as it is now.
    pub(super) fn expand(&self, word: &Word) -> Result<String, Diagnostic> {
        Ok(expand(word, self.setting.escape, &|name| self.env.get(name).map(str::to_owned))?.value)
    }

    /// A word that may become several.
    pub(super) fn expand_words(&self, word: &Word) -> Result<Vec<String>, Diagnostic> {
        Ok(expand_words(word, self.setting.escape, &|name| self.env.get(name).map(str::to_owned))?.value)
    }

    /// The text of a file written in the Dockerfile.
    pub(super) fn inline(&self, file: &InlineFile) -> Result<String, Diagnostic> {
        if !file.expand {
            return Ok(file.content.clone());
        }
        Ok(expand_heredoc(&file.content, file.body, &|name| self.env.get(name).map(str::to_owned))?.value)
    }

    /// Adds an entry without a layer to the history.
    pub(super) fn remember(&mut self, created_by: String) {
        self.history.push(PastStep::Empty(created_by));
    }

    /// Adds a step that makes a layer.
    pub(super) fn push(&mut self, work: Work, created_by: String) {
        let id = StepId(self.infos.len());
        let number = self.steps.len() + 1;
        let (stage, text, span) = (self.setting.stage.to_owned(), self.text.clone(), self.span);
        // How many there are is known when the stage is done.
        self.infos.push(StepInfo { id, stage, number, of: 0, text, span });
        self.steps.push(Step { id, span, work, memory: self.setting.memory });
        self.history.push(PastStep::Layer(created_by));
    }

    /// Where files of a `--from` come from, or of the main context.
    pub(super) fn source(&mut self, from: Option<&Word>) -> Result<FileSource, Diagnostic> {
        match from {
            Some(word) => self.sources.resolve(word),
            None => self.sources.main(self.span),
        }
    }

    fn arg(&mut self, arg: &ArgInstruction) -> Result<(), Diagnostic> {
        let mut said = Vec::new();
        for declaration in &arg.args {
            let name = declaration.name.as_str();
            let value = match (self.setting.request.build_args.get(name), &declaration.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) => Some(self.expand(default)?),
                (None, None) => self.setting.globals.get(name).map(str::to_owned),
            };
            if let Some(value) = value.as_ref().filter(|_| !NOT_IN_ENVIRONMENT.contains(&name)) {
                self.env.set(name, value);
            }
            said.push(value.as_ref().map_or_else(|| name.to_owned(), |value| format!("{name}={value}")));
            self.args.push((name.to_owned(), value));
        }
        self.remember(format!("ARG {}", said.join(" ")));
        Ok(())
    }

    fn set_env(&mut self, env: &EnvInstruction) -> Result<(), Diagnostic> {
        // All pairs see the environment from before the instruction.
        let expand = |pair: &crate::dockerfile::KeyValue| Ok((self.expand(&pair.key)?, self.expand(&pair.value)?));
        let pairs: Vec<(String, String)> = env.pairs.iter().map(expand).collect::<Result<_, Diagnostic>>()?;
        let mut said = String::from("ENV");
        for ((name, value), pair) in pairs.iter().zip(&env.pairs) {
            if name.is_empty() {
                return Err(Diagnostic::error("the name of a variable is empty", pair.key.span));
            }
            said.push_str(&format!(" {name}={value}"));
            self.env.set(name, value);
            set_line(&mut self.config.config.env, name, value);
        }
        self.remember(said);
        Ok(())
    }

    fn workdir(&mut self, path: &str) {
        let path = clean_join(&self.config.config.working_dir, path);
        self.config.config.working_dir.clone_from(&path);
        let said = format!("WORKDIR {path}");
        if path == "/" {
            return self.remember(said);
        }
        let user = self.config.config.user.clone();
        self.push(Work::MakeDirectory(MakeDirectory { path, user }), said);
    }

    /// The directory relative paths start from.
    pub(super) fn directory(&self) -> &str {
        match self.config.config.working_dir.as_str() {
            "" => "/",
            directory => directory,
        }
    }
}

/// `path` as seen from `directory`: absolute, without `.`, `..` and doubled slashes.
pub(super) fn clean_join(directory: &str, path: &str) -> String {
    let start = if path.starts_with('/') { "" } else { directory };
    let mut parts: Vec<&str> = Vec::new();
    for part in start.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_clean_and_absolute() {
        for (directory, path, expect) in [
            ("", "app", "/app"),
            ("/app", "src", "/app/src"),
            ("/app", "/x/", "/x"),
            ("/app", "../../..", "/"),
            ("/", ".", "/"),
            ("/app", "~", "/app/~"),
            ("/app", "", "/app"),
        ] {
            assert_eq!(clean_join(directory, path), expect, "{directory} {path}");
        }
    }
}
