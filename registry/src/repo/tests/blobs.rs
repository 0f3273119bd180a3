use std::sync::Arc;

use super::super::Error;
use super::*;

#[tokio::test]
async fn a_blob_is_read_only_where_it_was_pushed() {
    let (repositories, ours, theirs) = (repositories(), name("ours"), name("theirs"));
    let blob = upload(&repositories, &theirs, "secret").await;
    repositories.blob(&theirs, &blob.digest).await.unwrap();
    let error = repositories.blob(&ours, &blob.digest).await.unwrap_err();
    assert!(matches!(error, Error::UnknownBlob { .. }), "{error}");
}

#[tokio::test]
async fn a_blob_is_mounted_from_where_it_is() {
    let (repositories, ours, theirs) = (repositories(), name("ours"), name("theirs"));
    let blob = upload(&repositories, &theirs, "base").await;
    assert!(!repositories.mount(&ours, &name("nobody"), &blob.digest).await.unwrap());
    assert!(!repositories.mount(&ours, &theirs, &Digest::sha256(b"absent")).await.unwrap());
    assert!(repositories.mount(&ours, &theirs, &blob.digest).await.unwrap());
    repositories.blob(&ours, &blob.digest).await.unwrap();
    repositories.delete_blob(&theirs, &blob.digest).await.unwrap();
    repositories.blob(&ours, &blob.digest).await.expect("deleting it there does not delete it here");
}

#[tokio::test]
async fn repositories_that_hold_a_blob_are_found_with_and_without_a_manifest_that_names_it() {
    let repositories = repositories();
    let digest = upload(&repositories, &name("bare"), "base").await.digest;
    let with_manifest = image(&repositories, &name("image"), "base").await;
    repositories.put_manifest(&name("image"), &with_manifest, &[], "ann").await.unwrap();
    upload(&repositories, &name("other"), "something else").await;
    assert_eq!(repositories.holders(&digest).await.unwrap(), [name("bare"), name("image")]);
    assert_eq!(repositories.holders(&Digest::sha256(b"absent")).await.unwrap(), Vec::<RepositoryName>::new());
}

#[tokio::test]
async fn deleting_a_blob_takes_it_from_one_repository_at_once() {
    let (repositories, name) = (repositories(), name("app"));
    let blob = upload(&repositories, &name, "layer").await;
    repositories.delete_blob(&name, &blob.digest).await.unwrap();
    assert!(matches!(repositories.blob(&name, &blob.digest).await, Err(Error::UnknownBlob { .. })));
    assert!(matches!(repositories.delete_blob(&name, &blob.digest).await, Err(Error::UnknownBlob { .. })));
    upload(&repositories, &name, "layer").await;
    repositories.blob(&name, &blob.digest).await.unwrap();
}

#[tokio::test]
async fn a_link_is_stamped_again_only_when_its_stamp_is_old() {
    let (mut store, calls) = Watched::store(|_| Vec::new());
    let clock = Arc::new(TestClock::default());
    store.clock = clock.clone();
    let (repositories, name) = (Repositories::new(store), name("app"));
    let blob = upload(&repositories, &name, "base").await;
    let writes = || {
        let mut calls = calls.lock().unwrap();
        calls
            .drain(..)
            .filter(|call| matches!(call, Call::Write(write) if write.key.as_str().contains("/_blobs/")))
            .count()
    };
    assert_eq!(writes(), 1);
    clock.advance(Duration::from_secs(3599));
    repositories.link_blob(&name, &blob.digest).await.unwrap();
    assert_eq!(writes(), 0);
    clock.advance(Duration::from_secs(1));
    repositories.link_blob(&name, &blob.digest).await.unwrap();
    assert_eq!(writes(), 1);
}
