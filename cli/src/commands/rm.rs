//! `wharf rm`: a tag, or a manifest with all its tags, in the store or, for names with a host that the store does not
//! have, at the registry.

use wharf_client::transfer::Target;
use wharf_registry::repo::Error as RepoError;
use wharf_spec::Reference;

use crate::args::Rm;
use crate::failure::Failure;
use crate::images::BY;
use crate::names::{candidates, store_name};
use crate::output;
use crate::session::Session;
use crate::stores::OpenStore;

/// Removes every image that is named, and stops at the first that cannot be.
pub async fn run(session: &Session, command: Rm) -> Result<(), Failure> {
    let store = OpenStore::open(session).await?;
    for reference in &command.images {
        if !remove_local(&store, reference).await? {
            remove_remote(session, &store, reference).await?;
        }
        if !session.global.quiet {
            output::line(&format!("removed {reference}"))?;
        }
    }
    Ok(())
}

async fn remove_local(store: &OpenStore, reference: &Reference) -> Result<bool, Failure> {
    for candidate in candidates(reference) {
        let Some(name) = store_name(&candidate) else { continue };
        let removed = match Target::from(&candidate) {
            Target::Tag(tag) => store.repositories.delete_tag(&name, &tag, BY).await,
            Target::Digest(digest) => store.repositories.delete_manifest(&name, &digest, BY).await,
        };
        match removed {
            Ok(()) => return Ok(true),
            Err(RepoError::UnknownManifest { .. } | RepoError::UnknownRepository(_)) => {}
            Err(error) => return Err(Failure::new(format!("could not remove {reference}")).because(error)),
        }
    }
    Ok(false)
}

/// Only when a registry is named: `wharf rm debian` must never reach out to the hub.
async fn remove_remote(session: &Session, store: &OpenStore, reference: &Reference) -> Result<(), Failure> {
    if reference.host.is_none() {
        return Err(Failure::new(format!("{reference} is not in the store {}", store.place))
            .hint("`wharf images` lists what is"));
    }
    let image = session.remote(reference)?;
    match image.repository.delete_manifest(&image.target).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(Failure::new(format!("{reference} is neither in the store nor at the registry"))),
        Err(error) => Err(Failure::new(format!("could not remove {reference}")).because(error)),
    }
}
