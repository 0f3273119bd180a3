//! Building the targets of a bake file. Those that do not need each other are built at once; what they have in common is
//! built once, and together they do no more at once than one build would. One that fails ends the others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use wharf_builder::ImageName;

use crate::args::Bake;
use crate::bake::{Piece, Target};
use crate::builds::steps_at_once;
use crate::commands::build::{Done, Extra, Job, cancel_on_signal, save};
use crate::failure::Failure;
use crate::output;
use crate::publish::Made;
use crate::requests::Given;
use crate::session::{Session, Shared};
use crate::stores::OpenStore;

/// A target that is to be built.
struct Work<'t> {
    target: &'t Target,
    job: Job,
    given: Given,
    /// Named contexts that are results of other targets.
    needs: BTreeMap<String, String>,
}

/// How a target's build ended.
type Outcome<'t> = (Work<'t>, Result<Option<Done>, Failure>);

/// What is there so far.
#[derive(Default)]
struct Results<'t> {
    made: BTreeMap<&'t str, Arc<Made>>,
    /// Also those that were only asked a question.
    ended: BTreeSet<&'t str>,
    metadata: Map<String, Value>,
}

/// What came of all of them.
struct Built {
    /// What is told of each, by name.
    metadata: Map<String, Value>,
    /// Whether checks found something.
    findings: bool,
}

/// Builds them all.
pub async fn build(session: &Session, command: &Bake, pieces: Vec<(&Target, Piece)>) -> Result<(), Failure> {
    let shared = if pieces.len() > 1 { Some(Shared::new(session, command.jobs)?) } else { None };
    let mut works = Vec::new();
    for (target, Piece { command, file, dockerfile, needs }) in pieces {
        let session = match &shared {
            Some(shared) => session.sharing(shared.of(&target.name)),
            None => session.clone(),
        };
        let job = Job::of(&session, command).map_err(|failure| of(target, failure))?;
        let given = Given { dockerfile, file, images: BTreeMap::new() };
        works.push(Work { target, job, given, needs });
    }
    // What goes to standard output must not mix.
    let alone = works.iter().any(|work| work.job.asks() || work.job.takes_stdout());
    let at_once = if alone { 1 } else { steps_at_once(command.jobs) };
    let (store, cancel) = (OpenStore::open(session).await?, cancel_on_signal()?);
    let built = build_all(session, &store, works, (at_once, cancel)).await;
    if let Some(shared) = &shared {
        shared.progress.close();
    }
    let Built { metadata, findings } = built?;
    if let Some(path) = &command.metadata_file {
        save(path, format!("{:#}\n", Value::Object(metadata)))?;
    }
    if findings { Err(Failure::silent()) } else { Ok(()) }
}

fn of(target: &Target, failure: Failure) -> Failure {
    failure.of(&format!("target {}", target.name))
}

/// Builds what waits for nothing, as long as there is something.
async fn build_all(
    session: &Session,
    store: &OpenStore,
    mut waiting: Vec<Work<'_>>,
    (at_once, cancel): (usize, CancellationToken),
) -> Result<Built, Failure> {
    let several = waiting.len() > 1;
    let (mut results, mut building, mut failed) = (Results::default(), FuturesUnordered::new(), None);
    let mut findings = false;
    loop {
        while building.len() < at_once
            && failed.is_none()
            && let Some(next) = waiting.iter().position(|work| results.have_all(&work.needs))
        {
            let mut work = waiting.remove(next);
            let extra = results.extra(&mut work, several);
            building.push(Box::pin(one(store, work, extra, cancel.clone())));
        }
        let Some((work, outcome)) = building.next().await else { break };
        results.ended.insert(&work.target.name);
        match outcome {
            Ok(Some(done)) => results.add(session, store, &work, done),
            Ok(None) => {}
            // A check that found something has said so; the others have their say, too.
            Err(failure) if work.job.asks() && failure.is_silent() => findings = true,
            Err(failure) => {
                // Of the others, which end now, it would be said that they were stopped.
                failed.get_or_insert_with(|| of(work.target, failure));
                cancel.cancel();
            }
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None => Ok(Built { metadata: results.metadata, findings }),
    }
}

async fn one<'t>(store: &OpenStore, work: Work<'t>, extra: Extra, cancel: CancellationToken) -> Outcome<'t> {
    if extra.shown.is_some()
        && work.job.asks()
        && let Err(failure) = output::line(&format!("{}:", work.target.name))
    {
        return (work, Err(failure));
    }
    let outcome = work.job.run(store, extra, cancel).await;
    (work, outcome)
}

impl<'t> Results<'t> {
    fn have_all(&self, needs: &BTreeMap<String, String>) -> bool {
        needs.values().all(|other| self.ended.contains(other.as_str()))
    }

    /// What a target's build gets of the others.
    fn extra(&self, work: &mut Work<'t>, several: bool) -> Extra {
        let (mut given, mut images) = (std::mem::take(&mut work.given), Vec::new());
        for (context, other) in &work.needs {
            // Nothing is there where the other was only asked a question.
            let Some(image) = self.made.get(other.as_str()) else { continue };
            let name = ImageName::Made { shown: format!("target {other}"), digest: image.digest() };
            given.images.insert(context.clone(), name);
            images.push(Arc::clone(image));
        }
        Extra { given, images, shown: several.then(|| work.target.name.clone()) }
    }

    fn add(&mut self, session: &Session, store: &OpenStore, work: &Work<'t>, Done { built, metadata }: Done) {
        let name = work.target.name.as_str();
        if !session.global.quiet && !work.target.linked {
            let names: Vec<_> = work.job.names().iter().map(ToString::to_string).collect();
            let known = if names.is_empty() { String::new() } else { format!(" as {}", names.join(", ")) };
            work.job.say(&format!("built target {name}: {}{known}", built.root.digest().short()));
        }
        self.made.insert(name, Arc::new(Made::of(store, &built)));
        self.metadata.insert(name.to_owned(), metadata);
    }
}
