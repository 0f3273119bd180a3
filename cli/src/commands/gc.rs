//! `wharf gc`: deletes what no image in the store needs any more.

use std::time::Instant;

use serde::Serialize;
use wharf_registry::gc::{Collector, Event, Mode, Policy, Report};

use crate::args::Gc;
use crate::failure::Failure;
use crate::output;
use crate::progress::{How, Update, size};
use crate::session::Session;
use crate::stores::OpenStore;

/// What `--json` prints.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    dry_run: bool,
    #[serde(flatten)]
    report: Report,
}

/// Collects once.
pub async fn run(session: &Session, command: Gc) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let serve = crate::commands::serve::collection_policy(&session.config.serve);
    let policy = Policy {
        grace: command.grace.unwrap_or(serve.grace),
        mode: if command.dry_run { Mode::DryRun } else { Mode::Collect },
        pause: std::time::Duration::ZERO,
        ..serve
    };
    let progress = session.progress()?;
    let task = progress.start(if command.dry_run { "look for garbage" } else { "collect garbage" });
    let begun = Instant::now();
    let collected = Collector::new(store.repositories, policy)
        .run(&mut |event| match event {
            Event::Looked { bytes, .. } => task.update(&Update::Bytes { done: bytes, total: None }),
            Event::Freed { digest, bytes } => {
                let line = format!("{digest} ({})", size(bytes));
                task.update(&Update::Output { stderr: false, line });
            }
        })
        .await;
    let report = match collected {
        Ok(report) => report,
        Err(error) => {
            task.update(&Update::Failed { reason: "failed".to_owned() });
            progress.close();
            return Err(Failure::new("garbage could not be collected")
                .because(error)
                .hint("nothing that is needed was touched; `wharf fsck` says whether the store is in order"));
        }
    };
    task.done(How::Done, begun.elapsed());
    progress.close();
    if command.json {
        return output::json(&Shown { dry_run: command.dry_run, report });
    }
    if session.global.quiet {
        return Ok(());
    }
    output::print(said(&report, command.dry_run).as_bytes())
}

fn said(report: &Report, dry_run: bool) -> String {
    let count = |number: u64, what: &str| format!("{number} {what}{}", if number == 1 { "" } else { "s" });
    let verb = if dry_run { "would free" } else { "freed" };
    let mut things = count(report.blobs, "blob");
    for (number, what) in [(report.objects, "leftover file"), (report.uploads, "unfinished upload")] {
        if number > 0 {
            things.push_str(&format!(", {}", count(number, what)));
        }
    }
    let mut text = format!("{verb} {} ({things})\n", size(report.bytes));
    if report.waiting > 0 {
        text.push_str(&format!("{} to be looked at again: too young, or in use\n", count(report.waiting, "candidate")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_freed_reads_well() {
        let report = Report { blobs: 2, bytes: 1_540_000, ..Report::default() };
        assert_eq!(said(&report, false), "freed 1.5 MB (2 blobs)\n");
        let report = Report { uploads: 1, ..report };
        assert_eq!(said(&report, false), "freed 1.5 MB (2 blobs, 1 unfinished upload)\n");
        let report = Report { uploads: 0, objects: 1, waiting: 1, ..report };
        assert_eq!(
            said(&report, true),
            "would free 1.5 MB (2 blobs, 1 leftover file)\n1 candidate to be looked at again: too young, or in use\n"
        );
    }
}
