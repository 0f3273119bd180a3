//! Reading from registries that break, lie, redirect and limit.

use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt as _;
use hyper::{Method, header};
use wharf_client::auth::Anonymous;
use wharf_client::registry::{Client, Error as RegistryError, RemoteRepository};
use wharf_client::transfer::{
    CopyOptions, Error, ImageSource, MemoryRepository, Target, copy, ignore_events, verified,
};
use wharf_client::{ClientConfig, Notice, ignore_notices};
use wharf_spec::{Descriptor, Digest, MediaType};

use crate::fake::{Behaviour, Fake, Fault, error, quick, status, with};
use crate::images::{add_image, add_index, noise, repository, tag};

pub(crate) fn client(config: ClientConfig) -> Client {
    Client::new(config, Arc::new(Anonymous), ignore_notices()).unwrap()
}

pub(crate) fn remote(fake: &Fake, name: &str) -> RemoteRepository {
    client(quick()).repository(&fake.host(), &name.parse().unwrap())
}

fn listening(fake: &Fake, config: ClientConfig) -> (RemoteRepository, Arc<Mutex<Vec<Notice>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notices = heard.clone();
    let client = Client::new(config, Arc::new(Anonymous), Arc::new(move |notice| notices.lock().unwrap().push(notice)));
    (client.unwrap().repository(&fake.host(), &"app".parse().unwrap()), heard)
}

fn blob_of(bytes: &[u8]) -> Descriptor {
    Descriptor::new(MediaType::OCI_LAYER, Digest::sha256(bytes), bytes.len() as u64)
}

async fn read(source: &RemoteRepository, blob: &Descriptor) -> Result<Vec<u8>, Error> {
    let stream = verified(blob, source.origin(), source.blob(blob).await?);
    let pieces: Vec<bytes::Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

fn ranges(fake: &Fake) -> Vec<Option<String>> {
    let gets = fake.log().into_iter().filter(|seen| seen.is(Method::GET, "/blobs/"));
    gets.map(|seen| seen.header(header::RANGE).map(ToOwned::to_owned)).collect()
}

/// Puts an image of a memory repository into a fake registry, as a push would.
pub(crate) async fn publish(from: &MemoryRepository, fake: &Fake, name: &str, tagged: &str) {
    let to = remote(fake, name);
    let tagged = tag(tagged);
    copy((from, &Target::Tag(tagged.clone())), (&to, Some(&tagged)), &CopyOptions::default(), &ignore_events())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_index_is_pushed_and_pulled_with_every_digest_checked() {
    let fake = Fake::start().await;
    let from = repository("from");
    let index = add_index(&from, &["amd64", "arm64"], &tag("v1"));
    publish(&from, &fake, "team/app", "v1").await;
    let back = repository("back");
    let source = remote(&fake, "team/app");
    let target = Target::Tag(tag("v1"));
    let report =
        copy((&source, &target), (&back, Some(&tag("v1"))), &CopyOptions::default(), &ignore_events()).await.unwrap();
    assert_eq!(report.root, index.descriptor());
    assert_eq!((report.manifests, report.copied), (3, 5));
    assert_eq!(source.resolve(&target).await.unwrap(), Some(index.descriptor()));
    assert_eq!(source.resolve(&Target::Tag(tag("v2"))).await.unwrap(), None);
    let missing = source.manifest(&Target::Tag(tag("v2"))).await.unwrap_err();
    assert_eq!(missing.to_string(), format!("{}/team/app has no manifest v2", fake.host()));
    let accepts = fake.log().into_iter().find(|seen| seen.is(Method::GET, "/manifests/v1")).unwrap();
    assert_eq!(accepts.headers.get_all(header::ACCEPT).iter().count(), 4);
}

#[tokio::test]
async fn a_broken_download_goes_on_where_it_was() {
    let fake = Fake::start().await;
    let bytes = noise(1, 300_000);
    let blob = blob_of(&bytes);
    fake.add_blob("app", bytes.clone());
    fake.fail(Method::GET, "/blobs/", [Fault::BreakAfter(100_000), Fault::BreakAfter(50_000)]);
    assert_eq!(read(&remote(&fake, "app"), &blob).await.unwrap(), bytes);
    let ranges = ranges(&fake);
    assert_eq!((ranges.len(), &ranges[0]), (3, &None));
    let starts: Vec<u64> = ranges[1..].iter().map(|range| start(range.as_deref().unwrap())).collect();
    assert!(starts[0] <= starts[1], "never back to the beginning: {starts:?}");
}

fn start(range: &str) -> u64 {
    range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_registry_without_ranges_sends_all_again_and_the_known_part_is_dropped() {
    let fake = Fake::start_with(Behaviour { ranges: false, ..Behaviour::default() }).await;
    let bytes = noise(1, 300_000);
    fake.add_blob("app", bytes.clone());
    fake.fail(Method::GET, "/blobs/", [Fault::BreakAfter(200_000), Fault::BreakAfter(100_000)]);
    assert_eq!(read(&remote(&fake, "app"), &blob_of(&bytes)).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_download_that_never_gets_further_is_given_up() {
    let fake = Fake::start().await;
    let bytes = noise(1, 1000);
    fake.add_blob("app", bytes.clone());
    fake.hook(|seen| seen.is(Method::GET, "/blobs/").then_some(Fault::BreakAfter(0)));
    let error = read(&remote(&fake, "app"), &blob_of(&bytes)).await.unwrap_err();
    assert!(matches!(error, Error::Registry(RegistryError::Unreachable { .. })), "{error}");
    assert_eq!(ranges(&fake).len(), 4, "once, and three times again");
}

#[tokio::test]
async fn wrong_bytes_from_a_registry_are_refused_and_nothing_is_stored() {
    let from = repository("from");
    let image = add_image(&from, &[noise(1, 1000)], Some(&tag("v1")));
    let layer = image.blobs()[1].digest;
    for wrong in [noise(2, 1000), noise(1, 999), noise(1, 1001)] {
        let fake = Fake::start().await;
        publish(&from, &fake, "app", "v1").await;
        let part = layer.to_string();
        fake.hook(move |seen| {
            let lie = || Fault::Answer(hyper::Response::new(crate::fake::full(wrong.clone())));
            seen.is(Method::GET, &part).then(lie)
        });
        let to = repository("to");
        let target = Target::Tag(tag("v1"));
        let source = remote(&fake, "app");
        let error = copy((&source, &target), (&to, Some(&tag("v1"))), &CopyOptions::default(), &ignore_events())
            .await
            .unwrap_err();
        assert!(matches!(error, Error::WrongBytes { .. } | Error::WrongSize { .. }), "{error}");
        assert_eq!((to.blob_bytes(&layer), to.tagged(&tag("v1"))), (None, None));
    }
}

#[tokio::test]
async fn a_manifest_that_is_not_what_it_says_is_refused() {
    let fake = Fake::start().await;
    let manifest = r#"{"schemaVersion":2,"manifests":[]}"#;
    let digest = fake.add_manifest("app", "v1", MediaType::OCI_INDEX, manifest);
    let other = Digest::sha256(b"other");
    fake.hook(move |seen| {
        let (part, right) = (seen.path.clone(), Digest::sha256(manifest.as_bytes()));
        let answer = with(
            crate::fake::json(manifest),
            header::HeaderName::from_static("docker-content-digest"),
            &other.to_string(),
        );
        (part.ends_with("v1") || (part.contains("sha256:") && !part.ends_with(&right.to_string())))
            .then_some(Fault::Answer(answer))
    });
    let source = remote(&fake, "app");
    for target in [Target::Tag(tag("v1")), Target::Digest(other)] {
        let error = source.manifest(&target).await.unwrap_err();
        assert!(matches!(error, Error::WrongBytes { .. }), "{error}");
    }
    assert_eq!(source.manifest(&Target::Digest(digest)).await.unwrap().digest(), digest);
    for (body, expected) in [("", "not a valid manifest"), (r#"{"schemaVersion":1}"#, "schema version 1")] {
        fake.add_manifest("app", "odd", MediaType::OCI_MANIFEST, body);
        let error = source.manifest(&Target::Tag(tag("odd"))).await.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    fake.add_manifest("app", "huge", MediaType::OCI_MANIFEST, vec![b' '; 9 << 20]);
    let error = source.manifest(&Target::Tag(tag("huge"))).await.unwrap_err();
    assert!(matches!(error, Error::HugeManifest { .. }), "{error}");
}

#[tokio::test]
async fn limits_are_waited_for_when_that_is_soon() {
    let fake = Fake::start().await;
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#);
    let limited = |after: &str| Fault::Answer(with(error(429, "TOOMANYREQUESTS"), header::RETRY_AFTER, after));
    fake.fail(Method::GET, "/manifests/v1", [limited("0"), Fault::Answer(status(503)), Fault::Answer(status(408))]);
    let (source, heard) = listening(&fake, quick());
    source.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    let retried = heard.lock().unwrap().iter().filter(|notice| matches!(notice, Notice::Retrying { .. })).count();
    assert_eq!(retried, 3);

    fake.fail(Method::GET, "/manifests/v1", [limited("3600")]);
    let error = source.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
    assert!(error.to_string().contains("try again in 3600 s"), "{error}");
    assert!(error.hint().unwrap().contains("wharf login"));

    let before = fake.count(Method::GET, "/manifests/v1");
    fake.hook(|seen| seen.is(Method::GET, "/manifests/v1").then(|| Fault::Answer(error500())));
    let error = source.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
    assert!(error.to_string().contains("failed with status 500: as the fake was told (UNKNOWN)"), "{error}");
    assert_eq!(fake.count(Method::GET, "/manifests/v1"), before + 4);
}

fn error500() -> hyper::Response<crate::fake::Body> {
    error(500, "UNKNOWN")
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    let fake = Fake::start().await;
    for (code, expected) in [(403, "does not allow it"), (400, "refused with status 400"), (401, "requires a login")] {
        let name: &'static str = match code {
            403 => "a",
            400 => "b",
            _ => "c",
        };
        fake.hook(move |seen| seen.path.contains(&format!("/{name}/")).then(|| Fault::Answer(error(code, "DENIED"))));
        let source = remote(&fake, name);
        let error = source.manifest(&Target::Tag(tag("v1"))).await.unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("as the fake was told (DENIED)"), "{error}");
        assert_eq!(fake.count(Method::GET, &format!("/{name}/")), 1);
    }
}

#[tokio::test]
async fn a_redirect_elsewhere_does_not_take_the_login_along() {
    let (fake, store) = (Fake::start().await, Fake::start().await);
    let bytes = noise(1, 200_000);
    fake.add_blob("app", bytes.clone());
    store.add_blob("app", bytes.clone());
    let there = store.address();
    let asked = |seen: &crate::fake::Seen| seen.header(header::AUTHORIZATION).is_some();
    fake.hook(move |seen| {
        if !asked(seen) {
            return Some(Fault::Answer(with(status(401), header::WWW_AUTHENTICATE, "Basic realm=\"x\"")));
        }
        let place = format!("http://{there}{}?signature=1", seen.path);
        seen.is(Method::GET, "/blobs/").then(|| Fault::Answer(with(status(307), header::LOCATION, &place)))
    });
    store.fail(Method::GET, "/blobs/", [Fault::BreakAfter(50_000)]);
    let config = quick();
    let login = crate::logins::Fixed::password("bob", "hunter2");
    let source = Client::new(config, Arc::new(login), ignore_notices())
        .unwrap()
        .repository(&fake.host(), &"app".parse().unwrap());
    assert_eq!(read(&source, &blob_of(&bytes)).await.unwrap(), bytes);
    assert!(fake.log().iter().any(asked));
    assert!(!store.log().iter().any(asked), "the store never sees who we are");
    assert_eq!(ranges(&store).len(), 2);
    assert!(ranges(&store)[1].is_some(), "the range goes along");
}

#[tokio::test]
async fn redirects_do_not_go_on_for_ever() {
    let fake = Fake::start().await;
    fake.hook(|seen| {
        let again = with(status(307), header::LOCATION, &seen.path);
        seen.path.contains("/manifests/").then_some(Fault::Answer(again))
    });
    let error = remote(&fake, "app").manifest(&Target::Tag(tag("v1"))).await.unwrap_err().to_string();
    assert!(error.contains("more than 5 redirects"), "{error}");
}

#[tokio::test]
async fn warnings_are_passed_on_once() {
    let fake = Fake::start().await;
    fake.hook(|seen| {
        let answer = with(status(404), header::WARNING, r#"299 - "moving soon""#);
        seen.path.contains("/manifests/").then_some(Fault::Answer(answer))
    });
    let (source, heard) = listening(&fake, quick());
    for name in ["v1", "v2"] {
        source.resolve(&Target::Tag(tag(name))).await.unwrap();
    }
    let host = fake.host().to_string();
    assert_eq!(*heard.lock().unwrap(), [Notice::Warning { host, text: "moving soon".into() }]);
}

#[tokio::test]
async fn a_registry_that_answers_head_badly_is_asked_with_get() {
    let fake = Fake::start().await;
    let digest = fake.add_manifest("app", "v1", MediaType::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#);
    fake.fail(Method::HEAD, "/manifests/v1", [Fault::Answer(status(200)), Fault::Answer(status(405))]);
    let source = remote(&fake, "app");
    for _ in 0..2 {
        assert_eq!(source.resolve(&Target::Tag(tag("v1"))).await.unwrap().unwrap().digest, digest);
    }
    assert_eq!(fake.count(Method::GET, "/manifests/v1"), 2);
}

#[tokio::test]
async fn mirrors_are_asked_first_and_the_registry_when_they_fail() {
    let (mirror, prefixed, fake) = (Fake::start().await, Fake::start().await, Fake::start().await);
    let bytes = noise(1, 200_000);
    let blob = blob_of(&bytes);
    let index = r#"{"schemaVersion":2,"manifests":[]}"#;
    fake.add_blob("app", bytes.clone());
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, index);
    fake.add_manifest("app", "v2", MediaType::OCI_INDEX, index);
    prefixed.add_manifest("cache/app", "v1", MediaType::OCI_INDEX, index);
    mirror.add_blob("app", bytes.clone());
    let mirrors = [format!("http://{}", mirror.host()), format!("{}/cache", prefixed.host())];
    let mut config = quick();
    config.mirrors.insert(fake.host().to_string(), mirrors.iter().map(|text| text.parse().unwrap()).collect());
    let (source, heard) = listening(&fake, config);

    source.manifest(&Target::Tag(tag("v1"))).await.unwrap();
    assert!(mirror.log()[0].query.contains(&format!("ns={}", fake.host().to_string().replace(':', "%3A"))));
    assert_eq!(fake.count(Method::GET, ""), 0, "the second mirror had it");
    source.manifest(&Target::Tag(tag("v2"))).await.unwrap();
    assert_eq!(fake.count(Method::GET, "/manifests/v2"), 1);
    assert_eq!(heard.lock().unwrap().len(), 3, "three times a mirror did not have it");

    // A mirror that dies in the middle: the next ones go on from there.
    mirror.hook({
        let mut first = true;
        move |seen| {
            if !seen.is(Method::GET, "/blobs/") {
                return None;
            }
            let fault = if first { Fault::BreakAfter(100_000) } else { Fault::Answer(status(404)) };
            first = false;
            Some(fault)
        }
    });
    assert_eq!(read(&source, &blob).await.unwrap(), bytes);
    assert_eq!(ranges(&fake).len(), 1);
}

#[tokio::test]
async fn a_mirror_that_lies_is_passed_over() {
    let (mirror, fake) = (Fake::start().await, Fake::start().await);
    fake.add_manifest("app", "v1", MediaType::OCI_INDEX, r#"{"schemaVersion":2,"manifests":[]}"#);
    mirror.hook(|seen| seen.path.contains("/manifests/").then(|| Fault::Answer(status(200))));
    let mut config = quick();
    config.mirrors.insert(fake.host().to_string(), vec![mirror.host().to_string().parse().unwrap()]);
    let (source, _) = listening(&fake, config);
    source.manifest(&Target::Tag(tag("v1"))).await.unwrap();
}

#[tokio::test]
async fn lists_come_in_pages() {
    let fake = Fake::start().await;
    fake.hook(|seen| {
        let page = |body: &str, next: Option<&str>| {
            let answer = crate::fake::json(body);
            Fault::Answer(match next {
                Some(next) => with(answer, header::LINK, &format!("<{next}>; rel=\"next\"")),
                None => answer,
            })
        };
        match (seen.path.as_str(), seen.query.as_str()) {
            ("/v2/app/tags/list", "n=1000") => {
                Some(page(r#"{"name":"app","tags":["a","not a tag!"]}"#, Some("/v2/app/tags/list?last=a")))
            }
            // A proxy that does not know its own name.
            ("/v2/app/tags/list", "last=a") => {
                Some(page(r#"{"tags":["b"]}"#, Some("http://wrong.example/v2/app/tags/list?last=b")))
            }
            ("/v2/app/tags/list", "last=b") => Some(page(r#"{"name":"app","tags":null}"#, None)),
            ("/v2/_catalog", _) => Some(page(r#"{"repositories":["app","team/app"]}"#, None)),
            ("/v2/loop/tags/list", _) => Some(page(r#"{"tags":[]}"#, Some("/v2/loop/tags/list?n=1000"))),
            _ => None,
        }
    });
    let tags = remote(&fake, "app").tags().await.unwrap().unwrap();
    assert_eq!(tags, [tag("a"), tag("b")]);
    assert_eq!(remote(&fake, "nothing").tags().await.unwrap(), None);
    assert_eq!(remote(&fake, "loop").tags().await.unwrap(), Some(vec![]), "a page that follows itself is the last");
    let names: Vec<String> =
        client(quick()).catalog(&fake.host()).await.unwrap().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["app", "team/app"]);
}

#[tokio::test]
async fn nobody_there_is_an_error_that_names_the_host() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let source = client(quick()).repository(&host.parse().unwrap(), &"app".parse().unwrap());
    let error = source.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
    assert!(error.to_string().contains(&format!("could not pull {host}/app:v1: {host} cannot be reached")), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_silent_registry_is_not_waited_for_for_ever() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    // Accepts and says nothing; held open until the test ends.
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let mut config = quick();
    config.retries.times = 0;
    config.timeouts.idle = std::time::Duration::from_millis(50);
    let mirror = format!("http://{host}").parse().unwrap();
    config.mirrors.insert(host.clone(), vec![mirror]);
    let source = client(config).repository(&host.parse().unwrap(), &"app".parse().unwrap());
    let error = source.manifest(&Target::Tag(tag("v1"))).await.unwrap_err();
    assert!(matches!(error, Error::Registry(RegistryError::TimedOut { .. })), "{error}");
    holding.abort();
}
