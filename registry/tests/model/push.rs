//! Pushing, rolling back, deleting: what clients make the registry do.

use super::protocol::{Fault, Protocol};
use super::state::{At, Blob, BlobState, Candidate, Content, Id, Job, Process, Reference, Standing, State, has};

impl Protocol {
    pub fn push(&self, s: &mut State, me: &mut Process, m: Id, tag: bool) {
        let needs = &self.manifests[usize::from(m)].needs;
        let repository = usize::from(self.manifests[usize::from(m)].repository);
        let content = needs.get(usize::from(me.position)).copied();
        match (me.at, content) {
            // Is it there? Else it is uploaded; a mount is the link alone.
            (At::Have, Some(Content::Blob(b))) => {
                let live = matches!(s.blobs[usize::from(b)].current, Some((BlobState::Live, _)));
                me.at = match (live, has(s.links[repository], b)) {
                    (true, true) => return me.position += 1,
                    (true, false) => At::Link,
                    (false, _) if self.is(Fault::FinishBeforeAnnounce) => At::Finish,
                    (false, _) => At::Announce,
                };
                if matches!(me.at, At::Announce | At::Finish) {
                    me.epoch = if self.is(Fault::ReusedKey) { 15 - b } else { me.fresh() };
                }
            }
            (At::Have, Some(Content::Manifest(_))) => me.position += 1,
            (At::Have, None) => me.go(At::Declare),
            (At::Announce, Some(Content::Blob(b))) => {
                let blob = s.blobs[usize::from(b)];
                s.set_blob(b, Blob { arriving: blob.arriving | 1 << me.epoch, ..blob });
                s.nominate(Candidate::Blob { blob: b, epoch: me.epoch });
                me.at = if self.is(Fault::FinishBeforeAnnounce) { At::Commit } else { At::Finish };
            }
            (At::Finish, Some(_)) => {
                s.objects |= 1 << me.epoch;
                let Some(Content::Blob(b)) = content else { unreachable!("only blobs are uploaded") };
                if !has(s.blobs[usize::from(b)].arriving, me.epoch) && !self.is(Fault::FinishBeforeAnnounce) {
                    s.late |= 1 << me.epoch;
                }
                me.at = if self.is(Fault::FinishBeforeAnnounce) { At::Announce } else { At::Commit };
            }
            (At::Commit, Some(Content::Blob(b))) => self.commit(s, me, b),
            (At::Link, Some(Content::Blob(b))) => {
                s.links[repository] |= 1 << b;
                me.at = At::Have;
                me.position += 1;
            }
            (At::Declare, _) => match s.manifests[usize::from(m)].standing {
                Standing::Live(_) => me.go(At::MoveTag),
                Standing::Condemned(holder) => {
                    s.set_manifest(m, Standing::Live(holder));
                    me.go(At::MoveTag);
                }
                Standing::Gone | Standing::Pending(_) => {
                    me.holder = if self.is(Fault::HolderWithoutId) { 0 } else { me.fresh() };
                    s.set_manifest(m, Standing::Pending(me.holder));
                    s.nominate(Candidate::Push { manifest: m, holder: me.holder });
                    me.version = s.manifests[usize::from(m)].version;
                    me.go(if self.is(Fault::StateBeforeReferences) { At::Check } else { At::Refer });
                }
            },
            (At::Refer, Some(content)) => {
                s.refer(Reference { content, manifest: m, holder: me.holder });
                me.position += 1;
            }
            (At::Refer, None) => {
                me.go(if self.is(Fault::StateBeforeReferences) { At::Acknowledge } else { At::Check });
            }
            (At::Check, Some(content)) => {
                if self.reliable(s, repository, content) {
                    me.position += 1;
                } else {
                    me.go(At::Withdraw);
                }
            }
            (At::Check, None) => me.go(if self.is(Fault::StateBeforeReferences) { At::Refer } else { At::Acknowledge }),
            (At::Withdraw, _) => {
                if s.manifests[usize::from(m)].version == me.version {
                    s.set_manifest(m, Standing::Gone);
                }
                me.go(At::Forget);
            }
            (At::Forget, Some(content)) => {
                s.unrefer(Reference { content, manifest: m, holder: me.holder });
                me.position += 1;
            }
            // A client whose content is missing uploads it again; an attempt that was overtaken declares again.
            (At::Forget, None) if tag && me.tries == 0 => me.at = At::Doubt,
            (At::Forget, None) => me.again(At::Have),
            (At::Acknowledge, _) => {
                if s.manifests[usize::from(m)].version == me.version || self.is(Fault::UnconditionalCommit) {
                    s.set_manifest(m, Standing::Live(me.holder));
                    me.go(At::MoveTag);
                } else {
                    me.go(At::Forget);
                }
            }
            (At::MoveTag, _) if !tag => {
                s.acknowledged |= 1 << m;
                me.end();
            }
            (At::MoveTag | At::CheckTagged | At::Doubt | At::LookAgainAtManifest | At::TakeTagBack, _) => {
                self.tag(s, me, m);
            }
            (at, _) => unreachable!("a push is never at {at:?}"),
        }
    }

    fn commit(&self, s: &mut State, me: &mut Process, b: Id) {
        let blob = s.blobs[usize::from(b)];
        let entered = has(blob.arriving, me.epoch) || self.is(Fault::CommitWithoutEntry);
        let arriving = blob.arriving & !(1 << me.epoch);
        match blob.current {
            _ if !entered => {
                s.objects &= !(1 << me.epoch);
                return me.again(At::Have);
            }
            Some((BlobState::Live, live)) => {
                if live != me.epoch {
                    s.objects &= !(1 << me.epoch);
                }
                s.set_blob(b, Blob { arriving, ..blob });
            }
            Some((BlobState::Condemned | BlobState::Deleting, _)) | None => {
                let old = blob.current.map_or(0, |(_, old)| 1 << old);
                let stale = if self.is(Fault::OldBytesForgotten) { blob.stale } else { blob.stale | old };
                // Only where keys are used twice can the old bytes have our name.
                let stale = stale & !(1 << me.epoch);
                s.set_blob(b, Blob { current: Some((BlobState::Live, me.epoch)), stale, arriving, ..blob });
            }
        }
        me.at = At::Link;
    }

    fn reliable(&self, s: &State, repository: usize, content: Content) -> bool {
        match content {
            Content::Blob(b) => {
                let state = s.blobs[usize::from(b)].current.map(|(state, _)| state);
                let live = state == Some(BlobState::Live)
                    || (self.is(Fault::CondemnedIsReliable) && state == Some(BlobState::Condemned));
                live && has(s.links[repository], b)
            }
            Content::Manifest(m) => matches!(s.manifests[usize::from(m)].standing, Standing::Live(_)),
        }
    }

    /// A version of the tag is written first, and then is looked whether its manifest is still there.
    pub fn tag(&self, s: &mut State, me: &mut Process, m: Id) {
        match me.at {
            At::MoveTag => {
                if s.history.first() != Some(&m) {
                    let history = std::iter::once(m).chain(s.history.iter().copied()).take(self.kept).collect();
                    s.set_tag(history, false);
                    s.acknowledged_tag = None;
                } else if s.doubted && !self.is(Fault::DoubtStays) {
                    s.set_tag(s.history.clone(), false);
                }
                me.at = At::CheckTagged;
            }
            At::CheckTagged => {
                let standing = s.manifests[usize::from(m)].standing;
                if let Standing::Condemned(holder) = standing {
                    // Whoever is deleting it may have looked at the tag before.
                    s.set_manifest(m, Standing::Live(holder));
                }
                if standing.published().is_some() || self.is(Fault::TagUnchecked) {
                    if matches!(me.job, Job::Push { .. }) {
                        s.acknowledged |= 1 << m;
                    }
                    // Others may have moved it meanwhile.
                    if s.history.first() == Some(&m) {
                        s.acknowledged_tag = Some(m);
                    }
                    me.end();
                } else {
                    me.at = At::Doubt;
                }
            }
            At::Doubt | At::LookAgainAtManifest | At::TakeTagBack => self.mend(s, me, m),
            at => unreachable!("a tag is never at {at:?}"),
        }
    }

    /// Whoever comes by: reads the tag, then what it points at.
    pub fn come_by(&self, s: &mut State, me: &mut Process) {
        match me.at {
            At::Resolve => match s.history.first() {
                Some(current) => (me.position, me.at) = (*current, At::LookAtManifest),
                None => me.end(),
            },
            At::LookAtManifest if s.manifests[usize::from(me.position)].standing.published().is_some() => me.end(),
            At::LookAtManifest => me.at = At::Doubt,
            _ => self.mend(s, me, me.position),
        }
    }

    /// The tag is doubted, then its manifest is looked for once more, then the tag is taken away from it.
    fn mend(&self, s: &mut State, me: &mut Process, m: Id) {
        let points_at_it = s.history.first() == Some(&m);
        match me.at {
            At::Doubt if points_at_it => {
                if !s.doubted && !self.is(Fault::NotDoubted) {
                    s.set_tag(s.history.clone(), true);
                }
                me.version = s.tag_version;
                me.at = if self.is(Fault::DoubtedAndTaken) { At::TakeTagBack } else { At::LookAgainAtManifest };
            }
            At::LookAgainAtManifest if s.manifests[usize::from(m)].standing.published().is_none() => {
                me.at = At::TakeTagBack;
            }
            At::TakeTagBack => {
                let anyhow = self.is(Fault::AnybodysDoubt) && s.doubted && points_at_it;
                if me.version == s.tag_version || anyhow {
                    s.set_tag(Self::without(&s.history, m), false);
                }
                Self::end_mending(me);
            }
            // It is there, or the tag elsewhere. A doubt that stays does no harm.
            _ => Self::end_mending(me),
        }
    }

    fn without(history: &[Id], m: Id) -> Vec<Id> {
        history.iter().copied().filter(|kept| *kept != m).collect()
    }

    fn end_mending(me: &mut Process) {
        match me.job {
            Job::Push { .. } => me.again(At::Have),
            _ => me.end(),
        }
    }

    pub fn delete(&self, s: &mut State, me: &mut Process, m: Id) {
        let record = s.manifests[usize::from(m)];
        let needs = &self.manifests[usize::from(m)].needs;
        match me.at {
            At::Condemn => match record.standing {
                Standing::Live(holder) | Standing::Condemned(holder) => {
                    me.holder = holder;
                    if !self.is(Fault::DeleteWithoutCondemning) {
                        s.set_manifest(m, Standing::Condemned(holder));
                    }
                    if !self.is(Fault::CandidateAfterDelete) {
                        s.nominate(Candidate::Delete { manifest: m, holder });
                    }
                    me.version = s.manifests[usize::from(m)].version;
                    me.go(if self.is(Fault::ReferencesBeforeRecord) { At::Forget } else { At::ListHolders });
                }
                Standing::Gone | Standing::Pending(_) => me.end(),
            },
            At::ListHolders => {
                me.listed = s.references_to(Content::Manifest(m));
                me.at = At::InspectHolder;
            }
            At::InspectHolder => match me.listed.last() {
                None => me.at = At::LookAtTag,
                Some(reference) => match s.manifests[usize::from(reference.manifest)].standing {
                    Standing::Live(holder) | Standing::Condemned(holder) if holder == reference.holder => {
                        me.at = At::Reaffirm;
                    }
                    Standing::Pending(holder) if holder == reference.holder && !self.is(Fault::DeletePassesPending) => {
                        me.epoch = s.manifests[usize::from(reference.manifest)].version;
                        me.at = At::VoidHolder;
                    }
                    _ => {
                        me.listed.pop();
                    }
                },
            },
            At::VoidHolder => {
                let holder = me.listed.pop().expect("listed").manifest;
                if s.manifests[usize::from(holder)].version == me.epoch {
                    s.set_manifest(holder, Standing::Gone);
                    me.at = At::InspectHolder;
                } else {
                    me.at = At::ListHolders;
                }
            }
            At::LookAtTag => {
                // The tags go, and the versions are gone.
                if s.history.contains(&m) {
                    let points_at_it = s.history.first() == Some(&m);
                    if points_at_it {
                        s.acknowledged_tag = None;
                    }
                    s.set_tag(Self::without(&s.history, m), s.doubted && !points_at_it);
                }
                me.at = At::Remove;
            }
            At::Reaffirm => {
                if record.version == me.version {
                    s.set_manifest(m, Standing::Live(me.holder));
                }
                me.end();
            }
            At::Remove => {
                if record.version != me.version {
                    return me.again(At::Condemn);
                }
                s.set_manifest(m, Standing::Gone);
                s.acknowledged &= !(1 << m);
                me.go(At::Forget);
            }
            At::Forget => match needs.get(usize::from(me.position)) {
                Some(content) => {
                    s.unrefer(Reference { content: *content, manifest: m, holder: me.holder });
                    me.position += 1;
                }
                None if self.is(Fault::ReferencesBeforeRecord) && record.standing.published().is_some() => {
                    me.go(At::ListHolders);
                }
                None => {
                    if self.is(Fault::CandidateAfterDelete) {
                        s.nominate(Candidate::Delete { manifest: m, holder: me.holder });
                    }
                    me.end();
                }
            },
            at => unreachable!("a delete is never at {at:?}"),
        }
    }

    pub fn unlink(&self, s: &mut State, me: &mut Process, repository: Id, b: Id) {
        let needed = s.references_to(Content::Blob(b)).iter().any(|reference| {
            self.manifests[usize::from(reference.manifest)].repository == repository
                && s.manifests[usize::from(reference.manifest)].standing.published() == Some(reference.holder)
        });
        match me.at {
            At::Unlink if needed => me.end(),
            At::Unlink => {
                s.links[usize::from(repository)] &= !(1 << b);
                me.at = At::LookAgain;
            }
            At::LookAgain => {
                // Pushes that may have seen the link must look again.
                let pending = |reference: &Reference| {
                    let standing = s.manifests[usize::from(reference.manifest)].standing;
                    self.manifests[usize::from(reference.manifest)].repository == repository
                        && standing == Standing::Pending(reference.holder)
                };
                let pending: Vec<_> = s.references_to(Content::Blob(b)).into_iter().filter(pending).collect();
                if !needed && !self.is(Fault::UnlinkPassesPending) {
                    for reference in pending {
                        s.set_manifest(reference.manifest, Standing::Gone);
                    }
                }
                if needed && !self.is(Fault::UnlinkLooksOnce) {
                    s.links[usize::from(repository)] |= 1 << b;
                }
                me.end();
            }
            at => unreachable!("an unlink is never at {at:?}"),
        }
    }
}
