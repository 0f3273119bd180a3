//! `wharf copy`, `push` and `pull` between all places: everything that belongs to an image comes along, and nothing that is there
//! is sent again. Requests are counted on the wire.

use serde_json::{Value, json};
use wharf_spec::Digest;

use crate::support::Desk;
use crate::support::counting::Proxy;
use crate::support::fixture::{Image, layer, layout, multi_platform};
use crate::support::http::ask;
use crate::support::server::Server;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Something that can be referred to: its type, digest and length.
type Named = (&'static str, String, usize);

/// Pushes a manifest about `subject` to `team/app`.
fn about(server: &Server, subject: &Named, artifact_type: &str) -> Named {
    let empty = Digest::sha256(b"{}");
    let pushed = ask(server.address, "POST", &format!("/v2/team/app/blobs/uploads/?digest={empty}"), &[], b"{}");
    assert_eq!(pushed.status, 201);
    let descriptor = json!({"mediaType": "application/vnd.oci.empty.v1+json", "digest": empty, "size": 2});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": artifact_type,
        "config": descriptor, "layers": [descriptor],
        "subject": {"mediaType": subject.0, "digest": subject.1, "size": subject.2},
        "annotations": {"about": subject.1},
    });
    let bytes = serde_json::to_vec(&manifest).expect("plain data");
    let digest = Digest::sha256(&bytes).to_string();
    let content_type = format!("Content-Type: {MANIFEST}");
    let put = ask(server.address, "PUT", &format!("/v2/team/app/manifests/{digest}"), &[&content_type], &bytes);
    assert_eq!((put.status, put.header("oci-subject")), (201, Some(subject.1.as_str())));
    (MANIFEST, digest, bytes.len())
}

/// The digests of what refers to a digest.
fn referrers(server: &Server, name: &str, digest: &str) -> Vec<String> {
    let answer = ask(server.address, "GET", &format!("/v2/{name}/referrers/{digest}"), &[], b"");
    assert_eq!(answer.status, 200);
    let list: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let entries = list["manifests"].as_array().expect("a list").iter();
    entries.map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
}

/// An index for two platforms in `team/app:1` of a served store, an SBOM about one of its images, signatures of the SBOM and of
/// the index.
struct Signed {
    desk: Desk,
    server: Server,
    index: String,
    amd64: Image,
    sbom: String,
    of_sbom: String,
    of_index: String,
}

fn signed() -> Signed {
    let desk = Desk::new();
    let (index, [amd64, _]) = multi_platform(&desk, "layout");
    desk.good(&["copy", "oci:layout", "team/app:1"]);
    let server = Server::start(&desk);
    let length = desk.good(&["inspect", "--raw", "team/app:1"]).len();
    let sbom = about(&server, &(MANIFEST, amd64.digest.clone(), amd64.manifest.len()), "application/spdx+json");
    let (_, of_sbom, _) = about(&server, &sbom, "application/vnd.example.signature");
    let root = ("application/vnd.oci.image.index.v1+json", index.clone(), length);
    let (_, of_index, _) = about(&server, &root, "application/vnd.example.signature");
    Signed { desk, server, index, amd64, sbom: sbom.1, of_sbom, of_index }
}

impl Signed {
    /// That all of it is at `name` of this server.
    fn is_at(&self, server: &Server, name: &str) {
        assert_eq!(referrers(server, name, &self.index), [self.of_index.as_str()]);
        assert_eq!(referrers(server, name, &self.amd64.digest), [self.sbom.as_str()]);
        assert_eq!(referrers(server, name, &self.sbom), [self.of_sbom.as_str()]);
        let tag = ask(server.address, "HEAD", &format!("/v2/{name}/manifests/1"), &[], b"");
        assert_eq!(tag.header("docker-content-digest"), Some(self.index.as_str()));
    }
}

/// Requests that move bytes, or begin to.
fn moving(requests: &[String]) -> Vec<&str> {
    let moving = ["POST uploads", "PATCH uploads", "PUT uploads", "GET blobs"];
    requests.iter().map(String::as_str).filter(|request| moving.contains(request)).collect()
}

#[test]
fn an_image_travels_with_all_that_refers_to_it_and_only_once() {
    let source = signed();
    let (there, user) = (Desk::new(), Desk::new());
    let server = Server::start(&there);
    let (from, to) = (Proxy::start(&source.server), Proxy::start(&server));
    let copy = ["copy", "--all-platforms", &from.name("team/app:1"), &to.name("mirror/app:1")];
    assert_eq!(user.good(&copy).trim_end(), source.index);
    source.is_at(&server, "mirror/app");
    // Two configurations, two layers and the empty blob: each was fetched once and sent once.
    let (fetched, sent) = (from.requests(), to.requests());
    assert_eq!(fetched.iter().filter(|request| *request == "GET blobs").count(), 5, "{fetched:?}");
    assert_eq!(sent.iter().filter(|request| *request == "POST uploads").count(), 5, "{sent:?}");
    // The index, two images, three referrers.
    assert_eq!(sent.iter().filter(|request| *request == "PUT manifests").count(), 6, "{sent:?}");

    assert_eq!(user.good(&copy).trim_end(), source.index);
    let (fetched, sent) = (from.requests(), to.requests());
    assert!(moving(&fetched).is_empty() && moving(&sent).is_empty(), "{fetched:?} {sent:?}");
    // The tag is set again, and nothing else is.
    assert_eq!(sent.iter().filter(|request| *request == "PUT manifests").count(), 1, "{sent:?}");
}

#[test]
fn referrers_can_be_left_behind() {
    let source = signed();
    let (there, user) = (Desk::new(), Desk::new());
    let server = Server::start(&there);
    user.good(&["copy", "--no-referrers", &source.server.name("team/app:1"), &server.name("bare/app:1")]);
    for subject in [&source.index, &source.amd64.digest] {
        assert!(referrers(&server, "bare/app", subject).is_empty());
    }
}

#[test]
fn referrers_travel_through_layouts_and_archives() {
    let source = signed();
    for place in ["oci:files:1", "oci-archive:files.tar:1"] {
        let (there, user) = (Desk::new(), Desk::new());
        let server = Server::start(&there);
        assert_eq!(user.good(&["copy", &source.server.name("team/app:1"), place]).trim_end(), source.index, "{place}");
        assert_eq!(user.good(&["copy", place, &server.name("team/app:1")]).trim_end(), source.index, "{place}");
        source.is_at(&server, "team/app");
        // And through a store.
        user.good(&["copy", place, "kept/app:1"]);
        user.good(&["copy", "kept/app:1", &server.name("other/app:1")]);
        source.is_at(&server, "other/app");
    }
    assert!(source.desk.path("store").exists());
}

#[test]
fn one_platform_takes_only_what_it_needs() {
    let source = signed();
    let (there, user) = (Desk::new(), Desk::new());
    let server = Server::start(&there);
    let to = Proxy::start(&server);
    let copied = user.good(&["copy", "--platform", "linux/amd64", &source.server.name("team/app:1"), &to.name("a:1")]);
    assert_eq!(copied.trim_end(), source.amd64.digest);
    assert_eq!(referrers(&server, "a", &source.amd64.digest), [source.sbom.as_str()]);
    let sent = to.requests();
    // Its configuration, its layer and the empty blob; the image, its SBOM and the SBOM's signature.
    assert_eq!(sent.iter().filter(|request| *request == "POST uploads").count(), 3, "{sent:?}");
    assert_eq!(sent.iter().filter(|request| *request == "PUT manifests").count(), 3, "{sent:?}");
}

#[test]
fn a_docker_archive_sends_nothing_that_is_there() {
    let (there, user) = (Desk::new(), Desk::new());
    let image = layout(&user, "layout", &[layer("a", b"one"), layer("b", b"two")]);
    let server = Server::start(&there);
    let to = Proxy::start(&server);
    user.good(&["copy", "oci:layout", "docker-archive:app.tar:team/app:1"]);
    assert_eq!(user.good(&["copy", "docker-archive:app.tar", &to.name("team/app:1")]).trim_end(), image.digest);
    assert_eq!(to.requests().iter().filter(|request| *request == "POST uploads").count(), 3);
    assert_eq!(user.good(&["copy", "docker-archive:app.tar", &to.name("team/app:2")]).trim_end(), image.digest);
    let sent = to.requests();
    assert!(moving(&sent).is_empty(), "{sent:?}");
    // Back into a file: the bytes come over the wire once more, for no file knows what another one has.
    assert_eq!(user.good(&["copy", &to.name("team/app:2"), "docker-archive:back.tar:app:1"]).trim_end(), image.digest);
}

#[test]
fn a_second_push_sends_nothing_and_a_second_pull_fetches_nothing() {
    let (here, there, puller) = (Desk::new(), Desk::new(), Desk::new());
    let image = layout(&here, "layout", &[layer("a", b"one"), layer("b", b"two")]);
    here.good(&["copy", "oci:layout", "team/app:1"]);
    let server = Server::start(&there);
    let proxy = Proxy::start(&server);
    let name = proxy.name("team/app:1");
    here.good(&["push", "team/app:1", &name]);
    assert_eq!(proxy.requests().iter().filter(|request| *request == "POST uploads").count(), 3);
    here.good(&["push", "team/app:1", &name]);
    let sent = proxy.requests();
    assert!(moving(&sent).is_empty(), "{sent:?}");

    puller.good(&["pull", &name]);
    assert_eq!(moving(&proxy.requests()).len(), 3);
    puller.good(&["pull", &name]);
    let fetched = proxy.requests();
    assert!(moving(&fetched).is_empty(), "{fetched:?}");
    assert_eq!(puller.good(&["inspect", "--raw", &name]).as_bytes(), image.manifest);
}

#[test]
fn a_notice_reaches_everybody_who_pushes_or_pulls() {
    let (here, there) = (Desk::new(), Desk::new());
    layout(&here, "layout", &[layer("a", b"one")]);
    here.good(&["copy", "oci:layout", "team/app:1"]);
    there.write("config.toml", "[serve]\nnotice = 'read-only from \"Friday\" on'\n");
    let server = Server::start(&there);
    let name = server.name("team/app:1");
    for command in [vec!["push", "team/app:1", &name], vec!["pull", &name]] {
        let finished = here.run(&command);
        assert_eq!(finished.code, Some(0), "{finished}");
        assert_eq!(finished.stderr.matches(r#"read-only from "Friday" on"#).count(), 1, "{finished}");
    }
    let typo = Desk::new();
    typo.write("config.toml", "[serve]\nnotice = \"two\\nlines\"\n");
    let said = typo.bad(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("the notice cannot be sent") && said.contains("one line"), "{said}");
}
