//! What is stored, who is at work, and the steps of the records themselves.

use std::fmt;

pub type Id = u8;
pub type Version = u8;

/// Sets of up to sixteen small numbers.
pub type Set = u16;

pub fn has(set: Set, it: Id) -> bool {
    set & (1 << it) != 0
}

pub fn members(set: Set) -> impl Iterator<Item = Id> {
    (0..16).filter(move |it| has(set, *it))
}

/// What a manifest may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Content {
    Blob(Id),
    Manifest(Id),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BlobState {
    Live,
    Condemned,
    Deleting,
}

/// `blobs/<digest>`. Its version goes on counting when the record is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Blob {
    pub current: Option<(BlobState, Id)>,
    pub stale: Set,
    pub arriving: Set,
    pub version: Version,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Standing {
    #[default]
    Gone,
    Pending(Id),
    Live(Id),
    Condemned(Id),
}

impl Standing {
    /// Who holds its references, when it is published.
    pub fn published(self) -> Option<Id> {
        match self {
            Self::Live(holder) | Self::Condemned(holder) => Some(holder),
            Self::Gone | Self::Pending(_) => None,
        }
    }
}

/// `repos/<name>/_manifests/<digest>`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manifest {
    pub standing: Standing,
    pub version: Version,
}

/// `refs/<digest>/<holder>`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    pub content: Content,
    pub manifest: Id,
    pub holder: Id,
}

/// `candidates/…`
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Candidate {
    Blob { blob: Id, epoch: Id },
    Push { manifest: Id, holder: Id },
    Delete { manifest: Id, holder: Id },
}

/// A process: where it stands in its work, and what it remembers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub job: Job,
    pub at: At,
    /// Position in what the manifest needs.
    pub position: u8,
    pub holder: Id,
    pub epoch: Id,
    pub version: Version,
    /// The blob's record as it was seen.
    pub seen: Blob,
    /// References listed and not yet looked at.
    pub listed: Vec<Reference>,
    pub candidate: Option<Candidate>,
    /// Whether everything a candidate is about was settled so far.
    pub settled: bool,
    /// Whether a pending holder could not be voided.
    pub pending: bool,
    /// How often it may still begin again.
    pub tries: u8,
    /// The next id that nobody has had.
    pub fresh: Id,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Job {
    /// Pushes a manifest, and tags it.
    Push { manifest: Id, tag: bool },
    /// Brings the tag back to a manifest of its history.
    Rollback { manifest: Id },
    /// Deletes a manifest.
    Delete { manifest: Id },
    /// Takes a blob out of a repository.
    Unlink { repository: Id, blob: Id },
    /// Comes by the tag, and brings it back when it points at what is not there.
    Mend,
    /// Collects.
    Collect,
}

/// Where a process stands. Names are those of the functions of the real code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum At {
    // Push.
    Have,
    Announce,
    Finish,
    Commit,
    Link,
    Declare,
    Refer,
    Check,
    Withdraw,
    Forget,
    Acknowledge,
    MoveTag,
    CheckTagged,
    // Whoever finds a tag that points at nothing.
    Resolve,
    LookAtManifest,
    Doubt,
    LookAgainAtManifest,
    TakeTagBack,
    // Delete.
    Condemn,
    ListHolders,
    InspectHolder,
    VoidHolder,
    LookAtTag,
    Reaffirm,
    Remove,
    // Unlink.
    Unlink,
    LookAgain,
    // Collect.
    Pick,
    Settle,
    GiveUpDelete,
    VoidAttempt,
    DropReferences,
    View,
    Sweep,
    SweepRecord,
    VoidUpload,
    ListReferences,
    Inspect,
    Void,
    RemoveReference,
    Verdict,
    DropCandidate,
    Done,
}

impl Process {
    pub fn new(job: Job, tries: u8) -> Self {
        let at = match job {
            Job::Push { .. } => At::Have,
            Job::Rollback { .. } => At::MoveTag,
            Job::Delete { .. } => At::Condemn,
            Job::Unlink { .. } => At::Unlink,
            Job::Mend => At::Resolve,
            Job::Collect => At::Pick,
        };
        Self {
            job,
            at,
            position: 0,
            holder: 0,
            epoch: 0,
            version: 0,
            seen: Blob::default(),
            listed: Vec::new(),
            candidate: None,
            settled: true,
            pending: false,
            tries,
            fresh: 0,
        }
    }

    pub fn fresh(&mut self) -> Id {
        self.fresh += 1;
        assert!(self.fresh <= 15, "the model is too large for its sets");
        self.fresh - 1
    }

    /// Goes on elsewhere, from the first of what the manifest needs.
    pub fn go(&mut self, at: At) {
        self.at = at;
        self.position = 0;
    }

    /// Begins again, unless it has done so too often for the model to stay small.
    pub fn again(&mut self, at: At) {
        if self.tries == 0 {
            self.end();
        } else {
            self.tries -= 1;
            self.go(at);
        }
    }

    /// Ends, and forgets everything, so that states which differ in nothing that matters are one.
    pub fn end(&mut self) {
        *self = Self { at: At::Done, ..Self::new(self.job, 0) };
    }
}

/// Everything.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    pub blobs: Vec<Blob>,
    /// Objects that exist.
    pub objects: Set,
    /// Objects of uploads that finished after they had been given up: their uploaders delete them, unless they die first.
    pub late: Set,
    pub manifests: Vec<Manifest>,
    /// Sorted.
    pub references: Vec<Reference>,
    /// For each repository, the blobs it may read.
    pub links: Vec<Set>,
    /// The one tag's kept versions, newest first.
    pub history: Vec<Id>,
    /// Somebody found that what the tag points at is not there.
    pub doubted: bool,
    /// Of the tag's record.
    pub tag_version: Version,
    /// What the tag was acknowledged to point at, until somebody moves or deletes it.
    pub acknowledged_tag: Option<Id>,
    /// Sorted.
    pub candidates: Vec<Candidate>,
    /// Manifests whose push was acknowledged and whose delete was not.
    pub acknowledged: Set,
    pub processes: Vec<Process>,
}

impl State {
    pub fn refer(&mut self, reference: Reference) {
        if let Err(place) = self.references.binary_search(&reference) {
            self.references.insert(place, reference);
        }
    }

    pub fn unrefer(&mut self, reference: Reference) {
        self.references.retain(|it| *it != reference);
    }

    pub fn nominate(&mut self, candidate: Candidate) {
        if let Err(place) = self.candidates.binary_search(&candidate) {
            self.candidates.insert(place, candidate);
        }
    }

    pub fn references_to(&self, content: Content) -> Vec<Reference> {
        self.references.iter().copied().filter(|reference| reference.content == content).collect()
    }

    /// The tag's record is written.
    pub fn set_tag(&mut self, history: Vec<Id>, doubted: bool) {
        (self.history, self.doubted) = (history, doubted);
        self.tag_version += 1;
    }

    pub fn set_blob(&mut self, blob: Id, next: Blob) {
        let version = self.blobs[usize::from(blob)].version + 1;
        self.blobs[usize::from(blob)] = Blob { version, ..next };
    }

    pub fn set_manifest(&mut self, manifest: Id, standing: Standing) {
        let version = self.manifests[usize::from(manifest)].version + 1;
        self.manifests[usize::from(manifest)] = Manifest { standing, version };
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at: Vec<_> = self.processes.iter().map(|it| it.at).collect();
        write!(
            f,
            "blobs {:?} objects {:?} manifests {:?} references {:?} history {:?} doubted {} candidates {:?} acknowledged {:b} tag {:?} at {at:?}",
            self.blobs,
            members(self.objects).collect::<Vec<_>>(),
            self.manifests.iter().map(|it| it.standing).collect::<Vec<_>>(),
            self.references,
            self.history,
            self.doubted,
            self.candidates,
            self.acknowledged,
            self.acknowledged_tag,
        )
    }
}
