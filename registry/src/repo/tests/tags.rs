use wharf_blobstore::RecordsExt as _;

use super::super::{Earlier, Error, Expected, How, NoWayBack, Precondition, keys as record_keys};
use super::*;

#[tokio::test]
async fn every_change_is_a_version_and_the_same_push_again_is_none() {
    let (repositories, name) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&one, &one, &two] {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    repositories.delete_tag(&name, &tag("v1"), "ben").await.unwrap();
    let record = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
    assert_eq!((record.version, &record.current), (3, &None));
    let history: Vec<_> = record
        .history
        .iter()
        .map(|entry| (entry.version, entry.how, entry.by.as_str(), entry.descriptor.as_ref().map(|to| to.digest)))
        .collect();
    assert_eq!(
        history,
        [
            (3, How::Delete, "ben", None),
            (2, How::Push, "ann", Some(two.digest())),
            (1, How::Push, "ann", Some(one.digest()))
        ]
    );
    assert!(matches!(repositories.delete_tag(&name, &tag("v1"), "ben").await, Err(Error::UnknownManifest { .. })));
    repositories.manifest(&name, &two.digest()).await.expect("deleting a tag leaves its manifest");
}

#[tokio::test]
async fn history_is_bounded() {
    let (repositories, name) = (repositories(), name("app"));
    let images = [image(&repositories, &name, "one").await, image(&repositories, &name, "two").await];
    for image in images.iter().cycle().take(105) {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    let record = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
    assert_eq!((record.version, record.history.len()), (105, 100));
    assert_eq!(record.history.last().unwrap().version, 6);
}

#[tokio::test]
async fn tags_are_listed_in_order_page_by_page_without_the_deleted_ones() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let all: Vec<_> = ["B", "a", "b", "b-1", "c", "d"].map(tag).into();
    repositories.put_manifest(&name, &image, &all, "ann").await.unwrap();
    for gone in ["a", "b-1"] {
        repositories.delete_tag(&name, &tag(gone), "ann").await.unwrap();
    }
    let page = |last: Option<&'static str>, limit| {
        let (repositories, name) = (repositories.clone(), name.clone());
        async move {
            let found = repositories.tags(&name, last, limit).await.unwrap();
            found.into_iter().map(|(tag, _)| tag.to_string()).collect::<Vec<_>>()
        }
    };
    assert_eq!(page(None, 10).await, ["B", "b", "c", "d"]);
    assert_eq!(page(None, 2).await, ["B", "b"]);
    assert_eq!(page(Some("b"), 2).await, ["c", "d"]);
    assert_eq!(page(Some("b-5"), 1).await, ["c"], "`last` need not exist");
    assert_eq!(page(Some("d"), 2).await, Vec::<String>::new());
    assert_eq!(page(None, 0).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_rollback_and_a_restore_are_versions_by_whoever_did_them() {
    let (repositories, name) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&one, &two] {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    let by = (&Precondition::None, "ben");
    let rolled = repositories.rollback(&name, &tag("v1"), Earlier::OneBack, by).await.unwrap();
    assert_eq!(rolled.current.as_ref().map(|to| to.digest), Some(one.digest()));
    let again = repositories.rollback(&name, &tag("v1"), Earlier::Version(1), by).await.unwrap();
    assert_eq!(again, rolled, "it stands there already");
    repositories.delete_tag(&name, &tag("v1"), "cid").await.unwrap();
    let restored = repositories.restore_tag(&name, &tag("v1"), by).await.unwrap();
    assert!(restored.points_at(&one.digest()));
    let newest: Vec<_> =
        restored.history.iter().map(|entry| (entry.version, entry.how, entry.by.as_str(), entry.from)).collect();
    assert_eq!(
        newest[..3],
        [(5, How::Restore, "ben", Some(1)), (4, How::Delete, "cid", None), (3, How::Rollback, "ben", Some(1))]
    );
}

#[tokio::test]
async fn what_is_deleted_by_digest_is_gone_from_every_history() {
    let (repositories, name) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&one, &two] {
        repositories.put_manifest(&name, image, &[tag("v1"), tag("v2")], "ann").await.unwrap();
    }
    repositories.put_manifest(&name, &one, &[tag("v3")], "ann").await.unwrap();
    repositories.delete_manifest(&name, &one.digest(), "ben").await.unwrap();
    for earlier in [Earlier::Version(1), Earlier::Digest(one.digest()), Earlier::OneBack] {
        for tagged in ["v1", "v2"] {
            let rolled = repositories.rollback(&name, &tag(tagged), earlier, (&Precondition::None, "ben")).await;
            assert!(matches!(rolled, Err(Error::NoWayBack { .. })), "{earlier:?}");
            assert!(repositories.tag(&name, &tag(tagged)).await.unwrap().unwrap().points_at(&two.digest()));
        }
    }
    let restored = repositories.restore_tag(&name, &tag("v3"), (&Precondition::None, "ben")).await;
    assert!(matches!(restored, Err(Error::NoWayBack { problem: NoWayBack::NothingLeft, .. })));
    // Pushed to one tag again, it can be gone back to there.
    repositories.put_manifest(&name, &one, &[tag("v1")], "ann").await.unwrap();
    repositories.put_manifest(&name, &two, &[tag("v1")], "ann").await.unwrap();
    let by = (&Precondition::None, "ben");
    assert!(repositories.rollback(&name, &tag("v1"), Earlier::Version(1), by).await.unwrap().points_at(&one.digest()));
    assert!(repositories.rollback(&name, &tag("v2"), Earlier::Version(1), by).await.is_err());
}

/// A push that died after it had moved its tag and while somebody deleted the manifest.
#[tokio::test]
async fn a_rollback_never_ends_at_what_is_not_there() {
    let (repositories, name) = (repositories(), name("app"));
    let (one, two) = (image(&repositories, &name, "one").await, image(&repositories, &name, "two").await);
    for image in [&one, &two] {
        repositories.put_manifest(&name, image, &[tag("v1")], "ann").await.unwrap();
    }
    let key = record_keys::manifest(&name, &one.digest());
    let record = repositories.store().records.get(&key).await.unwrap().unwrap();
    let records = &repositories.store().records;
    records.swap(key, wharf_blobstore::Expect::Version(record.version), wharf_blobstore::Change::Delete).await.unwrap();
    let rolled = repositories.rollback(&name, &tag("v1"), Earlier::OneBack, (&Precondition::None, "ben")).await;
    assert!(matches!(rolled, Err(Error::NoWayBack { problem: NoWayBack::Gone(1), .. })), "{rolled:?}");
    // It is where it was.
    let record = repositories.history(&name, &tag("v1")).await.unwrap();
    assert!(record.points_at(&two.digest()) && record.history[0].from == Some(2), "{record:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_clients_on_one_tag_are_one_order_and_lose_no_version() {
    let (repositories, name) = (repositories(), name("app"));
    let mut images = Vec::new();
    for text in ["0", "1", "2", "3", "4", "5", "6", "7"] {
        images.push(image(&repositories, &name, text).await);
    }
    repositories.put_manifest(&name, &images[0], &[tag("v1")], "first").await.unwrap();
    let mut clients = Vec::new();
    for client in ["ann", "ben"] {
        let (repositories, name, images) = (repositories.clone(), name.clone(), images.clone());
        clients.push(tokio::spawn(async move {
            let mut made = 0;
            for round in 0..20 {
                let image = &images[(round * 3 + usize::from(client == "ben") * 4) % images.len()];
                let before = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
                let condition = Precondition::Is(vec![Expected::Version(before.version)]);
                let by = (&condition, client);
                let changed = match round % 3 {
                    0 => repositories.put_manifest_if(&name, image, &[tag("v1")], by).await.map(|_| ()),
                    1 => repositories.rollback(&name, &tag("v1"), Earlier::Version(1), by).await.map(|_| ()),
                    _ => repositories.delete_tag_if(&name, &tag("v1"), by).await,
                };
                match changed {
                    Ok(()) => made += 1,
                    Err(Error::TagMoved { .. } | Error::UnknownManifest { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            made
        }));
    }
    let mut said = 0;
    for client in clients {
        said += client.await.unwrap();
    }
    let record = repositories.tag(&name, &tag("v1")).await.unwrap().unwrap();
    let numbers: Vec<_> = record.history.iter().map(|entry| entry.version).rev().collect();
    assert_eq!(numbers, (1..=record.version).collect::<Vec<_>>(), "every version is there, once");
    // Whoever found things as it wanted them made no version: never more of them than were said to work.
    assert!(record.version <= said + 1 && record.version > 2, "{} of {said}", record.version);
    assert_eq!(record.history[0].descriptor, record.current);
}
