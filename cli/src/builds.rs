//! Builds: from the command line to a request, and from events to progress.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;
use wharf_builder::dockerfile::lint::Finding;
use wharf_builder::dockerfile::{Diagnostic, Level, render};
use wharf_builder::{
    BuildEnvironment, BuildError, BuildEvent, BuildRequest, BuildResult, Events, MadeLayer, StepCache, StepInfo, Taps,
    Together, build,
};
use wharf_spec::Digest;

use crate::args::BuildOptions;
use crate::bases::Bases;
use crate::caches;
use crate::explain::explain;
use crate::failure::Failure;
use crate::fetch::Fetcher;
use crate::progress::{How, Paint, Progress, Task, Update};
use crate::publish::Made;
use crate::session::Session;
use crate::stores::OpenStore;

/// What to build, and how.
pub struct Order {
    pub request: BuildRequest,
    /// What is shown before each step's place, where several builds follow each other.
    pub shown: Option<String>,
    /// Ask the registries for newer base images.
    pub pull: bool,
    /// Steps that run at once.
    pub jobs: Option<NonZeroUsize>,
    /// Is told of every layer that is made.
    pub made: Option<UnboundedSender<Option<MadeLayer>>>,
    /// Sees the image's layers while they are written.
    pub taps: Option<Taps>,
    /// Where results may be known.
    pub caches: Vec<Arc<dyn StepCache>>,
    /// Images without a name that it may use.
    pub images: Vec<Arc<Made>>,
}

impl Order {
    /// What the command line says.
    pub fn of(session: &Session, request: &BuildRequest, options: &BuildOptions) -> Result<Self, Failure> {
        let caches = caches::readers(session, &caches::flags(&options.cache_from)?)?;
        let (request, images) = (request.clone(), Vec::new());
        let (pull, jobs) = (options.pull, options.jobs);
        Ok(Self { request, shown: None, pull, jobs, made: None, taps: None, caches, images })
    }

    /// A build with nothing special about it.
    pub fn plain(request: BuildRequest) -> Self {
        let (caches, images) = (Vec::new(), Vec::new());
        Self { request, shown: None, pull: false, jobs: None, made: None, taps: None, caches, images }
    }
}

/// How many steps run at once: as many as processors where nothing is said, but two at least, for most of a step's time is
/// somebody else's.
pub fn steps_at_once(jobs: Option<NonZeroUsize>) -> usize {
    let processors = || available_parallelism().map_or(2, |processors| processors.get().max(2));
    jobs.map_or_else(processors, NonZeroUsize::get)
}

/// Runs a build, showing its progress. The image is in the store afterwards, but nobody sees it yet.
pub async fn run(
    session: &Session,
    store: &OpenStore,
    Order { request, shown, pull, jobs, made, taps, caches, images }: Order,
    progress: &Progress,
    cancel: CancellationToken,
) -> Result<BuildResult, Failure> {
    let source = request.dockerfile.clone();
    let rendered = |diagnostic: &Diagnostic| render(diagnostic, &source.name, &source.text, session.color);
    let (explained, together) = (Arc::default(), session.shared.as_ref().map(|shared| shared.together.clone()));
    let environment = BuildEnvironment {
        store: store.repositories.store().clone(),
        cache_dir: store.build_cache(),
        bases: Arc::new(Bases::new(session, store, pull).with(images)),
        caches,
        fetch: Arc::new(Fetcher(session.client_config()?)),
        events: show(progress, State { explained: Arc::clone(&explained), shown, made, ..State::default() }),
        taps,
        cancel,
        together: together.unwrap_or_else(|| Together::new(steps_at_once(jobs))),
    };
    let built = Box::pin(build(request, environment)).await;
    progress.close();
    for line in explained.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        progress.say(&line);
    }
    match built {
        Ok(result) => {
            let voice = session.voice();
            result.warnings.iter().for_each(|warning| voice.say(&rendered(warning)));
            if let Some(summary) = summary(&result.findings, &source.text, &session.palette.warning) {
                voice.say(&summary);
            }
            Ok(result)
        }
        Err(BuildError::Dockerfile(diagnostics)) => {
            let text: Vec<_> =
                diagnostics.iter().map(|diagnostic| rendered(diagnostic).trim_end().to_owned()).collect();
            Err(Failure::rendered(text.join("\n\n")))
        }
        Err(BuildError::Findings(findings)) => {
            let all = findings.iter().map(|finding| rendered(&finding.diagnostic(Level::Error)).trim_end().to_owned());
            let end = "these checks fail the build because of `error=true` in the `# check=` line".to_owned();
            let text: Vec<_> = all.chain([format!("error: {end}")]).collect();
            Err(Failure::rendered(text.join("\n\n")))
        }
        Err(BuildError::Ignore { path, text, diagnostic }) => {
            Err(Failure::rendered(render(&diagnostic, &path, &text, session.color).trim_end().to_owned()))
        }
        Err(BuildError::Cancelled) => Err(Failure::interrupted("the build was stopped")),
        Err(error) => Err(Failure::new("the build failed").because(error)),
    }
}

/// What the linter found, a line each.
fn summary(findings: &[Finding], source: &str, paint: &Paint) -> Option<String> {
    let mut text = match findings {
        [] => return None,
        [_] => paint.on("1 warning"),
        many => paint.on(&format!("{} warnings", many.len())),
    };
    text.push_str(" about the Dockerfile (`wharf build --check` shows the places):");
    for finding in findings {
        let line = *finding.span.lines(source).start();
        text.push_str(&format!("\n - {}: {} (line {line})", finding.rule.name, finding.detail));
    }
    Some(text)
}

/// Shows a build's events: each step is a task, and each base layer that is fetched.
fn show(progress: &Progress, state: State) -> Events {
    let (progress, state) = (progress.clone(), Mutex::new(state));
    Arc::new(move |event| state.lock().unwrap_or_else(PoisonError::into_inner).show(&progress, event))
}

/// What `--explain-cache` says at the end.
type Explained = Arc<Mutex<Vec<String>>>;

#[derive(Default)]
struct State {
    explained: Explained,
    shown: Option<String>,
    made: Option<UnboundedSender<Option<MadeLayer>>>,
    steps: Vec<StepInfo>,
    running: HashMap<usize, Task>,
    fetching: HashMap<Digest, (Task, Instant)>,
}

impl State {
    fn show(&mut self, progress: &Progress, event: BuildEvent) {
        match event {
            BuildEvent::Planned(steps) => self.steps = steps,
            BuildEvent::Warning(_) => {}
            BuildEvent::Waiting(step) => {
                let task = progress.start_named(self.label(step.0));
                let line = "another build is doing this: waiting for its result".to_owned();
                task.update(&Update::Output { stderr: true, line });
                self.running.insert(step.0, task);
            }
            BuildEvent::Started(step) => {
                let label = self.label(step.0);
                self.running.entry(step.0).or_insert_with(|| progress.start_named(label));
            }
            BuildEvent::Output { step, stream, line } => {
                if let Some(task) = self.running.get(&step.0) {
                    let stderr = stream == wharf_builder::Stream::Stderr;
                    task.update(&Update::Output { stderr, line });
                }
            }
            BuildEvent::Fetching { digest, done, total, .. } => {
                let begin = || (progress.start(format!("pull layer {}", digest.short())), Instant::now());
                let (task, started) = self.fetching.entry(digest).or_insert_with(begin);
                task.update(&Update::Bytes { done, total: Some(total) });
                if done >= total {
                    task.done(How::Done, started.elapsed());
                    self.fetching.remove(&digest);
                }
            }
            BuildEvent::Explained { step, verdict } => {
                let text = explain(&self.label(step.0), &verdict);
                self.explained.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            BuildEvent::Cached(step) => {
                let task = self.running.remove(&step.0).unwrap_or_else(|| progress.start_named(self.label(step.0)));
                task.done(How::Cached, Duration::ZERO);
            }
            BuildEvent::Stored(layer) => {
                if let Some(made) = &self.made {
                    // Nobody listens when nothing is to be sent any more.
                    let _ = made.send(Some(layer));
                }
            }
            BuildEvent::Done { step, took } => {
                if let Some(task) = self.running.remove(&step.0) {
                    task.done(How::Done, took);
                }
            }
            BuildEvent::Failed { step, .. } => {
                if let Some(task) = self.running.remove(&step.0) {
                    task.update(&Update::Failed { reason: "failed".to_owned() });
                }
            }
            BuildEvent::Cancelled(step) => {
                if let Some(task) = self.running.remove(&step.0) {
                    task.update(&Update::Cancelled);
                }
            }
        }
    }

    /// `[build 2/5] RUN make`, or `[linux/amd64 build 2/5] RUN make`, as Docker writes it.
    fn label(&self, step: usize) -> String {
        let Some(StepInfo { stage, number, of, text, .. }) = self.steps.iter().find(|info| info.id.0 == step) else {
            return format!("step {step}");
        };
        let place = format!("{number}/{of}");
        let words = [self.shown.as_deref().unwrap_or_default(), stage, &place];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        format!("[{}] {text}", words.join(" "))
    }
}

/// Reads a file that the user has named.
pub fn read_text(path: &Path, what: &str) -> Result<String, Failure> {
    std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("could not read {what} {}", path.display())).because(error))
}

/// `NAME=VALUE` pairs of a flag.
pub fn pairs(flag: &str, texts: &[String]) -> Result<BTreeMap<String, String>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        Some(_) | None => Err(Failure::usage(format!("{flag} {text}: write NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}
