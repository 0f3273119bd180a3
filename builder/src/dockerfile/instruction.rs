//! The typed instructions of the Dockerfile language, one struct each.
//!
//! Fields of type [`Word`] hold unexpanded text; the doc of a field says when it must *not* be expanded. Booleans, durations
//! and enums are final: the language does not expand them.

use std::time::Duration;

use super::ast::Statement;
use super::keyword::Keyword;
use super::mount::MountSpec;
use super::span::{Span, Spanned, Word};

/// Any instruction except `FROM`, which opens a [`Stage`](super::ast::Stage).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// `ADD`
    Add(AddInstruction),
    /// `ARG`
    Arg(ArgInstruction),
    /// `CMD`
    Cmd(CmdInstruction),
    /// `COPY`
    Copy(CopyInstruction),
    /// `ENTRYPOINT`
    Entrypoint(EntrypointInstruction),
    /// `ENV`
    Env(EnvInstruction),
    /// `EXPOSE`
    Expose(ExposeInstruction),
    /// `HEALTHCHECK`
    Healthcheck(HealthcheckInstruction),
    /// `LABEL`
    Label(LabelInstruction),
    /// `MAINTAINER`
    Maintainer(MaintainerInstruction),
    /// `ONBUILD`
    Onbuild(OnbuildInstruction),
    /// `RUN`
    Run(RunInstruction),
    /// `SHELL`
    Shell(ShellInstruction),
    /// `STOPSIGNAL`
    Stopsignal(StopsignalInstruction),
    /// `USER`
    User(UserInstruction),
    /// `VOLUME`
    Volume(VolumeInstruction),
    /// `WORKDIR`
    Workdir(WorkdirInstruction),
}

impl Instruction {
    /// The instruction's name.
    pub fn keyword(&self) -> Keyword {
        match self {
            Self::Add(_) => Keyword::Add,
            Self::Arg(_) => Keyword::Arg,
            Self::Cmd(_) => Keyword::Cmd,
            Self::Copy(_) => Keyword::Copy,
            Self::Entrypoint(_) => Keyword::Entrypoint,
            Self::Env(_) => Keyword::Env,
            Self::Expose(_) => Keyword::Expose,
            Self::Healthcheck(_) => Keyword::Healthcheck,
            Self::Label(_) => Keyword::Label,
            Self::Maintainer(_) => Keyword::Maintainer,
            Self::Onbuild(_) => Keyword::Onbuild,
            Self::Run(_) => Keyword::Run,
            Self::Shell(_) => Keyword::Shell,
            Self::Stopsignal(_) => Keyword::Stopsignal,
            Self::User(_) => Keyword::User,
            Self::Volume(_) => Keyword::Volume,
            Self::Workdir(_) => Keyword::Workdir,
        }
    }
}

/// `FROM [--platform=p] base [AS name]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromInstruction {
    /// `--platform`; expanded with global arguments only.
    pub platform: Option<Word>,
    /// Image reference, `scratch` or earlier stage; expanded with global arguments only.
    pub base: Word,
    /// `AS name`
    pub alias: Option<StageAlias>,
}

/// The `AS name` part of a `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageAlias {
    /// The word `AS` in the author's casing.
    pub keyword: Word,
    /// The name in lower case: stage names are compared case-insensitively.
    pub name: String,
    /// The name in the author's casing.
    pub written: Word,
}

/// `ARG name[=default] …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgInstruction {
    /// The declarations, left to right; each sees the ones before it.
    pub args: Vec<ArgDeclaration>,
}

/// One declaration of an `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDeclaration {
    /// The argument's name.
    pub name: Word,
    /// The default; `Some("")` for `ARG x=`, `None` for `ARG x`.
    pub default: Option<Word>,
}

/// How the pairs of an `ENV` or `LABEL` were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PairForm {
    /// `KEY=value …`
    Assignments,
    /// `KEY the rest of the line`
    Legacy,
}

/// One `key=value` of an `ENV` or `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    /// The key; expanded like the value.
    pub key: Word,
    /// The value; may be empty.
    pub value: Word,
}

/// `ENV key=value …`
///
/// All pairs see the environment from before the instruction, not each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvInstruction {
    /// The pairs in order; never empty.
    pub pairs: Vec<KeyValue>,
    /// How they were written.
    pub form: PairForm,
}

/// `LABEL key=value …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelInstruction {
    /// The pairs in order; never empty.
    pub pairs: Vec<KeyValue>,
    /// How they were written.
    pub form: PairForm,
}

/// A command given to a shell or executed directly. Never expanded by the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandLine {
    /// `CMD text`: one argument for the stage's `SHELL`. May be empty.
    Shell(Word),
    /// `CMD ["a", "b"]`: the argument vector itself. May be empty.
    Exec(Vec<Word>),
}

/// `CMD …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CmdInstruction {
    /// The command.
    pub command: CommandLine,
}

/// `ENTRYPOINT …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrypointInstruction {
    /// The command.
    pub command: CommandLine,
}

/// `RUN …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunInstruction {
    /// `--mount`, in order. Values are expanded when [resolved](MountSpec::resolve).
    pub mounts: Vec<MountSpec>,
    /// `--network`
    pub network: Option<Spanned<NetworkMode>>,
    /// `--security`
    pub security: Option<Spanned<SecurityMode>>,
    /// `--device`, in order.
    pub devices: Vec<Device>,
    /// What to run. Never expanded by the builder.
    pub command: RunCommand,
}

/// What a `RUN` executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunCommand {
    /// `RUN text`: one argument for the stage's `SHELL`. May be empty.
    Shell(Word),
    /// `RUN ["a", "b"]`: the argument vector itself. May be empty.
    Exec(Vec<Word>),
    /// `RUN <<EOF` alone: the body is the one argument for the stage's `SHELL`.
    Script(InlineFile),
    /// `RUN <<EOF` alone, with a body that starts with `#!`: the body becomes the read-only executable file
    /// `/dev/pipes/<name>` (mode 0755), and that path is the one argument for the stage's `SHELL`.
    Executable(InlineFile),
    /// `RUN cmd <<EOF …`: command line and heredocs put together again, for the stage's `SHELL` to interpret.
    ShellWithHeredocs {
        /// The command line as written.
        line: Word,
        /// The line, then each body and its terminator: the one argument for the shell.
        script: String,
    },
}

impl RunCommand {
    /// The text handed to the shell; `None` for the exec form and for an executable heredoc.
    pub fn shell_text(&self) -> Option<&str> {
        match self {
            Self::Shell(word) => Some(&word.text),
            Self::Script(file) => Some(&file.content),
            Self::ShellWithHeredocs { script, .. } => Some(script),
            Self::Exec(_) | Self::Executable(_) => None,
        }
    }
}

/// `RUN --network`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NetworkMode {
    /// The builder's usual network.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The builder's own network.
    Host,
}

/// `RUN --security`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SecurityMode {
    /// The usual confinement.
    #[default]
    Sandbox,
    /// No confinement; must be allowed by whoever starts the build.
    Insecure,
}

/// `RUN --device=name[,required]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The device's name (CDI notation). Not expanded.
    pub name: String,
    /// Fail when the builder does not have it.
    pub required: bool,
    /// The flag's value.
    pub span: Span,
}

/// How the arguments of a `COPY`, `ADD` or `VOLUME` were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentForm {
    /// Separated by blanks.
    Words,
    /// A JSON array of strings.
    Json,
}

/// `COPY [flags] source … destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyInstruction {
    /// `--from`: a stage, stage number, image or named context. Not expanded; holds no variable.
    pub from: Option<Word>,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents`
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The sources in order; never empty.
    pub sources: Vec<CopySource>,
    /// The destination; never a heredoc.
    pub destination: Word,
    /// How sources and destination were written.
    pub form: ArgumentForm,
}

/// `ADD [flags] source … destination`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddInstruction {
    /// `--checksum`
    pub checksum: Option<Word>,
    /// `--keep-git-dir`; `None` when not given.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`; `None` when not given (local archives are unpacked, remote ones are not).
    pub unpack: Option<bool>,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The sources in order; never empty.
    pub sources: Vec<CopySource>,
    /// The destination; never a heredoc.
    pub destination: Word,
    /// How sources and destination were written.
    pub form: ArgumentForm,
}

/// One source of a `COPY` or `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or pattern, or for `ADD` a URL. Expanded.
    Path(Word),
    /// `<<name`: a file written in the Dockerfile.
    Inline(InlineFile),
}

impl CopySource {
    /// The path, or the name of the inline file.
    pub fn word(&self) -> &Word {
        match self {
            Self::Path(path) => path,
            Self::Inline(file) => &file.name,
        }
    }
}

/// A file whose content stands in the Dockerfile as a heredoc.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// The heredoc's delimiter, quotes removed; also the file's name.
    pub name: Word,
    /// The body; leading tabs are already stripped for `<<-`. Ends with a line break unless empty.
    pub content: String,
    /// Whether variables in the body are to be replaced (delimiter not quoted), by
    /// [`expand_heredoc`](super::expand::expand_heredoc). Meaningless for `RUN`, whose bodies the shell expands.
    pub expand: bool,
    /// Where the body stands.
    pub body: Span,
}

/// `EXPOSE port …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposeInstruction {
    /// The words; each may become several ports by [`expand_words`](super::expand::expand_words). Never empty.
    pub ports: Vec<Word>,
}

/// `VOLUME path …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeInstruction {
    /// The paths; never empty, none of them blank.
    pub paths: Vec<Word>,
    /// How they were written.
    pub form: ArgumentForm,
}

/// `USER user[:group]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInstruction {
    /// The rest of the line.
    pub user: Word,
}

/// `WORKDIR path`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkdirInstruction {
    /// The rest of the line.
    pub path: Word,
}

/// `STOPSIGNAL signal`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopsignalInstruction {
    /// A name or a number, to be validated after expansion.
    pub signal: Word,
}

/// `MAINTAINER name` (deprecated)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaintainerInstruction {
    /// The rest of the line; not expanded.
    pub name: Word,
}

/// `SHELL ["program", "argument", …]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShellInstruction {
    /// The argument vector that shell forms are appended to; never empty, not expanded.
    pub shell: Vec<Word>,
}

/// `ONBUILD instruction`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnbuildInstruction {
    /// The instruction as stored in the image: one line, then heredoc bodies with their terminators. Read it back with
    /// [`parse_trigger`](super::parse_trigger) when a child stage is built. Not expanded before that.
    pub trigger: String,
    /// The same instruction as parsed here, for linting and for stages of the same file.
    pub statement: Box<Statement>,
}

/// `HEALTHCHECK …`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthcheckInstruction {
    /// `HEALTHCHECK NONE`: switch off an inherited check.
    None,
    /// `HEALTHCHECK [flags] CMD …`
    Cmd(Healthcheck),
}

/// A health check. A duration of zero, like an absent one, means "inherit or default".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// The command.
    pub command: CommandLine,
    /// `--interval`
    pub interval: Option<Duration>,
    /// `--timeout`
    pub timeout: Option<Duration>,
    /// `--start-period`
    pub start_period: Option<Duration>,
    /// `--start-interval`
    pub start_interval: Option<Duration>,
    /// `--retries`
    pub retries: Option<u32>,
}
