//! `--cache-to`: what a build made goes to a place, unless it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use wharf_builder::StepLayer;
use wharf_builder::shared::{EMPTY_CONFIG, read_step, step_manifest, step_tag};
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{CopyOptions, Error as TransferError, Target, copy};
use wharf_spec::{Digest, Tag};

use super::flag::{CacheFlag, CacheMode, CachePlace, Mounts, OnError};
use super::places::{self, Place, unusable};
use super::reader::outside_of_actions;
use crate::built::Built;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::publish::Made;
use crate::session::Session;
use crate::stores::OpenStore;
use crate::transfers;

/// Entries on their way at once, where nobody says.
const AT_ONCE: usize = 4;

/// How long the cache of GitHub Actions may take, where nobody says.
const GHA_PATIENCE: Duration = Duration::from_mins(10);

/// Sends results to the places of `--cache-to`.
pub async fn send(
    session: &Session,
    store: &OpenStore,
    (flags, built): (&[CacheFlag], &Built),
    progress: &Progress,
) -> Result<(), Failure> {
    for flag in flags {
        match (send_to_one(session, store, (flag, built), progress).await, flag.on_error) {
            (Ok(()), _) => {}
            (Err(failure), OnError::Fail) => return Err(failure),
            (Err(failure), OnError::Warn) => {
                let text = failure.render(false);
                let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
                session.voice().say(&format!("warning: {text}"));
            }
        }
    }
    Ok(())
}

/// What of a build goes to a place.
fn made(flag: &CacheFlag, built: &Built) -> Vec<StepLayer> {
    let mut all = Vec::new();
    for part in &built.parts {
        let result = &part.result;
        let count = match flag.mode {
            CacheMode::Min => result.made_for_target,
            CacheMode::Max => result.made.len(),
        };
        all.extend_from_slice(&result.made[..count]);
        match flag.mounts {
            Mounts::Shared => all.extend_from_slice(&result.mounts),
            Mounts::Own => {}
        }
    }
    // Platforms share what does not depend on them.
    let mut seen = BTreeSet::new();
    all.retain(|step| seen.insert(step.key.clone()));
    all
}

async fn send_to_one(
    session: &Session,
    store: &OpenStore,
    (flag, built): (&CacheFlag, &Built),
    progress: &Progress,
) -> Result<(), Failure> {
    let made = made(flag, built);
    let sending = |at_once| Sending { store, progress, at_once };
    match &flag.place {
        CachePlace::Registry(name, insecure) => {
            let remote = places::registry(session, name, *insecure)?;
            sending(AT_ONCE).send_all(&made, &remote.repository).await
        }
        CachePlace::Local(local) => {
            let layout = LayoutDirectory::create(&local.path).map_err(|error| unusable(&local.path, error))?;
            // Each entry writes the index anew.
            sending(1).send_all(&made, &layout).await?;
            if local.reset {
                let kept: BTreeSet<Tag> = made.iter().filter_map(|step| step_tag(&step.key)).collect();
                let keep = |tag: Option<&Tag>| tag.is_some_and(|tag| kept.contains(tag));
                layout.sweep(&keep).map_err(|error| unusable(&local.path, error))?;
            }
            Ok(())
        }
        CachePlace::S3(options) => {
            let place = places::s3(session, options)?;
            sending(options.jobs.unwrap_or(AT_ONCE)).send_all(&made, &*place).await
        }
        CachePlace::Azure(options) => sending(AT_ONCE).send_all(&made, &*places::azure(session, options)?).await,
        CachePlace::Gha(options) => {
            let Some(place) = places::gha(session, options)? else {
                outside_of_actions(session);
                return Ok(());
            };
            let patience = options.timeout.unwrap_or(GHA_PATIENCE);
            let late = |_| {
                Failure::new(format!("could not write the cache {}: it took too long", place.destination()))
                    .hint("timeout=30m waits longer; what was sent stays")
            };
            tokio::time::timeout(patience, sending(AT_ONCE).send_all(&made, &*place)).await.map_err(late)?
        }
        // It went with the image.
        CachePlace::Inline => Ok(()),
    }
}

/// How entries are sent.
#[derive(Clone, Copy)]
struct Sending<'a> {
    store: &'a OpenStore,
    progress: &'a Progress,
    at_once: usize,
}

impl Sending<'_> {
    async fn send_all(self, made: &[StepLayer], place: &dyn Place) -> Result<(), Failure> {
        let blobs = self.store.repositories.store().blobs();
        let stored = |error: wharf_blobstore::Error| Failure::new("the store failed").because(error);
        blobs.put(bytes::Bytes::from_static(EMPTY_CONFIG)).await.map_err(stored)?;
        // Steps with one layer follow each other: it is sent once.
        let mut layers: BTreeMap<Digest, Vec<&StepLayer>> = BTreeMap::new();
        for step in made {
            layers.entry(step.layer.digest).or_default().push(step);
        }
        let one = |steps: Vec<_>| async move {
            for step in steps {
                self.send(step, place).await.map_err(|error| {
                    Failure::new(format!("could not write the cache {}", place.destination()))
                        .because(error)
                        .hint("the image was built; ignore-error=true makes this a warning")
                })?;
            }
            Ok(())
        };
        stream::iter(layers.into_values()).map(one).buffer_unordered(self.at_once).try_collect().await
    }

    async fn send(self, step: &StepLayer, place: &dyn Place) -> Result<(), TransferError> {
        let Some(tag) = step_tag(&step.key) else { return Ok(()) };
        // When nobody needed its bytes, they are not here; whoever has them has sent them.
        let blobs = self.store.repositories.store().blobs();
        let here = blobs.find(&step.layer.digest).await?.is_some();
        if !here && place.keeps_order() {
            return Ok(());
        }
        match place.manifest(&Target::Tag(tag.clone())).await {
            Ok(there) if read_step(&step.key, &there).is_some_and(|there| there.layer.digest == step.layer.digest) => {
                if place.stands(&there, &tag).await? {
                    return Ok(());
                }
            }
            Ok(_) | Err(TransferError::ManifestNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if !here {
            return Ok(());
        }
        let source = Made::new(self.store, step_manifest(step));
        let events = transfers::shown(self.progress, "cache");
        copy((&source, &source.target()), (place, Some(&tag)), &CopyOptions::default(), &events).await.map(drop)
    }
}
