//! `--sbom`: one more stage, in which a generator's image looks at what was built and writes bills of materials.
//!
//! The generator is run as `BuildKit` runs it: the result, and what else is to be looked at, is mounted below `/run/src`, and
//! what it leaves in `/run/out` counts.

use std::sync::Arc;

use super::graph::{
    BindAccess, FileSource, MakeDirectory, PastStep, Root, Run, RunMount, RunMountKind, Scan, StageId, Step, Work,
};
use super::interpret::Inheritance;
use super::{Meaning, Planner};
use crate::attest::Generator;
use crate::base::{BaseError, BaseImage, BaseImages};
use crate::dockerfile::{Diagnostic, Level, Span};
use crate::event::{StepId, StepInfo};
use crate::request::BuildRequest;
use crate::sandbox::{Network, Security};

/// Where the generator finds what it looks at.
const SOURCE: &str = "/run/src/core/sbom";
const EXTRAS: &str = "/run/src/extras";
/// Where it puts what it found.
pub(crate) const DESTINATION: &str = "/run/out";

/// Whether other stages, and the context, are looked at as well.
const SCAN_STAGE: &str = "BUILDKIT_SBOM_SCAN_STAGE";
const SCAN_CONTEXT: &str = "BUILDKIT_SBOM_SCAN_CONTEXT";

/// The image of the generator, if there is to be one.
pub(super) async fn generator(
    request: &BuildRequest,
    bases: &dyn BaseImages,
) -> Result<Option<Arc<BaseImage>>, Diagnostic> {
    let Some(generator) = &request.generator else { return Ok(None) };
    match bases.resolve(&generator.image, &request.build_platform).await {
        Ok(image) => Ok(Some(Arc::new(image))),
        Err(error) => Err(not_had(generator, &error)),
    }
}

fn not_had(generator: &Generator, error: &BaseError) -> Diagnostic {
    let title = format!("the generator of bills of materials cannot be had: {error}");
    let mut diagnostic = Diagnostic::new(Level::Error, title);
    if let BaseError::NotFound { tried, .. } = error
        && !tried.is_empty()
    {
        diagnostic = diagnostic.note(format!("looked in {}", tried.join(", ")));
    }
    let mut cause = match error {
        // Its text says why.
        BaseError::Policy { source, .. } => return diagnostic.maybe_help(source.hint()),
        error => std::error::Error::source(error),
    };
    while let Some(error) = cause {
        diagnostic = diagnostic.note(error.to_string());
        cause = error.source();
    }
    let name = &generator.image;
    diagnostic
        .help(format!("name another with --sbom=generator=IMAGE, or bring this one into the store: wharf pull {name}"))
}

impl Planner<'_> {
    /// Plans the generator's stage, for the stage at `position` of the file.
    pub(super) fn scan(&mut self, position: usize, image: &Arc<BaseImage>) -> Result<Scan, Diagnostic> {
        let Some(generator) = &self.request.generator else {
            return Err(Diagnostic::new(Level::Error, "nobody asked for a bill of materials"));
        };
        let span = self.survey.heads.list[position].span;
        let args: Vec<String> =
            image.config.config.entrypoint.iter().chain(&image.config.config.cmd).flatten().cloned().collect();
        if args.is_empty() {
            let title = format!("{} generates no bills of materials: it has no command", image.found);
            return Err(Diagnostic::new(Level::Error, title).help("name an image with an ENTRYPOINT that scans"));
        }
        let inherited = Inheritance::of_image(&image.config).begin();
        let mut env: Vec<(String, String)> =
            inherited.env.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let extras = self.extras(position);
        let mut set = |name: &str, value: &str| {
            env.retain(|(known, _)| known != name);
            env.push((name.to_owned(), value.to_owned()));
        };
        set("BUILDKIT_SCAN_DESTINATION", &format!("{DESTINATION}/"));
        set("BUILDKIT_SCAN_SOURCE", SOURCE);
        if !extras.is_empty() {
            set("BUILDKIT_SCAN_SOURCE_EXTRAS", EXTRAS);
        }
        for (name, value) in &generator.parameters {
            set(&format!("BUILDKIT_SCAN_{name}"), value);
        }
        let bind = |target: String, source| {
            let kind = RunMountKind::Bind { source, path: "/".to_owned(), access: BindAccess::ReadOnly };
            RunMount { span, target: Some(target), kind }
        };
        let mut mounts = vec![bind(SOURCE.to_owned(), FileSource::Stage(self.placed[&position]))];
        mounts.extend(extras.into_iter().map(|(name, source)| bind(format!("{EXTRAS}/sbom-{name}"), source)));
        mounts.push(RunMount { span, target: Some("/tmp".to_owned()), kind: RunMountKind::Tmpfs { size: None } });
        let cwd = Some(image.config.config.working_dir.clone()).filter(|cwd| !cwd.is_empty());
        let run = Run {
            args,
            env,
            proxies: self.proxies.clone(),
            cwd: cwd.unwrap_or_else(|| "/".to_owned()),
            user: String::new(),
            mounts,
            script: None,
            network: Network::Default,
            security: Security::Sandbox,
        };
        let room = MakeDirectory { path: DESTINATION.to_owned(), user: String::new() };
        let works = [
            (Work::MakeDirectory(room), format!("make room in {}", image.found)),
            (Work::Run(Box::new(run)), format!("look at the image with {}", image.found)),
        ];
        Ok(Scan { stage: self.scan_stage(image, works, inherited, span), generator: image.found.clone() })
    }

    fn scan_stage(
        &mut self,
        image: &Arc<BaseImage>,
        works: [(Work, String); 2],
        mut ending: Inheritance,
        span: Span,
    ) -> StageId {
        let (stage, of) = ("sbom".to_owned(), works.len());
        let mut steps = Vec::new();
        for (number, (work, text)) in (1..).zip(works) {
            let id = StepId(self.steps.len());
            ending.history.push(PastStep::Layer(text.clone()));
            self.steps.push(StepInfo { id, stage: stage.clone(), number, of, text, span });
            steps.push(Step { id, span, work, memory: self.memory(&stage) });
        }
        let platform = self.request.build_platform.clone();
        self.add(stage, (Root::Image(Arc::clone(image)), platform), steps, ending)
    }

    /// What is looked at beside the result, by name: stages that say so, and the context if the target says so.
    fn extras(&mut self, target: usize) -> Vec<(String, FileSource)> {
        let mut extras = Vec::new();
        if self.wants(target, SCAN_CONTEXT)
            && let Some(Meaning::Context(context)) = self.survey.contexts.main()
        {
            extras.push(("context".to_owned(), FileSource::Context(*context)));
        }
        for position in self.survey.needed.iter().filter(|position| **position != target) {
            if self.wants(*position, SCAN_STAGE) {
                let id = self.placed[position];
                extras.push((self.stages[id.0].name.clone(), FileSource::Stage(id)));
            }
        }
        extras
    }

    /// Whether an argument of a stage, or a global one, says so: for all, or for this one by name.
    fn wants(&self, position: usize, name: &str) -> bool {
        let id = self.placed[&position];
        let own = self.endings[id.0].args.iter().rev().find(|(known, value)| known == name && value.is_some());
        let value = own.and_then(|(_, value)| value.as_deref()).or_else(|| self.globals.get(name));
        match value {
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => true,
            Some(list) => list.split(',').any(|stage| stage == self.stages[id.0].name),
            None => false,
        }
    }
}
