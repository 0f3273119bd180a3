//! The set-ups of the model on the real code and real engines: the orders in which a broken protocol goes wrong, and
//! thousands of others, with processes that die anywhere. After every step, everything that is published is complete;
//! when collectors have run, exactly that is left.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::sync::oneshot;
use wharf_blobstore::{Blob, Store};
use wharf_registry::gc::{Collector, Policy};
use wharf_registry::repo::{Error, Repositories};
use wharf_spec::{Descriptor, Digest, Index, Manifest, MediaType, RawManifest, RepositoryName, Tag};

use super::protocol::Protocol;
use super::state::{Content, Job};
use super::stepped::{Batches, Message, Retired, stepped};

/// Everything is old enough. One candidate at a time, as the model has it; those that look at others are processes of their own.
const EAGER: Policy = Policy {
    grace: Duration::ZERO,
    upload_expiry: Duration::ZERO,
    mode: wharf_registry::gc::Mode::Collect,
    at_once: NonZero::<usize>::MIN,
    pause: Duration::ZERO,
};

/// Numbers that look random and follow from a seed.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

/// The real things that the model's numbers stand for.
struct World {
    set_up: Protocol,
    manifests: Vec<RawManifest>,
    store: Store,
    plain: Repositories,
}

fn repository(number: u8) -> RepositoryName {
    format!("team/r{number}").parse().expect("a name")
}

fn blob(number: u8) -> (Digest, Bytes) {
    let bytes = Bytes::from(format!("blob {number}"));
    (Digest::sha256(&bytes), bytes)
}

impl World {
    async fn new(set_up: Protocol, store: Store) -> Self {
        let mut manifests: Vec<RawManifest> = Vec::new();
        for (number, it) in set_up.manifests.iter().enumerate() {
            let descriptor = |content: &Content| match content {
                Content::Blob(b) => {
                    let (digest, bytes) = blob(*b);
                    Descriptor::new(MediaType::OCI_LAYER, digest, bytes.len() as u64)
                }
                Content::Manifest(m) => manifests[usize::from(*m)].descriptor(),
            };
            let needs: Vec<Descriptor> = it.needs.iter().map(descriptor).collect();
            let annotations = BTreeMap::from([("number".to_owned(), number.to_string())]);
            manifests.push(match it.needs[0] {
                Content::Blob(_) => RawManifest::from_manifest(Manifest {
                    schema_version: 2,
                    media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
                    artifact_type: None,
                    config: needs[0].clone(),
                    layers: needs[1..].to_vec(),
                    subject: None,
                    annotations,
                }),
                Content::Manifest(_) => RawManifest::from_index(Index {
                    schema_version: 2,
                    media_type: Some(MediaType::new(MediaType::OCI_INDEX)),
                    artifact_type: None,
                    manifests: needs,
                    subject: None,
                    annotations,
                }),
            });
        }
        let world = Self { set_up, manifests, plain: Repositories::new(store.clone()), store };
        for (number, it) in (0..).zip(&world.set_up.manifests) {
            if it.published {
                assert!(push(&world.plain, &world.task(number, false)).await, "the beginning");
            }
        }
        world
    }

    fn task(&self, manifest: u8, tag: bool) -> PushTask {
        let it = &self.set_up.manifests[usize::from(manifest)];
        let blobs = it.needs.iter().filter_map(|content| match content {
            Content::Blob(b) => Some(blob(*b)),
            Content::Manifest(_) => None,
        });
        let others = (0..2).filter(|other| *other != it.repository).map(repository).collect();
        PushTask {
            name: repository(it.repository),
            others,
            blobs: blobs.collect(),
            manifest: self.manifests[usize::from(manifest)].clone(),
            tags: tag.then(|| "tag".parse().expect("a tag")).into_iter().collect(),
        }
    }

    /// Does a process's work on a store whose steps are ordered.
    fn spawn(&self, job: Job, repositories: Repositories, done: impl FnOnce(bool) + Send + 'static) -> Task {
        match job {
            Job::Push { manifest, tag } => {
                let task = self.task(manifest, tag);
                tokio::spawn(async move { done(push(&repositories, &task).await) })
            }
            // Going back is pushing a tag again, as far as the store is concerned.
            Job::Rollback { manifest } => {
                let task = self.task(manifest, true);
                tokio::spawn(async move { done(push(&repositories, &task).await) })
            }
            Job::Delete { manifest } => {
                let name = repository(self.set_up.manifests[usize::from(manifest)].repository);
                let digest = self.manifests[usize::from(manifest)].digest();
                tokio::spawn(async move {
                    match repositories.delete_manifest(&name, &digest, "ann").await {
                        Ok(())
                        | Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_) | Error::InUse { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                    done(false);
                })
            }
            Job::Unlink { repository: number, blob: b } => tokio::spawn(async move {
                match repositories.delete_blob(&repository(number), &blob(b).0).await {
                    Ok(()) | Err(Error::UnknownBlob { .. } | Error::InUse { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
                done(false);
            }),
            Job::Mend => {
                let name = repository(0);
                tokio::spawn(async move {
                    match repositories.manifest_by_tag(&name, &"tag".parse::<Tag>().expect("a tag")).await {
                        Ok(_) | Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_)) => {}
                        Err(error) => panic!("{error}"),
                    }
                    done(false);
                })
            }
            Job::Collect => tokio::spawn(async move {
                Collector::new(repositories, EAGER).run(&mut |_| {}).await.expect("collected");
                done(false);
            }),
        }
    }

    /// Everything that is published is complete and can be read.
    async fn assert_complete(&self, links: Links) {
        for (number, it) in self.set_up.manifests.iter().enumerate() {
            let name = repository(it.repository);
            if self.plain.manifest(&name, &self.manifests[number].digest()).await.is_err() {
                continue;
            }
            for content in &it.needs {
                match content {
                    Content::Blob(b) => {
                        let (digest, bytes) = blob(*b);
                        let found = self.plain.store().blobs().get(&digest, 100).await.expect("readable");
                        assert_eq!(found, Some(bytes), "manifest {number} needs blob {b}");
                        if links == Links::Checked {
                            self.plain.blob(&name, &digest).await.expect("linked");
                        }
                    }
                    Content::Manifest(m) => {
                        let digest = self.manifests[usize::from(*m)].digest();
                        self.plain.manifest(&name, &digest).await.expect("the index's child");
                    }
                }
            }
        }
        for number in 0..2 {
            // A push that failed after it had moved its tag may leave it pointing at what was deleted.
            let (name, tag) = (repository(number), "tag".parse::<Tag>().expect("a tag"));
            if links == Links::Checked && self.plain.resolve(&name, &tag).await.expect("readable").is_some() {
                self.plain.manifest_by_tag(&name, &tag).await.expect("a tag points at what is there");
            }
        }
    }

    /// Whoever pulls by a tag gets what it points at, or there is no such tag: also after a push died that had moved it.
    async fn assert_tags(&self) {
        for number in 0..2 {
            let (name, tag) = (repository(number), "tag".parse::<Tag>().expect("a tag"));
            match self.plain.manifest_by_tag(&name, &tag).await {
                Ok(_) => {}
                Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_)) => {
                    let left = self.plain.resolve(&name, &tag).await.expect("readable");
                    assert_eq!(left, None, "a tag that points at nothing");
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Collectors run until nothing changes: what is needed is live, and nothing else is left.
    async fn assert_clean(&self) {
        for _ in 0..4 {
            Collector::new(self.plain.clone(), EAGER).run(&mut |_| {}).await.expect("collected");
        }
        let (mut objects, mut seen) = (0, std::collections::BTreeSet::new());
        for (number, it) in self.set_up.manifests.iter().enumerate() {
            if self.plain.manifest(&repository(it.repository), &self.manifests[number].digest()).await.is_ok() {
                for content in &it.needs {
                    if let Content::Blob(b) = content
                        && seen.insert(*b)
                    {
                        let found = self.plain.store().blobs().find(&blob(*b).0).await.expect("readable");
                        assert!(found.as_ref().is_some_and(Blob::is_live), "blob {b} is needed: {found:?}");
                        objects += 1;
                    }
                }
            }
        }
        let left = self.store.objects.list(None, 100).await.expect("listed");
        assert_eq!(left.len(), objects, "objects that nobody needs");
    }
}

impl World {
    /// Everything is deleted, so that the store can be used again; then nothing is left.
    async fn wipe(&self) {
        for (number, it) in self.set_up.manifests.iter().enumerate().rev() {
            let deleted =
                self.plain.delete_manifest(&repository(it.repository), &self.manifests[number].digest(), "ann").await;
            match deleted {
                Ok(()) | Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        self.assert_clean().await;
    }
}

type Task = tokio::task::JoinHandle<()>;

/// Whether links and tags are looked at: while somebody changes them, they may be missing for a moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Checked,
    Changing,
}

struct PushTask {
    name: RepositoryName,
    others: Vec<RepositoryName>,
    blobs: Vec<(Digest, Bytes)>,
    manifest: RawManifest,
    tags: Vec<Tag>,
}

/// What a client does; whether it was acknowledged.
async fn push(repositories: &Repositories, task: &PushTask) -> bool {
    for _ in 0..3 {
        for (digest, bytes) in &task.blobs {
            let found = repositories.blob(&task.name, digest).await;
            if found.is_ok_and(|blob| blob.is_live()) {
                continue;
            }
            let mut mounted = false;
            for other in &task.others {
                mounted = mounted || repositories.mount(&task.name, other, digest).await.expect("mounted or not");
            }
            if !mounted {
                let body = bytes.clone().into();
                match repositories.put_blob(&task.name, *digest, body).await {
                    Ok(_) | Err(Error::Store(wharf_blobstore::Error::UploadLost)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        }
        match repositories.put_manifest(&task.name, &task.manifest, &task.tags, "ann").await {
            Ok(_) => return true,
            Err(Error::Missing { .. } | Error::Store(wharf_blobstore::Error::Contended { .. })) => {}
            Err(error) => panic!("{error}"),
        }
    }
    false
}

/// Says in which schedule a test failed.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in this schedule: {}", self.0);
        }
    }
}

/// How processes are ordered.
#[derive(Debug)]
pub struct Schedule {
    /// Who goes first; each entry is one step, or a few.
    pub order: Vec<usize>,
    pub dice: Dice,
    /// One in so many steps is the last of its process.
    pub deaths: Option<usize>,
    pub batches: Batches,
    /// Whether everything is looked at after every step, or in the end.
    pub every_step: bool,
}

/// One schedule, to its end. How many steps it had.
pub async fn run(set_up: Protocol, store: Store, mut schedule: Schedule) -> usize {
    // A failure says which schedule it was.
    let _named = Named(format!("{}, {schedule:?}", set_up.name));
    let world = World::new(set_up, store).await;
    let (scheduler, mut messages) = mpsc::unbounded_channel();
    let jobs: Vec<Job> = world.set_up.processes.iter().map(|process| process.job).collect();
    let acknowledged = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (mut tasks, retired): (Vec<Task>, _) = (Vec::new(), Retired::default());
    for (process, job) in jobs.iter().enumerate() {
        let store = stepped(&world.store, &retired, process, scheduler.clone(), schedule.batches);
        let (scheduler, acknowledged, job) = (scheduler.clone(), std::sync::Arc::clone(&acknowledged), *job);
        tasks.push(world.spawn(job, Repositories::new(store), move |good| {
            if let (Job::Push { manifest, .. } | Job::Rollback { manifest }, true) = (job, good) {
                acknowledged.lock().expect("no panic").push(manifest);
            }
            scheduler.send(Message::Ended).expect("the scheduler is there");
        }));
    }
    let (mut waiting, mut running, mut steps) = (BTreeMap::<usize, oneshot::Sender<()>>::new(), jobs.len(), 0);
    let mut order = std::mem::take(&mut schedule.order).into_iter();
    loop {
        while running > 0 {
            match messages.recv().await.expect("a sender is here") {
                Message::Ready(process, go) => drop(waiting.insert(process, go)),
                Message::Ended => {}
            }
            running -= 1;
        }
        if schedule.every_step {
            world.assert_complete(Links::Changing).await;
        }
        let Some((next, ordered)) = next(&mut order, &waiting, &mut schedule.dice) else { break };
        let go = waiting.remove(&next).expect("it waits");
        if !ordered && schedule.deaths.is_some_and(|one_in| schedule.dice.below(one_in) == 0) {
            tasks[next].abort();
            continue;
        }
        steps += 1;
        running += 1;
        go.send(()).expect("it waits");
    }
    for task in tasks {
        if let Err(error) = task.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
    // Whoever died may have left a link taken away, or a tag moved to what was being deleted.
    let pushes = jobs.iter().filter(|job| matches!(job, Job::Push { .. } | Job::Rollback { .. })).count();
    let acknowledged = std::mem::take(&mut *acknowledged.lock().expect("no panic"));
    let all_good = schedule.deaths.is_none() && acknowledged.len() == pushes;
    world.assert_complete(if all_good { Links::Checked } else { Links::Changing }).await;
    world.assert_tags().await;
    for manifest in &acknowledged {
        let deleted = jobs.iter().any(|job| matches!(job, Job::Delete { manifest: deleted } if deleted == manifest));
        let name = repository(world.set_up.manifests[usize::from(*manifest)].repository);
        let found = world.plain.manifest(&name, &world.manifests[usize::from(*manifest)].digest()).await;
        assert!(deleted || found.is_ok(), "manifest {manifest} was acknowledged");
    }
    world.assert_clean().await;
    world.assert_complete(Links::Changing).await;
    world.wipe().await;
    steps
}

/// The next of the order who waits; when it is through, anybody, who may die.
fn next(
    order: &mut impl Iterator<Item = usize>,
    waiting: &BTreeMap<usize, oneshot::Sender<()>>,
    dice: &mut Dice,
) -> Option<(usize, bool)> {
    if waiting.is_empty() {
        return None;
    }
    if let Some(next) = order.find(|process| waiting.contains_key(process)) {
        return Some((next, true));
    }
    waiting.keys().nth(dice.below(waiting.len())).map(|process| (*process, false))
}
