//! `wharf pull`: from a registry into the store.

use wharf_client::transfer::{CopyOptions, Platforms, copy};

use crate::args::Pull;
use crate::failure::Failure;
use crate::images::destination;
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;
use crate::transfers;

/// Pulls, and prints the digest reference.
pub async fn run(session: &Session, command: Pull) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let remote = session.remote(&command.image)?;
    let name = command.name.as_ref().unwrap_or(&remote.reference);
    let sink = store.place(&destination(name)?);
    let tag = name.tag_or_latest();
    let platforms = command.platform.map_or(Platforms::All, |platform| Platforms::Only(vec![platform]));
    let options = CopyOptions { platforms, referrers: true, ..CopyOptions::default() };
    let progress = session.progress()?;
    let events = transfers::shown(&progress, "pull");
    let report = copy((&remote.repository, &remote.target), (&sink, tag.as_ref()), &options, &events).await;
    progress.close();
    let report = report.map_err(|error| Failure::new(format!("could not pull {}", remote.reference)).because(error))?;
    output::line(&name.with_digest(report.root.digest).to_string())
}
