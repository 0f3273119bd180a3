//! Planning: from a parsed Dockerfile to a graph of steps in which everything is expanded and every name is resolved.
//!
//! ```text
//! globals  the global scope            heads   FROM lines, names           survey  what the target needs; images resolved
//! interpret, metadata, copy, run, triggers     one stage's instructions -> configuration, history, steps
//! ```
//!
//! All of it but resolving images is pure. A plan holds only what the target needs.

mod chmod;
mod copy;
mod env;
mod epoch;
mod expose;
mod findings;
mod globals;
mod graph;
mod heads;
mod interpret;
mod metadata;
mod run;
mod scan;
mod signal;
mod survey;
mod triggers;

use std::collections::HashMap;
use std::sync::Arc;

use wharf_spec::Platform;

pub(crate) use chmod::Subject;
#[cfg(test)]
pub(crate) use chmod::Symbolic;
pub(crate) use epoch::{EpochSource, epoch_source};
pub(crate) use globals::proxies;
pub(crate) use graph::*;
pub(crate) use scan::DESTINATION;

use self::env::Env;
use self::heads::{Contexts, Heads, Meaning};
use self::interpret::{Inheritance, Interpreter, Setting, Sources};
use self::survey::{ImageKey, Survey};
use crate::base::{BaseImage, BaseImages, ImageName};
use crate::dockerfile::lint::Finding;
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{Diagnostic, Dockerfile, Span, Word};
use crate::event::StepInfo;
use crate::git::GitSource;
use crate::request::{BuildRequest, CacheUse};

/// What planning found worth saying, although it works.
pub(crate) struct Remarks {
    /// About the request.
    pub(crate) warnings: Vec<Diagnostic>,
    /// The linter's.
    pub(crate) findings: Vec<Finding>,
}

fn global_scope(request: &BuildRequest, file: &Dockerfile) -> Result<Env, Diagnostic> {
    let stage_name = request
        .target
        .clone()
        .unwrap_or_else(|| file.stages.last().and_then(|stage| stage.name()).unwrap_or_default().to_owned());
    globals::scope(request, &file.global_args, file.directives.escape(), &stage_name)
}

/// What the linter says about the stages `request` asks for; about all of them when it names no target.
///
/// Images that cannot be looked at are no obstacle: what depends on them is not reported.
pub(crate) async fn check(
    request: &BuildRequest,
    file: &Dockerfile,
    bases: &dyn BaseImages,
) -> Result<Vec<Finding>, Diagnostic> {
    let contexts = Contexts::of(request);
    let globals = global_scope(request, file)?;
    let heads = Heads::of(file, &globals, &contexts)?;
    let targets = match request.target.as_deref() {
        Some(name) => vec![heads.target(Some(name))?],
        None => (0..heads.list.len()).collect(),
    };
    let survey = Survey::lenient((file, &heads), &contexts, &request.platform, targets, bases).await?;
    Ok(findings::findings(request, &survey, &globals, &|stage| survey.needed.contains(&stage)))
}

/// The target of `request` and the stages it is made of, as far as the file alone tells.
pub(crate) fn reached(
    request: &BuildRequest,
    file: &Dockerfile,
) -> Result<(usize, std::collections::BTreeSet<usize>), Diagnostic> {
    let contexts = Contexts::of(request);
    let globals = global_scope(request, file)?;
    let heads = Heads::of(file, &globals, &contexts)?;
    let target = heads.target(request.target.as_deref())?;
    Ok((target, Survey::of_file((file, &heads), &contexts, &request.platform, target)?))
}

/// Plans what `request` asks for.
pub(crate) async fn plan(
    request: &BuildRequest,
    file: &Dockerfile,
    bases: &dyn BaseImages,
) -> Result<(Plan, Remarks), Diagnostic> {
    let contexts = Contexts::of(request);
    let globals = global_scope(request, file)?;
    let heads = Heads::of(file, &globals, &contexts)?;
    let target = heads.target(request.target.as_deref())?;
    let survey = Survey::of((file, &heads), &contexts, &request.platform, target, bases).await?;
    let mut planner = Planner {
        request,
        survey: &survey,
        globals: &globals,
        proxies: globals::proxies(request),
        stages: Vec::new(),
        endings: Vec::new(),
        placed: HashMap::new(),
        images: HashMap::new(),
        nothing: None,
        repositories: Vec::new(),
        steps: Vec::new(),
    };
    for position in &survey.needed {
        planner.stage(*position)?;
    }
    let scan = match scan::generator(request, bases).await? {
        Some(image) => Some(planner.scan(target, &image)?),
        None => None,
    };
    let findings = findings::findings(request, &survey, &globals, &|stage| survey.needed.contains(&stage));
    let remarks = Remarks { warnings: unused_arguments(request, file), findings };
    let Planner { mut stages, placed, steps, repositories, .. } = planner;
    let target = placed[&target];
    let config = &mut stages[target.0].config;
    config.config.labels.extend(request.labels.clone());
    set_platform(config, &request.platform);
    let contexts = contexts.directories.into_iter().chain(repositories).collect();
    Ok((Plan { stages, target, scan, contexts, steps }, remarks))
}

/// Build arguments that nobody declares have no effect, which is seldom meant.
fn unused_arguments(request: &BuildRequest, file: &Dockerfile) -> Vec<Diagnostic> {
    let declared: Vec<&str> = file.declared_arguments().collect();
    let unused = |name: &&String| !declared.contains(&name.as_str()) && !globals::is_predefined(name);
    let warn = |name: &String| {
        let title = format!("build argument `{name}` is not used: no ARG declares it");
        Diagnostic::new(crate::dockerfile::Level::Warning, title)
            .maybe_help(did_you_mean(name, declared.iter().copied()))
    };
    // An image's triggers may declare what the file does not.
    request.build_args.keys().filter(unused).map(warn).collect()
}

/// The image says what it was built for, whatever its base says.
fn set_platform(config: &mut wharf_spec::ImageConfig, platform: &Platform) {
    let same = config.os == platform.os && config.architecture == platform.architecture;
    config.os.clone_from(&platform.os);
    config.architecture.clone_from(&platform.architecture);
    if platform.variant.is_some() || !same {
        config.variant.clone_from(&platform.variant);
    }
    if platform.os_version.is_some() || !same {
        config.os_version.clone_from(&platform.os_version);
    }
}

impl Dockerfile {
    /// The names of all `ARG`s, triggers included.
    fn declared_arguments(&self) -> impl Iterator<Item = &str> {
        use crate::dockerfile::{ArgInstruction, Instruction};
        fn of(instruction: &Instruction) -> Option<&ArgInstruction> {
            match instruction {
                Instruction::Arg(arg) => Some(arg),
                Instruction::Onbuild(onbuild) => of(&onbuild.statement.instruction),
                _ => None,
            }
        }
        let in_stages = self.stages.iter().flat_map(|stage| &stage.instructions);
        let in_stages = in_stages.filter_map(|statement| of(&statement.instruction));
        let global = self.global_args.iter().map(|statement| &statement.instruction);
        global.chain(in_stages).flat_map(|arg| &arg.args).map(|declaration| declaration.name.as_str())
    }
}

struct Planner<'a> {
    request: &'a BuildRequest,
    survey: &'a Survey<'a>,
    globals: &'a Env,
    proxies: Vec<(String, String)>,
    stages: Vec<PlannedStage>,
    /// What each planned stage passes on.
    endings: Vec<Inheritance>,
    /// Stages of the file by position.
    placed: HashMap<usize, StageId>,
    /// Images that only files are copied from.
    images: HashMap<ImageKey, StageId>,
    nothing: Option<StageId>,
    /// Repositories that `ADD` names; contexts after those of the request.
    repositories: Vec<PlannedContext>,
    steps: Vec<StepInfo>,
}

impl Planner<'_> {
    fn stage(&mut self, position: usize) -> Result<(), Diagnostic> {
        let survey = self.survey;
        let head = &survey.heads.list[position];
        let platform = survey.stage_platform(position);
        let name = head.name.clone().unwrap_or_else(|| match survey.heads.list.len() {
            1 => String::new(),
            _ => format!("stage-{position}"),
        });
        let (root, inherited) = self.root(&head.base, &platform);
        let proxies = self.proxies.clone();
        let setting = Setting {
            request: self.request,
            globals: self.globals,
            proxies: &proxies,
            escape: survey.file.directives.escape(),
            memory: self.memory(&name),
            stage: &name,
        };
        let mut infos = std::mem::take(&mut self.steps);
        let first = infos.len();
        let mut finder = Finder { planner: self, here: position, platform: &platform };
        let mut interpreter = Interpreter::new(&setting, &mut finder, inherited, &mut infos);
        if let Meaning::Context(context) = head.base {
            interpreter.whole_context(context, &head.base_text, head.span);
        }
        if !survey.heads.is_replaced(position) {
            for located in survey.statements(position)? {
                interpreter.interpret(&located)?;
            }
        }
        let (ending, steps) = interpreter.finish();
        let of = infos.len() - first;
        infos[first..].iter_mut().for_each(|info| info.of = of);
        self.steps = infos;
        let id = self.add(name, (root, platform), steps, ending);
        self.placed.insert(position, id);
        Ok(())
    }

    fn root(&mut self, base: &Meaning, platform: &Platform) -> (Root, Inheritance) {
        match base {
            Meaning::Scratch | Meaning::Context(_) => (Root::Scratch, Inheritance::scratch(platform)),
            Meaning::Stage(position) => {
                let id = self.placed[position];
                (Root::Stage(id), self.endings[id.0].clone())
            }
            Meaning::Image(name) => {
                let image = self.image(name, platform);
                (Root::Image(Arc::clone(image)), Inheritance::of_image(&image.config))
            }
        }
    }

    /// The survey has resolved every image that a needed stage names.
    fn image(&self, name: &ImageName, platform: &Platform) -> &Arc<BaseImage> {
        self.survey.image(name, platform).expect("surveyed before planned")
    }

    fn memory(&self, stage: &str) -> Memory {
        match &self.request.cache {
            CacheUse::All => Memory::Used,
            CacheUse::Nothing => Memory::Ignored,
            CacheUse::Except(stages) if stages.iter().any(|one| one.eq_ignore_ascii_case(stage)) => Memory::Ignored,
            CacheUse::Except(_) => Memory::Used,
        }
    }

    fn add(
        &mut self,
        name: String,
        (root, platform): (Root, Platform),
        steps: Vec<Step>,
        ending: Inheritance,
    ) -> StageId {
        let (config, history) = (ending.config.clone(), ending.history.clone());
        self.stages.push(PlannedStage { name, root, platform, steps, config, history });
        self.endings.push(ending);
        StageId(self.stages.len() - 1)
    }

    /// A stage without steps, for files that are copied from an image.
    fn image_stage(&mut self, name: &ImageName, platform: &Platform) -> StageId {
        let key = (name.clone(), platform.clone());
        if let Some(id) = self.images.get(&key) {
            return *id;
        }
        let image = Arc::clone(self.image(name, platform));
        let inherited = Inheritance::of_image(&image.config);
        let id = self.add(name.to_string(), (Root::Image(image), platform.clone()), Vec::new(), inherited);
        self.images.insert(key, id);
        id
    }

    fn empty_stage(&mut self, platform: &Platform) -> StageId {
        if let Some(id) = self.nothing {
            return id;
        }
        let inherited = Inheritance::scratch(platform);
        let id = self.add("scratch".to_owned(), (Root::Scratch, platform.clone()), Vec::new(), inherited);
        self.nothing = Some(id);
        id
    }
}

/// Finds sources for the instructions of one stage.
struct Finder<'p, 'a> {
    planner: &'p mut Planner<'a>,
    here: usize,
    platform: &'p Platform,
}

impl Finder<'_, '_> {
    fn place(&mut self, meaning: &Meaning) -> FileSource {
        FileSource::Stage(match meaning {
            Meaning::Context(context) => return FileSource::Context(*context),
            Meaning::Scratch => self.planner.empty_stage(self.platform),
            Meaning::Stage(position) => self.planner.placed[position],
            Meaning::Image(name) => self.planner.image_stage(name, self.platform),
        })
    }
}

impl Sources for Finder<'_, '_> {
    fn resolve(&mut self, word: &Word) -> Result<FileSource, Diagnostic> {
        let meaning = self.planner.survey.source(word, self.here)?;
        Ok(self.place(&meaning))
    }

    fn repository(&mut self, source: GitSource, keep_git_dir: bool) -> FileSource {
        let planner = &mut *self.planner;
        let id = ContextId(planner.survey.contexts.directories.len() + planner.repositories.len());
        let name = source.remote.clone();
        let place = ContextPlace::Repository { source, keep_git_dir };
        // What an ignore file in it says is for builds of that repository.
        planner.repositories.push(PlannedContext { name, place, ignore: Some(String::new()) });
        FileSource::Context(id)
    }

    fn main(&mut self, span: Span) -> Result<FileSource, Diagnostic> {
        match self.planner.survey.contexts.main() {
            Some(meaning) => Ok(self.place(&meaning.clone())),
            None => Err(Diagnostic::error("this build has no context to copy from", span)
                .help("give the build a directory, or copy from a stage or image with --from")),
        }
    }
}
