//! Objects of several parts: what the contract's cases are too small to reach.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use wharf_blobstore::conformance::far_future;
use wharf_blobstore::conformance::object_cases::noise;
use wharf_blobstore::s3::{Encryption, S3Config, S3Objects};
use wharf_blobstore::{Checkpoint, Error, ObjectKey, Objects};

use crate::Test;
use crate::bench::{S3Bench, fresh};

const MIB: usize = 1 << 20;
const KEY: ObjectKey = ObjectKey::new([7; 16]);

pub(crate) fn tests(place: &'static S3Config) -> Vec<Test> {
    vec![
        Test::new("large::parts_make_one_object", || run(parts_make_one_object(place))),
        Test::new("large::another_process_goes_on", || run(another_process_goes_on(place))),
        Test::new("large::many_chunks_make_one_object", || run(many_chunks_make_one_object(place))),
        Test::new("large::a_late_writer_harms_nobody", || run(a_late_writer_harms_nobody(place))),
        Test::new("large::one_of_two_branches_finishes", || run(one_of_two_branches_finishes(place))),
        Test::new("large::what_was_abandoned_leaves_nothing", || run(what_was_abandoned_leaves_nothing(place))),
        Test::new("large::a_dropped_writer_leaves_nothing", || run(a_dropped_writer_leaves_nothing(place))),
        Test::new("large::an_address_reads_without_credentials", || run(an_address_reads_without_credentials(place))),
        Test::new("large::what_is_written_is_encrypted_as_asked", || run(what_is_written_is_encrypted_as_asked(place))),
        Test::new("large::wrong_credentials_are_told", || run(wrong_credentials_are_told(place))),
        Test::new("large::a_missing_bucket_is_told", || run(a_missing_bucket_is_told(place))),
    ]
}

pub(crate) fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(async {
        tokio::time::timeout(std::time::Duration::from_mins(3), test)
            .await
            .expect("it has not ended for three minutes");
    });
}

pub(crate) async fn read(objects: &S3Objects, key: ObjectKey) -> Option<Bytes> {
    let size = objects.size(key).await.unwrap()?;
    let stream = objects.read(key, 0..size).await.unwrap()?;
    Some(stream.try_collect::<BytesMut>().await.unwrap().freeze())
}

async fn assert_object(objects: &S3Objects, expected: &[&Bytes]) {
    let found = read(objects, KEY).await.expect("the object is there");
    assert!(found == expected.iter().map(|bytes| &bytes[..]).collect::<Vec<_>>().concat(), "other bytes");
}

/// Finishes or drops are over when nothing is left; whoever was dropped cleans up on his own time.
async fn assert_clean(objects: &S3Objects) {
    for _ in 0..200 {
        if objects.unfinished(far_future()).await.unwrap().is_empty() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("left: {:?}", objects.unfinished(far_future()).await.unwrap());
}

async fn objects(place: &S3Config) -> (Arc<S3Bench>, S3Objects) {
    let bench = Arc::new(S3Bench::new(place).await);
    let objects = bench.engines().await.0;
    (bench, objects)
}

async fn go_on(bench: &S3Bench, checkpoint: &Checkpoint, bytes: &Bytes) -> Checkpoint {
    let mut writer = bench.engines().await.0.resume(KEY, checkpoint).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.checkpoint().await.unwrap()
}

async fn begin(objects: &S3Objects, bytes: &Bytes) -> Checkpoint {
    let mut writer = objects.create(KEY).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.checkpoint().await.unwrap()
}

async fn parts_make_one_object(place: &S3Config) {
    let (_, objects) = objects(place).await;
    // At the borders of parts, and far from them.
    for length in [8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 37 * MIB + 11] {
        let bytes = noise(length, 1);
        let mut writer = objects.create(KEY).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        writer.finish().await.unwrap();
        assert_object(&objects, &[&bytes]).await;
        assert_clean(&objects).await;
        objects.delete(KEY).await.unwrap();
    }
}

async fn another_process_goes_on(place: &S3Config) {
    let (bench, objects) = objects(place).await;
    let chunks = [noise(11 * MIB, 2), noise(3 * MIB, 3), noise(9 * MIB + 5, 4)];
    let mut checkpoint = begin(&objects, &chunks[0]).await;
    checkpoint = go_on(&bench, &checkpoint, &chunks[1]).await;
    checkpoint = go_on(&bench, &checkpoint, &chunks[2]).await;
    let other = bench.engines().await.0;
    other.resume(KEY, &checkpoint).await.unwrap().finish().await.unwrap();
    assert_object(&objects, &[&chunks[0], &chunks[1], &chunks[2]]).await;
    assert_clean(&objects).await;
    objects.delete(KEY).await.unwrap();
}

async fn many_chunks_make_one_object(place: &S3Config) {
    let (bench, objects) = objects(place).await;
    let bytes = noise(24 * MIB, 5);
    let mut checkpoint = begin(&objects, &bytes.slice(..MIB)).await;
    for start in (MIB..24 * MIB).step_by(MIB) {
        checkpoint = go_on(&bench, &checkpoint, &bytes.slice(start..start + MIB)).await;
    }
    objects.resume(KEY, &checkpoint).await.unwrap().finish().await.unwrap();
    assert_object(&objects, &[&bytes]).await;
    assert_clean(&objects).await;
    objects.delete(KEY).await.unwrap();
}

async fn a_late_writer_harms_nobody(place: &S3Config) {
    let (bench, objects) = objects(place).await;
    let (start, ours, rest) = (noise(9 * MIB, 6), noise(17 * MIB, 7), noise(8 * MIB, 8));
    let early = begin(&objects, &start).await;
    let checkpoint = go_on(&bench, &early, &ours).await;
    // Sends parts of its own after those that the checkpoint covers.
    let late = go_on(&bench, &early, &noise(26 * MIB, 9)).await;
    let checkpoint = go_on(&bench, &checkpoint, &rest).await;
    let mut late = objects.resume(KEY, &late).await.unwrap();
    late.write(noise(9 * MIB, 10)).await.unwrap();
    late.checkpoint().await.unwrap();
    objects.resume(KEY, &checkpoint).await.unwrap().finish().await.unwrap();
    assert!(matches!(late.finish().await, Err(Error::UploadLost)));
    assert_object(&objects, &[&start, &ours, &rest]).await;
    assert_clean(&objects).await;
    objects.delete(KEY).await.unwrap();
}

async fn one_of_two_branches_finishes(place: &S3Config) {
    let (bench, objects) = objects(place).await;
    let (start, bytes) = (noise(MIB, 11), [noise(20 * MIB, 12), noise(2 * MIB, 13)]);
    // From a tail: one branch begins the upload in parts, the other one needs none.
    for winner in [0, 1] {
        let checkpoint = begin(&objects, &start).await;
        let mut writers = Vec::new();
        for bytes in &bytes {
            let mut writer = bench.engines().await.0.resume(KEY, &checkpoint).await.unwrap();
            writer.write(bytes.clone()).await.unwrap();
            writers.push(writer);
        }
        let first = writers.remove(winner);
        first.finish().await.unwrap();
        assert!(matches!(writers.remove(0).finish().await, Err(Error::UploadLost)));
        assert_object(&objects, &[&start, &bytes[winner]]).await;
        assert_clean(&objects).await;
        objects.delete(KEY).await.unwrap();
    }
}

async fn what_was_abandoned_leaves_nothing(place: &S3Config) {
    let (bench, objects) = objects(place).await;
    let early = begin(&objects, &noise(9 * MIB, 14)).await;
    let checkpoint = go_on(&bench, &early, &noise(10 * MIB, 15)).await;
    let mut writer = objects.resume(KEY, &checkpoint).await.unwrap();
    objects.abandon(KEY).await.unwrap();
    assert_clean(&objects).await;
    assert!(matches!(objects.resume(KEY, &checkpoint).await, Err(Error::UploadLost)));
    let written = writer.write(noise(30 * MIB, 16)).await;
    assert!(matches!(written, Ok(()) | Err(Error::UploadLost)), "{written:?}");
    assert!(matches!(writer.finish().await, Err(Error::UploadLost)));
    assert_clean(&objects).await;
}

async fn a_dropped_writer_leaves_nothing(place: &S3Config) {
    let (_, objects) = objects(place).await;
    let mut writer = objects.create(KEY).await.unwrap();
    writer.write(noise(20 * MIB, 17)).await.unwrap();
    assert!(!objects.unfinished(far_future()).await.unwrap().is_empty(), "whoever is killed here leaves a trace");
    drop(writer);
    assert_clean(&objects).await;
    assert_eq!(objects.size(KEY).await.unwrap(), None);
}

async fn an_address_reads_without_credentials(place: &S3Config) {
    let (_, objects) = objects(place).await;
    let bytes = noise(100_000, 18);
    let mut writer = objects.create(KEY).await.unwrap();
    writer.write(bytes.clone()).await.unwrap();
    writer.finish().await.unwrap();
    let url = objects.url(KEY, std::time::Duration::from_mins(1)).await.unwrap().unwrap();
    // Whoever was first has installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    let answer = client.get(&url).header("Range", "bytes=10-19").send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap()), (206, bytes.slice(10..20)));
    objects.delete(KEY).await.unwrap();
}

/// Small ones and ones in parts: each request that creates an object says how.
async fn what_is_written_is_encrypted_as_asked(place: &S3Config) {
    let config = S3Config { encryption: Encryption::Service, ..fresh(place) };
    let (objects, _) = match wharf_blobstore::s3::open_engines(&config).await {
        Ok(engines) => engines,
        Err(error) if error.to_string().contains("NotImplemented") => {
            return println!("skipped: the service has no keys to encrypt with ({error})");
        }
        Err(error) => panic!("{error}"),
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for bytes in [noise(1000, 19), noise(20 * MIB, 20)] {
        let mut writer = objects.create(KEY).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        writer.finish().await.unwrap();
        let url = objects.url(KEY, std::time::Duration::from_mins(1)).await.unwrap().unwrap();
        let answer = client.get(&url).send().await.unwrap();
        let said = answer.headers().get("x-amz-server-side-encryption").map(|said| said.to_str().unwrap().to_owned());
        assert_eq!(said.as_deref(), Some("AES256"));
        assert!(answer.bytes().await.unwrap() == bytes, "other bytes");
        objects.delete(KEY).await.unwrap();
    }
}

async fn wrong_credentials_are_told(place: &S3Config) {
    let mut config = fresh(place);
    config.credentials.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "wrong".to_owned());
    match wharf_blobstore::s3::open(&config).await {
        Err(Error::Unusable { reason, .. }) => assert!(reason.contains("403"), "{reason}"),
        // Some services for tests let everybody in.
        Ok(_) => {}
        Err(other) => panic!("{other}"),
    }
}

async fn a_missing_bucket_is_told(place: &S3Config) {
    let config = S3Config { bucket: "nobody-made-this-one".to_owned(), ..place.clone() };
    match wharf_blobstore::s3::open(&config).await {
        Err(Error::Unusable { reason, .. }) => assert!(reason.contains("create the bucket first"), "{reason}"),
        Ok(_) => panic!("a bucket that is not there was opened"),
        Err(other) => panic!("{other}"),
    }
}
