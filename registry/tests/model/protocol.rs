//! The protocol as a model that `stateright` explores: every interleaving of every process's steps, where each process
//! may also stop for ever after any of them. Faults break it on purpose.

use std::collections::HashMap;
use std::sync::Mutex;

use stateright::{Model, Property};

use super::collect::attempted;
use super::state::{
    At, Blob, BlobState, Candidate, Content, Id, Job, Manifest, Process, Reference, Standing, State, has,
};

/// One way to get the protocol wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A collector that finds no reference goes on to delete, without condemning and looking again.
    DeleteBeforeCondemning,
    /// A push looks at blobs first and takes its references then.
    StateBeforeReferences,
    /// Bytes that are pushed again get the key of the old ones.
    ReusedKey,
    /// References of all attempts at one manifest are the same.
    HolderWithoutId,
    /// A dead push's references are removed while it may still be acknowledged.
    VoidedWithoutSwap,
    /// The acknowledgement does not look whether the attempt was taken over or voided.
    UnconditionalCommit,
    /// A condemned blob that is needed stays condemned.
    CondemnedForgotten,
    /// A collector that finds a blob needed drops its candidate, though another may be about to condemn it and die.
    NeededNotAffirmed,
    /// Bytes are deleted while the record says condemned.
    NoSeal,
    /// An object is finished before it is entered in the blob's record.
    FinishBeforeAnnounce,
    /// A commit does not look whether a collector gave the upload up.
    CommitWithoutEntry,
    /// A commit over a condemned or deleting blob forgets the old bytes.
    OldBytesForgotten,
    /// A push relies on a condemned blob.
    CondemnedIsReliable,
    /// A delete becomes a candidate only after it happened.
    CandidateAfterDelete,
    /// The candidate of a delete that may still happen is dropped.
    DeleteNotGivenUp,
    /// A manifest is deleted without being condemned first.
    DeleteWithoutCondemning,
    /// A delete does not mind pushes of indexes that are under way.
    DeletePassesPending,
    /// A delete removes the references before the record.
    ReferencesBeforeRecord,
    /// A tag is moved without looking whether its manifest is still there.
    TagUnchecked,
    /// A blob is taken out of a repository without looking again for manifests that need it.
    UnlinkLooksOnce,
    /// It does not mind pushes that are under way.
    UnlinkPassesPending,
    /// A tag is taken away from what is not there without being doubted first.
    NotDoubted,
    /// A tag is doubted, and taken away without another look at its manifest.
    DoubtedAndTaken,
    /// A tag is taken away while it is doubted, though somebody has trusted it and somebody else doubted it since.
    AnybodysDoubt,
    /// A push that finds the tag in place does not mind that somebody doubts it.
    DoubtStays,
    /// Nobody mends a tag whose push was killed before it looked again.
    NotMended,
}

impl Fault {
    pub const ALL: [Self; 26] = [
        Self::DeleteBeforeCondemning,
        Self::StateBeforeReferences,
        Self::ReusedKey,
        Self::HolderWithoutId,
        Self::VoidedWithoutSwap,
        Self::UnconditionalCommit,
        Self::CondemnedForgotten,
        Self::NeededNotAffirmed,
        Self::NoSeal,
        Self::FinishBeforeAnnounce,
        Self::CommitWithoutEntry,
        Self::OldBytesForgotten,
        Self::CondemnedIsReliable,
        Self::CandidateAfterDelete,
        Self::DeleteNotGivenUp,
        Self::DeleteWithoutCondemning,
        Self::DeletePassesPending,
        Self::ReferencesBeforeRecord,
        Self::TagUnchecked,
        Self::UnlinkLooksOnce,
        Self::UnlinkPassesPending,
        Self::NotDoubted,
        Self::DoubtedAndTaken,
        Self::AnybodysDoubt,
        Self::DoubtStays,
        Self::NotMended,
    ];
}

/// What a process's next step is, where there is a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The only one.
    Step,
    /// A collector takes this up.
    Take(Candidate),
    /// A collector finds an attempt too young to be given up.
    TooYoung,
}

/// A manifest of a set-up.
#[derive(Clone, Debug)]
pub struct Pushed {
    pub repository: Id,
    pub needs: Vec<Content>,
    /// Whether it is published in the beginning.
    pub published: bool,
}

/// A set-up, and perhaps a fault.
pub struct Protocol {
    pub name: &'static str,
    pub manifests: Vec<Pushed>,
    pub blobs: usize,
    pub repositories: usize,
    /// Versions of the tag that are kept.
    pub kept: usize,
    /// The tag's history in the beginning.
    pub history: Vec<Id>,
    pub processes: Vec<Process>,
    pub fault: Option<Fault>,
    /// What collectors left alone come to, by everything but the processes.
    settled: Mutex<HashMap<State, Option<Leftover>>>,
}

/// Ids that what is there in the beginning may have, and that each push may make.
const GIVEN: Id = 4;
const EACH: Id = 5;

/// What is wrong when collectors have done all they can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leftover {
    Garbage,
    Unusable,
}

pub const NEEDED: &str = "what a published manifest needs is there";
pub const READABLE: &str = "a repository may read what its manifests need";
pub const KEPT: &str = "a kept version of a tag can be pulled";
pub const TAGGED: &str = "a tag stays what was acknowledged until somebody moves it";
pub const MENDED: &str = "a tag points at what is there when somebody has come by";
pub const ACKNOWLEDGED: &str = "what was acknowledged stays published";
pub const CLEAN: &str = "garbage is gone when collectors have run";
pub const USABLE: &str = "what is needed is live when collectors have run";

impl Protocol {
    pub fn new(name: &'static str, blobs: usize, manifests: Vec<Pushed>, processes: Vec<Process>) -> Self {
        let repositories = manifests.iter().map(|it| usize::from(it.repository) + 1).max().unwrap_or(1);
        let (kept, history, fault) = (2, Vec::new(), None);
        let settled = Mutex::default();
        Self { name, manifests, blobs, repositories, kept, history, processes, fault, settled }
    }

    /// The same with a tag that has this history, of which so many versions are kept.
    pub fn tagged(self, kept: usize, history: &[Id]) -> Self {
        Self { kept, history: history.to_vec(), ..self }
    }

    /// The same, broken.
    pub fn with(self, fault: Fault) -> Self {
        Self { fault: Some(fault), ..self }
    }

    pub fn is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn step(&self, state: &State, (process, choice): (usize, Choice)) -> State {
        let mut s = state.clone();
        let mut me = s.processes[process].clone();
        self.dispatch(&mut s, &mut me, choice);
        // What nobody else can see happen, or get in between of, is no step of its own.
        while self.is_local(&me) {
            self.dispatch(&mut s, &mut me, Choice::Step);
        }
        s.processes[process] = me;
        self.forget_numbers(&mut s);
        s
    }

    fn dispatch(&self, s: &mut State, me: &mut Process, choice: Choice) {
        match me.job {
            Job::Push { manifest, tag } => self.push(s, me, manifest, tag),
            Job::Rollback { manifest } => self.rollback(s, me, manifest),
            Job::Delete { manifest } => self.delete(s, me, manifest),
            Job::Unlink { repository, blob } => self.unlink(s, me, repository, blob),
            Job::Mend => self.come_by(s, me),
            Job::Collect => match choice {
                Choice::Take(candidate) => {
                    me.candidate = Some(candidate);
                    me.at = At::Settle;
                }
                Choice::TooYoung => {
                    me.listed.pop();
                    me.pending = true;
                }
                Choice::Step => self.collect(s, me),
            },
        }
    }

    /// Whether the next step reads and writes nothing that others see.
    fn is_local(&self, me: &Process) -> bool {
        let through = |m: Id| usize::from(me.position) == self.manifests[usize::from(m)].needs.len();
        match (me.job, me.at) {
            (Job::Push { manifest, .. }, At::Have | At::Refer | At::Check | At::Forget) => through(manifest),
            (Job::Push { tag, .. }, At::MoveTag) => !tag,
            (Job::Delete { .. }, At::InspectHolder) | (Job::Collect, At::Inspect) => me.listed.is_empty(),
            (Job::Delete { manifest }, At::Forget) => {
                through(manifest) && !self.is(Fault::CandidateAfterDelete) && !self.is(Fault::ReferencesBeforeRecord)
            }
            (Job::Collect, At::DropReferences) => attempted(me).is_some_and(through),
            (Job::Collect, At::View) => self.blob_of(me).is_none(),
            _ => false,
        }
    }

    /// Versions matter only in that what a process remembers is still so or not: states that differ in more are one.
    fn forget_numbers(&self, s: &mut State) {
        let manifests: Vec<_> = s.manifests.iter().map(|it| it.version).collect();
        let blobs: Vec<_> = s.blobs.iter().map(|it| it.version).collect();
        let same = |version, m: Option<Id>| u8::from(m.is_some_and(|m| version == manifests[usize::from(m)]));
        for me in &mut s.processes {
            if matches!(me.at, At::LookAgainAtManifest | At::TakeTagBack) {
                (me.version, me.holder, me.epoch) = (u8::from(me.version == s.tag_version), 0, 0);
                continue;
            }
            let listed = me.listed.last().map(|reference| reference.manifest);
            match (me.job, me.at) {
                (Job::Push { manifest, .. }, At::Refer | At::Check | At::Withdraw | At::Acknowledge) => {
                    me.version = same(me.version, Some(manifest));
                }
                (Job::Push { .. }, At::Forget) => me.version = 0,
                (Job::Push { .. } | Job::Rollback { .. }, at) => {
                    (me.version, me.holder) = (0, 0);
                    if !matches!(at, At::Announce | At::Finish | At::Commit) {
                        me.epoch = 0;
                    }
                }
                (Job::Delete { manifest }, at) => {
                    me.version = same(me.version, Some(manifest));
                    me.epoch = if at == At::VoidHolder { same(me.epoch, listed) } else { 0 };
                }
                (Job::Collect, at) => {
                    me.version = match at {
                        At::GiveUpDelete | At::VoidAttempt => same(me.version, attempted(me)),
                        At::Void => same(me.version, listed),
                        _ => 0,
                    };
                    match self.blob_of(me) {
                        Some(b) if !matches!(at, At::View | At::Pick | At::Settle) => {
                            me.seen.version = u8::from(me.seen.version == blobs[usize::from(b)]);
                        }
                        Some(_) | None => me.seen = Blob::default(),
                    }
                }
                (Job::Unlink { .. } | Job::Mend, _) => {}
            }
        }
        s.tag_version = 1;
        s.manifests.iter_mut().for_each(|it| it.version = 1);
        s.blobs.iter_mut().for_each(|it| it.version = 1);
    }

    /// Back to a version that is kept: never to one that is not.
    fn rollback(&self, s: &mut State, me: &mut Process, manifest: Id) {
        if me.at == At::MoveTag && !s.history.contains(&manifest) {
            return me.end();
        }
        self.tag(s, me, manifest);
    }

    fn is_there(s: &State, content: Content) -> bool {
        match content {
            Content::Blob(b) => match s.blobs[usize::from(b)].current {
                Some((BlobState::Live | BlobState::Condemned, epoch)) => has(s.objects, epoch),
                Some((BlobState::Deleting, _)) | None => false,
            },
            Content::Manifest(m) => s.manifests[usize::from(m)].standing.published().is_some(),
        }
    }

    fn published<'a>(&'a self, s: &'a State) -> impl Iterator<Item = (Id, &'a Pushed)> {
        let all = (0..).zip(&self.manifests);
        all.filter(|(m, _)| s.manifests[usize::from(*m)].standing.published().is_some())
    }

    /// Everybody else has died: collectors run until nothing changes. What is wrong then?
    fn leftover(&self, state: &State) -> Option<Leftover> {
        let mut s = State { processes: vec![Process::new(Job::Collect, 0)], ..state.clone() };
        if let Some(known) = self.settled.lock().expect("no panic").get(&s) {
            return *known;
        }
        let key = s.clone();
        for _ in 0..12 {
            let before = s.clone();
            for candidate in before.candidates.clone() {
                s.processes[0] = Process::new(Job::Collect, 0);
                s = self.step(&s, (0, Choice::Take(candidate)));
                while s.processes[0].at != At::Done {
                    s = self.step(&s, (0, Choice::Step));
                }
            }
            s.processes[0] = Process::new(Job::Collect, 0);
            if s == before {
                break;
            }
        }
        let found = self.judge(&s);
        self.settled.lock().expect("no panic").insert(key, found);
        found
    }

    /// Everybody else has died: somebody comes by, again and again until nothing changes. The tag's history then.
    fn mended(&self, state: &State) -> Vec<Id> {
        let mut s = State { processes: vec![Process::new(Job::Mend, 0)], ..state.clone() };
        while !self.is(Fault::NotMended) {
            let before = s.history.clone();
            s.processes[0] = Process::new(Job::Mend, 0);
            while s.processes[0].at != At::Done {
                s = self.step(&s, (0, Choice::Step));
            }
            if s.history == before {
                break;
            }
        }
        s.history
    }

    fn judge(&self, s: &State) -> Option<Leftover> {
        let needed: Vec<Content> = self.published(s).flat_map(|(_, it)| it.needs.clone()).collect();
        let (mut objects, mut clean) = (0, s.candidates.is_empty());
        for (b, blob) in (0..).zip(&s.blobs) {
            match (needed.contains(&Content::Blob(b)), blob.current) {
                (true, Some((BlobState::Live, epoch))) if has(s.objects, epoch) => objects |= 1 << epoch,
                (true, _) => return Some(Leftover::Unusable),
                (false, current) => clean &= current.is_none(),
            }
            clean &= blob.stale == 0 && blob.arriving == 0;
        }
        // An upload that stands still for longer than the grace period, goes on, and dies right then leaves its object to
        // a check of the store.
        clean &= s.objects & !s.late == objects & !s.late;
        // A push that was given up while it lived may write a reference after that and die. Such a reference keeps nothing:
        // it goes when its blob is looked at.
        clean &= s.manifests.iter().all(|it| matches!(it.standing, Standing::Gone | Standing::Live(_)));
        (!clean).then_some(Leftover::Garbage)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = (usize, Choice);

    fn init_states(&self) -> Vec<State> {
        let mut s = State {
            blobs: vec![Blob::default(); self.blobs],
            objects: 0,
            late: 0,
            manifests: vec![Manifest::default(); self.manifests.len()],
            references: Vec::new(),
            links: vec![0; self.repositories],
            history: self.history.clone(),
            doubted: false,
            tag_version: 1,
            acknowledged_tag: None,
            candidates: Vec::new(),
            acknowledged: 0,
            processes: self.processes.clone(),
        };
        let mut given = 0;
        let mut fresh = || {
            given += 1;
            assert!(given <= GIVEN, "the model is too large for its sets");
            given
        };
        for (m, it) in (0..).zip(&self.manifests).filter(|(_, it)| it.published) {
            let holder = if self.is(Fault::HolderWithoutId) { 0 } else { fresh() };
            s.set_manifest(m, Standing::Live(holder));
            s.acknowledged |= 1 << m;
            for content in &it.needs {
                s.refer(Reference { content: *content, manifest: m, holder });
                if let Content::Blob(b) = content {
                    s.links[usize::from(it.repository)] |= 1 << b;
                    if s.blobs[usize::from(*b)].current.is_none() {
                        let epoch = if self.is(Fault::ReusedKey) { 15 - b } else { fresh() };
                        s.objects |= 1 << epoch;
                        s.set_blob(*b, Blob { current: Some((BlobState::Live, epoch)), ..Blob::default() });
                    }
                }
            }
        }
        // Ids are fresh whatever the order: each push has its own.
        for (number, me) in
            (0..).zip(s.processes.iter_mut().filter(|me| matches!(me.job, Job::Push { .. } | Job::Rollback { .. })))
        {
            me.fresh = GIVEN + 1 + number * EACH;
        }
        self.forget_numbers(&mut s);
        vec![s]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Self::Action>) {
        for (process, me) in state.processes.iter().enumerate() {
            match me.at {
                At::Done => {}
                At::Pick => {
                    actions.extend(state.candidates.iter().map(|candidate| (process, Choice::Take(*candidate))));
                }
                At::Inspect => {
                    actions.push((process, Choice::Step));
                    let pending = me.listed.last().is_some_and(|reference| {
                        state.manifests[usize::from(reference.manifest)].standing == Standing::Pending(reference.holder)
                    });
                    actions.extend(pending.then_some((process, Choice::TooYoung)));
                }
                _ => actions.push((process, Choice::Step)),
            }
        }
    }

    fn next_state(&self, state: &State, action: Self::Action) -> Option<State> {
        Some(self.step(state, action))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NEEDED, |model: &Self, s: &State| {
                model.published(s).all(|(_, it)| it.needs.iter().all(|content| Self::is_there(s, *content)))
            }),
            Property::always(READABLE, |model: &Self, s: &State| {
                let may_read = |it: &Pushed| {
                    it.needs.iter().all(|content| match content {
                        Content::Blob(b) => {
                            // Between taking the link away and looking again, it is missing for a moment.
                            has(s.links[usize::from(it.repository)], *b)
                                || s.processes.iter().any(|process| process.at == At::LookAgain)
                        }
                        Content::Manifest(_) => true,
                    })
                };
                model.published(s).all(|(_, it)| may_read(it))
            }),
            Property::always(KEPT, |_: &Self, s: &State| {
                let in_doubt = |m: Id| {
                    s.processes.iter().any(|process| match process.job {
                        Job::Push { manifest, .. } | Job::Rollback { manifest } => {
                            manifest == m && process.at != At::Done
                        }
                        Job::Delete { .. } | Job::Unlink { .. } | Job::Mend | Job::Collect => false,
                    })
                };
                s.history.iter().all(|m| Self::is_there(s, Content::Manifest(*m)) || in_doubt(*m))
            }),
            Property::always(TAGGED, |_: &Self, s: &State| {
                s.acknowledged_tag.is_none_or(|m| s.history.first() == Some(&m))
            }),
            Property::always(MENDED, |model: &Self, s: &State| {
                model.mended(s).first().is_none_or(|m| Self::is_there(s, Content::Manifest(*m)))
            }),
            Property::always(ACKNOWLEDGED, |model: &Self, s: &State| {
                (0..)
                    .zip(&model.manifests)
                    .all(|(m, _)| !has(s.acknowledged, m) || s.manifests[usize::from(m)].standing.published().is_some())
            }),
            Property::always(CLEAN, |model: &Self, s: &State| model.leftover(s) != Some(Leftover::Garbage)),
            Property::always(USABLE, |model: &Self, s: &State| model.leftover(s) != Some(Leftover::Unusable)),
        ]
    }
}
