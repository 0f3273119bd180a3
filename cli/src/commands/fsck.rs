//! `wharf fsck`: is everything in the store what it should be?

use std::time::Instant;

use serde::Serialize;
use wharf_registry::fsck::{Event, Fate, Finding, Mode, Report, check};

use crate::args::Fsck;
use crate::failure::Failure;
use crate::output;
use crate::progress::{How, Update, size};
use crate::session::Session;
use crate::stores::OpenStore;

/// What `--json` prints.
#[derive(Serialize)]
struct Shown<'a> {
    repair: bool,
    #[serde(flatten)]
    report: &'a Report,
}

/// Checks, and repairs what was asked to be repaired.
pub async fn run(session: &Session, command: Fsck) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let mode = if command.repair { Mode::Repair } else { Mode::Look };
    let progress = session.progress()?;
    let task = progress.start("check the store");
    let begun = Instant::now();
    let checked = check(&store.repositories, mode, &mut |event| match event {
        Event::Read(done) => task.update(&Update::Bytes { done, total: None }),
        Event::Found(finding) => task.update(&Update::Output { stderr: false, line: line(finding) }),
    })
    .await;
    let report = match checked {
        Ok(report) => report,
        Err(error) => {
            task.update(&Update::Failed { reason: "failed".to_owned() });
            progress.close();
            return Err(Failure::new("the store could not be checked").because(error));
        }
    };
    task.done(How::Done, begun.elapsed());
    progress.close();
    if command.json {
        output::json(&Shown { repair: command.repair, report: &report })?;
    } else {
        print(session, &report)?;
    }
    if report.is_in_order() {
        return Ok(());
    }
    let left = report.findings.iter().filter(|finding| !finding.fate.is_in_order()).count();
    let failure = Failure::damaged(format!("{left} thing{} in the store not in order", are(left)));
    Err(match mode {
        Mode::Look => failure.hint("`wharf fsck --repair` repairs what can be, and puts aside what is damaged"),
        Mode::Repair => failure.hint("push the images that are named again: that brings back what is missing"),
    })
}

fn are(number: usize) -> &'static str {
    if number == 1 { " is" } else { "s are" }
}

fn print(session: &Session, report: &Report) -> Result<(), Failure> {
    for finding in &report.findings {
        output::line(&line(finding))?;
    }
    if session.global.quiet {
        return Ok(());
    }
    let Report { records, blobs, bytes, manifests, .. } = report;
    output::line(&format!("checked {blobs} blobs ({}), {manifests} manifests, {records} records", size(*bytes)))
}

fn line(finding: &Finding) -> String {
    let fate = match finding.fate {
        Fate::Found => "found",
        Fate::Harmless => "harmless",
        Fate::Repaired => "repaired",
        Fate::Quarantined => "put aside",
        Fate::Left => "left",
    };
    format!("{fate}: {}: {}", finding.place, finding.problem)
}
