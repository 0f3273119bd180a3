use std::sync::atomic::{AtomicUsize, Ordering};

use wharf_blobstore::{Change, Expect, RecordsExt as _};

use super::super::{Error, keys as record_keys};
use super::*;

#[tokio::test]
async fn a_manifest_is_pulled_as_it_was_pushed() {
    let (repositories, name) = (repositories(), name("team/app"));
    let image = image(&repositories, &name, "layer").await;
    let pushed = repositories.put_manifest(&name, &image, &[tag("v1"), tag("v2")], "ann").await.unwrap();
    assert_eq!(pushed.digest, image.digest());
    for found in [
        repositories.manifest(&name, &image.digest()).await.unwrap(),
        repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap(),
        repositories.manifest_by_tag(&name, &tag("v2")).await.unwrap(),
    ] {
        assert_eq!((found.digest, &found.bytes[..]), (image.digest(), image.bytes()));
        assert_eq!(found.media_type, *image.media_type());
    }
    let error = repositories.manifest_by_tag(&name, &tag("v3")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownManifest { .. }), "{error}");
    let error = repositories.manifest_by_tag(&super::name("other"), &tag("v1")).await.unwrap_err();
    assert!(matches!(error, Error::UnknownRepository(_)), "{error}");
}

#[tokio::test]
async fn a_manifest_with_missing_content_is_refused_naming_all_of_it_and_leaves_nothing() {
    let (repositories, name) = (repositories(), name("app"));
    let there = upload(&repositories, &name, "there").await;
    let absent = Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(b"absent"), 6);
    // In the store, but not in this repository: its bytes are somebody else's.
    let elsewhere = upload(&repositories, &super::name("private"), "elsewhere").await;
    let image = RawManifest::from_manifest(manifest(there, vec![absent.clone(), elsewhere.clone(), absent.clone()]));
    let error = repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap_err();
    let Error::Missing { mut digests, .. } = error else { panic!("{error}") };
    digests.sort();
    let mut expected = vec![absent.digest, elsewhere.digest];
    expected.sort();
    assert_eq!(digests, expected);
    assert_eq!(keys(&repositories, "refs/").await, Vec::<String>::new());
    assert_eq!(keys(&repositories, "repos/app/_manifests/").await, Vec::<String>::new());
    assert_eq!(keys(&repositories, "repos/app/_tags/").await, Vec::<String>::new());
}

#[tokio::test]
async fn children_must_be_published_in_the_same_repository() {
    let (repositories, name) = (repositories(), name("app"));
    let child = image(&repositories, &name, "child").await;
    let list = index(vec![child.descriptor()]);
    let error = repositories.put_manifest(&name, &list, &[], "ann").await.unwrap_err();
    assert!(matches!(&error, Error::Missing { digests, .. } if *digests == [child.digest()]), "{error}");
    repositories.put_manifest(&name, &child, &[], "ann").await.unwrap();
    repositories.put_manifest(&name, &list, &[], "ann").await.unwrap();
    let references = keys(&repositories, &format!("refs/{}/", child.digest())).await;
    assert_eq!(references.len(), 1, "the index keeps its child");
}

#[tokio::test]
async fn an_index_may_list_blobs_as_build_caches_do() {
    let (repositories, name) = (repositories(), name("app"));
    let layer = upload(&repositories, &name, "cached").await;
    repositories.put_manifest(&name, &index(vec![layer.clone()]), &[], "ann").await.unwrap();
    let absent = Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(b"absent"), 6);
    let error = repositories.put_manifest(&name, &index(vec![layer, absent.clone()]), &[], "ann").await.unwrap_err();
    assert!(matches!(&error, Error::Missing { digests, .. } if *digests == [absent.digest]), "{error}");
}

#[tokio::test]
async fn only_layers_that_must_not_be_distributed_may_live_elsewhere() {
    let (repositories, name) = (repositories(), name("app"));
    let config = upload(&repositories, &name, "{}").await;
    let layer = |kind: &str| Descriptor {
        urls: vec!["https://elsewhere.example/layer".to_owned()],
        ..Descriptor::new(kind, Digest::sha256(b"elsewhere"), 9)
    };
    for (kind, accepted) in [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true),
        (MediaType::OCI_LAYER_GZIP, false),
    ] {
        let image = RawManifest::from_manifest(manifest(config.clone(), vec![layer(kind)]));
        let pushed = repositories.put_manifest(&name, &image, &[], "ann").await;
        assert_eq!(pushed.is_ok(), accepted, "{kind}");
    }
}

#[tokio::test]
async fn a_manifest_that_says_the_wrong_length_is_refused() {
    let (repositories, name) = (repositories(), name("app"));
    let config = upload(&repositories, &name, "{}").await;
    let layer = Descriptor { size: 3, ..upload(&repositories, &name, "layer").await };
    let image = RawManifest::from_manifest(manifest(config, vec![layer.clone()]));
    let error = repositories.put_manifest(&name, &image, &[], "ann").await.unwrap_err();
    assert!(matches!(&error, Error::WrongSize { digest, said: 3, actual: 5 } if *digest == layer.digest), "{error}");
    assert_eq!(keys(&repositories, "refs/").await, Vec::<String>::new());
}

/// The order that makes pushing and collecting at the same time safe (see `manifests.rs`).
#[tokio::test]
async fn publishing_takes_its_steps_in_the_order_of_the_protocol() {
    let (store, calls) = Watched::store(|_| Vec::new());
    let (repositories, name) = (Repositories::new(store), name("app"));
    let image = image(&repositories, &name, "layer").await;
    calls.lock().unwrap().clear();
    repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap();

    let calls = calls.lock().unwrap().clone();
    let is_write_to = |call: &Call, prefix: &str, state: &str| match call {
        Call::Write(write) => {
            let Change::Put(value) = &write.change else { return false };
            write.key.as_str().starts_with(prefix) && String::from_utf8_lossy(value).contains(state)
        }
        Call::Read(_) => false,
    };
    let first = |prefix: &str, state: &str| calls.iter().position(|call| is_write_to(call, prefix, state)).unwrap();
    let last = |prefix: &str, state: &str| calls.iter().rposition(|call| is_write_to(call, prefix, state)).unwrap();
    let is_look = |call: &Call| matches!(call, Call::Read(key) if key.starts_with("blobs/"));
    let first_look = calls.iter().position(is_look).unwrap();
    let last_look = calls.iter().rposition(is_look).unwrap();
    let record = format!("repos/app/_manifests/{}", image.digest());
    let steps = [
        first(&record, r#""state":"pending""#),
        first("refs/", &record),
        last("refs/", &record),
        first_look,
        last_look,
        first(&record, r#""state":"live""#),
        first("repos/app/_tags/v1", "current"),
    ];
    assert!(steps.is_sorted(), "{steps:?}");
    assert_eq!(keys(&repositories, "refs/").await.len(), 2);
}

#[tokio::test]
async fn a_push_that_died_is_taken_over() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let key = record_keys::manifest(&name, &image.digest());
    let dead = r#"{"state":"pending","holder":"00000000000000000000000000000001","mediaType":"x","pushedAt":1,"pushedBy":"ann"}"#;
    repositories.store().records.swap(key, Expect::Absent, Change::Put(format!("{dead}\n").into())).await.unwrap();
    let unknown = repositories.manifest(&name, &image.digest()).await.unwrap_err();
    assert!(matches!(unknown, Error::UnknownManifest { .. }), "pending is not pullable: {unknown}");
    repositories.put_manifest(&name, &image, &[], "ben").await.unwrap();
    assert_eq!(&repositories.manifest(&name, &image.digest()).await.unwrap().bytes[..], image.bytes());
}

#[tokio::test]
async fn a_push_whose_intent_was_voided_begins_again_and_leaves_no_reference_of_the_dead_attempt() {
    let voided = AtomicUsize::new(0);
    let (store, _) = Watched::store(move |batch| {
        let commit = batch.iter().find(|write| {
            let is_live = matches!(&write.change, Change::Put(value) if value.starts_with(br#"{"state":"live""#));
            is_live && write.key.as_str().contains("/_manifests/")
        });
        match commit {
            // A collector removes the intent just before the first commit.
            Some(commit) if voided.fetch_add(1, Ordering::Relaxed) == 0 => {
                vec![Write { key: commit.key.clone(), expect: Expect::Absent, change: Change::Delete }]
            }
            Some(_) | None => Vec::new(),
        }
    });
    let (repositories, name) = (Repositories::new(store), name("app"));
    let image = image(&repositories, &name, "layer").await;
    repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap();
    repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
    assert_eq!(keys(&repositories, "refs/").await.len(), 2, "one per blob, all of the living attempt");
}

#[tokio::test]
async fn two_pushes_that_declare_in_the_same_moment_both_succeed() {
    let met = AtomicUsize::new(0);
    let (store, _) = Watched::store(move |batch| {
        let intent = batch.iter().find(|write| write.key.as_str().contains("/_manifests/"));
        match intent {
            // The other one is a moment earlier, and never goes on.
            Some(intent) if met.fetch_add(1, Ordering::Relaxed) == 0 => vec![intent.clone()],
            Some(_) | None => Vec::new(),
        }
    });
    let (repositories, name) = (Repositories::new(store), name("app"));
    let image = image(&repositories, &name, "layer").await;
    repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap();
    repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
}

/// A push that sees the manifest just before somebody deletes it, and has moved its tag when it finds out that what the
/// manifest needs is not readable any more. `comes_back`: somebody else publishes it while the tag is taken back.
async fn pushed_while_deleted(comes_back: bool) -> (Repositories, Result<(), Error>) {
    let (published, tagged) = (std::sync::Mutex::new(None::<Write>), AtomicUsize::new(0));
    let (store, _) = Watched::store(move |batch| {
        for write in batch.iter().filter(|write| write.key.as_str().contains("/_manifests/")) {
            let live = matches!(&write.change, Change::Put(value) if value.starts_with(br#"{"state":"live""#));
            if live {
                *published.lock().unwrap() = Some(write.clone());
            }
        }
        if !batch.iter().any(|write| write.key.as_str().contains("/_tags/late")) {
            return Vec::new();
        }
        let record = published.lock().unwrap().clone().unwrap();
        let gone = |key| Write { key, expect: Expect::Absent, change: Change::Delete };
        let link = RecordKey::new(format!("repos/app/_blobs/{}", Digest::sha256(b"layer")));
        match tagged.fetch_add(1, Ordering::Relaxed) {
            0 => vec![gone(record.key), gone(link)],
            1 if comes_back => vec![Write { expect: Expect::Absent, ..record }],
            _ => Vec::new(),
        }
    });
    let (repositories, name) = (Repositories::new(store), name("app"));
    let image = image(&repositories, &name, "layer").await;
    repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await.unwrap();
    let pushed = repositories.put_manifest(&name, &image, &[tag("late")], "ben").await;
    (repositories, pushed.map(|_| ()))
}

#[tokio::test]
async fn a_push_that_fails_after_it_moved_a_tag_leaves_none_that_points_at_nothing() {
    let (repositories, pushed) = pushed_while_deleted(false).await;
    assert!(matches!(pushed, Err(Error::Missing { .. })), "{pushed:?}");
    let late = repositories.tag(&name("app"), &tag("late")).await.unwrap().unwrap();
    assert_eq!((late.current, late.version), (None, 2), "it was there");
}

#[tokio::test]
async fn a_tag_that_somebody_else_found_in_place_meanwhile_is_put_back() {
    let (repositories, pushed) = pushed_while_deleted(true).await;
    assert!(matches!(pushed, Err(Error::Missing { .. })), "{pushed:?}");
    repositories.manifest_by_tag(&name("app"), &tag("late")).await.unwrap();
}

#[tokio::test]
async fn deleting_a_manifest_reads_the_tags_once_and_before_its_record_goes() {
    let (store, calls) = Watched::store(|_| Vec::new());
    let (repositories, name) = (Repositories::new(store), name("app"));
    let image = image(&repositories, &name, "layer").await;
    repositories.put_manifest(&name, &image, &[tag("v1"), tag("v2")], "ann").await.unwrap();
    calls.lock().unwrap().clear();
    repositories.delete_manifest(&name, &image.digest(), "ben").await.unwrap();
    let calls = calls.lock().unwrap().clone();
    let tags = |call: &Call| matches!(call, Call::Read(prefix) if prefix == "repos/app/_tags/");
    assert_eq!(calls.iter().filter(|call| tags(call)).count(), 1);
    let of_record = |write: &Write| write.key.as_str().contains("/_manifests/");
    let condemned = |call: &Call| matches!(call, Call::Write(write) if of_record(write));
    let gone = |call: &Call| matches!(call, Call::Write(write) if of_record(write) && write.change == Change::Delete);
    let untagged = |call: &Call| matches!(call, Call::Write(write) if write.key.as_str().contains("/_tags/"));
    let steps = [
        calls.iter().position(condemned),
        calls.iter().position(tags),
        calls.iter().position(untagged),
        calls.iter().rposition(untagged),
        calls.iter().position(gone),
    ];
    assert!(steps.is_sorted() && steps.iter().all(Option::is_some), "{steps:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_pushes_of_one_manifest_all_succeed() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let pushes = (0..16).map(|number| {
        let (repositories, name, image) = (repositories.clone(), name.clone(), image.clone());
        tokio::spawn(async move {
            let tags = [tag("latest"), tag(&format!("v{number}"))];
            repositories.put_manifest(&name, &image, &tags, "ann").await
        })
    });
    for pushed in futures_util::future::join_all(pushes).await {
        pushed.unwrap().unwrap();
    }
    assert_eq!(repositories.tags(&name, None, 100).await.unwrap().len(), 17);
    assert_eq!(keys(&repositories, "refs/").await.len(), 2);
    assert_eq!(repositories.tag(&name, &tag("latest")).await.unwrap().unwrap().version, 1);
}

#[tokio::test]
async fn deleting_a_manifest_takes_its_tags_and_its_references() {
    let (repositories, name) = (repositories(), name("app"));
    let (old, new) = (image(&repositories, &name, "old").await, image(&repositories, &name, "new").await);
    repositories.put_manifest(&name, &old, &[tag("v1"), tag("stable")], "ann").await.unwrap();
    repositories.put_manifest(&name, &new, &[tag("v2")], "ann").await.unwrap();
    repositories.delete_manifest(&name, &old.digest(), "ben").await.unwrap();
    let tags: Vec<_> = repositories.tags(&name, None, 10).await.unwrap().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, [tag("v2")]);
    assert!(matches!(repositories.manifest(&name, &old.digest()).await, Err(Error::UnknownManifest { .. })));
    assert!(matches!(
        repositories.delete_manifest(&name, &old.digest(), "ben").await,
        Err(Error::UnknownManifest { .. })
    ));
    assert_eq!(keys(&repositories, "refs/").await.len(), 2, "only those of the other image");
    repositories.manifest_by_tag(&name, &tag("v2")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_race_of_pushing_and_deleting_leaves_a_tag_that_points_at_nothing() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    for _ in 0..200 {
        let push = {
            let (repositories, name, image) = (repositories.clone(), name.clone(), image.clone());
            tokio::spawn(async move { repositories.put_manifest(&name, &image, &[tag("v1")], "ann").await })
        };
        let delete = {
            let (repositories, name, digest) = (repositories.clone(), name.clone(), image.digest());
            tokio::spawn(async move { repositories.delete_manifest(&name, &digest, "ben").await })
        };
        push.await.unwrap().unwrap();
        match delete.await.unwrap() {
            Ok(()) | Err(Error::UnknownManifest { .. } | Error::UnknownRepository(_)) => {}
            Err(error) => panic!("{error}"),
        }
        if repositories.resolve(&name, &tag("v1")).await.unwrap().is_some() {
            repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_same_bytes_under_two_algorithms_are_two_manifests() {
    let (repositories, name) = (repositories(), name("app"));
    let image = image(&repositories, &name, "layer").await;
    let long = RawManifest::parse(image.bytes().to_vec(), None, wharf_spec::Algorithm::Sha512).unwrap();
    repositories.put_manifest(&name, &long, &[tag("v1")], "ann").await.unwrap();
    let found = repositories.manifest_by_tag(&name, &tag("v1")).await.unwrap();
    assert_eq!(found.digest, long.digest());
    assert!(repositories.manifest(&name, &image.digest()).await.is_err());
}
