//! `wharf migrate`: everything of another registry. Can be told again and again: what is there is not moved twice.

use futures_util::{StreamExt as _, stream};
use wharf_client::registry::Client;
use wharf_client::transfer::{CopyOptions, copy, ignore_events};
use wharf_spec::RepositoryName;

use crate::args::Migrate;
use crate::failure::Failure;
use crate::migration::{Destination, Image, Repository, Selection, Source};
use crate::output;
use crate::progress::size;
use crate::session::Session;

/// Blobs of one image at once.
const BLOBS: usize = 2;

/// What was moved.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    images: usize,
    blobs: usize,
    bytes: u64,
    failed: usize,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.images += other.images;
        self.blobs += other.blobs;
        self.bytes += other.bytes;
        self.failed += other.failed;
    }
}

/// Moves repository after repository, images of each at once. What cannot be moved is said, and the rest goes on.
pub async fn run(session: &Session, command: Migrate) -> Result<(), Failure> {
    let source: Source = command.source.parse()?;
    let destination = Destination::open(session, command.destination.as_deref()).await?;
    let client = session.client()?;
    let names = source.repositories(session, &Selection::new(&command.repositories)).await?;
    let jobs = usize::from(command.jobs.get());
    let mut sum = Sum::default();
    for name in &names {
        let moved = repository(session, (&source, &client), (&destination, name), jobs).await;
        sum.add(moved.unwrap_or_else(|failure| {
            say(session, &failure.to_string());
            Sum { failed: 1, ..Sum::default() }
        }));
    }
    say(session, &format!("{} repositories: {}", names.len(), words(sum)));
    if sum.failed > 0 {
        return Err(Failure::new(format!("{} could not be moved", sum.failed))
            .hint("the same command again moves only what is missing"));
    }
    Ok(())
}

async fn repository(
    session: &Session,
    (source, client): (&Source, &Client),
    (destination, name): (&Destination, &RepositoryName),
    jobs: usize,
) -> Result<Sum, Failure> {
    let from = source.open(session, client, name).await?;
    let to = destination.repository(name);
    let moved = stream::iter(&from.images).map(|moved| image(session, &from, moved, &*to)).buffer_unordered(jobs);
    let sum = moved.fold(Sum::default(), |mut sum, moved| {
        sum.add(moved);
        std::future::ready(sum)
    });
    let sum = sum.await;
    if !session.global.quiet {
        output::line(&format!("{name}: {}", words(sum)))?;
    }
    Ok(sum)
}

/// Every byte is hashed on its way, and the tag is set when all that the image names is there.
async fn image(
    session: &Session,
    from: &Repository,
    (target, tag): &Image,
    to: &dyn wharf_client::transfer::ImageSink,
) -> Sum {
    let options = CopyOptions { referrers: true, jobs: BLOBS, ..CopyOptions::default() };
    match copy((&*from.source, target), (to, tag.as_ref()), &options, &ignore_events()).await {
        Ok(report) => Sum { images: 1, blobs: report.copied, bytes: report.copied_bytes, failed: 0 },
        Err(error) => {
            let what = Failure::new(format!("could not move {}:{target}", from.name)).because(error);
            say(session, &what.to_string());
            Sum { failed: 1, ..Sum::default() }
        }
    }
}

fn words(sum: Sum) -> String {
    let mut text = format!("{} images, {} blobs copied ({})", sum.images, sum.blobs, size(sum.bytes));
    if sum.failed > 0 {
        text.push_str(&format!(", {} failed", sum.failed));
    }
    text
}

/// Notes and problems; the latter also when quiet.
fn say(session: &Session, text: &str) {
    if !session.global.quiet || text.starts_with("error") {
        eprintln!("{}", text.trim_end());
    }
}
