use std::sync::Arc;

use wharf_spec::Algorithm;

use wharf_blobstore::{ObjectKey, Objects as _};

use super::super::{ChunkRange, Error, Expired, SessionId};
use super::*;

const SHA256: Algorithm = Algorithm::Sha256;

fn range(start: u64, end: u64) -> ChunkRange {
    ChunkRange { start, end }
}

async fn text(repositories: &Repositories, name: &RepositoryName, digest: &Digest) -> String {
    repositories.blob(name, digest).await.unwrap();
    let bytes = repositories.store().blobs().get(digest, 1 << 20).await.unwrap().unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn chunks_are_put_together_and_the_session_ends() {
    let (repositories, name) = (repositories(), name("app"));
    let id = repositories.begin_upload(&name, SHA256).await.unwrap();
    assert_eq!(repositories.append(&name, id, Some(range(0, 3)), body(&["on", "e "])).await.unwrap().size, 4);
    assert_eq!(repositories.append(&name, id, None, body(&["two "])).await.unwrap().size, 8);
    let digest = Digest::sha256(b"one two three");
    repositories.finish_upload(&name, id, digest, Some(range(8, 12)), body(&["three"])).await.unwrap();
    assert_eq!(text(&repositories, &name, &digest).await, "one two three");
    assert!(matches!(repositories.upload_status(&name, id).await, Err(Error::UnknownUpload)));
    assert_eq!(keys(&repositories, "uploads/").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_session_goes_on_in_another_process() {
    let store = Store::memory();
    let name = name("app");
    let id = {
        let before = Repositories::new(store.clone());
        let id = before.begin_upload(&name, SHA256).await.unwrap();
        before.append(&name, id, None, body(&["before "])).await.unwrap();
        id
    };
    let after = Repositories::new(store);
    assert_eq!(after.upload_status(&name, id).await.unwrap().size, 7);
    let digest = Digest::sha256(b"before after");
    after.finish_upload(&name, id, digest, None, body(&["after"])).await.unwrap();
    assert_eq!(text(&after, &name, &digest).await, "before after");
}

#[tokio::test]
async fn a_chunk_out_of_order_changes_nothing_and_says_where_the_upload_stands() {
    let (repositories, name) = (repositories(), name("app"));
    let id = repositories.begin_upload(&name, SHA256).await.unwrap();
    repositories.append(&name, id, Some(range(0, 3)), body(&["0123"])).await.unwrap();
    for (start, end) in [(8, 11), (0, 3), (3, 6)] {
        let error = repositories.append(&name, id, Some(range(start, end)), body(&["xxxx"])).await.unwrap_err();
        assert!(matches!(error, Error::OutOfOrder { offset: 4, .. }), "{error}");
        let digest = Digest::sha256(b"0123");
        let error =
            repositories.finish_upload(&name, id, digest, Some(range(start, end)), body(&["xxxx"])).await.unwrap_err();
        assert!(matches!(error, Error::OutOfOrder { offset: 4, .. }), "{error}");
    }
    assert_eq!(repositories.upload_status(&name, id).await.unwrap().size, 4);
}

#[tokio::test]
async fn a_chunk_that_is_not_as_long_as_its_range_is_dropped_whole() {
    let (repositories, name) = (repositories(), name("app"));
    let id = repositories.begin_upload(&name, SHA256).await.unwrap();
    repositories.append(&name, id, None, body(&["ok"])).await.unwrap();
    for pieces in [&["x"][..], &["xxx"], &["xx", "xx"]] {
        let error = repositories.append(&name, id, Some(range(2, 3)), body(pieces)).await.unwrap_err();
        assert!(matches!(error, Error::ChunkLength { promised: 2, .. }), "{error}");
    }
    assert_eq!(repositories.upload_status(&name, id).await.unwrap().size, 2);
    let digest = Digest::sha256(b"ok!!");
    repositories.finish_upload(&name, id, digest, Some(range(2, 3)), body(&["!!"])).await.unwrap();
    assert_eq!(text(&repositories, &name, &digest).await, "ok!!");
}

#[tokio::test]
async fn what_had_arrived_when_the_client_went_away_is_kept_for_it_and_seen_by_nobody() {
    let (repositories, name) = (repositories(), name("app"));
    let id = repositories.begin_upload(&name, SHA256).await.unwrap();
    let error = repositories.append(&name, id, None, torn(&["part one, "])).await.unwrap_err();
    assert!(matches!(error, Error::Truncated), "{error}");
    assert_eq!(repositories.upload_status(&name, id).await.unwrap().size, 10);
    assert_eq!(keys(&repositories, "blobs/").await, Vec::<String>::new());
    let digest = Digest::sha256(b"part one, part two");
    repositories.finish_upload(&name, id, digest, Some(range(10, 17)), body(&["part two"])).await.unwrap();
    assert_eq!(text(&repositories, &name, &digest).await, "part one, part two");
}

#[tokio::test]
async fn a_whole_blob_that_breaks_off_leaves_nothing() {
    let (objects, records) = (MemoryObjects::default(), MemoryRecords::default());
    let repositories = Repositories::new(Store::new(objects.clone(), records));
    let digest = Digest::sha256(b"whole");
    let error = repositories.put_blob(&name("app"), digest, torn(&["who"])).await.unwrap_err();
    assert!(matches!(error, Error::Truncated), "{error}");
    let error = repositories.put_blob(&name("app"), digest, body(&["hole"])).await.unwrap_err();
    assert!(matches!(error, Error::Store(wharf_blobstore::Error::Mismatch(_))), "{error}");
    assert_eq!(objects.total_size(), 0);
    assert_eq!(keys(&repositories, "").await, Vec::<String>::new());
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_ends_the_session_and_leaves_nothing() {
    let (objects, records) = (MemoryObjects::default(), MemoryRecords::default());
    let repositories = Repositories::new(Store::new(objects.clone(), records));
    let name = name("app");
    for digest in [Digest::sha256(b"promised"), Digest::of(Algorithm::Sha512, b"promised")] {
        let id = repositories.begin_upload(&name, SHA256).await.unwrap();
        repositories.append(&name, id, None, body(&["something"])).await.unwrap();
        let error = repositories.finish_upload(&name, id, digest, None, body(&[" else"])).await.unwrap_err();
        assert!(matches!(error, Error::Store(wharf_blobstore::Error::Mismatch(_))), "{error}");
        assert!(repositories.blob(&name, &digest).await.is_err());
        assert!(matches!(repositories.upload_status(&name, id).await, Err(Error::UnknownUpload)));
    }
    assert_eq!(objects.total_size(), 0);
}

#[tokio::test]
async fn a_session_belongs_to_its_repository() {
    let (repositories, ours) = (repositories(), name("ours"));
    let id = repositories.begin_upload(&ours, SHA256).await.unwrap();
    let theirs = name("theirs");
    assert!(matches!(repositories.upload_status(&theirs, id).await, Err(Error::UnknownUpload)));
    assert!(matches!(repositories.append(&theirs, id, None, body(&["x"])).await, Err(Error::UnknownUpload)));
    let digest = Digest::sha256(b"");
    let finished = repositories.finish_upload(&theirs, id, digest, None, body(&[])).await;
    assert!(matches!(finished, Err(Error::UnknownUpload)));
    assert!(matches!(repositories.cancel_upload(&theirs, id).await, Err(Error::UnknownUpload)));
    assert_eq!(repositories.upload_status(&ours, id).await.unwrap().size, 0);
}

#[tokio::test]
async fn of_two_requests_that_write_one_session_one_wins() {
    let (repositories, name) = (repositories(), name("app"));
    for begun in [false, true] {
        let id = repositories.begin_upload(&name, SHA256).await.unwrap();
        if begun {
            repositories.append(&name, id, None, body(&["0123"])).await.unwrap();
        }
        let offset = if begun { 4 } else { 0 };
        // The second runs whole while the first has sent half of its body.
        let inside = {
            let (repositories, name) = (repositories.clone(), name.clone());
            async move {
                repositories.append(&name, id, None, body(&["second"])).await.unwrap();
                Ok(Bytes::from_static(b"half"))
            }
        };
        let slow = Arriving::new(arriving(&["half "]).chain(futures_util::stream::once(inside)));
        let error = repositories.append(&name, id, None, slow).await.unwrap_err();
        assert!(matches!(error, Error::UploadBusy), "{error}");
        assert_eq!(repositories.upload_status(&name, id).await.unwrap().size, offset + 6);
        let digest = Digest::sha256(if begun { b"0123second" } else { b"second" });
        repositories.finish_upload(&name, id, digest, None, body(&[])).await.unwrap();
    }
}

#[tokio::test]
async fn two_uploads_of_one_digest_both_succeed() {
    let (repositories, name) = (repositories(), name("app"));
    let digest = Digest::sha256(b"same");
    let (one, two) = tokio::join!(
        repositories.put_blob(&name, digest, body(&["sa", "me"])),
        repositories.put_blob(&name, digest, body(&["same"])),
    );
    assert_eq!(one.unwrap().digest, two.unwrap().digest);
    assert_eq!(text(&repositories, &name, &digest).await, "same");
}

#[tokio::test]
async fn an_upload_may_be_named_by_another_algorithm_than_it_was_begun_with() {
    let (repositories, name) = (repositories(), name("app"));
    for first in ["", "some "] {
        let id = repositories.begin_upload(&name, SHA256).await.unwrap();
        if !first.is_empty() {
            repositories.append(&name, id, None, body(&[first])).await.unwrap();
        }
        let whole = format!("{first}bytes");
        let digest = Digest::of(Algorithm::Sha512, whole.as_bytes());
        repositories.finish_upload(&name, id, digest, None, body(&["bytes"])).await.unwrap();
        assert_eq!(text(&repositories, &name, &digest).await, whole);
    }
}

#[tokio::test]
async fn a_cancelled_session_is_gone_with_its_bytes() {
    let (objects, records) = (MemoryObjects::default(), MemoryRecords::default());
    let (repositories, name) = (Repositories::new(Store::new(objects.clone(), records)), name("app"));
    let id = repositories.begin_upload(&name, SHA256).await.unwrap();
    repositories.append(&name, id, None, body(&["bytes"])).await.unwrap();
    repositories.cancel_upload(&name, id).await.unwrap();
    assert_eq!(objects.total_size(), 0);
    assert!(matches!(repositories.cancel_upload(&name, id).await, Err(Error::UnknownUpload)));
}

#[tokio::test]
async fn sessions_that_nobody_continues_are_purged_after_their_age() {
    let clock = Arc::new(TestClock::default());
    let objects = MemoryObjects::with_clock(clock.clone());
    let mut store = Store::new(objects.clone(), MemoryRecords::default());
    store.clock = clock.clone();
    let (repositories, name) = (Repositories::new(store), name("app"));
    let stale = repositories.begin_upload(&name, SHA256).await.unwrap();
    repositories.append(&name, stale, None, body(&["stale"])).await.unwrap();
    clock.advance(Duration::from_secs(100));
    let fresh = repositories.begin_upload(&name, SHA256).await.unwrap();
    let (none, one) = (Expired::default(), Expired { uploads: 1, bytes: 5 });
    assert_eq!(repositories.purge_uploads(101).await.unwrap(), none);
    assert_eq!(repositories.expired_uploads(100).await.unwrap(), one);
    assert_eq!(repositories.purge_uploads(100).await.unwrap(), one);
    assert_eq!(repositories.purge_uploads(100).await.unwrap(), none);
    assert!(matches!(repositories.upload_status(&name, stale).await, Err(Error::UnknownUpload)));
    repositories.upload_status(&name, fresh).await.unwrap();
    assert_eq!(objects.total_size(), 0);
}

#[tokio::test]
async fn bytes_that_no_session_names_are_purged_and_others_are_gone_on_with() {
    let clock = Arc::new(TestClock::default());
    let objects = MemoryObjects::with_clock(clock.clone());
    let mut store = Store::new(objects.clone(), MemoryRecords::default());
    store.clock = clock.clone();
    let (repositories, name) = (Repositories::new(store), name("app"));
    // As far as a chunk comes whose server dies between the bytes and the session; and one that is forgotten so.
    for number in [1, 2] {
        let mut writer = objects.create(ObjectKey::new([number; 16])).await.unwrap();
        writer.write("left".into()).await.unwrap();
        writer.checkpoint().await.unwrap();
    }
    clock.advance(Duration::from_secs(50));
    let living = repositories.begin_upload(&name, SHA256).await.unwrap();
    repositories.append(&name, living, None, body(&["one "])).await.unwrap();
    assert_eq!(repositories.purge_uploads(50).await.unwrap(), Expired::default(), "their writers may be alive");
    clock.advance(Duration::from_secs(60));
    repositories.append(&name, living, None, body(&[])).await.unwrap();
    clock.advance(Duration::from_secs(1));
    let two = Expired { uploads: 2, bytes: 8 };
    assert_eq!(repositories.expired_uploads(60).await.unwrap(), two);
    assert_eq!(objects.total_size(), 12);
    assert_eq!(repositories.purge_uploads(60).await.unwrap(), two);
    let digest = Digest::sha256(b"one two");
    repositories.finish_upload(&name, living, digest, None, body(&["two"])).await.unwrap();
    assert_eq!(objects.total_size(), 7);
}

#[test]
fn session_ids_are_plain() {
    for bad in ["", "..", "../../x", "0", "0000000000000000000000000000000G", "00000000-0000-0000-0000-000000000000"] {
        assert!(bad.parse::<SessionId>().is_err(), "{bad}");
    }
}
