//! Writing to registries that break, forget, cannot mount, or want pieces.

use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Method, header};
use wharf_client::registry::Form;
use wharf_client::transfer::{
    BlobBody, ByteStream, CopyOptions, Error, ImageSink, ImageSource, MemoryRepository, Origin, Target, copy,
    ignore_events,
};
use wharf_spec::{Descriptor, Digest, MediaType, RawManifest};

use crate::fake::{Behaviour, Fake, Fault, error, quick, status, with};
use crate::images::{add_image, add_referrer, noise, repository, tag};
use crate::pulling::{client, publish, remote};

fn blob_of(bytes: &[u8]) -> (Descriptor, Bytes) {
    let descriptor = Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(bytes), bytes.len() as u64);
    (descriptor, Bytes::copy_from_slice(bytes))
}

/// What was done to uploads, in short.
fn steps(fake: &Fake) -> Vec<String> {
    let uploads = fake.log().into_iter().filter(|seen| seen.path.contains("/blobs/uploads/"));
    uploads
        .map(|seen| match seen.header(header::CONTENT_RANGE) {
            Some(range) => format!("{} {range}", seen.method),
            None => seen.method.to_string(),
        })
        .collect()
}

#[tokio::test]
async fn what_is_there_is_not_sent_and_what_is_next_door_is_mounted() {
    let fake = Fake::start().await;
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 1000), noise(2, 1000)], Some(&tag("v1")));
    publish(&from, &fake, "base", "v1").await;
    fake.add_blob("app", noise(1, 1000));
    let sent = fake.count(Method::PUT, "/blobs/");
    let (source, sink) = (remote(&fake, "base"), remote(&fake, "app"));
    let target = Target::Tag(tag("v1"));
    let report =
        copy((&source, &target), (&sink, Some(&tag("v1"))), &CopyOptions::default(), &ignore_events()).await.unwrap();
    assert_eq!((report.copied, report.mounted, report.existing), (0, 2, 1));
    assert_eq!(fake.count(Method::PUT, "/blobs/"), sent);
    assert_eq!(fake.manifest("app", &target).unwrap(), image.bytes());
}

#[tokio::test]
async fn a_registry_that_cannot_mount_gets_the_bytes_in_the_upload_it_began() {
    let fake = Fake::start_with(Behaviour { mounts: false, ..Behaviour::default() }).await;
    let from = repository("from");
    add_image(&from, &[noise(1, 1000)], Some(&tag("v1")));
    publish(&from, &fake, "base", "v1").await;
    let before = fake.count(Method::POST, "/v2/app/");
    let (source, sink) = (remote(&fake, "base"), remote(&fake, "app"));
    let target = Target::Tag(tag("v1"));
    let report =
        copy((&source, &target), (&sink, Some(&tag("v1"))), &CopyOptions::default(), &ignore_events()).await.unwrap();
    assert_eq!((report.copied, report.mounted), (2, 0));
    assert_eq!(fake.count(Method::POST, "/v2/app/") - before, 2, "one upload each: none is left behind");
    assert_eq!(fake.uploads_open(), 0);
}

#[tokio::test]
async fn a_registry_is_not_asked_for_what_it_has_just_taken() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 100));
    let client = client(quick());
    let in_repository = |name: &str| client.repository(&fake.host(), &name.parse().unwrap());
    let sink = in_repository("app");
    assert!(!sink.took_lately(&blob.digest) && !sink.has_blob(&blob).await.unwrap());
    assert_eq!(fake.count(Method::HEAD, "/v2/app/"), 1);
    fake.fail(Method::PUT, "/blobs/uploads/", [Fault::Answer(error(403, "DENIED"))]);
    assert!(sink.put_blob(&blob, &body).await.is_err());
    assert!(!sink.took_lately(&blob.digest), "it refused");
    sink.put_blob(&blob, &body).await.unwrap();
    assert!(sink.has_blob(&blob).await.unwrap());
    assert_eq!(fake.count(Method::HEAD, "/v2/app/"), 1);
    assert!(!in_repository("other").has_blob(&blob).await.unwrap(), "it took it into one repository");
}

#[tokio::test]
async fn a_mount_that_is_refused_is_an_ordinary_upload() {
    let fake = Fake::start().await;
    fake.fail(Method::POST, "mount=", [Fault::Answer(error(403, "DENIED"))]);
    let (blob, body) = blob_of(&noise(1, 100));
    let sink = remote(&fake, "app");
    let origin = Origin::Registry { host: fake.host(), repository: "secret".parse().unwrap() };
    assert!(!sink.mount(&blob, &origin).await.unwrap());
    sink.put_blob(&blob, &body).await.unwrap();
    for elsewhere in [
        Origin::Registry { host: "other.example".parse().unwrap(), repository: "x".parse().unwrap() },
        Origin::Registry { host: fake.host(), repository: "app".parse().unwrap() },
        Origin::Stream,
    ] {
        assert!(!sink.mount(&blob, &elsewhere).await.unwrap());
    }
    assert_eq!(fake.count(Method::POST, "mount="), 1);
}

#[tokio::test]
async fn a_broken_upload_goes_on_where_the_registry_says() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 300_000));
    fake.fail(Method::PUT, "/blobs/uploads/", [Fault::BreakAfter(100_000)]);
    remote(&fake, "app").put_blob(&blob, &body).await.unwrap();
    assert!(fake.has_blob("app", &blob.digest));
    assert_eq!(steps(&fake), ["POST", "PUT", "GET", "PATCH 100000-299999", "PUT"]);
}

#[tokio::test]
async fn a_registry_that_forgets_broken_uploads_gets_everything_again() {
    let fake = Fake::start_with(Behaviour { resumes: false, ..Behaviour::default() }).await;
    let (blob, body) = blob_of(&noise(1, 300_000));
    fake.fail(Method::PUT, "/blobs/uploads/", [Fault::BreakAfter(100_000), Fault::Answer(status(502))]);
    remote(&fake, "app").put_blob(&blob, &body).await.unwrap();
    assert!(fake.has_blob("app", &blob.digest));
    assert_eq!(fake.count(Method::POST, "/blobs/uploads/"), 3);
}

#[tokio::test]
async fn an_upload_that_the_registry_lost_is_begun_anew() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 1000));
    fake.fail(Method::PUT, "/blobs/uploads/", [Fault::Answer(error(404, "BLOB_UPLOAD_UNKNOWN"))]);
    remote(&fake, "app").put_blob(&blob, &body).await.unwrap();
    assert_eq!(fake.count(Method::POST, "/blobs/uploads/"), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_is_found_out() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 1000));
    fake.fail(Method::PUT, "/blobs/uploads/", [Fault::LoseAnswer]);
    remote(&fake, "app").put_blob(&blob, &body).await.unwrap();
    assert_eq!(fake.count(Method::PUT, "/blobs/uploads/"), 1, "the blob was there: nothing is sent twice");
}

#[tokio::test]
async fn an_upload_that_keeps_failing_is_given_up_and_taken_back() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 1000));
    fake.hook(|seen| seen.is(Method::PUT, "/blobs/uploads/").then(|| Fault::Answer(error(500, "UNKNOWN"))));
    let error = remote(&fake, "app").put_blob(&blob, &body).await.unwrap_err();
    assert!(error.to_string().contains("failed with status 500"), "{error}");
    assert_eq!(fake.count(Method::PUT, "/blobs/uploads/"), 4);
    assert_eq!(fake.uploads_open(), 0);
}

#[tokio::test]
async fn pieces_are_sent_where_they_are_wanted() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 250_000));
    let config = wharf_client::ClientConfig { chunk_size: Some(100_000), ..quick() };
    let sink = client(config.clone()).repository(&fake.host(), &"app".parse().unwrap());
    sink.put_blob(&blob, &body).await.unwrap();
    let pieces = ["POST", "PATCH 0-99999", "PATCH 100000-199999", "PATCH 200000-249999", "PUT"];
    assert_eq!(steps(&fake), pieces);

    let (small, body) = blob_of(&noise(2, 100_000));
    sink.put_blob(&small, &body).await.unwrap();
    assert_eq!(steps(&fake)[5..], ["POST", "PUT"], "what fits into one piece is sent whole");

    let wants_more = Fake::start_with(Behaviour { least_chunk: Some(120_000), ..Behaviour::default() }).await;
    let sink = client(config).repository(&wants_more.host(), &"app".parse().unwrap());
    let (blob, body) = blob_of(&noise(1, 250_000));
    sink.put_blob(&blob, &body).await.unwrap();
    assert_eq!(steps(&wants_more)[1], "PATCH 0-119999");
    assert!(wants_more.has_blob("app", &blob.digest));
}

#[tokio::test]
async fn a_piece_that_broke_is_finished() {
    let fake = Fake::start().await;
    let (blob, body) = blob_of(&noise(1, 250_000));
    fake.fail(Method::PATCH, "/blobs/uploads/", [Fault::BreakAfter(60_000), Fault::Answer(status(503))]);
    let config = wharf_client::ClientConfig { chunk_size: Some(100_000), ..quick() };
    client(config).repository(&fake.host(), &"app".parse().unwrap()).put_blob(&blob, &body).await.unwrap();
    assert!(fake.has_blob("app", &blob.digest));
    assert_eq!(steps(&fake)[3], "PATCH 60000-159999");
}

/// For a layer without a base.
async fn whole(body: &Bytes) -> impl FnOnce(Form) -> ByteStream {
    let bytes = body.open(0).await.unwrap();
    move |form| {
        assert_eq!(form, Form::Whole);
        bytes
    }
}

#[tokio::test]
async fn what_was_sent_ahead_of_its_name_is_not_sent_again() {
    let fake = Fake::start().await;
    let sink = remote(&fake, "app");
    let (blob, body) = blob_of(&noise(1, 300_000));
    let ahead = sink.send_ahead(None, whole(&body).await).await.unwrap();
    assert_eq!(ahead.sent(), blob.size);
    sink.name_ahead(blob.digest, ahead);
    sink.put_blob(&blob, &Bytes::new()).await.unwrap();
    assert!(fake.has_blob("app", &blob.digest));
    assert_eq!(steps(&fake), ["POST", "PATCH", "PUT"]);

    // Its beginning only: the rest follows.
    let (blob, body) = blob_of(&noise(2, 300_000));
    let begin = body.slice(..100_000);
    let ahead = sink.send_ahead(None, whole(&begin).await).await.unwrap();
    sink.name_ahead(blob.digest, ahead);
    sink.put_blob(&blob, &body).await.unwrap();
    assert!(fake.has_blob("app", &blob.digest));
    assert_eq!(steps(&fake)[3..], ["POST", "PATCH", "PATCH 100000-299999", "PUT"]);

    let ahead = sink.send_ahead(None, whole(&body).await).await.unwrap();
    sink.withdraw(ahead).await;
    fake.fail(Method::PATCH, "/blobs/uploads/", [Fault::BreakAfter(60_000)]);
    sink.send_ahead(None, whole(&body).await).await.unwrap_err();
    assert_eq!(fake.uploads_open(), 0, "nothing is left behind");
}

/// Fails or lies, as a broken disk does.
struct BadSource(MemoryRepository);

#[async_trait]
impl ImageSource for BadSource {
    async fn manifest(&self, target: &Target) -> Result<RawManifest, Error> {
        self.0.manifest(target).await
    }
    async fn blob(&self, descriptor: &Descriptor) -> Result<ByteStream, Error> {
        Bytes::from(noise(99, usize::try_from(descriptor.size).unwrap())).open(0).await
    }
    async fn referrers(&self, _: &Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(Vec::new())
    }
    fn origin(&self) -> Origin {
        self.0.origin()
    }
}

#[tokio::test]
async fn wrong_bytes_are_not_pushed_and_the_source_is_named() {
    let fake = Fake::start().await;
    let from = repository("broken/disk");
    add_image(&from, &[noise(1, 100_000)], Some(&tag("v1")));
    let target = Target::Tag(tag("v1"));
    let sink = remote(&fake, "app");
    let error = copy((&BadSource(from), &target), (&sink, Some(&tag("v1"))), &CopyOptions::default(), &ignore_events())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    assert!(error.to_string().starts_with("broken/disk in the local store gave the wrong bytes"), "{error}");
    assert_eq!(fake.manifest("app", &target), None);
}

#[tokio::test]
async fn an_upload_to_another_host_does_not_take_the_login_along() {
    let (fake, store) = (Fake::start().await, Fake::start().await);
    let there = store.address();
    fake.hook(move |seen| {
        if seen.header(header::AUTHORIZATION).is_none() {
            return Some(Fault::Answer(with(status(401), header::WWW_AUTHENTICATE, "Basic realm=\"x\"")));
        }
        let place = format!("http://{there}/bucket/key?signature=a%2Fb");
        seen.is(Method::POST, "/uploads/").then(|| Fault::Answer(with(status(202), header::LOCATION, &place)))
    });
    store.hook(|seen| seen.path.starts_with("/bucket/").then(|| Fault::Answer(status(201))));
    let login = crate::logins::Fixed::password("bob", "hunter2");
    let client =
        wharf_client::registry::Client::new(quick(), std::sync::Arc::new(login), wharf_client::ignore_notices())
            .unwrap();
    let (blob, body) = blob_of(&noise(1, 1000));
    client.repository(&fake.host(), &"app".parse().unwrap()).put_blob(&blob, &body).await.unwrap();
    let seen = &store.log()[0];
    assert_eq!(seen.header(header::AUTHORIZATION), None);
    assert!(seen.query.starts_with("signature=a%2Fb&digest=sha256%3A"), "{}", seen.query);
    assert_eq!(seen.body.len(), 1000);
}

#[tokio::test]
async fn referrers_are_kept_by_the_registry_or_by_the_client() {
    for referrers in [true, false] {
        let fake = Fake::start_with(Behaviour { referrers, ..Behaviour::default() }).await;
        let from = repository("from");
        let image = add_image(&from, &[noise(1, 100)], Some(&tag("v1")));
        let signatures = [add_referrer(&from, &image, "one"), add_referrer(&from, &image, "two")];
        let sink = remote(&fake, "app");
        let options = CopyOptions { referrers: true, ..CopyOptions::default() };
        for _ in 0..2 {
            copy((&from, &Target::Tag(tag("v1"))), (&sink, Some(&tag("v1"))), &options, &ignore_events())
                .await
                .unwrap();
        }
        sink.put_manifest(&signatures[0], None).await.unwrap();
        let mut found: Vec<Digest> =
            sink.referrers(&image.digest()).await.unwrap().iter().map(|entry| entry.digest).collect();
        let mut expected: Vec<Digest> = signatures.iter().map(RawManifest::digest).collect();
        found.sort();
        expected.sort();
        assert_eq!(found, expected);
        let fallback = Target::Tag(tag(&format!("sha256-{}", image.digest().hex())));
        assert_eq!(fake.manifest("app", &fallback).is_some(), !referrers);
        assert_eq!(sink.referrers(&Digest::sha256(b"unknown")).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_manifest_that_was_stored_as_something_else_is_noticed() {
    let fake = Fake::start().await;
    let from = repository("from");
    let image = add_image(&from, &[], None);
    let other = Digest::sha256(b"other").to_string();
    fake.hook(move |seen| {
        let name = header::HeaderName::from_static("docker-content-digest");
        seen.is(Method::PUT, "/manifests/").then(|| Fault::Answer(with(status(201), name, &other)))
    });
    let error = remote(&fake, "app").put_manifest(&image, Some(&tag("v1"))).await.unwrap_err();
    assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
}

#[tokio::test]
async fn a_missing_blob_and_a_proxy_limit_say_so() {
    let fake = Fake::start().await;
    let image = add_image(&repository("from"), &[], None);
    fake.fail(Method::PUT, "/manifests/", [Fault::Answer(error(400, "MANIFEST_BLOB_UNKNOWN"))]);
    let sink = remote(&fake, "app");
    let refused = sink.put_manifest(&image, Some(&tag("v1"))).await.unwrap_err().to_string();
    assert!(
        refused.contains("push ") && refused.contains("/app:v1") && refused.contains("MANIFEST_BLOB_UNKNOWN"),
        "{refused}"
    );
    fake.fail(Method::PUT, "/blobs/", [Fault::Answer(status(413))]);
    let (blob, body) = blob_of(&noise(1, 10));
    let limited = sink.put_blob(&blob, &body).await.unwrap_err();
    assert!(limited.hint().unwrap().contains("smaller pieces"), "{limited}");
}

#[tokio::test]
async fn tags_and_manifests_can_be_deleted() {
    let fake = Fake::start().await;
    let digest = fake.add_manifest("app", "v1", MediaType::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#);
    let repository = remote(&fake, "app");
    for target in [Target::Tag(tag("v1")), Target::Digest(digest)] {
        assert!(repository.delete_manifest(&target).await.unwrap());
        assert!(!repository.delete_manifest(&target).await.unwrap());
    }
    fake.fail(Method::DELETE, "/manifests/", [Fault::Answer(error(405, "UNSUPPORTED"))]);
    let error = repository.delete_manifest(&Target::Tag(tag("v1"))).await.unwrap_err().to_string();
    assert!(error.contains("405") && error.contains("UNSUPPORTED"), "{error}");
}
