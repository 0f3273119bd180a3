//! Which stages and images a target needs.
//!
//! Images bring triggers (`ONBUILD`), triggers may name further stages and images, so this goes round until nothing new
//! turns up. Images of one round are resolved at the same time. Stages the target does not need are never looked at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use wharf_spec::Platform;

use super::heads::{Contexts, Heads, Meaning};
use super::triggers::{Located, triggers_of_image};
use crate::base::{BaseError, BaseImage, BaseImages, ImageName};
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{Diagnostic, Dockerfile, Instruction, Span, Word};

/// An image for a platform.
pub(super) type ImageKey = (ImageName, Platform);

/// A file with everything known about it that needs no execution.
pub(super) struct Survey<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) heads: &'a Heads,
    pub(super) contexts: &'a Contexts,
    /// The platform of stages that name none.
    pub(super) platform: &'a Platform,
    images: HashMap<ImageKey, Arc<BaseImage>>,
    /// Needed stages, by position; every stage uses only earlier ones.
    pub(super) needed: BTreeSet<usize>,
}

/// Images and where each is named first, ordered so that messages do not depend on chance.
type Named = BTreeMap<String, (ImageKey, Span)>;

/// What one stage uses.
#[derive(Default)]
struct Uses {
    stages: BTreeSet<usize>,
    images: Named,
}

impl<'a> Survey<'a> {
    /// Finds out what `target` needs.
    pub(super) async fn of(
        (file, heads): (&'a Dockerfile, &'a Heads),
        contexts: &'a Contexts,
        platform: &'a Platform,
        target: usize,
        bases: &dyn BaseImages,
    ) -> Result<Self, Diagnostic> {
        let images = HashMap::new();
        let mut survey = Self { file, heads, contexts, platform, images, needed: BTreeSet::new() };
        loop {
            let (needed, missing) = survey.reach(vec![target])?;
            survey.needed = needed;
            if missing.is_empty() {
                return Ok(survey);
            }
            let requests = missing.into_values().map(|(key, span)| survey.resolve(bases, key, span));
            let found = try_join_all(requests).await?;
            survey.images.extend(found);
        }
    }

    /// The stages `target` needs as far as the file alone tells, itself included.
    pub(super) fn of_file(
        (file, heads): (&'a Dockerfile, &'a Heads),
        contexts: &'a Contexts,
        platform: &'a Platform,
        target: usize,
    ) -> Result<BTreeSet<usize>, Diagnostic> {
        let survey = Self { file, heads, contexts, platform, images: HashMap::new(), needed: BTreeSet::new() };
        Ok(survey.reach(vec![target])?.0)
    }

    /// Looks at what `targets` need, and passes over images that cannot be had.
    pub(super) async fn lenient(
        (file, heads): (&'a Dockerfile, &'a Heads),
        contexts: &'a Contexts,
        platform: &'a Platform,
        targets: Vec<usize>,
        bases: &dyn BaseImages,
    ) -> Result<Self, Diagnostic> {
        let images = HashMap::new();
        let mut survey = Self { file, heads, contexts, platform, images, needed: BTreeSet::new() };
        let mut asked = BTreeSet::new();
        loop {
            let (needed, missing) = survey.reach(targets.clone())?;
            survey.needed = needed;
            let new: Vec<_> = missing.into_iter().filter(|(text, _)| asked.insert(text.clone())).collect();
            if new.is_empty() {
                return Ok(survey);
            }
            let requests = new.iter().map(|(_, (key, _))| async move {
                Some((key.clone(), Arc::new(bases.resolve(&key.0, &key.1).await.ok()?)))
            });
            let found = join_all(requests).await;
            survey.images.extend(found.into_iter().flatten());
        }
    }

    async fn resolve(
        &self,
        bases: &dyn BaseImages,
        key: ImageKey,
        span: Span,
    ) -> Result<(ImageKey, Arc<BaseImage>), Diagnostic> {
        match bases.resolve(&key.0, &key.1).await {
            Ok(image) => Ok((key, Arc::new(image))),
            Err(error) => Err(self.not_resolved(&key.0, &error, span)),
        }
    }

    fn not_resolved(&self, name: &ImageName, error: &BaseError, span: Span) -> Diagnostic {
        let mut diagnostic = Diagnostic::error(error.to_string(), span);
        match error {
            BaseError::NotFound { tried, .. } => {
                if !tried.is_empty() {
                    diagnostic = diagnostic.note(format!("looked in {}", tried.join(", ")));
                }
            }
            BaseError::WrongPlatform { offered, .. } => {
                let list: Vec<String> = offered.iter().map(ToString::to_string).collect();
                diagnostic = diagnostic.note(format!("it has {}", list.join(", ")));
            }
            BaseError::NotAnImage { .. } => {}
            BaseError::Policy { source, .. } => return diagnostic.maybe_help(source.hint()),
            BaseError::Transfer { source, .. } => {
                let mut cause: Option<&dyn std::error::Error> = Some(source);
                while let Some(error) = cause {
                    diagnostic = diagnostic.note(error.to_string());
                    cause = error.source();
                }
            }
        }
        let known = self.heads.names().chain(self.contexts.names());
        diagnostic.maybe_help(did_you_mean(&name.to_string(), known))
    }

    /// Stages that can be reached now, and images that must be resolved to know more.
    fn reach(&self, mut ahead: Vec<usize>) -> Result<(BTreeSet<usize>, Named), Diagnostic> {
        let mut needed = BTreeSet::new();
        let mut missing = BTreeMap::new();
        while let Some(position) = ahead.pop() {
            if !needed.insert(position) {
                continue;
            }
            let uses = self.uses(position)?;
            ahead.extend(uses.stages);
            missing.extend(uses.images.into_iter().filter(|(_, (key, _))| !self.images.contains_key(key)));
        }
        Ok((needed, missing))
    }

    fn uses(&self, position: usize) -> Result<Uses, Diagnostic> {
        let mut uses = Uses::default();
        let head = &self.heads.list[position];
        let platform = self.stage_platform(position);
        uses.add(&head.base, &platform, head.span);
        if self.heads.is_replaced(position) {
            return Ok(uses);
        }
        for located in self.statements(position)? {
            for word in sources_of(&located.statement.instruction) {
                let meaning = self.source(&word, position).map_err(|diagnostic| located.place.locate(diagnostic))?;
                uses.add(&meaning, &platform, located.place.span(word.span));
            }
        }
        Ok(uses)
    }

    /// What `--from=word` means in stage `here`.
    pub(super) fn source(&self, word: &Word, here: usize) -> Result<Meaning, Diagnostic> {
        self.heads.source(word, here, self.contexts)
    }

    /// What stage `position` runs on.
    pub(super) fn stage_platform(&self, position: usize) -> Platform {
        let head = &self.heads.list[position];
        match (&head.platform, &head.base) {
            (Some(platform), _) => platform.clone(),
            (None, Meaning::Stage(base)) if *base < position => self.stage_platform(*base),
            (None, _) => self.platform.clone(),
        }
    }

    /// A resolved image.
    pub(super) fn image(&self, name: &ImageName, platform: &Platform) -> Option<&Arc<BaseImage>> {
        self.images.get(&(name.clone(), platform.clone()))
    }

    /// The statements of stage `position`, its base's triggers first, as far as they are known.
    pub(super) fn statements(&self, position: usize) -> Result<Vec<Located>, Diagnostic> {
        let head = &self.heads.list[position];
        let mut statements = match &head.base {
            Meaning::Image(name) => match self.image(name, &self.stage_platform(position)) {
                Some(image) => triggers_of_image(image, head.span)?,
                None => Vec::new(),
            },
            Meaning::Stage(base) if !self.heads.is_replaced(*base) => self.triggers_of_stage(*base),
            Meaning::Stage(_) | Meaning::Scratch | Meaning::Context(_) => Vec::new(),
        };
        statements.extend(self.file.stages[position].instructions.iter().cloned().map(Located::here));
        Ok(statements)
    }

    fn triggers_of_stage(&self, base: usize) -> Vec<Located> {
        let trigger = |instruction: &Instruction| match instruction {
            Instruction::Onbuild(onbuild) => Some(Located::trigger_here((*onbuild.statement).clone())),
            _ => None,
        };
        self.file.stages[base].instructions.iter().filter_map(|statement| trigger(&statement.instruction)).collect()
    }
}

impl Uses {
    fn add(&mut self, meaning: &Meaning, platform: &Platform, span: Span) {
        match meaning {
            Meaning::Stage(position) => {
                self.stages.insert(*position);
            }
            Meaning::Image(name) => {
                let key = (name.clone(), platform.clone());
                self.images.entry(format!("{name} {platform}")).or_insert((key, span));
            }
            Meaning::Scratch | Meaning::Context(_) => {}
        }
    }
}

/// The words by which an instruction names where files come from.
fn sources_of(instruction: &Instruction) -> Vec<Word> {
    match instruction {
        Instruction::Copy(copy) => copy.from.iter().cloned().collect(),
        Instruction::Run(run) => run
            .mounts
            .iter()
            .flat_map(|mount| &mount.fields)
            .filter(|field| field.key.as_str() == "from")
            .filter_map(|field| field.value.clone())
            .collect(),
        _ => Vec::new(),
    }
}
