//! `wharf build`

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wharf_builder::BuildRequest;
use wharf_builder::attest::{PROVENANCE_PREFIX, Statement};
use wharf_spec::Reference;

use crate::annotations::Annotations;
use crate::args::{Build, Question};
use crate::attestations::{self, Wanted};
use crate::builds::Order;
use crate::built::{Built, Plan, build_all};
use crate::caches::send;
use crate::commands::cache::keep_limit;
use crate::commands::push::push_built;
use crate::commands::serve::stop_signal;
use crate::destinations::{Destinations, Pushed};
use crate::eager::Eager;
use crate::engine::{Loaded, load};
use crate::failure::Failure;
use crate::output;
use crate::outputs::{Output, write};
use crate::progress::Progress;
use crate::publish::{Made, publish_built};
use crate::questions::{self, Answer, Asked};
use crate::requests::{Given, prepare};
use crate::session::Session;
use crate::stores::OpenStore;

/// Builds, publishes in the store, writes and pushes what was asked for, and prints the image's digest.
pub async fn run(session: &Session, command: Build) -> Result<(), Failure> {
    let job = Job::of(session, command)?;
    let store = OpenStore::open(session).await?;
    let Some(done) = job.run(&store, Extra::default(), cancel_on_signal()?).await? else { return Ok(()) };
    job.record(&done)?;
    job.report(&done.built);
    if job.takes_stdout() {
        return Ok(());
    }
    output::line(&done.built.root.digest().to_string())
}

/// A build that makes sense, as far as its flags go.
pub struct Job {
    session: Session,
    command: Build,
    destinations: Destinations,
    wanted: Wanted,
    annotations: Annotations,
}

/// What a build has that no flag says.
#[derive(Default)]
pub struct Extra {
    /// What it is made of.
    pub given: Given,
    /// Images without a name that it may use.
    pub images: Vec<Arc<Made>>,
    /// What is shown before each step's place.
    pub shown: Option<String>,
}

/// What came of it.
pub struct Done {
    /// The image.
    pub built: Built,
    /// What `--metadata-file` says, in Docker's words.
    pub metadata: Value,
}

impl Job {
    /// Looks at the flags.
    pub fn of(session: &Session, mut command: Build) -> Result<Self, Failure> {
        let destinations = Destinations::of(session, &mut command)?;
        let session = session.trusting(destinations.insecure.iter().cloned());
        let wanted = attestations::wanted(&command)?;
        let annotations = Annotations::parse(&command.options.annotations)?;
        Ok(Self { session, command, destinations, wanted, annotations })
    }

    /// Builds and gives out, or answers what was asked instead.
    pub async fn run(
        &self,
        store: &OpenStore,
        Extra { given, images, shown }: Extra,
        cancel: CancellationToken,
    ) -> Result<Option<Done>, Failure> {
        let Self { session, command, destinations, wanted, annotations } = self;
        let scratch = store.scratch()?;
        let mut prepared = tokio::select! {
            prepared = prepare(session, &command.options, &command.context, &scratch, given) => prepared?,
            () = cancel.cancelled() => return Err(Failure::interrupted("the build was stopped")),
        };
        if let Some(asked) = self.asked(&prepared.request) {
            return questions::answer(session, store, &asked).await.map(|()| None);
        }
        prepared.request.generator.clone_from(&wanted.generator);
        let (platforms, names) = (&command.options.platforms, destinations.all_names());
        let plan = Plan {
            platforms,
            annotations,
            provenance: wanted.provenance.as_ref(),
            form: &destinations.form,
            names: &names,
        };
        let requests = plan.requests(&prepared.request);
        if requests.len() > 1 && destinations.engine.is_some() {
            return Err(Failure::usage("--load takes an image for one platform")
                .hint("push images for several: --push, or -o type=oci,dest=image.tar"));
        }
        let places: Vec<_> = destinations.pushed.iter().map(|pushed| pushed.name.clone()).collect();
        let early = !places.is_empty() && !destinations.form.force;
        let eager = if early { Some(Eager::start(session, store, &places)?) } else { None };
        let order = |request| {
            let (made, taps) = (eager.as_ref().map(Eager::layers), eager.as_ref().and_then(Eager::taps));
            let (shown, images) = (shown.clone(), images.clone());
            let order = Order { shown, made, taps, images, ..Order::of(session, &request, &command.options)? };
            Ok((order, cancel.clone()))
        };
        let built = build_all(session, store, &plan, requests, &order).await?;
        if let Some(eager) = eager {
            tokio::select! {
                () = eager.finish() => {}
                () = cancel.cancelled() => {}
            }
        }
        tokio::select! {
            given = give(session, store, destinations, &built) => given?,
            () = cancel.cancelled() => {
                return Err(Failure::interrupted("the image was built, but giving it out was stopped"));
            }
        }
        keep_limit(session, store)?;
        let metadata = metadata(destinations, &built);
        Ok(Some(Done { built, metadata }))
    }

    /// Answers what was asked, for whoever prints it; nothing if nothing was asked.
    pub async fn ask(&self, store: &OpenStore, given: Given) -> Result<Option<(Question, Answer)>, Failure> {
        let Self { session, command, .. } = self;
        let prepared = prepare(session, &command.options, &command.context, &store.scratch()?, given).await?;
        let Some(asked) = self.asked(&prepared.request) else { return Ok(None) };
        questions::json_answer(session, store, &asked).await.map(|answer| Some((asked.question, answer)))
    }

    fn asked<'a>(&self, request: &'a BuildRequest) -> Option<Asked<'a>> {
        let call = self.command.asked();
        let pull = self.command.options.pull;
        call.question.map(|question| Asked { question, call, request, pull })
    }

    /// Whether it asks a question, and builds nothing.
    pub fn asks(&self) -> bool {
        self.command.asked().question.is_some()
    }

    /// Whether an output takes standard output.
    pub fn takes_stdout(&self) -> bool {
        self.destinations.outputs.iter().any(Output::takes_stdout)
    }

    /// Says something about it.
    pub fn say(&self, line: &str) {
        self.session.voice().say(line);
    }

    /// What the image is called in the store.
    pub fn names(&self) -> &[Reference] {
        &self.destinations.names
    }

    /// Says what was built.
    fn report(&self, built: &Built) {
        let tags = &self.destinations.names;
        if self.session.global.quiet {
            return;
        }
        for tag in tags {
            eprintln!("built {}", tag.clone().with_tag(tag.tag_or_latest().unwrap_or_else(wharf_spec::Tag::latest)));
        }
        if tags.is_empty() {
            eprintln!("built {} (no name: give one with -t)", built.root.digest().short());
        }
    }

    /// `--iidfile` and `--metadata-file`.
    fn record(&self, done: &Done) -> Result<(), Failure> {
        if let Some(path) = &self.command.iidfile {
            save(path, done.built.root.digest().to_string())?;
        }
        if let Some(path) = &self.command.metadata_file {
            save(path, format!("{:#}\n", done.metadata))?;
        }
        Ok(())
    }
}

/// Names the image in the store, writes it to files, loads and pushes it.
async fn give(session: &Session, store: &OpenStore, destinations: &Destinations, built: &Built) -> Result<(), Failure> {
    let Destinations { outputs, caches, names, untagged, pushed, .. } = destinations;
    for name in names {
        publish_built(store, built, name).await?;
    }
    for name in untagged {
        publish_built(store, built, &name.with_digest(built.root.digest())).await?;
    }
    for output in outputs {
        write(store, built, output).await?;
    }
    if let Some(address) = &destinations.engine {
        let loaded = load(store, built, names, address).await?;
        let how = if loaded == Loaded::There { "had it already" } else { "loaded it" };
        session.voice().say(&format!("the engine at {address} {how}"));
    }
    if !pushed.is_empty() {
        let progress: Progress = session.progress()?;
        for Pushed { name, tagged, stored } in pushed {
            let name = if *tagged { name.clone() } else { name.with_digest(built.root.digest()) };
            push_built(session, store, (built, &name), (*stored, &progress)).await?;
        }
        progress.close();
    }
    if !caches.is_empty() {
        let progress: Progress = session.progress()?;
        let sent = send(session, store, (caches, built), &progress).await;
        progress.close();
        sent?;
    }
    Ok(())
}

/// Tells the build to stop when the process is told to.
pub fn cancel_on_signal() -> Result<CancellationToken, Failure> {
    let (cancel, stop) = (CancellationToken::new(), stop_signal()?);
    let token = cancel.clone();
    tokio::spawn(async move {
        stop.await;
        token.cancel();
    });
    Ok(cancel)
}

/// Writes a file that the user has named.
pub fn save(path: &Path, text: String) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(format!("could not write {}", path.display())).because(error))
}

fn is_provenance(statement: &Statement) -> bool {
    statement.told["predicateType"].as_str().is_some_and(|kind| kind.starts_with(PROVENANCE_PREFIX))
}

/// What was built, in Docker's words.
fn metadata(destinations: &Destinations, built: &Built) -> Value {
    let untagged = destinations.untagged.iter().map(|name| name.with_digest(built.root.digest()).to_string());
    let names: Vec<_> = destinations.names.iter().map(ToString::to_string).chain(untagged).collect();
    let mut metadata = json!({
        "containerimage.digest": built.root.digest(),
        "containerimage.config.digest": built.config(),
        "containerimage.descriptor": built.root.descriptor(),
        "image.name": names.join(","),
    });
    for part in &built.parts {
        let provenance = part.statements.iter().find(|statement| is_provenance(statement));
        let Some(provenance) = provenance else { continue };
        let key = match built.parts.len() {
            1 => "buildx.build.provenance".to_owned(),
            _ => format!("buildx.build.provenance/{}", part.request.platform),
        };
        metadata[key] = provenance.told["predicate"].clone();
    }
    metadata
}
