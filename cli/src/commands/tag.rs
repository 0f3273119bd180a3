//! `wharf tag`: another name for an image in the store.

use wharf_client::transfer::{CopyOptions, Target, copy, ignore_events};

use crate::args::Tag;
use crate::failure::Failure;
use crate::images::destination;
use crate::session::Session;
use crate::stores::OpenStore;

/// Copies within the store: nothing but records is written.
pub async fn run(session: &Session, command: Tag) -> Result<(), Failure> {
    if command.name.digest.is_some() {
        return Err(Failure::usage(format!("{} ends in a digest: a new name ends in a tag", command.name)));
    }
    let store = OpenStore::open(session).await?;
    let image = store.require(&command.image).await?;
    let (source, sink) = (store.place(&image.name), store.place(&destination(&command.name)?));
    let target = Target::Digest(image.manifest.digest());
    let tag = command.name.tag_or_latest();
    copy((&source, &target), (&sink, tag.as_ref()), &CopyOptions::default(), &ignore_events())
        .await
        .map_err(|error| Failure::new(format!("could not tag {} as {}", command.image, command.name)).because(error))?;
    Ok(())
}
