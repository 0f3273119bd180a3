//! `wharf bake --call=METHOD,format=json`: what is asked of all targets, in one object, as Docker prints it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::args::Question;
use crate::bake::{Ordered, Piece, Selection, Target};
use crate::commands::build::Job;
use crate::failure::Failure;
use crate::output;
use crate::requests::Given;
use crate::session::Session;
use crate::stores::OpenStore;

/// Prints the definition, with the answer beside each target.
pub async fn answer(session: &Session, selection: &Selection, pieces: Vec<(&Target, Piece)>) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    let (mut answers, mut bad) = (BTreeMap::new(), false);
    for (target, piece) in pieces {
        let wrong = |failure: Failure| failure.of(&format!("target {}", target.name));
        let job = Job::of(session, piece.command).map_err(wrong)?;
        // Other targets are not built, so nothing can be said of what a context that is one holds.
        let given = Given { dockerfile: piece.dockerfile, file: piece.file, images: BTreeMap::new() };
        let Some((question, mut answer)) = job.ask(&store, given).await.map_err(wrong)? else { continue };
        if let Some(error) = answer.error {
            answer.value["error"] = json!(error);
        }
        bad |= answer.bad;
        answers.insert(target.name.clone(), (word(question), answer.value));
    }
    let shown = selection.json_with(|target| {
        let mut members = vec![("build".to_owned(), target.json())];
        if let Some((word, answer)) = answers.remove(&target.name) {
            members.push((word.to_owned(), Ordered::Leaf(answer)));
        }
        Ordered::Map(members)
    });
    output::line(&shown.pretty())?;
    if bad { Err(Failure::silent()) } else { Ok(()) }
}

fn word(question: Question) -> &'static str {
    match question {
        Question::Check => "check",
        Question::Outline => "outline",
        Question::Targets => "targets",
    }
}
