//! Flat places: what all of them promise, on every engine, and what only one has.

#[path = "../fakes/mod.rs"]
mod fakes;

use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use wharf_blobstore::azure::{AzureConfig, AzureFiles};
use wharf_blobstore::s3::{S3Config, S3Files};
use wharf_blobstore::{Ids as _, RandomIds};
use wharf_client::auth::Secret;
use wharf_client::flat::{
    AzurePlace, FlatMemory, FlatName, FlatPlace, FlatRepository, GhaConfig, GhaPlace, GhaVersion, Paths, S3Place,
};
use wharf_client::transfer::{BlobBody, ByteStream, Error, ImageSink as _, ImageSource as _, Result, Target};
use wharf_client::{ClientConfig, Retries};
use wharf_spec::{Descriptor, Digest, Manifest, MediaType, RawManifest, Tag};

use fakes::{Fake, GHA_TOKEN, Kind, Response};

const DAY: Duration = Duration::from_hours(24);

fn paths() -> Paths {
    Paths { blobs: "team/blobs/".to_owned(), entries: vec!["team/entries/a/".to_owned()] }
}

fn s3(fake: &Fake) -> S3Place {
    let mut config = S3Config::of_bucket("cache").unwrap().at(&fake.url).unwrap();
    config.credentials.insert("AWS_ACCESS_KEY_ID".to_owned(), "ann".to_owned());
    config.credentials.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned());
    S3Place::new(S3Files::new(&config).unwrap(), paths(), DAY)
}

fn azure(fake: &Fake) -> AzurePlace {
    let mut config = AzureConfig::new(&format!("{}/ann", fake.url), Some("ann"), "cache").unwrap();
    config.credentials.insert("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), "aHVzaA==".to_owned());
    AzurePlace::new(AzureFiles::new(config).unwrap(), paths())
}

/// Waits are short: nothing here is worth waiting for.
fn impatient() -> ClientConfig {
    let moment = Duration::from_millis(1);
    ClientConfig {
        retries: Retries { times: 3, first_wait: moment, longest_wait: 4 * moment },
        ..ClientConfig::default()
    }
}

fn gha(fake: &Fake, version: GhaVersion) -> GhaPlace {
    let config = GhaConfig { version, url: fake.url.clone(), token: Secret::new(GHA_TOKEN), scope: "main".to_owned() };
    GhaPlace::new(config, &impatient()).unwrap()
}

/// Where a real service is, if the environment says so: `WHARF_TEST_S3` as for the engine of stores, and
/// `WHARF_TEST_AZURE`, an account's address, with its key in `WHARF_TEST_AZURE_KEY`.
#[expect(clippy::disallowed_methods, reason = "a test is told by the environment which service there is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn own_paths() -> Paths {
    let top = format!("flat-{:032x}/", u128::from_be_bytes(RandomIds.fresh()));
    Paths { blobs: format!("{top}blobs/"), entries: vec![format!("{top}a/"), format!("{top}b/")] }
}

fn real_s3() -> Option<Box<dyn FlatPlace>> {
    let mut config = S3Config::from_url(&variable("WHARF_TEST_S3")?).unwrap();
    for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
        config.credentials.insert(name.to_owned(), variable(name).expect(name));
    }
    Some(Box::new(S3Place::new(S3Files::new(&config).unwrap(), own_paths(), Duration::ZERO)))
}

fn real_azure() -> Option<Box<dyn FlatPlace>> {
    let url = variable("WHARF_TEST_AZURE")?;
    let account = url.rsplit_once('/').map(|(_, account)| account.split('.').next().unwrap_or_default());
    let mut config = AzureConfig::new(&url, account, "flat-places").unwrap();
    let key = variable("WHARF_TEST_AZURE_KEY").expect("a key");
    config.credentials.insert("AZURE_STORAGE_ACCOUNT_KEY".to_owned(), key);
    Some(Box::new(AzurePlace::new(AzureFiles::new(config).unwrap(), own_paths())))
}

/// Every engine, with the service behind it, and the real services that there are.
fn engines() -> Vec<(&'static str, Box<dyn FlatPlace>)> {
    let real = [("real s3", real_s3()), ("real azure", real_azure())];
    let real = real.into_iter().filter_map(|(engine, place)| Some((engine, place?)));
    fakes().into_iter().chain(real).collect()
}

fn fakes() -> Vec<(&'static str, Box<dyn FlatPlace>)> {
    vec![
        ("memory", Box::new(FlatMemory::default())),
        ("s3", Box::new(s3(&Fake::start(Kind::S3)))),
        ("azure", Box::new(azure(&Fake::start(Kind::Azure)))),
        ("gha v2", Box::new(gha(&Fake::start(Kind::Gha), GhaVersion::V2))),
        ("gha v1", Box::new(gha(&Fake::start(Kind::Gha), GhaVersion::V1))),
    ]
}

fn blob(bytes: &[u8]) -> FlatName {
    FlatName::Blob(Digest::sha256(bytes))
}

fn entry(tag: &str) -> FlatName {
    FlatName::Entry(tag.parse().unwrap())
}

async fn write(place: &dyn FlatPlace, name: &FlatName, bytes: &Bytes) {
    place.write(name, bytes.len() as u64, bytes).await.unwrap();
}

async fn read(place: &dyn FlatPlace, name: &FlatName) -> Option<Vec<u8>> {
    let pieces: Vec<Bytes> = place.read(name).await.unwrap()?.try_collect().await.unwrap();
    Some(pieces.concat())
}

/// A body that breaks after half of it.
struct Broken(Bytes);

#[async_trait::async_trait]
impl BlobBody for Broken {
    async fn open(&self, _offset: u64) -> Result<ByteStream> {
        let half = self.0.slice(..self.0.len() / 2);
        let broken = Error::io("read", std::io::Error::other("gone"));
        Ok(Box::pin(futures_util::stream::iter([Ok(half), Err(broken)])))
    }
}

#[tokio::test]
async fn every_place_keeps_what_it_is_given() {
    for (engine, place) in engines() {
        let place = &*place;
        let small = Bytes::from_static(b"some bytes");
        assert!(!place.has(&blob(&small), 10).await.unwrap(), "{engine}");
        assert_eq!(read(place, &blob(&small)).await, None, "{engine}");
        assert_eq!(read(place, &entry("step-1")).await, None, "{engine}");
        write(place, &blob(&small), &small).await;
        assert!(place.has(&blob(&small), 10).await.unwrap(), "{engine}");
        assert_eq!(read(place, &blob(&small)).await.unwrap(), small, "{engine}");
        // Whoever writes it again writes the same.
        write(place, &blob(&small), &small).await;
        assert_eq!(read(place, &blob(&small)).await.unwrap(), small, "{engine}");
        let empty = Bytes::new();
        write(place, &blob(&empty), &empty).await;
        assert!(place.has(&blob(&empty), 0).await.unwrap(), "{engine}");
    }
}

#[tokio::test]
async fn the_last_entry_of_a_name_counts() {
    for (engine, place) in engines() {
        for text in ["first", "second, and longer", "third"] {
            write(&*place, &entry("step-1"), &Bytes::from_static(text.as_bytes())).await;
            assert_eq!(read(&*place, &entry("step-1")).await.unwrap(), text.as_bytes(), "{engine}");
        }
        // A name that begins like another one is another one.
        assert_eq!(read(&*place, &entry("step")).await, None, "{engine}");
        assert_eq!(read(&*place, &entry("step-12")).await, None, "{engine}");
        write(&*place, &entry("step-12"), &Bytes::from_static(b"other")).await;
        assert_eq!(read(&*place, &entry("step-1")).await.unwrap(), b"third", "{engine}");
    }
}

#[tokio::test]
async fn large_bodies_go_in_parts_and_come_back_whole() {
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let bytes = Bytes::from(bytes);
    for (engine, place) in engines() {
        write(&*place, &blob(b"large"), &bytes).await;
        assert!(place.has(&blob(b"large"), bytes.len() as u64).await.unwrap(), "{engine}");
        assert!(read(&*place, &blob(b"large")).await.unwrap() == bytes, "{engine}");
    }
}

#[tokio::test]
async fn many_may_write_one_blob() {
    let bytes = Bytes::from(vec![7; 20_000_000]);
    for (engine, place) in engines() {
        let (place, name, size) = (&*place, &blob(b"raced"), bytes.len() as u64);
        let write = || place.write(name, size, &bytes);
        let written = futures_util::join!(write(), write(), write());
        for written in [written.0, written.1, written.2] {
            assert!(written.is_ok(), "{engine}: {written:?}");
        }
        assert!(read(place, name).await.unwrap() == bytes, "{engine}");
    }
}

#[tokio::test]
async fn a_body_that_breaks_leaves_nothing() {
    for (engine, place) in engines() {
        for size in [1000, 20_000_000] {
            let name = blob(format!("broken {size}").as_bytes());
            let broken = Broken(Bytes::from(vec![7; size]));
            assert!(place.write(&name, size as u64, &broken).await.is_err(), "{engine}");
            assert!(!place.has(&name, size as u64).await.unwrap(), "{engine}");
            assert_eq!(read(&*place, &name).await, None, "{engine}");
        }
    }
}

#[tokio::test]
async fn a_repository_lies_there_as_anywhere() {
    for (engine, place) in engines() {
        let layer = Bytes::from_static(b"a layer");
        let descriptor = Descriptor::new("application/octet-stream", Digest::sha256(&layer), 7);
        let config = Descriptor::new(MediaType::OCI_EMPTY, Digest::sha256(b"{}"), 2);
        let manifest = RawManifest::from_manifest(Manifest {
            schema_version: 2,
            media_type: Some(MediaType::new(MediaType::OCI_MANIFEST)),
            artifact_type: Some(MediaType::new("application/vnd.example")),
            config: config.clone(),
            layers: vec![descriptor.clone()],
            subject: None,
            annotations: [].into(),
        });
        let place = FlatRepository::new(Shared(place.into()));
        let tag: Tag = "step-1".parse().unwrap();
        let absent = place.manifest(&Target::Tag(tag.clone())).await.unwrap_err();
        assert!(matches!(absent, Error::ManifestNotFound { .. }), "{engine}: {absent}");
        let absent = place.blob(&descriptor).await.err().unwrap();
        assert!(matches!(absent, Error::BlobNotFound { .. }), "{engine}: {absent}");
        assert!(place.has_blob(&config).await.unwrap(), "{engine}: an empty configuration is everywhere");
        assert!(!place.has_blob(&descriptor).await.unwrap(), "{engine}");
        place.put_blob(&descriptor, &layer).await.unwrap();
        place.put_manifest(&manifest, Some(&tag)).await.unwrap();
        place.put_manifest(&manifest, None).await.unwrap();
        assert!(place.has_blob(&descriptor).await.unwrap(), "{engine}");
        for target in [Target::Tag(tag), Target::Digest(manifest.digest())] {
            assert_eq!(place.manifest(&target).await.unwrap().bytes(), manifest.bytes(), "{engine}");
        }
        let pieces: Vec<Bytes> = place.blob(&descriptor).await.unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.concat(), layer, "{engine}");
        let pieces: Vec<Bytes> = place.blob(&config).await.unwrap().try_collect().await.unwrap();
        assert_eq!(pieces.concat(), b"{}", "{engine}");
    }
}

/// A boxed place as a place.
#[derive(Debug)]
struct Shared(std::sync::Arc<dyn FlatPlace>);

#[async_trait::async_trait]
impl FlatPlace for Shared {
    async fn has(&self, name: &FlatName, size: u64) -> Result<bool> {
        self.0.has(name, size).await
    }

    async fn read(&self, name: &FlatName) -> Result<Option<ByteStream>> {
        self.0.read(name).await
    }

    async fn write(&self, name: &FlatName, size: u64, body: &dyn BlobBody) -> Result<()> {
        self.0.write(name, size, body).await
    }

    fn place(&self) -> String {
        self.0.place()
    }
}

#[tokio::test]
async fn names_are_paths_in_a_bucket_and_in_a_container() {
    let (bucket, account) = (Fake::start(Kind::S3), Fake::start(Kind::Azure));
    let bytes = Bytes::from_static(b"x");
    let names = |top: &str| vec![format!("{top}team/blobs/{}", Digest::sha256(b"x")), format!("{top}team/entries/a/t")];
    let (s3, azure) = (s3(&bucket), azure(&account));
    for place in [&s3 as &dyn FlatPlace, &azure] {
        write(place, &entry("t"), &bytes).await;
        write(place, &blob(b"x"), &bytes).await;
        assert!(!place.has(&blob(b"x"), 2).await.unwrap(), "another length is other bytes");
    }
    assert_eq!(bucket.names(), names(""));
    assert_eq!(account.names(), names("cache/"));
    assert_eq!(s3.place(), format!("s3://cache/ at {}", bucket.url));
    assert_eq!(azure.place(), format!("{}/ann/cache", account.url));
}

#[tokio::test]
async fn what_is_used_in_a_bucket_stays_young() {
    let fake = Fake::start(Kind::S3);
    let place = s3(&fake);
    let bytes = Bytes::from_static(b"x");
    write(&place, &blob(b"x"), &bytes).await;
    let touches = |fake: &Fake| fake.requests().iter().filter(|line| line.starts_with("PUT ")).count();
    touches(&fake);
    assert!(place.has(&blob(b"x"), 1).await.unwrap());
    assert_eq!(touches(&fake), 0);
    fake.age(2 * DAY.as_secs());
    assert!(place.has(&blob(b"x"), 1).await.unwrap());
    assert_eq!(touches(&fake), 1);
    assert!(place.has(&blob(b"x"), 1).await.unwrap());
    assert_eq!(touches(&fake), 0, "it is young again");
}

#[tokio::test]
async fn a_busy_cache_service_is_asked_again_and_not_for_ever() {
    for version in [GhaVersion::V1, GhaVersion::V2] {
        let fake = Fake::start(Kind::Gha);
        let place = gha(&fake, version);
        let bytes = Bytes::from_static(b"x");
        fake.fail(2, "POST", 429);
        fake.fail(1, "blob", 503);
        write(&place, &blob(b"x"), &bytes).await;
        fake.fail(1, "GET", 503);
        assert_eq!(read(&place, &blob(b"x")).await.unwrap(), b"x");
        fake.requests();
        fake.fail(usize::MAX, "", 429);
        let error = place.has(&blob(b"x"), 1).await.unwrap_err().to_string();
        assert!(error.contains("429") && error.contains("mode=min"), "{error}");
        assert_eq!(fake.requests().len(), 4);
    }
}

#[tokio::test]
async fn a_download_is_taken_up_where_it_broke() {
    let fake = Fake::start(Kind::Gha);
    let place = gha(&fake, GhaVersion::V2);
    let bytes = Bytes::from(vec![7; 100_000]);
    write(&place, &blob(b"x"), &bytes).await;
    // The first `GET`: where it lies is asked with `POST`.
    let (mut first, whole) = (true, bytes.clone());
    fake.hook(move |request| {
        let cut = request.method == "GET" && std::mem::take(&mut first);
        cut.then(|| Response { cut: Some(30_000), ..Response::with(200, whole.clone()) })
    });
    assert!(read(&place, &blob(b"x")).await.unwrap() == bytes);
    let gets = fake.requests().iter().filter(|line| line.starts_with("GET ")).count();
    assert_eq!(gets, 2);
}

#[tokio::test]
async fn neither_the_token_nor_a_signature_is_in_a_message() {
    for version in [GhaVersion::V1, GhaVersion::V2] {
        for status in [401, 403, 404, 500] {
            for part in ["POST", "GET", "PUT", "PATCH"] {
                let fake = Fake::start(Kind::Gha);
                let place = gha(&fake, version);
                write(&place, &blob(b"there"), &Bytes::from_static(b"there")).await;
                fake.fail(usize::MAX, part, status);
                let body = Bytes::from_static(b"x");
                let mut errors = Vec::new();
                errors.extend(place.write(&blob(b"x"), 1, &body).await.err());
                errors.extend(place.has(&blob(b"there"), 5).await.err());
                errors.extend(place.read(&blob(b"there")).await.err());
                for error in errors {
                    let text = format!("{error} {error:?} {place:?}");
                    assert!(!text.contains("nobody-may-see"), "{text}");
                }
            }
        }
    }
    let nowhere = GhaConfig {
        version: GhaVersion::V2,
        url: "nonsense".to_owned(),
        token: Secret::new(GHA_TOKEN),
        scope: String::new(),
    };
    let error = GhaPlace::new(nowhere, &impatient()).unwrap_err().to_string();
    assert!(error.contains("ACTIONS_RESULTS_URL"), "{error}");
}

#[tokio::test]
async fn what_services_refuse_says_who_and_what_to_do() {
    let fake = Fake::start(Kind::S3);
    let mut config = S3Config::of_bucket("elsewhere").unwrap().at(&fake.url).unwrap();
    config.credentials.insert("AWS_ACCESS_KEY_ID".to_owned(), "ann".to_owned());
    config.credentials.insert("AWS_SECRET_ACCESS_KEY".to_owned(), "hush".to_owned());
    let place = S3Place::new(S3Files::new(&config).unwrap(), paths(), DAY);
    let error = place.write(&blob(b"x"), 1, &Bytes::from_static(b"x")).await.unwrap_err().to_string();
    assert!(error.contains("s3://elsewhere/") && error.contains("create the bucket"), "{error}");

    let fake = Fake::start(Kind::Azure);
    let place = azure(&fake);
    fake.fail(usize::MAX, "", 403);
    let error = place.write(&blob(b"x"), 1, &Bytes::from_static(b"x")).await.unwrap_err().to_string();
    assert!(error.contains("/ann/cache") && error.contains("secret_access_key"), "{error}");
    assert!(!error.contains("hush") && !error.contains("aHVzaA"), "{error}");
}
