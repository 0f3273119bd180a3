//! Tags that a killed push left pointing at what somebody deleted.

use wharf_blobstore::{Change, Expect, RecordsExt as _};
use wharf_spec::RawManifest;

use super::{image, name, repositories, tag};
use crate::repo::{Earlier, Error, How, NoWayBack, Precondition, Repositories, keys};

/// As if a push had moved `v1` to this image, and was killed while somebody deleted it.
async fn killed_push(repositories: &Repositories, image: &RawManifest) {
    repositories.put_manifest(&name("app"), image, &[tag("v1")], "ann").await.unwrap();
    let key = keys::manifest(&name("app"), &image.digest());
    let records = &repositories.store().records;
    let version = records.get(&key).await.unwrap().unwrap().version;
    records.swap(key, Expect::Version(version), Change::Delete).await.unwrap();
}

#[tokio::test]
async fn whoever_comes_by_brings_a_tag_back_that_a_killed_push_moved() {
    let (repositories, app) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &app, "one").await, image(&repositories, &app, "two").await);
    repositories.put_manifest(&app, &one, &[tag("v1")], "ann").await.unwrap();
    killed_push(&repositories, &two).await;
    assert_eq!(repositories.manifest_by_tag(&app, &tag("v1")).await.unwrap().digest, one.digest());
    let record = repositories.history(&app, &tag("v1")).await.unwrap();
    let newest = &record.history[0];
    assert_eq!((newest.how, newest.by.as_str(), newest.from), (How::Rollback, "wharf", Some(1)));
    assert_eq!(record.version, 3);
    // Once is enough, and a push goes on from there.
    repositories.manifest_by_tag(&app, &tag("v1")).await.unwrap();
    repositories.put_manifest(&app, &two, &[tag("v1")], "ann").await.unwrap();
    assert_eq!(repositories.history(&app, &tag("v1")).await.unwrap().version, 4);
    assert_eq!(repositories.manifest_by_tag(&app, &tag("v1")).await.unwrap().digest, two.digest());
}

#[tokio::test]
async fn a_tag_that_was_nothing_else_is_deleted() {
    let (repositories, app) = (repositories(), name("app"));
    let one = image(&repositories, &app, "one").await;
    killed_push(&repositories, &one).await;
    let error = repositories.manifest_by_tag(&app, &tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownManifest { .. }), "{error}");
    let record = repositories.history(&app, &tag("v1")).await.unwrap();
    assert_eq!((record.current, record.history[0].how), (None, How::Rollback));
    assert!(repositories.tags(&app, None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_push_to_a_tag_that_points_at_it_already_takes_the_doubt_away() {
    let (repositories, app) = (repositories(), name("app"));
    let one = image(&repositories, &app, "one").await;
    killed_push(&repositories, &one).await;
    // Somebody doubts the tag, and stands still.
    let key = keys::tag(&app, &tag("v1"));
    let records = &repositories.store().records;
    let (mut record, version) = records.get_json::<serde_json::Value>(&key).await.unwrap().unwrap();
    assert_eq!(record.get("doubted"), None);
    record["doubted"] = true.into();
    records.put_json(key.clone(), Expect::Version(version), &record).await.unwrap();
    repositories.put_manifest(&app, &one, &[tag("v1")], "ann").await.unwrap();
    let (record, _) = records.get_json::<serde_json::Value>(&key).await.unwrap().unwrap();
    assert_eq!((record.get("doubted"), &record["version"]), (None, &1.into()));
}

#[tokio::test]
async fn a_rollback_to_what_is_lost_leaves_the_tag_where_it_can_be_pulled() {
    let (repositories, app) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &app, "one").await, image(&repositories, &app, "two").await);
    killed_push(&repositories, &one).await;
    repositories.put_manifest(&app, &two, &[tag("v1")], "ann").await.unwrap();
    let back = repositories.rollback(&app, &tag("v1"), Earlier::Version(1), (&Precondition::None, "ben")).await;
    let problem = match back {
        Err(Error::NoWayBack { problem, .. }) => problem,
        other => panic!("{other:?}"),
    };
    assert_eq!(problem, NoWayBack::Gone(1));
    assert_eq!(repositories.manifest_by_tag(&app, &tag("v1")).await.unwrap().digest, two.digest());
    let back = repositories.rollback(&app, &tag("v1"), Earlier::OneBack, (&Precondition::None, "ben")).await;
    assert!(matches!(back, Err(Error::NoWayBack { problem: NoWayBack::NothingOlder, .. })), "{back:?}");
}
