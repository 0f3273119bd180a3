//! `wharf push`: from the store to a registry.

use wharf_client::transfer::{CopyOptions, ImageSource, Target, copy};
use wharf_spec::Reference;

use crate::args::Push;
use crate::built::Built;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;
use crate::publish::{Based, Made};
use crate::session::Session;
use crate::stores::OpenStore;
use crate::transfers;

/// Pushes, and prints the digest reference.
pub async fn run(session: &Session, command: Push) -> Result<(), Failure> {
    let destination = match command.destination {
        Some(destination) if destination.host.is_none() => {
            return Err(Failure::usage(format!("{destination} names no registry")).hint(format!(
                "to give an image in the store another name: wharf tag {} {destination}",
                command.image
            )));
        }
        Some(destination) => destination,
        None if command.image.host.is_none() => {
            return Err(Failure::usage(format!("{} names no registry to push to", command.image))
                .hint(format!("wharf push {} REGISTRY/{}", command.image, command.image))
                .hint("`wharf serve` serves the store as it is: then there is nothing to push"));
        }
        None => command.image.clone(),
    };
    let store = OpenStore::open(session).await?;
    let progress = session.progress()?;
    let pushed = push(session, &store, (&command.image, &destination), &progress).await?;
    progress.close();
    output::line(&pushed)
}

/// Pushes an image of the store; returns its name by digest.
async fn push(
    session: &Session,
    store: &OpenStore,
    (image, destination): (&Reference, &Reference),
    progress: &Progress,
) -> Result<String, Failure> {
    let local = store.require(image).await?;
    let (source, target) = (store.place(&local.name), Target::Digest(local.manifest.digest()));
    Ok(send(session, (&source, &target), destination, progress).await?.to_string())
}

/// Pushes what was just built, whether or not it has the name in the store.
pub async fn push_built(
    session: &Session,
    store: &OpenStore,
    (built, destination): (&Built, &Reference),
    (stored, progress): (bool, &Progress),
) -> Result<(), Failure> {
    let target = Target::Digest(built.root.digest());
    let sent = if stored {
        let local = store.require(destination).await?;
        send(session, (&Based::new(store.place(&local.name), built), &target), destination, progress).await
    } else {
        send(session, (&Based::new(Made::of(store, built), built), &target), destination, progress).await
    };
    sent.map(drop)
}

/// Sends an image and what refers to it (a signature that stays behind is no signature); returns its name by digest there.
async fn send(
    session: &Session,
    (source, target): (&dyn ImageSource, &Target),
    destination: &Reference,
    progress: &Progress,
) -> Result<Reference, Failure> {
    let remote = session.remote(destination)?;
    let tag = destination.tag_or_latest();
    let options = CopyOptions { referrers: true, ..CopyOptions::default() };
    let events = transfers::shown(progress, "push");
    let report = copy((source, target), (&remote.repository, tag.as_ref()), &options, &events).await;
    let report = report.map_err(|error| {
        progress.close();
        Failure::new(format!("could not push to {destination}")).because(error)
    })?;
    Ok(remote.reference.with_digest(report.root.digest))
}
