//! Immutable tags, and what retention takes and leaves.

use std::sync::Arc;

use super::super::{Action, Earlier, Error, How, Pattern, Policy, Precondition, Removal, Removed, Retention, Rule};
use super::*;

const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

fn rule(tags: &[&str], action: Action) -> Rule {
    let tags = tags.iter().map(|text| Pattern::new(*text)).collect();
    Rule { repositories: vec![Pattern::new("**")], tags, except: Vec::new(), action }
}

fn keep(last: Option<usize>, newer: Option<u64>) -> Action {
    Action::Keep { last, newer }
}

/// Repositories with these rules, and their clock.
fn with(rules: Vec<Rule>, history_age: Option<u64>) -> (Repositories, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let store = Store { clock: clock.clone(), ..Store::memory() };
    (Repositories::new(store).with_policy(Policy { history_age, rules, ..Policy::default() }), clock)
}

fn later(clock: &TestClock, seconds: u64) {
    clock.advance(Duration::from_secs(seconds));
}

async fn retain(repositories: &Repositories, retention: Retention) -> Vec<Removal> {
    let mut removals = Vec::new();
    repositories.retain(retention, &mut |removal| removals.push(removal)).await.unwrap();
    removals
}

/// What a dry run says is what a run does.
async fn applied(repositories: &Repositories) -> Vec<Removed> {
    let said = retain(repositories, Retention::DryRun).await;
    let done = retain(repositories, Retention::Apply).await;
    assert_eq!(said, done);
    assert_eq!(retain(repositories, Retention::Apply).await, [], "a second run finds nothing");
    done.into_iter().map(|removal| removal.what).collect()
}

async fn tags(repositories: &Repositories, name: &RepositoryName) -> Vec<String> {
    let tags = repositories.tags(name, None, 100).await.unwrap();
    tags.into_iter().map(|(tag, _)| tag.to_string()).collect()
}

#[tokio::test]
async fn an_immutable_tag_stays_what_it_is_whatever_is_tried() {
    let (repositories, _) = with(vec![rule(&["v*"], Action::Immutable)], None);
    let name = name("app");
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for _ in 0..2 {
        repositories
            .put_manifest(&name, &one, &[tag("v1"), tag("latest")], "ann")
            .await
            .expect("the same again is fine");
    }
    repositories.put_manifest(&name, &two, &[tag("latest")], "ann").await.unwrap();
    repositories.put_manifest(&name, &two, &[tag("v2")], "ann").await.unwrap();
    let refused = |result: Result<(), Error>| match result {
        Err(Error::Immutable { tag: refused, digest, .. }) => assert_eq!((refused, digest), (tag("v1"), one.digest())),
        other => panic!("{other:?}"),
    };
    refused(repositories.put_manifest(&name, &two, &[tag("v1")], "ann").await.map(|_| ()));
    refused(repositories.delete_tag(&name, &tag("v1"), "ann").await);
    refused(repositories.delete_manifest(&name, &one.digest(), "ann").await);
    assert_eq!(repositories.tag(&name, &tag("v1")).await.unwrap().unwrap().version, 1);
    repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
    // A refused push leaves nothing behind.
    let three = image(&repositories, &name, "three").await;
    refused(repositories.put_manifest(&name, &three, &[tag("v1")], "ann").await.map(|_| ()));
    assert!(repositories.manifest(&name, &three.digest()).await.is_err());
}

#[tokio::test]
async fn an_immutable_tag_is_not_rolled_back() {
    let (repositories, _) = with(Vec::new(), None);
    let name = name("app");
    for text in ["one", "two"] {
        let image = image(&repositories, &name, text).await;
        repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap();
    }
    let strict =
        repositories.with_policy(Policy { rules: vec![rule(&["v*"], Action::Immutable)], ..Policy::default() });
    let rolled = strict.rollback(&name, &tag("v1"), Earlier::OneBack, (&Precondition::None, "ann")).await;
    assert!(matches!(rolled, Err(Error::Immutable { .. })));
}

#[tokio::test]
async fn the_newest_and_the_young_stay() {
    let rules = vec![rule(&["ci-*"], keep(Some(2), Some(DAY))), rule(&["ci-keep*"], keep(None, Some(90 * DAY)))];
    let (repositories, clock) = with(rules, None);
    let name = name("team/app");
    let image = image(&repositories, &name, "layer").await;
    for text in ["ci-1", "ci-keep", "ci-2", "ci-3", "release"] {
        repositories.put_manifest(&name, &image, &[tag(text)], "ann").await.unwrap();
        later(&clock, HOUR);
    }
    assert_eq!(applied(&repositories).await, [], "all are young");
    later(&clock, DAY);
    let digest = image.digest();
    assert_eq!(applied(&repositories).await, [Removed::Tag { tag: tag("ci-1"), digest }]);
    assert_eq!(tags(&repositories, &name).await, ["ci-2", "ci-3", "ci-keep", "release"]);
    later(&clock, 90 * DAY);
    // The second rule lets go, the first still counts the newest two.
    assert_eq!(applied(&repositories).await, [Removed::Tag { tag: tag("ci-keep"), digest }]);
    // It comes back like any deleted tag, and is the newest then.
    let by = (&Precondition::None, "ann");
    let restored = repositories.restore_tag(&name, &tag("ci-1"), by).await.unwrap();
    assert_eq!((restored.history[1].how, restored.history[1].by.as_str()), (How::Retention, "retention"));
    later(&clock, DAY);
    assert_eq!(applied(&repositories).await, [Removed::Tag { tag: tag("ci-2"), digest }]);
}

#[tokio::test]
async fn reasons_are_said() {
    let (repositories, clock) = with(vec![rule(&["*"], keep(Some(1), Some(2 * DAY)))], None);
    let name = name("app");
    let image = image(&repositories, &name, "layer").await;
    for text in ["old", "new"] {
        repositories.put_manifest(&name, &image, &[tag(text)], "ann").await.unwrap();
        later(&clock, 3 * DAY);
    }
    let said = retain(&repositories, Retention::DryRun).await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].why, "not among the newest 1 and older than 2 d (rule 1)");
    assert_eq!(tags(&repositories, &name).await, ["new", "old"], "nothing was done");
}

#[tokio::test]
async fn what_nothing_names_goes_and_what_a_history_names_stays() {
    let (repositories, clock) = with(vec![rule(&["**"], Action::Untagged { older: 7 * DAY })], Some(30 * DAY));
    let name = name("app");
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    let lone = image(&repositories, &name, "lone").await;
    repositories.put_manifest(&name, &one, &[tag("v1")], "ann").await.unwrap();
    repositories.put_manifest(&name, &two, &[tag("v1")], "ann").await.unwrap();
    repositories.put_manifest(&name, &lone, &[], "ann").await.unwrap();
    assert_eq!(applied(&repositories).await, [], "all are young");
    later(&clock, 8 * DAY);
    assert_eq!(applied(&repositories).await, [Removed::Manifest { digest: lone.digest() }]);
    let by = (&Precondition::None, "ann");
    assert!(repositories.rollback(&name, &tag("v1"), Earlier::OneBack, by).await.unwrap().points_at(&one.digest()));
    repositories.rollback(&name, &tag("v1"), Earlier::Version(2), by).await.unwrap();
    later(&clock, 31 * DAY);
    let gone = applied(&repositories).await;
    assert_eq!(gone, [Removed::Versions { tag: tag("v1"), count: 3 }, Removed::Manifest { digest: one.digest() }]);
    repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
    assert_eq!(keys(&repositories, "refs/").await.len(), 2, "only those of what is left");
    // A deleted tag is forgotten in the end, with all it held.
    repositories.delete_tag(&name, &tag("v1"), "ann").await.unwrap();
    later(&clock, 8 * DAY);
    assert_eq!(applied(&repositories).await, []);
    later(&clock, 30 * DAY);
    let gone = applied(&repositories).await;
    assert_eq!(gone, [Removed::History { tag: tag("v1") }, Removed::Manifest { digest: two.digest() }]);
    assert_eq!(keys(&repositories, "repos/app/_tags/").await, Vec::<String>::new());
    assert_eq!(keys(&repositories, "refs/").await, Vec::<String>::new());
}

#[tokio::test]
async fn an_index_keeps_its_children_and_a_subject_what_is_about_it() {
    let (repositories, clock) = with(vec![rule(&["**"], Action::Untagged { older: DAY })], Some(DAY));
    let name = name("app");
    let child = image(&repositories, &name, "child").await;
    repositories.put_manifest(&name, &child, &[], "ann").await.unwrap();
    let list = index(vec![child.descriptor()]);
    repositories.put_manifest(&name, &list, &[tag("v1")], "ann").await.unwrap();
    let config = upload(&repositories, &name, "{}").await;
    let signature = Manifest { subject: Some(list.descriptor()), ..manifest(config, Vec::new()) };
    let signature = RawManifest::from_manifest(signature);
    repositories.put_manifest(&name, &signature, &[], "ann").await.unwrap();
    later(&clock, 2 * DAY);
    assert_eq!(applied(&repositories).await, []);
    repositories.delete_tag(&name, &tag("v1"), "ann").await.unwrap();
    later(&clock, 2 * DAY);
    // A dry run sees one round: what only the others named comes to light when those have gone.
    let done = retain(&repositories, Retention::Apply).await;
    let mut gone: Vec<_> = done.into_iter().map(|removal| removal.what).collect();
    assert_eq!(gone.remove(0), Removed::History { tag: tag("v1") });
    assert_eq!(gone.remove(0), Removed::Manifest { digest: list.digest() });
    gone.sort_by_key(|what| format!("{what:?}"));
    let mut rest = [child.digest(), signature.digest()].map(|digest| Removed::Manifest { digest });
    rest.sort_by_key(|what| format!("{what:?}"));
    assert_eq!(gone, rest);
    assert_eq!(keys(&repositories, "repos/app/_manifests/").await, Vec::<String>::new());
    assert_eq!(keys(&repositories, "repos/app/_referrers/").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_pushed_or_asked_for_again_is_young_again() {
    let (repositories, clock) = with(vec![rule(&["**"], Action::Untagged { older: DAY })], None);
    let name = name("app");
    let (pushed, asked) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&pushed, &asked] {
        repositories.put_manifest(&name, image, &[], "ann").await.unwrap();
    }
    later(&clock, 2 * DAY);
    repositories.put_manifest(&name, &pushed, &[], "ann").await.unwrap();
    assert!(repositories.confirm_manifest(&name, &asked.digest()).await.unwrap());
    assert_eq!(applied(&repositories).await, []);
    later(&clock, 2 * DAY);
    assert_eq!(applied(&repositories).await.len(), 2);
    assert!(!repositories.confirm_manifest(&name, &asked.digest()).await.unwrap());
}

/// The race that costs images elsewhere: a tag is put on an old, untagged manifest while it is being deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_push_and_retention_at_once_never_leave_a_tag_that_points_at_nothing() {
    let (repositories, clock) = with(vec![rule(&["**"], Action::Untagged { older: DAY })], None);
    let name = name("app");
    let child = image(&repositories, &name, "layer").await;
    let list = index(vec![child.descriptor()]);
    for _ in 0..100 {
        repositories.put_manifest(&name, &child, &[], "ann").await.unwrap();
        later(&clock, 2 * DAY);
        let cleaner = {
            let repositories = repositories.clone();
            tokio::spawn(async move { retain(&repositories, Retention::Apply).await })
        };
        let pusher = {
            let (repositories, name, list) = (repositories.clone(), name.clone(), list.clone());
            tokio::spawn(async move { repositories.put_manifest(&name, &list, &[tag("v1")], "ann").await })
        };
        let second = {
            let (repositories, name, child) = (repositories.clone(), name.clone(), child.clone());
            tokio::spawn(async move { repositories.put_manifest(&name, &child, &[tag("child")], "ann").await })
        };
        cleaner.await.unwrap();
        second.await.unwrap().expect("whoever has the manifest can always push it");
        repositories.manifest_by_tag(&name, &tag("child")).await.expect("it was acknowledged");
        match pusher.await.unwrap() {
            Ok(_) => {
                repositories.manifest_by_tag(&name, &tag("v1")).await.expect("it was acknowledged");
                repositories.manifest(&name, &child.digest()).await.expect("what the index names is there");
            }
            Err(Error::Missing { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        repositories.delete_tag(&name, &tag("child"), "ann").await.unwrap();
        for digest in [list.digest(), child.digest()] {
            let _ = repositories.delete_manifest(&name, &digest, "ann").await;
        }
    }
}
