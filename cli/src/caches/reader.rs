//! `--cache-from`: a place that is asked for steps, and never fails a build.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use wharf_builder::shared::{inline_steps, read_step, step_tag};
use wharf_builder::{SharedLayer, StepCache, StepLayer};
use wharf_client::layout::LayoutDirectory;
use wharf_client::transfer::{Error as TransferError, Result as TransferResult, Target};

use super::flag::{CacheFlag, CachePlace, LocalPlace};
use super::places::{self, Place, unusable};
use crate::failure::Failure;
use crate::session::{Session, Voice};

/// Longer than this no build waits for an answer.
const PATIENCE: Duration = Duration::from_mins(2);

/// The places of `--cache-from`.
pub fn readers(session: &Session, flags: &[CacheFlag]) -> Result<Vec<Arc<dyn StepCache>>, Failure> {
    let mut readers: Vec<Arc<dyn StepCache>> = Vec::new();
    let mut add = |place: Arc<dyn Place>, image| {
        readers.push(Arc::new(Reader::new(place, image, session.voice())));
    };
    for flag in flags {
        match &flag.place {
            CachePlace::Registry(name, insecure) => {
                let remote = places::registry(session, name, *insecure)?;
                let target = Target::from(&remote.reference);
                add(Arc::new(remote.repository), Some(target));
            }
            // A directory that is not there is a cache that is empty: the first build makes it.
            CachePlace::Local(local) if !local.path.exists() => {}
            CachePlace::Local(LocalPlace { path, image, .. }) => {
                let layout = LayoutDirectory::open(path).map_err(|error| unusable(path, error))?;
                add(Arc::new(layout), image.clone());
            }
            CachePlace::S3(options) => add(places::s3(session, options)?, None),
            CachePlace::Azure(options) => add(places::azure(session, options)?, None),
            CachePlace::Gha(options) => match places::gha(session, options)? {
                Some(place) => add(place, None),
                None => outside_of_actions(session),
            },
            CachePlace::Inline => {
                return Err(Failure::usage("--cache-from type=inline: name the image instead")
                    .hint("--cache-from REGISTRY/NAME:TAG finds what its build put into it"));
            }
        }
    }
    Ok(readers)
}

/// As with Docker, files that are made for Actions build elsewhere, too.
pub(super) fn outside_of_actions(session: &Session) {
    session.voice().say(
        "warning: the cache type=gha is not used: this is no job of GitHub Actions (ACTIONS_RUNTIME_TOKEN and \
         ACTIONS_RESULTS_URL are not set)",
    );
}

/// Entries of one place.
struct Reader {
    place: Arc<dyn Place>,
    /// The image that may list its steps.
    image: Option<Target>,
    inline: OnceCell<Vec<StepLayer>>,
    voice: Voice,
    complained: AtomicBool,
}

impl Reader {
    fn new(place: Arc<dyn Place>, image: Option<Target>, voice: Voice) -> Self {
        Self { place, image, inline: OnceCell::new(), voice, complained: AtomicBool::new(false) }
    }

    async fn inline(&self) -> &[StepLayer] {
        self.inline
            .get_or_init(async || {
                let Some(image) = &self.image else { return Vec::new() };
                match self.place.manifest(image).await {
                    Ok(manifest) => inline_steps(&manifest),
                    Err(error) => {
                        self.complain(&error);
                        Vec::new()
                    }
                }
            })
            .await
    }

    /// An entry whose layer can be had.
    async fn entry(&self, key: &str) -> TransferResult<Option<StepLayer>> {
        let Some(tag) = step_tag(key) else { return Ok(None) };
        let manifest = self.place.manifest(&Target::Tag(tag)).await?;
        let Some(made) = read_step(key, &manifest) else { return Ok(None) };
        let there = self.place.keeps_order() || self.place.has_blob(&made.layer).await?;
        Ok(there.then_some(made))
    }

    /// Said once: a place that does not answer would be said of every step.
    fn complain(&self, error: &TransferError) {
        if !matches!(error, TransferError::ManifestNotFound { .. }) {
            self.give_up(&error.to_string());
        }
    }

    fn give_up(&self, why: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            self.voice.say(&format!("warning: the cache {} is not used: {why}", self.place.origin()));
        }
    }
}

#[async_trait]
impl StepCache for Reader {
    async fn find(&self, key: &str) -> Option<SharedLayer> {
        let shared = |made| SharedLayer { made, source: self.place.clone() };
        if let Some(made) = self.inline().await.iter().find(|made| made.key == key) {
            return Some(shared(made.clone()));
        }
        if self.complained.load(Ordering::Relaxed) {
            return None;
        }
        match tokio::time::timeout(PATIENCE, self.entry(key)).await {
            Ok(Ok(made)) => made.map(shared),
            Ok(Err(error)) => {
                self.complain(&error);
                None
            }
            Err(_) => {
                self.give_up("it does not answer in time");
                None
            }
        }
    }
}
