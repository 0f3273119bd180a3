//! Collecting. What is too young to be given up is anybody's guess: the grace period decides only when something is tried.

use super::protocol::{Fault, Protocol};
use super::state::{At, Blob, BlobState, Candidate, Content, Id, Process, Reference, Standing, State, members};

impl Protocol {
    /// The candidates a collector may take up next.
    pub fn collect(&self, s: &mut State, me: &mut Process) {
        if matches!(me.at, At::View | At::Sweep | At::SweepRecord | At::VoidUpload) {
            return self.end_of_blob(s, me);
        }
        match me.at {
            At::Settle => self.settle(s, me),
            At::GiveUpDelete => {
                let Some(Candidate::Delete { manifest, holder }) = me.candidate else { unreachable!("a delete") };
                if s.manifests[usize::from(manifest)].version != me.version {
                    return me.end();
                }
                s.set_manifest(manifest, Standing::Live(holder));
                me.at = At::DropCandidate;
            }
            At::VoidAttempt => {
                let (manifest, _) = attempt(me);
                if s.manifests[usize::from(manifest)].version != me.version {
                    return me.end();
                }
                s.set_manifest(manifest, Standing::Gone);
                me.go(At::DropReferences);
            }
            At::DropReferences => {
                let (manifest, holder) = attempt(me);
                match self.manifests[usize::from(manifest)].needs.get(usize::from(me.position)) {
                    Some(content) => {
                        s.unrefer(Reference { content: *content, manifest, holder });
                        me.position += 1;
                    }
                    None => me.go(At::View),
                }
            }
            At::ListReferences => {
                me.listed = s.references_to(Content::Blob(self.blob_of(me).expect("a blob")));
                me.pending = false;
                me.at = At::Inspect;
            }
            At::Inspect => self.inspect(s, me),
            At::Void => {
                let reference = *me.listed.last().expect("listed");
                if s.manifests[usize::from(reference.manifest)].version == me.version {
                    s.set_manifest(reference.manifest, Standing::Gone);
                    me.at = At::RemoveReference;
                } else {
                    me.pending = true;
                    me.listed.pop();
                    me.at = At::Inspect;
                }
            }
            At::RemoveReference => {
                s.unrefer(me.listed.pop().expect("listed"));
                me.at = At::Inspect;
            }
            At::Verdict => self.verdict(s, me),
            At::DropCandidate => {
                let candidate = me.candidate.expect("a candidate");
                if let Candidate::Blob { blob, epoch } = candidate {
                    let Blob { current, stale, arriving, .. } = s.blobs[usize::from(blob)];
                    let named = stale | arriving | current.map_or(0, |(_, epoch)| 1 << epoch);
                    s.objects &= named | !(1 << epoch);
                }
                s.candidates.retain(|it| *it != candidate);
                let tries = me.tries;
                me.end();
                if tries > 0 {
                    me.tries = tries - 1;
                    me.at = At::Pick;
                }
            }
            at => unreachable!("a collector is never at {at:?}"),
        }
    }

    fn settle(&self, s: &State, me: &mut Process) {
        let (manifest, holder) = match me.candidate {
            Some(Candidate::Push { manifest, holder } | Candidate::Delete { manifest, holder }) => (manifest, holder),
            Some(Candidate::Blob { .. }) => return me.go(At::View),
            None => unreachable!("a candidate"),
        };
        let is_delete = matches!(me.candidate, Some(Candidate::Delete { .. }));
        let record = s.manifests[usize::from(manifest)];
        me.version = record.version;
        me.go(match record.standing {
            Standing::Live(by) | Standing::Condemned(by) if by == holder => {
                if is_delete && !self.is(Fault::DeleteNotGivenUp) { At::GiveUpDelete } else { At::DropCandidate }
            }
            Standing::Pending(by) if by == holder => At::VoidAttempt,
            _ => At::DropReferences,
        });
    }

    /// The blob that is looked at now.
    pub fn blob_of(&self, me: &Process) -> Option<Id> {
        match me.candidate {
            Some(Candidate::Blob { blob, .. }) => (me.position == 0).then_some(blob),
            Some(Candidate::Push { manifest, .. } | Candidate::Delete { manifest, .. }) => {
                let blobs = self.manifests[usize::from(manifest)].needs.iter().filter_map(|content| match content {
                    Content::Blob(b) => Some(*b),
                    Content::Manifest(_) => None,
                });
                blobs.into_iter().nth(usize::from(me.position))
            }
            None => None,
        }
    }

    fn next_blob(me: &mut Process, is_final: bool) {
        me.settled &= is_final;
        me.seen = Blob::default();
        me.position += 1;
        me.at = At::View;
    }

    fn end_of_blob(&self, s: &mut State, me: &mut Process) {
        let Some(b) = self.blob_of(me) else {
            if me.settled {
                me.at = At::DropCandidate;
            } else {
                me.end();
            }
            return;
        };
        let blob = s.blobs[usize::from(b)];
        let deleting = match me.seen.current {
            Some((BlobState::Deleting, epoch)) => 1 << epoch,
            _ => 0,
        };
        match me.at {
            At::View => {
                me.seen = blob;
                let deleting = matches!(blob.current, Some((BlobState::Deleting, _)));
                me.at = match blob.current {
                    _ if blob.stale != 0 || deleting => At::Sweep,
                    _ if blob.arriving != 0 => At::VoidUpload,
                    Some(_) => At::ListReferences,
                    None => return Self::next_blob(me, true),
                };
            }
            At::Sweep => {
                s.objects &= !(me.seen.stale | deleting);
                me.at = At::SweepRecord;
            }
            At::SweepRecord => {
                if blob.version == me.seen.version {
                    let current = me.seen.current.filter(|(state, _)| *state != BlobState::Deleting);
                    s.set_blob(b, Blob { current, stale: 0, ..me.seen });
                }
                me.at = At::View;
            }
            At::VoidUpload => {
                if blob.version == me.seen.version {
                    let dead = members(me.seen.arriving).next().expect("an upload");
                    let (arriving, stale) = (me.seen.arriving & !(1 << dead), me.seen.stale | 1 << dead);
                    s.set_blob(b, Blob { stale, arriving, ..me.seen });
                }
                me.at = At::View;
            }
            at => unreachable!("never at {at:?}"),
        }
    }

    fn inspect(&self, s: &State, me: &mut Process) {
        let Some(reference) = me.listed.last().copied() else {
            me.at = At::Verdict;
            return;
        };
        let record = s.manifests[usize::from(reference.manifest)];
        match record.standing {
            Standing::Live(by) | Standing::Condemned(by) if by == reference.holder => {
                // Held: nothing else counts.
                me.listed = vec![reference];
                me.at = At::Verdict;
            }
            Standing::Pending(by) if by == reference.holder && !self.is(Fault::VoidedWithoutSwap) => {
                me.version = record.version;
                me.at = At::Void;
            }
            _ => me.at = At::RemoveReference,
        }
    }

    /// One step of the blob's life, against the version that was seen.
    fn verdict(&self, s: &mut State, me: &mut Process) {
        let b = self.blob_of(me).expect("a blob");
        let held = !me.listed.is_empty();
        me.listed.clear();
        let (state, epoch) = me.seen.current.expect("it was there");
        let same = s.blobs[usize::from(b)].version == me.seen.version;
        let mut become_ = |state| {
            if same {
                s.set_blob(b, Blob { current: Some((state, epoch)), ..me.seen });
            }
        };
        match state {
            BlobState::Condemned if (held || me.pending) && self.is(Fault::CondemnedForgotten) => {
                return Self::next_blob(me, held);
            }
            BlobState::Condemned if held || me.pending => become_(BlobState::Live),
            BlobState::Live if held && !self.is(Fault::NeededNotAffirmed) => {
                become_(BlobState::Live);
                if same {
                    return Self::next_blob(me, true);
                }
            }
            BlobState::Live if held || me.pending => return Self::next_blob(me, held),
            BlobState::Live if self.is(Fault::DeleteBeforeCondemning) => become_(BlobState::Deleting),
            BlobState::Live => become_(BlobState::Condemned),
            // Without the seal, the bytes go while the record still says condemned.
            BlobState::Condemned if self.is(Fault::NoSeal) => s.objects &= !(1 << epoch),
            BlobState::Condemned => become_(BlobState::Deleting),
            BlobState::Deleting => unreachable!("swept before"),
        }
        if state == BlobState::Condemned && self.is(Fault::NoSeal) && !held && !me.pending && same {
            s.set_blob(b, Blob { current: None, ..me.seen });
        }
        me.at = At::View;
    }
}

/// The manifest that a candidate is about.
pub fn attempted(me: &Process) -> Option<Id> {
    match me.candidate {
        Some(Candidate::Push { manifest, .. } | Candidate::Delete { manifest, .. }) => Some(manifest),
        Some(Candidate::Blob { .. }) | None => None,
    }
}

fn attempt(me: &Process) -> (Id, Id) {
    match me.candidate {
        Some(Candidate::Push { manifest, holder } | Candidate::Delete { manifest, holder }) => (manifest, holder),
        Some(Candidate::Blob { .. }) | None => unreachable!("a manifest"),
    }
}
