//! From layers and configuration to an image: a pure function, so the same inputs give the same bytes.

use jiff::Timestamp;
use wharf_spec::{Descriptor, History, ImageConfig, Manifest, MediaType, RawManifest, RootFs};

use crate::plan::{PastStep, PlannedStage};
use crate::request::BuildRequest;
use crate::shared::{StepLayer, inline_annotation};
use crate::solve::{Layer, Stack};

/// What marks an entry of the history as made by this kind of builder; tools look for it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// An image that is not stored yet.
pub(crate) struct Assembled {
    /// The configuration.
    pub(crate) config: ImageConfig,
    /// Its exact bytes.
    pub(crate) config_bytes: Vec<u8>,
    /// The manifest.
    pub(crate) manifest: RawManifest,
}

/// Puts the image of a solved stage together. `now` stands in where no time is known.
pub(crate) fn assemble(
    (stage, stack): (&PlannedStage, &Stack),
    request: &BuildRequest,
    inline: &[StepLayer],
    now: i64,
) -> Assembled {
    let mut config = stage.config.clone();
    let times = Times { epoch: request.source_date_epoch, now };
    config.history = history(stage, stack, &times);
    let last = config.history.iter().rev().find_map(|entry| entry.created.clone());
    config.created = times.fixed().or(last).or_else(|| text(now));
    config.rootfs =
        RootFs { diff_ids: stack.layers().iter().map(|layer| layer.diff_id).collect(), ..RootFs::default() };
    let steps = (!inline.is_empty()).then(|| inline_annotation(inline));
    let config_bytes = config.to_bytes();
    let digest = wharf_spec::Digest::sha256(&config_bytes);
    let manifest = RawManifest::from_manifest(Manifest {
        schema_version: 2,
        media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
        artifact_type: None,
        config: Descriptor::new(MediaType::OCI_CONFIG, digest, config_bytes.len() as u64),
        layers: stack.layers().iter().map(|layer| layer.descriptor.clone()).collect(),
        subject: None,
        annotations: request.annotations.clone().into_iter().chain(steps).collect(),
    });
    Assembled { config, config_bytes, manifest }
}

struct Times {
    /// `SOURCE_DATE_EPOCH`.
    epoch: Option<i64>,
    now: i64,
}

impl Times {
    fn fixed(&self) -> Option<String> {
        self.epoch.and_then(text)
    }

    /// When a layer was made. What came from a cache was made when it was made.
    fn of(&self, layer: &Layer) -> Option<String> {
        self.fixed().or_else(|| text(layer.created.unwrap_or(self.now)))
    }
}

/// A time as images write it.
fn text(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

/// The history with times: a step without a layer happened when the one before it did.
fn history(stage: &PlannedStage, stack: &Stack, times: &Times) -> Vec<History> {
    // Layers of the base come first; what is new belongs to the last of them.
    let new = stage.history.iter().filter(|past| matches!(past, PastStep::Layer(_))).count();
    let mut layers = stack.layers()[stack.layers().len().saturating_sub(new)..].iter();
    let mut last: Option<String> = None;
    let mut entries = Vec::with_capacity(stage.history.len());
    for past in &stage.history {
        let entry = match past {
            PastStep::Base(entry) => entry.clone(),
            PastStep::Layer(said) => {
                let created = layers.next().and_then(|layer| times.of(layer));
                History { created, empty_layer: None, ..entry(said) }
            }
            PastStep::Empty(said) => {
                let created = times.fixed().or_else(|| last.clone());
                History { created, empty_layer: Some(true), ..entry(said) }
            }
        };
        last = entry.created.clone().or(last);
        entries.push(entry);
    }
    // What came before the first layer of an image without a base.
    let first = entries.iter().find_map(|entry| entry.created.clone()).or_else(|| text(times.now));
    for entry in entries.iter_mut().zip(&stage.history).take_while(|(entry, _)| entry.created.is_none()) {
        if !matches!(entry.1, PastStep::Base(_)) {
            entry.0.created.clone_from(&first);
        }
    }
    entries
}

fn entry(said: &str) -> History {
    History { created_by: Some(said.to_owned()), comment: Some(COMMENT.to_owned()), ..History::default() }
}
