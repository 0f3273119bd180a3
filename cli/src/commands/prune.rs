//! `wharf prune`: the retention rules of the configuration, applied to the store, or said without doing it.

use std::io::Write as _;

use wharf_registry::repo::{Removal, Removed, Retention};

use crate::args::Prune;
use crate::failure::Failure;
use crate::names::shown;
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;

/// Prints what goes, one line each, and why.
pub async fn run(session: &Session, command: Prune) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let repositories = &store.repositories;
    if !repositories.policy().has_retention() {
        return Err(Failure::new("there is nothing to do: the configuration has no rule about what to delete")
            .hint("docs/versions.md shows [[rule]] with keep-last, keep-newer and delete-untagged"));
    }
    let retention = if command.dry_run { Retention::DryRun } else { Retention::Apply };
    let mut count = 0_usize;
    let mut failed = None;
    let mut report = |removal: Removal| {
        count += 1;
        if !session.global.quiet {
            let printed = output::line(&line(&removal, retention));
            failed = failed.take().or(printed.err());
        }
    };
    let done = repositories.retain(retention, &mut report).await;
    done.map_err(|error| Failure::new("retention stopped; what was said is done").because(error))?;
    if let Some(failure) = failed {
        return Err(failure);
    }
    if !session.global.quiet {
        let verb = if command.dry_run { "would go; nothing was changed" } else { "went" };
        let _ = writeln!(std::io::stderr(), "{count} {verb}");
    }
    Ok(())
}

fn line(removal: &Removal, retention: Retention) -> String {
    let name = shown(&removal.repository);
    let what = match &removal.what {
        Removed::Tag { tag, digest } => format!("tag {name}:{tag} ({})", digest.short()),
        Removed::Versions { tag, count: 1 } => format!("1 version of {name}:{tag}"),
        Removed::Versions { tag, count } => format!("{count} versions of {name}:{tag}"),
        Removed::History { tag } => format!("history of {name}:{tag}"),
        Removed::Manifest { digest } => format!("manifest {name}@{digest}"),
    };
    let verb = match retention {
        Retention::DryRun => "would delete",
        Retention::Apply => "deleted",
    };
    format!("{verb} {what}: {}", removal.why)
}
