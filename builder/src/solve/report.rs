//! Tells the caller what happens to each step, and remembers it for the result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use wharf_blobstore::Clock;
use wharf_spec::Descriptor;

use crate::event::{BuildEvent, CacheVerdict, Events, MadeLayer, StepId, StepInfo, Stream};
use crate::result::{StepOutcome, StepReport};

/// The book of one build.
pub(crate) struct Reporter {
    events: Events,
    clock: Arc<dyn Clock>,
    outcomes: Mutex<BTreeMap<StepId, StepOutcome>>,
}

impl Reporter {
    pub(crate) fn new(events: Events, clock: Arc<dyn Clock>) -> Self {
        Self { events, clock, outcomes: Mutex::default() }
    }

    pub(crate) fn send(&self, event: BuildEvent) {
        (self.events)(event);
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.clock.now()
    }

    fn since(&self, start: SystemTime) -> Duration {
        self.now().duration_since(start).unwrap_or_default()
    }

    /// A step's result was known. Told once; says whether this was it.
    pub(crate) fn cached(&self, step: StepId) -> bool {
        let mut outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.contains_key(&step) {
            return false;
        }
        outcomes.insert(step, StepOutcome::Cached);
        drop(outcomes);
        self.send(BuildEvent::Cached(step));
        true
    }

    /// Why a step's result was known or not.
    pub(crate) fn explained(&self, step: StepId, verdict: CacheVerdict) {
        self.send(BuildEvent::Explained { step, verdict });
    }

    /// Another build does the step.
    pub(crate) fn waiting(&self, step: StepId) {
        self.send(BuildEvent::Waiting(step));
    }

    /// A step begins to work.
    pub(crate) fn started(&self, step: StepId) -> SystemTime {
        self.send(BuildEvent::Started(step));
        self.now()
    }

    pub(crate) fn done(&self, step: StepId, start: SystemTime, layer: MadeLayer) {
        let took = self.since(start);
        let outcome = StepOutcome::Ran { layer, took };
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner).insert(step, outcome);
        self.send(BuildEvent::Done { step, took });
    }

    /// The layer of a step can be read by others.
    pub(crate) fn stored(&self, layer: MadeLayer) {
        self.send(BuildEvent::Stored(layer));
    }

    pub(crate) fn failed(&self, step: StepId, start: SystemTime) {
        self.send(BuildEvent::Failed { step, took: self.since(start) });
    }

    pub(crate) fn cancelled(&self, step: StepId) {
        self.send(BuildEvent::Cancelled(step));
    }

    pub(crate) fn output(&self, step: StepId, stream: Stream, line: String) {
        self.send(BuildEvent::Output { step, stream, line });
    }

    pub(crate) fn fetching(&self, step: Option<StepId>, layer: &Descriptor, done: u64) {
        self.send(BuildEvent::Fetching { step, digest: layer.digest, done, total: layer.size });
    }

    /// What became of the steps.
    pub(crate) fn finish(&self, steps: &[StepInfo]) -> Vec<StepReport> {
        let outcomes = self.outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let report = |step: &StepInfo| {
            let outcome = *outcomes.get(&step.id)?;
            Some(StepReport { step: step.clone(), outcome })
        };
        steps.iter().filter_map(report).collect()
    }
}
