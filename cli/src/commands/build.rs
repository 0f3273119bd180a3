//! `wharf build`

use std::path::Path;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use wharf_builder::BuildResult;
use wharf_spec::{ManifestView, Reference};

use crate::args::Build;
use crate::builds::{self, Order};
use crate::caches::{CacheFlag, flags, send};
use crate::commands::cache::keep_limit;
use crate::commands::push::push;
use crate::commands::serve::stop_signal;
use crate::eager::Eager;
use crate::failure::Failure;
use crate::output;
use crate::outputs::{Output, write};
use crate::progress::Progress;
use crate::publish::publish;
use crate::questions;
use crate::requests::prepare;
use crate::session::Session;
use crate::stores::OpenStore;

/// Builds, publishes in the store, writes and pushes what was asked for, and prints the image's digest.
pub async fn run(session: &Session, command: Build) -> Result<(), Failure> {
    let outputs = command.outputs.iter().map(|text| text.parse()).collect::<Result<Vec<Output>, _>>()?;
    let tags = &command.options.tags;
    if command.push && tags.iter().all(|tag| tag.host.is_none()) {
        return Err(Failure::usage("--push needs a name with a registry").hint("-t REGISTRY/NAME:TAG"));
    }
    let caches = flags(&command.options.cache_to)?;
    let store = OpenStore::open(session).await?;
    let call = command.asked();
    if let Some(question) = call.question {
        let prepared = prepare(session, &command.options, &command.context, &store.scratch()?).await?;
        return questions::answer(session, &store, (question, call), &prepared.request, command.options.pull).await;
    }
    let prepared = prepare(session, &command.options, &command.context, &store.scratch()?).await?;
    let progress = session.progress()?;
    let cancel = cancel_on_signal()?;
    let eager = if command.push { Some(Eager::start(session, &store, tags)?) } else { None };
    let made = eager.as_ref().map(Eager::layers);
    let order = Order { made, ..Order::of(session, &prepared.request, &command.options)? };
    let result = builds::run(session, &store, order, &progress, cancel.clone()).await?;
    if let Some(eager) = eager {
        tokio::select! {
            () = eager.finish() => {}
            () = cancel.cancelled() => {}
        }
    }
    tokio::select! {
        given = give(session, &store, &command, (&outputs, &caches), &result) => given?,
        () = cancel.cancelled() => {
            return Err(Failure::interrupted("the image was built, but giving it out was stopped"));
        }
    }
    keep_limit(session, &store)?;
    record(&command, &result)?;
    report(session, tags, &result);
    if outputs.iter().any(Output::takes_stdout) {
        return Ok(());
    }
    output::line(&result.image.digest().to_string())
}

/// Names the image in the store, writes it to files, and pushes it.
async fn give(
    session: &Session,
    store: &OpenStore,
    command: &Build,
    (outputs, caches): (&[Output], &[CacheFlag]),
    result: &BuildResult,
) -> Result<(), Failure> {
    let tags = &command.options.tags;
    for tag in tags {
        publish(store, &result.image, tag).await?;
    }
    for output in outputs {
        write(store, result, output).await?;
    }
    if command.push {
        let progress: Progress = session.progress()?;
        for tag in tags.iter().filter(|tag| tag.host.is_some()) {
            push(session, store, (tag, tag), &progress).await?;
        }
        progress.close();
    }
    if !caches.is_empty() {
        let progress: Progress = session.progress()?;
        let sent = send(session, store, (caches, result), &progress).await;
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

fn report(session: &Session, tags: &[Reference], result: &BuildResult) {
    if session.global.quiet {
        return;
    }
    for tag in tags {
        eprintln!("built {}", tag.clone().with_tag(tag.tag_or_latest().unwrap_or_else(wharf_spec::Tag::latest)));
    }
    if tags.is_empty() {
        eprintln!("built {} (no name: give one with -t)", result.image.digest().short());
    }
}

/// `--iidfile` and `--metadata-file`, in Docker's words.
fn record(command: &Build, result: &BuildResult) -> Result<(), Failure> {
    let save = |path: &Path, text: String| {
        std::fs::write(path, text)
            .map_err(|error| Failure::new(format!("could not write {}", path.display())).because(error))
    };
    if let Some(path) = &command.iidfile {
        save(path, result.image.digest().to_string())?;
    }
    if let Some(path) = &command.metadata_file {
        let config = match result.image.view() {
            ManifestView::Manifest(manifest) => Some(manifest.config.digest),
            ManifestView::Index(_) => None,
        };
        let names: Vec<_> = command.options.tags.iter().map(ToString::to_string).collect();
        let metadata = json!({
            "containerimage.digest": result.image.digest(),
            "containerimage.config.digest": config,
            "containerimage.descriptor": result.image.descriptor(),
            "image.name": names.join(","),
        });
        save(path, format!("{metadata:#}\n"))?;
    }
    Ok(())
}
