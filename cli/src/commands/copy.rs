//! `wharf copy`: from anywhere to anywhere.

use wharf_client::transfer::{CopyOptions, Platforms};

use crate::args::Copy;
use crate::failure::Failure;
use crate::output;
use crate::places::{Place, transfer};
use crate::session::Session;
use crate::stores::OpenStore;
use crate::transfers;

/// Copies, and prints the digest.
pub async fn run(session: &Session, command: Copy) -> Result<(), Failure> {
    let (from, to): (Place, Place) = (command.source.parse()?, command.destination.parse()?);
    let store = OpenStore::open(session).await?;
    let platforms = command.platform.map_or(Platforms::All, |platform| Platforms::Only(vec![platform]));
    let options = CopyOptions { platforms, referrers: !command.no_referrers, ..CopyOptions::default() };
    let progress = session.progress()?;
    let copied = transfer(session, &store, (&from, &to), &options, &transfers::shown(&progress, "copy")).await;
    progress.close();
    let report = copied?;
    if !session.global.quiet {
        eprintln!("{}", transfers::summary(&report));
    }
    output::line(&report.root.digest.to_string())
}
