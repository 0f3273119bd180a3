//! `wharf cache`: how much builds keep, and less of it.

use std::io;

use wharf_builder::{CacheUsage, Pruning, cache_usage, prune_cache};

use crate::args::CacheCommand;
use crate::failure::Failure;
use crate::output;
use crate::progress::size;
use crate::session::Session;
use crate::stores::OpenStore;

/// Prints how much there is, or how much went.
pub async fn run(session: &Session, command: &CacheCommand) -> Result<(), Failure> {
    let root = OpenStore::open(session).await?.build_cache();
    match command {
        CacheCommand::Du => {
            let usage = cache_usage(&root).map_err(unreadable)?;
            output::print(table(&usage).as_bytes())
        }
        CacheCommand::Prune { keep } => match prune_cache(&root, keep.0).map_err(unreadable)? {
            Pruning::Done(gone) => output::print(table(&gone).as_bytes()),
            Pruning::Busy => Err(Failure::new("a build is running, and uses the cache").hint("prune when it is done")),
        },
    }
}

/// Holds the limit of the configuration, if there is one and no other build runs.
pub fn keep_limit(session: &Session, store: &OpenStore) -> Result<(), Failure> {
    if let Some(limit) = session.config.build.cache_limit {
        // Whoever runs still holds it when he is done.
        let (Pruning::Busy | Pruning::Done(_)) = prune_cache(&store.build_cache(), limit.0).map_err(unreadable)?;
    }
    Ok(())
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new("the build cache cannot be looked through").because(error)
}

fn table(usage: &CacheUsage) -> String {
    let rows = [("unpacked layers", usage.layers), ("cache mounts", usage.mounts), ("notes", usage.notes)];
    let mut text = String::new();
    for (name, part) in rows {
        text.push_str(&format!("{name:<16} {:>6} {:>10}\n", part.count, size(part.size)));
    }
    text.push_str(&format!("{:<16} {:>6} {:>10}\n", "total", "", size(usage.total())));
    text
}
