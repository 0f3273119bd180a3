//! `FROM` lines: what each stage of the file starts from, and what names mean.
//!
//! A name means, in this order: a named context, a stage, `scratch`, an image.

use std::collections::HashMap;

use wharf_spec::{Platform, Reference};

use super::env::Env;
use super::globals::expand_in;
use super::graph::{ContextId, ContextPlace, PlannedContext};
use crate::base::ImageName;
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{Diagnostic, Dockerfile, Escape, Span, Word};
use crate::request::{BuildRequest, ContextSource};

/// The root file system of nothing.
const SCRATCH: &str = "scratch";

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Nothing.
    Scratch,
    /// A stage, by its position in the file.
    Stage(usize),
    /// A directory.
    Context(ContextId),
    /// An image.
    Image(ImageName),
}

/// A stage's beginning.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// What it starts from.
    pub(super) base: Meaning,
    /// The base as written after expansion.
    pub(super) base_text: String,
    /// `--platform`.
    pub(super) platform: Option<Platform>,
    /// What the stage runs on, as far as the file tells; contexts are chosen by it.
    runs_on: Platform,
    /// Whether a context has taken its place, its instructions included.
    replaced: bool,
    /// Where the base is written.
    pub(super) span: Span,
    /// `AS`, in lower case.
    pub(super) name: Option<String>,
    /// Where the name is written, or the base.
    pub(super) name_span: Span,
}

/// The contexts of a build by name.
pub(super) struct Contexts {
    /// The directories among them; the main one first if it is one.
    pub(super) directories: Vec<PlannedContext>,
    main: Option<Meaning>,
    named: Vec<Named>,
    /// The platform of stages that name none.
    platform: Platform,
}

/// `--build-context name[::platform]=…`
struct Named {
    /// In lower case.
    name: String,
    /// The only platform it is for.
    platform: Option<Platform>,
    meaning: Meaning,
}

impl Contexts {
    /// The contexts of `request`.
    pub(super) fn of(request: &BuildRequest) -> Self {
        let platform = request.platform.clone();
        let mut contexts = Self { directories: Vec::new(), main: None, named: Vec::new(), platform };
        contexts.main = request.context.as_ref().map(|source| contexts.add("context", source, request.ignore.clone()));
        for (name, source) in &request.named_contexts {
            let meaning = contexts.add(name, source, None);
            let (name, platform) = match name.split_once("::").map(|(name, platform)| (name, platform.parse())) {
                Some((name, Ok(platform))) => (name, Some(platform)),
                Some((_, Err(_))) | None => (name.as_str(), None),
            };
            contexts.named.push(Named { name: name.to_lowercase(), platform, meaning });
        }
        contexts
    }

    fn add(&mut self, name: &str, source: &ContextSource, ignore: Option<String>) -> Meaning {
        match source {
            ContextSource::Directory(directory) => {
                let place = ContextPlace::Directory(directory.clone());
                self.directories.push(PlannedContext { name: name.to_owned(), place, ignore });
                Meaning::Context(ContextId(self.directories.len() - 1))
            }
            ContextSource::Image(image) => Meaning::Image(image.clone()),
        }
    }

    /// The main context.
    pub(super) fn main(&self) -> Option<&Meaning> {
        self.main.as_ref()
    }

    /// The context named `name`: as written, or another spelling of the same image reference. One for this platform alone
    /// comes before one for all.
    fn find(&self, name: &str, platform: &Platform) -> Option<&Meaning> {
        let (name, wanted) = (name.to_lowercase(), canonical(name));
        let same = |one: &&Named| one.name == name || (wanted.is_some() && canonical(&one.name) == wanted);
        let own = || self.named.iter().filter(|one| one.platform.as_ref() == Some(platform)).find(same);
        let any = || self.named.iter().filter(|one| one.platform.is_none()).find(same);
        own().or_else(any).map(|one| &one.meaning)
    }

    /// All names, for suggestions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.named.iter().map(|one| one.name.as_str())
    }
}

fn canonical(name: &str) -> Option<Reference> {
    let reference: Reference = name.to_lowercase().parse().ok()?;
    let tag = reference.tag_or_latest();
    Some(Reference { tag, ..reference.normalize_docker() })
}

/// The `FROM` lines of a file, and its stages by name.
pub(super) struct Heads {
    /// In file order.
    pub(super) list: Vec<Head>,
    /// Of equal names the last.
    by_name: HashMap<String, usize>,
}

impl Heads {
    /// Expands all `FROM` lines in the global scope.
    pub(super) fn of(file: &Dockerfile, scope: &Env, contexts: &Contexts) -> Result<Self, Diagnostic> {
        let mut heads = Self { list: Vec::new(), by_name: HashMap::new() };
        let escape = file.directives.escape();
        for (position, stage) in file.stages.iter().enumerate() {
            let written = stage.base();
            let base_text = expand_in(written, escape, scope)?.value;
            if base_text.is_empty() {
                return Err(blank_base(written, scope));
            }
            let name = stage.name().map(str::to_owned);
            let platform = stage.platform().map(|word| parse_platform(word, escape, scope)).transpose()?;
            let wanted = platform.as_ref().unwrap_or(&contexts.platform);
            // A context named like the stage stands in for the whole stage.
            let replaced = name.as_deref().and_then(|name| contexts.find(name, wanted));
            let base = match replaced.or_else(|| contexts.find(&base_text, wanted)) {
                Some(meaning) => meaning.clone(),
                None => heads.meaning(&base_text, written.span)?,
            };
            let runs_on = match (&platform, &base) {
                (None, Meaning::Stage(base)) => heads.list[*base].runs_on.clone(),
                _ => wanted.clone(),
            };
            let replaced = replaced.is_some();
            let alias = stage.from.instruction.alias.as_ref();
            let name_span = alias.map_or(written.span, |alias| alias.written.span);
            let (span, known) = (written.span, name.clone());
            heads.list.push(Head { base, base_text, platform, runs_on, replaced, span, name: known, name_span });
            if let Some(name) = name {
                heads.by_name.insert(name, position);
            }
        }
        Ok(heads)
    }

    /// Whether a context has taken the place of stage `position`, its instructions included.
    pub(super) fn is_replaced(&self, position: usize) -> bool {
        self.list[position].replaced
    }

    fn meaning(&self, name: &str, span: Span) -> Result<Meaning, Diagnostic> {
        if let Some(position) = self.by_name.get(&name.to_lowercase()) {
            return Ok(Meaning::Stage(*position));
        }
        if name == SCRATCH {
            return Ok(Meaning::Scratch);
        }
        let reference: Reference = name.parse().map_err(|error| {
            Diagnostic::error(format!("`{name}` is neither a stage nor an image reference"), span)
                .expected(format!("{error}"))
                .maybe_help(did_you_mean(name, self.names()))
        })?;
        Ok(Meaning::Image(ImageName::Reference(reference)))
    }

    /// What `--from=word` means in stage `here`. Only stages that come before may be named.
    pub(super) fn source(&self, word: &Word, here: usize, contexts: &Contexts) -> Result<Meaning, Diagnostic> {
        let name = word.as_str();
        if let Some(meaning) = contexts.find(name, &self.list[here].runs_on) {
            return Ok(meaning.clone());
        }
        let meaning = match name.parse::<usize>() {
            Ok(number) if number < self.list.len() => Meaning::Stage(number),
            Ok(number) => {
                let last = self.list.len() - 1;
                return Err(Diagnostic::error(format!("there is no stage {number}"), word.span)
                    .expected(format!("stages are numbered 0 to {last}")));
            }
            Err(_) => self.meaning(name, word.span)?,
        };
        match meaning {
            Meaning::Stage(position) if position == here => {
                Err(Diagnostic::error(format!("stage `{name}` cannot copy from itself"), word.span))
            }
            Meaning::Stage(position) if position > here => {
                let what = format!("stage `{name}` is defined only after it is used");
                Err(Diagnostic::error(what, word.span)
                    .expected("only earlier stages can be named here")
                    .label(self.list[position].name_span, "defined here")
                    .help("move the stage above the one that uses it"))
            }
            other => Ok(other),
        }
    }

    /// The position of the stage `--target` names; the last one when it names none.
    pub(super) fn target(&self, target: Option<&str>) -> Result<usize, Diagnostic> {
        let Some(name) = target else { return Ok(self.list.len() - 1) };
        let by_number = || name.parse().ok().filter(|number| *number < self.list.len());
        let found = self.by_name.get(&name.to_lowercase()).copied().or_else(by_number);
        found.ok_or_else(|| {
            let known: Vec<&str> = self.names().collect();
            let list = if known.is_empty() { "no stage has a name".to_owned() } else { known.join(", ") };
            Diagnostic::new(crate::dockerfile::Level::Error, format!("there is no stage `{name}` to build"))
                .note(format!("stages with a name: {list}"))
                .maybe_help(did_you_mean(name, known))
        })
    }

    /// The names of stages, in file order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().filter_map(|head| head.name.as_deref())
    }
}

fn blank_base(written: &Word, scope: &Env) -> Diagnostic {
    let name = written.as_str().trim_start_matches(['$', '{']).trim_end_matches('}');
    Diagnostic::error("the base image's name is empty", written.span)
        .expected(format!("`{}` expands to nothing", written.as_str()))
        .help("FROM sees only `ARG`s from before the first FROM and --build-arg for those")
        .maybe_help(did_you_mean(name, scope.names()))
}

fn parse_platform(word: &Word, escape: Escape, scope: &Env) -> Result<Platform, Diagnostic> {
    let text = expand_in(word, escape, scope)?.value;
    text.parse().map_err(|error: wharf_spec::PlatformError| {
        let name = word.as_str().trim_start_matches(['$', '{']).trim_end_matches('}');
        Diagnostic::error(error.to_string(), word.span)
            .maybe_help(text.is_empty().then(|| did_you_mean(name, scope.names())).flatten())
    })
}
