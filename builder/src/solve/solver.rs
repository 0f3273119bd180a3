//! Stages and steps in order: what is known is taken, what is not is made.
//!
//! A stage is solved for one of two needs. For its *identity* it is enough to know what its layers are called; a result
//! whose bytes are gone from the store still counts. When its bytes are *live* a remembered step counts only if its blob
//! is there. Whoever finds bytes missing solves the stage again for the greater need. So a build that changes nothing reads
//! records and nothing else, and a stage whose files nobody has to read again is not made again.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, try_join, try_join_all};
use tokio::sync::{OnceCell, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wharf_spec::Descriptor;

use super::copy_step::PreparedCopy;
use super::depot::Depot;
use super::key::{Facts, Key};
use super::layer::{Layer, Stack};
use super::memory;
use super::notes::Notes;
use super::once::KeyedLocks;
use super::report::Reporter;
use super::together::{MEMORY_UNIT, MEMORY_UNITS};
use super::transport::blocking;
use super::turn::Turn;
use crate::context::{Context, Hashes};
use crate::dockerfile::{Diagnostic, Span};
use crate::environment::BuildEnvironment;
use crate::error::BuildError;
use crate::event::{CacheVerdict, MadeLayer};
use crate::layer::WriterOptions;
use crate::plan::{
    ContextId, ContextPlace, Copy, FileSource, MakeDirectory, Memory, Plan, PlannedStage, Root, Run, RunMountKind,
    StageId, Step, Work,
};
use crate::request::BuildRequest;
use crate::sandbox::Helpers;
use crate::shared::{SharedLayer, StepLayer};

/// What a stage is solved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To know what its layers are.
    Identity,
    /// To read them.
    Live,
}

/// One build being solved.
pub(crate) struct Solver<'a> {
    pub(super) plan: &'a Plan,
    pub(super) request: &'a BuildRequest,
    pub(super) environment: &'a BuildEnvironment,
    pub(super) depot: Depot,
    pub(super) reporter: Arc<Reporter>,
    pub(super) helpers: Helpers,
    /// Ends everything once one step has failed.
    pub(super) cancel: CancellationToken,
    /// Caches that start empty because nothing remembered may be used.
    pub(super) fresh_mounts: Mutex<HashMap<String, PathBuf>>,
    /// Caches that steps of this build had, and where the Dockerfile asks for each.
    used_mounts: Mutex<BTreeMap<String, Span>>,
    /// Layers that are just being remembered.
    remembering: Mutex<Vec<JoinHandle<wharf_blobstore::Result<()>>>>,
    stages: Vec<Solved>,
    contexts: Vec<OnceCell<Arc<Context>>>,
    /// Results of this very build, for steps that several stages have in common.
    made: Mutex<HashMap<Key, Layer>>,
    steps: KeyedLocks<Key>,
}

#[derive(Default)]
struct Solved {
    identity: OnceCell<Stack>,
    live: OnceCell<Stack>,
}

/// A step about to be done: under which keys its result may be known, and what was found out on the way.
enum Prepared<'s> {
    Run(&'s Run),
    Copy(&'s Copy, PreparedCopy),
    MakeDirectory(&'s MakeDirectory),
}

impl Prepared<'_> {
    /// Completes the notes: so many files are noted only when something is to be made of them.
    fn note(&self, mut notes: Notes) -> Notes {
        if let Self::Copy(_, prepared) = self {
            prepared.note(&mut notes);
        }
        notes
    }
}

impl<'a> Solver<'a> {
    pub(crate) fn new(
        plan: &'a Plan,
        request: &'a BuildRequest,
        environment: &'a BuildEnvironment,
        depot: Depot,
        reporter: Arc<Reporter>,
    ) -> Self {
        Self {
            plan,
            request,
            environment,
            depot,
            reporter,
            helpers: Helpers::default(),
            cancel: environment.cancel.child_token(),
            fresh_mounts: Mutex::default(),
            used_mounts: Mutex::default(),
            remembering: Mutex::default(),
            stages: plan.stages.iter().map(|_| Solved::default()).collect(),
            contexts: plan.contexts.iter().map(|_| OnceCell::new()).collect(),
            made: Mutex::default(),
            steps: KeyedLocks::default(),
        }
    }

    /// Solves a stage.
    pub(crate) fn stage(&self, id: StageId, need: Need) -> BoxFuture<'_, Result<Stack, BuildError>> {
        async move {
            let solved = &self.stages[id.0];
            let cell = match need {
                // What is live has an identity, too.
                Need::Identity if solved.live.initialized() => &solved.live,
                Need::Identity => &solved.identity,
                Need::Live => &solved.live,
            };
            cell.get_or_try_init(|| self.solve(id, need)).await.cloned()
        }
        .boxed()
    }

    async fn solve(&self, id: StageId, need: Need) -> Result<Stack, BuildError> {
        let stage = &self.plan.stages[id.0];
        // Stages whose files are needed later are solved beside this one.
        let ahead = sources(stage).into_iter().map(|source| self.stage(source, Need::Identity));
        let (stack, _) = try_join(self.solve_steps(id, need), try_join_all(ahead)).await?;
        Ok(stack)
    }

    async fn solve_steps(&self, id: StageId, need: Need) -> Result<Stack, BuildError> {
        let stage = &self.plan.stages[id.0];
        let mut stack = match &stage.root {
            Root::Scratch => Stack::default(),
            Root::Stage(parent) => self.stage(*parent, need).await?,
            Root::Image(image) => Stack::of_image(image).map_err(|source| {
                BuildError::from(Diagnostic::new(
                    crate::dockerfile::Level::Error,
                    format!("image {} cannot be built on: {source}", image.found),
                ))
            })?,
        };
        for step in &stage.steps {
            match self.step(stage, step, &stack, need).await? {
                Some(layer) => stack = stack.with(layer),
                // Something below is gone from the store: begin again, this time holding on to everything.
                None => return self.stage(id, Need::Live).await,
            }
        }
        Ok(stack)
    }

    /// The layer a step makes on top of `before`; `None` when it has to be made and layers below are gone.
    async fn step(
        &self,
        stage: &PlannedStage,
        step: &Step,
        before: &Stack,
        need: Need,
    ) -> Result<Option<Layer>, BuildError> {
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let quick = self.quick_key(stage, step, before).await?;
        if let Some(key) = quick
            && let Some(layer) = self.known(key, step, need).await?
        {
            self.hit(step);
            return Ok(Some(layer));
        }
        let result = self.thorough(stage, step, before, need).await;
        if let (Some(quick), Ok(Some((layer, _)))) = (quick, &result) {
            self.remember((quick, None), layer);
        }
        // Others may find it by either: the first needs no files, the second still fits when a stage was made again.
        Ok(result?.map(|(layer, key)| Layer { keys: quick.into_iter().chain([key]).collect(), ..layer }))
    }

    async fn thorough(
        &self,
        stage: &PlannedStage,
        step: &Step,
        before: &Stack,
        need: Need,
    ) -> Result<Option<(Layer, Key)>, BuildError> {
        let (prepared, (key, notes)) = self.prepare(stage, step, before).await?;
        // Of several stages that do the same, the first does it.
        let _turn = self.steps.lock(key).await;
        if let Some(layer) = self.known(key, step, need).await? {
            self.hit(step);
            return Ok(Some((layer, key)));
        }
        let (turn, waited) = self.turn(step, key).await?;
        if waited && let Some(layer) = self.known(key, step, need).await? {
            self.hit(step);
            return Ok(Some((layer, key)));
        }
        if need == Need::Identity && !self.depot.has(before).await? {
            return Ok(None);
        }
        let (prepared, (key, notes)) = if self.revive_sources(step).await? {
            // Made again, they may not be what they were.
            let (prepared, (key, notes)) = self.prepare(stage, step, before).await?;
            if let Some(layer) = self.known(key, step, need).await? {
                self.hit(step);
                return Ok(Some((layer, key)));
            }
            (prepared, (key, notes))
        } else {
            (prepared, (key, notes))
        };
        let notes = prepared.note(notes);
        if self.request.explain_cache {
            let reasons = self.why_missed(step, key, &notes).await?;
            self.reporter.explained(step.id, CacheVerdict::Miss(reasons));
        }
        let mut layer = self.make(step, before, prepared).await?;
        // Made again just as it was, it is as old as it was: the image does not change.
        let earlier = memory::recall(&self.environment.store, key).await?;
        if let Some(earlier) = earlier.filter(|earlier| earlier.diff_id == layer.diff_id && self.epoch().is_none()) {
            layer.created = earlier.created;
        }
        self.remember((key, turn), &layer);
        layer.keys = vec![key];
        self.keep_notes(step, &notes);
        self.made().insert(key, layer.clone());
        Ok(Some((layer, key)))
    }

    /// Waits while another build does the same step; whether it had to. A step whose result nobody may use waits for nobody.
    async fn turn(&self, step: &Step, key: Key) -> Result<(Option<Turn>, bool), BuildError> {
        if step.memory == Memory::Ignored {
            return Ok((None, false));
        }
        let failed = |source| BuildError::io("lock a step", source);
        let path = self.depot.cache().turn(&key.hex());
        if let Some(turn) = Turn::try_take(&path).map_err(failed)? {
            return Ok((Some(turn), false));
        }
        self.reporter.waiting(step.id);
        tokio::select! {
            turn = Turn::take(&path) => Ok((Some(turn.map_err(failed)?), true)),
            () = self.cancel.cancelled() => Err(BuildError::Cancelled),
        }
    }

    /// Remembers a layer once it is in the store, while the next step runs. Then it is the turn of whoever waits for it.
    fn remember(&self, (key, turn): (Key, Option<Turn>), layer: &Layer) {
        let (store, depot, layer) = (self.environment.store.clone(), self.depot.clone(), layer.clone());
        let work = tokio::spawn(async move {
            if depot.settling().wait(&layer.descriptor.digest).await {
                memory::remember(&store, key, &layer).await?;
            }
            drop(turn);
            Ok(())
        });
        self.remembering.lock().unwrap_or_else(PoisonError::into_inner).push(work);
    }

    /// Waits until every layer that was made is in the store and remembered.
    pub(crate) async fn remembered(&self) -> Result<(), BuildError> {
        let works = std::mem::take(&mut *self.remembering.lock().unwrap_or_else(PoisonError::into_inner));
        for work in works {
            match work.await {
                Ok(done) => done?,
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                // The runtime ends, and with it the build.
                Err(_) => return Err(BuildError::Cancelled),
            }
        }
        Ok(self.depot.settling().finish().await?)
    }

    fn hit(&self, step: &Step) {
        if self.reporter.cached(step.id) && self.request.explain_cache {
            self.reporter.explained(step.id, CacheVerdict::Hit);
        }
    }

    /// Makes the files of other stages readable that the step is about to read. Says whether anything had to be done.
    async fn revive_sources(&self, step: &Step) -> Result<bool, BuildError> {
        let mut revived = false;
        for id in step_sources(step) {
            let stack = self.stage(id, Need::Identity).await?;
            if !self.depot.has(&stack).await? {
                self.stage(id, Need::Live).await?;
                revived = true;
            }
        }
        Ok(revived)
    }

    /// A result of this build or an earlier one.
    async fn known(&self, key: Key, step: &Step, need: Need) -> Result<Option<Layer>, BuildError> {
        let made = self.made().get(&key).cloned();
        let found = match (made, step.memory) {
            (Some(layer), _) => Some(layer),
            (None, Memory::Used) => memory::recall(&self.environment.store, key).await?,
            (None, Memory::Ignored) => None,
        };
        if let Some(layer) = found {
            if need == Need::Identity || layer.source.is_some() {
                return Ok(Some(layer));
            }
            self.depot.settling().wait(&layer.descriptor.digest).await;
            let blob = self.depot.blobs().find(&layer.descriptor.digest).await?;
            if blob.is_some_and(|blob| blob.is_live()) {
                return Ok(Some(layer));
            }
        }
        if step.memory == Memory::Ignored {
            return Ok(None);
        }
        let shared = self.shared(key).await;
        if let Some(layer) = &shared {
            memory::remember(&self.environment.store, key, layer).await?;
        }
        Ok(shared)
    }

    /// A result that another place knows. Its bytes stay there until somebody needs them.
    pub(super) async fn shared(&self, key: Key) -> Option<Layer> {
        for cache in &self.environment.caches {
            if let Some(SharedLayer { made, source }) = cache.find(&key.hex()).await {
                let layer = Layer {
                    descriptor: made.layer,
                    diff_id: made.diff_id,
                    keys: vec![key],
                    created: Some(made.created),
                    source: Some(source),
                };
                // This build need not ask again.
                self.made().insert(key, layer.clone());
                return Some(layer);
            }
        }
        None
    }

    /// Waits until there is memory to write a layer.
    pub(super) async fn memory_for(&self, options: &WriterOptions) -> Result<SemaphorePermit<'_>, BuildError> {
        let wanted = u32::try_from(options.memory().div_ceil(MEMORY_UNIT)).unwrap_or(MEMORY_UNITS);
        self.environment.together.memory.acquire_many(wanted.min(MEMORY_UNITS)).await.map_err(|_| BuildError::Cancelled)
    }

    pub(super) fn used_mounts(&self) -> MutexGuard<'_, BTreeMap<String, Span>> {
        self.used_mounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the steps of all stages that were solved made, the target's first; and how many are the target's.
    pub(crate) fn made_by_steps(&self, target: &Stack) -> (Vec<StepLayer>, usize) {
        let mut all: Vec<StepLayer> = target.layers().iter().flat_map(Layer::shared).collect();
        let own = all.len();
        for solved in &self.stages {
            let stack = solved.live.get().or(solved.identity.get());
            let layers = stack.iter().flat_map(|stack| stack.layers()).flat_map(Layer::shared);
            for layer in layers {
                if !all.iter().any(|known| known.key == layer.key) {
                    all.push(layer);
                }
            }
        }
        (all, own)
    }

    fn made(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Layer>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts every key begins with.
    pub(super) fn facts(&self, kind: &str, stage: &PlannedStage, before: &Stack) -> Facts {
        let mut facts = Facts::of(kind);
        facts.text("platform", &stage.platform.to_string());
        facts.digest("before", &before.identity());
        // Files are no younger than this, so it shows in the layer.
        facts.maybe("epoch", self.epoch().map(|epoch| epoch.to_string()).as_deref());
        facts
    }

    /// What stands for "now" in the image, if it was given.
    pub(super) fn epoch(&self) -> Option<i64> {
        self.request.source_date_epoch
    }

    /// A key that needs no look at files; for steps that copy from a stage.
    async fn quick_key(&self, stage: &PlannedStage, step: &Step, before: &Stack) -> Result<Option<Key>, BuildError> {
        match &step.work {
            Work::Copy(copy) => self.quick_copy_key(stage, copy, before).await,
            Work::Run(_) | Work::MakeDirectory(_) => Ok(None),
        }
    }

    async fn prepare<'s>(
        &self,
        stage: &PlannedStage,
        step: &'s Step,
        before: &Stack,
    ) -> Result<(Prepared<'s>, (Key, Notes)), BuildError> {
        match &step.work {
            Work::Run(run) => Ok((Prepared::Run(run), self.run_facts(stage, step, run, before).await?.finish_noted())),
            Work::Copy(copy) => {
                let (prepared, facts) = self.prepare_copy(stage, step, copy, before).await?;
                Ok((Prepared::Copy(copy, prepared), facts.finish_noted()))
            }
            Work::MakeDirectory(make) => {
                let mut facts = self.facts("directory", stage, before);
                facts.text("path", &make.path);
                facts.text("user", &make.user);
                Ok((Prepared::MakeDirectory(make), facts.finish_noted()))
            }
        }
    }

    async fn make(&self, step: &Step, before: &Stack, prepared: Prepared<'_>) -> Result<Layer, BuildError> {
        let _slot = self.environment.together.slots.acquire().await.map_err(|_| BuildError::Cancelled)?;
        if self.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let start = self.reporter.started(step.id);
        let work = async {
            match prepared {
                Prepared::Run(run) => self.run(step, run, before).await,
                Prepared::Copy(copy, prepared) => self.copy(step, copy, before, prepared).await,
                Prepared::MakeDirectory(make) => self.make_directory(step, make, before).await,
            }
        };
        let made = tokio::select! {
            made = work => made,
            () = self.cancel.cancelled() => Err(BuildError::Cancelled),
        };
        match &made {
            Ok(layer) => {
                let Descriptor { digest, size, .. } = layer.descriptor;
                self.reporter.done(step.id, start, MadeLayer { digest, size, in_image: self.is_in_image(step) });
            }
            Err(BuildError::Cancelled) => {
                self.reporter.cancelled(step.id);
                self.cancel.cancel();
            }
            Err(_) => {
                self.reporter.failed(step.id, start);
                self.cancel.cancel();
            }
        }
        made
    }

    /// Whether the layer of a step becomes one of the image's.
    pub(super) fn is_in_image(&self, step: &Step) -> bool {
        let mut next = Some(self.plan.target);
        while let Some(StageId(at)) = next {
            let stage = &self.plan.stages[at];
            if stage.steps.iter().any(|own| own.id == step.id) {
                return true;
            }
            next = match stage.root {
                Root::Stage(parent) => Some(parent),
                Root::Scratch | Root::Image(_) => None,
            };
        }
        false
    }

    /// Stores what was learnt about files. That it could not be stored is nobody's concern: they are read again.
    pub(crate) fn keep_hashes(&self) {
        for (planned, context) in self.plan.contexts.iter().zip(&self.contexts) {
            let stored =
                context.get().and_then(|context| Some((self.hashes_path(&planned.place)?, context.hashes().encode()?)));
            if let Some((path, bytes)) = stored {
                let _ = self.depot.cache().write_through(&path, &bytes);
            }
        }
    }

    /// Where it is stored. Every checkout of a repository is made of new files.
    fn hashes_path(&self, place: &ContextPlace) -> Option<PathBuf> {
        match place {
            ContextPlace::Directory(directory) => Some(self.depot.cache().hashes(&directory.canonicalize().ok()?)),
            ContextPlace::Repository { .. } => None,
        }
    }

    /// A context, opened when the first step needs it.
    pub(super) async fn context(&self, id: ContextId, span: Span) -> Result<Arc<Context>, BuildError> {
        let planned = &self.plan.contexts[id.0];
        let open = || async {
            let directory = match &planned.place {
                ContextPlace::Directory(directory) => directory.clone(),
                ContextPlace::Repository { source, keep_git_dir } => {
                    self.check_out(source, *keep_git_dir, span).await?
                }
            };
            let (stored, began) = (self.hashes_path(&planned.place), self.clock());
            let load = move || stored.map_or_else(Hashes::default, |path| Hashes::load(&path, began));
            Context::open(&planned.name, &directory, planned.ignore.as_deref(), blocking(load).await)
                .map(Arc::new)
                .map_err(|error| super::blame::context(error, span))
        };
        self.contexts[id.0].get_or_try_init(open).await.cloned()
    }
}

/// The stages whose files a stage's steps use.
fn sources(stage: &PlannedStage) -> Vec<StageId> {
    let mut found: Vec<StageId> = stage.steps.iter().flat_map(step_sources).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The stages whose files a step uses.
fn step_sources(step: &Step) -> Vec<StageId> {
    let sources: Vec<FileSource> = match &step.work {
        Work::Copy(copy) => copy.source.into_iter().collect(),
        Work::Run(run) => run.mounts.iter().filter_map(|mount| mount_source(&mount.kind)).collect(),
        Work::MakeDirectory(_) => Vec::new(),
    };
    let stage = |source| match source {
        FileSource::Stage(id) => Some(id),
        FileSource::Context(_) => None,
    };
    sources.into_iter().filter_map(stage).collect()
}

fn mount_source(kind: &RunMountKind) -> Option<FileSource> {
    match kind {
        RunMountKind::Bind { source, .. } => Some(*source),
        RunMountKind::Cache(cache) => cache.seed.as_ref().map(|(source, _)| *source),
        RunMountKind::Tmpfs { .. } | RunMountKind::Secret(_) | RunMountKind::Agent(_) => None,
    }
}
