//! Whole lives of tags against a model so plain that it is obviously right.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::{Action, Earlier, Error, Expected, How, Pattern, Policy, Precondition, Retention, Rule};
use super::*;

const HISTORY: usize = 5;
const AGE: u64 = 1000;
const IMAGES: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Push { tag: usize, image: usize },
    PushIf { tag: usize, image: usize, version: u64 },
    Back { tag: usize },
    To { tag: usize, version: u64 },
    ToImage { tag: usize, image: usize },
    Delete { tag: usize },
    Restore { tag: usize },
    DeleteImage { image: usize },
    Retain,
    Wait { seconds: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (tag, image) = (0..2_usize, 0..IMAGES);
    let step = prop_oneof![
        6 => (tag.clone(), image.clone()).prop_map(|(tag, image)| Step::Push { tag, image }),
        1 => (tag.clone(), image.clone(), 0..9_u64).prop_map(|(tag, image, version)| Step::PushIf { tag, image, version }),
        3 => tag.clone().prop_map(|tag| Step::Back { tag }),
        2 => (tag.clone(), 1..12_u64).prop_map(|(tag, version)| Step::To { tag, version }),
        1 => (tag.clone(), image.clone()).prop_map(|(tag, image)| Step::ToImage { tag, image }),
        1 => tag.clone().prop_map(|tag| Step::Delete { tag }),
        2 => tag.prop_map(|tag| Step::Restore { tag }),
        1 => image.prop_map(|image| Step::DeleteImage { image }),
        1 => Just(Step::Retain),
        2 => (1..700_u64).prop_map(|seconds| Step::Wait { seconds }),
    ];
    proptest::collection::vec(step, 1..40)
}

/// One version: number, image, when, how, whose content, gone.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    number: u64,
    image: Option<usize>,
    at: u64,
    how: How,
    origin: u64,
    gone: bool,
}

/// A tag, oldest version first.
#[derive(Clone, Debug, Default)]
struct Model {
    lines: Vec<Line>,
}

impl Model {
    fn current(&self) -> Option<usize> {
        self.lines.last().and_then(|line| line.image)
    }

    fn version(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.number)
    }

    fn add(&mut self, image: Option<usize>, origin: Option<u64>, (at, how): (u64, How)) {
        let number = self.version() + 1;
        for line in self.lines.iter_mut().filter(|line| image.is_some() && line.image == image) {
            line.gone = false;
        }
        self.lines.push(Line { number, image, at, how, origin: origin.unwrap_or(number), gone: false });
        let above = self.lines.len().saturating_sub(HISTORY);
        self.lines.drain(..above);
    }

    fn usable(&self, wanted: impl Fn(&Line) -> bool) -> Option<(usize, u64)> {
        let mut lines = self.lines.iter().rev().filter(|line| !line.gone && wanted(line));
        lines.find_map(|line| Some((line.image?, line.origin)))
    }

    fn earlier(&self, earlier: Earlier, images: &[RawManifest]) -> Option<(usize, u64)> {
        match earlier {
            Earlier::OneBack if self.current().is_none() => self.usable(|_| true),
            Earlier::OneBack => {
                let stands = self.lines.last()?.origin;
                self.usable(|line| line.number < stands && line.image != self.current())
            }
            Earlier::Version(number) => self.usable(|line| line.number == number),
            Earlier::Digest(digest) => {
                // The newest that had it decides: an older one is no more there than that.
                self.usable(|line| line.image.is_some_and(|image| images[image].digest() == digest))
            }
        }
    }
}

struct World {
    repositories: Repositories,
    clock: Arc<TestClock>,
    name: RepositoryName,
    images: Vec<RawManifest>,
    tags: [Tag; 2],
    models: [Model; 2],
    /// Images that must be there.
    there: BTreeMap<usize, bool>,
}

impl World {
    async fn new() -> Self {
        let clock = Arc::new(TestClock::default());
        let store = Store { clock: clock.clone(), ..Store::memory() };
        let everywhere = || vec![Pattern::new("**")];
        let untagged = Action::Untagged { older: 0 };
        let rule = Rule { repositories: everywhere(), tags: everywhere(), except: Vec::new(), action: untagged };
        let policy = Policy { history: HISTORY, history_age: Some(AGE), rules: vec![rule] };
        let repositories = Repositories::new(store).with_policy(policy);
        let name = name("app");
        let mut images = Vec::new();
        for text in ["0", "1", "2", "3"] {
            images.push(image(&repositories, &name, text).await);
        }
        let tags = [tag("a"), tag("b")];
        Self { repositories, clock, name, images, tags, models: Default::default(), there: BTreeMap::new() }
    }

    async fn push(&mut self, tag: usize, image: usize, condition: Precondition) {
        let fits = match &condition {
            Precondition::Is(expected) => expected.contains(&Expected::Version(self.models[tag].version())),
            _ => true,
        };
        let already = self.models[tag].current() == Some(image);
        let tags = [self.tags[tag].clone()];
        let by = (&condition, "ann");
        let pushed = self.repositories.put_manifest_if(&self.name, &self.images[image], &tags, by).await;
        assert_eq!(pushed.is_ok(), fits || already, "{pushed:?}");
        if pushed.is_ok() {
            self.there.insert(image, true);
            if !already {
                let stamp = (self.repositories.now(), How::Push);
                self.models[tag].add(Some(image), None, stamp);
            }
        }
    }

    async fn bring_back(&mut self, tag: usize, earlier: Earlier, how: How) {
        let model = &self.models[tag];
        let by = (&Precondition::None, "ann");
        let (found, done) = if how == How::Restore {
            let found = model.earlier(Earlier::OneBack, &self.images).filter(|_| model.current().is_none());
            (found, self.repositories.restore_tag(&self.name, &self.tags[tag], by).await)
        } else {
            let found = model.earlier(earlier, &self.images);
            (found, self.repositories.rollback(&self.name, &self.tags[tag], earlier, by).await)
        };
        assert_eq!(done.is_ok(), found.is_some(), "{earlier:?} {how:?} {model:?} {done:?}");
        if let Some((image, origin)) = found.filter(|(image, _)| model.current() != Some(*image)) {
            self.models[tag].add(Some(image), Some(origin), (self.repositories.now(), how));
        }
    }

    async fn delete(&mut self, tag: usize) {
        let done = self.repositories.delete_tag(&self.name, &self.tags[tag], "ann").await;
        assert_eq!(done.is_ok(), self.models[tag].current().is_some());
        if done.is_ok() {
            self.models[tag].add(None, None, (self.repositories.now(), How::Delete));
        }
    }

    async fn delete_image(&mut self, image: usize) {
        let done = self.repositories.delete_manifest(&self.name, &self.images[image].digest(), "ann").await;
        let there = self.there.insert(image, false).unwrap_or(false);
        assert_eq!(done.is_ok(), there, "{done:?}");
        assert!(matches!(done, Ok(()) | Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_))));
        for model in self.models.iter_mut().filter(|_| there) {
            model.lines.iter_mut().filter(|line| line.image == Some(image)).for_each(|line| line.gone = true);
            if model.current() == Some(image) {
                model.add(None, None, (self.repositories.now(), How::Delete));
            }
        }
    }

    async fn retain(&mut self) {
        self.repositories.retain(Retention::Apply, &mut |_| {}).await.unwrap();
        let now = self.repositories.now();
        let limit = now - AGE;
        for model in &mut self.models {
            let replaced: Vec<u64> = model.lines.iter().skip(1).map(|line| line.at).chain([u64::MAX]).collect();
            let mut replaced = replaced.into_iter();
            model.lines.retain(|_| replaced.next().unwrap() >= limit);
            let spent = |line: &Line| (line.image.is_none() || line.gone) && line.at < limit;
            if model.current().is_none() && model.lines.iter().all(spent) {
                model.lines.clear();
            }
        }
        let named = |image: usize| {
            let names = |line: &Line| line.image == Some(image) && !line.gone;
            self.models.iter().any(|model| model.lines.iter().any(names))
        };
        // Asked for in this second is not older than this second.
        for image in 0..IMAGES {
            let digest = self.images[image].digest();
            let there = self.repositories.manifest(&self.name, &digest).await.is_ok();
            assert!(there || !named(image), "image {image} is in a history");
            self.there.insert(image, there);
        }
    }

    async fn check(&self) {
        for (tag, model) in self.tags.iter().zip(&self.models) {
            let record = self.repositories.tag(&self.name, tag).await.unwrap().unwrap_or_default();
            let image = |descriptor: &Option<Descriptor>| {
                let to = descriptor.as_ref()?;
                self.images.iter().position(|image| image.digest() == to.digest)
            };
            let line = |entry: &super::super::TagVersion| Line {
                number: entry.version,
                image: image(&entry.descriptor),
                at: entry.at,
                how: entry.how,
                origin: entry.origin(),
                gone: entry.gone,
            };
            let lines: Vec<_> = record.history.iter().rev().map(line).collect();
            assert_eq!(lines, model.lines);
            assert_eq!((image(&record.current), record.version), (model.current(), model.version()));
            for kept in model.lines.iter().filter(|line| !line.gone).filter_map(|line| line.image) {
                let found = self.repositories.manifest(&self.name, &self.images[kept].digest()).await;
                assert!(found.is_ok(), "image {kept} is lost: {found:?}");
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Push { tag, image } => self.push(tag, image, Precondition::None).await,
            Step::PushIf { tag, image, version } => {
                self.push(tag, image, Precondition::Is(vec![Expected::Version(version)])).await;
            }
            Step::Back { tag } => self.bring_back(tag, Earlier::OneBack, How::Rollback).await,
            Step::To { tag, version } => self.bring_back(tag, Earlier::Version(version), How::Rollback).await,
            Step::ToImage { tag, image } => {
                self.bring_back(tag, Earlier::Digest(self.images[image].digest()), How::Rollback).await;
            }
            Step::Delete { tag } => self.delete(tag).await,
            Step::Restore { tag } => self.bring_back(tag, Earlier::OneBack, How::Restore).await,
            Step::DeleteImage { image } => self.delete_image(image).await,
            Step::Retain => self.retain().await,
            Step::Wait { seconds } => self.clock.advance(Duration::from_secs(seconds)),
        }
        self.check().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tags_live_as_the_model_says(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
            }
        });
    }
}
