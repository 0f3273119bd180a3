//! The table of errors in `docs/api.md`: every code with every status is provoked over the wire, and nothing else is answered. Each
//! says what to do, and none what is the registry's own business.

mod wire;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use async_trait::async_trait;
use wharf_blobstore::{
    Entry, Error as StoreError, Generation, Outcome, Record, RecordKey, Records, Result as StoreResult, Store, Write,
};
use wharf_registry::http::Limits;
use wharf_spec::{Digest, MediaType, delta};
use wire::{BOUND, Client, Head, Server, Setup};

/// Where the store's files would be: no client is to read this.
const SECRET: &str = "/srv/secret-place/records.db";

/// What to do about each error: every message of it says one of these.
const ADVICE: [(&str, &[&str]); 26] = [
    ("BLOB_UNKNOWN 404", &["push it to app, or mount it there"]),
    ("BLOB_UPLOAD_INVALID 400", &["send the bytes themselves"]),
    ("BLOB_UPLOAD_INVALID 409", &["go on from there"]),
    ("BLOB_UPLOAD_INVALID 416", &["send what begins at 0", "must read <first byte>-<last byte>"]),
    ("BLOB_UPLOAD_UNKNOWN 404", &["begin a new one"]),
    ("DENIED 405", &["delete that first"]),
    ("DENIED 409", &["push what it should point at"]),
    ("DENIED 412", &["say what it is now"]),
    ("DIGEST_INVALID 400", &["use sha256 or sha512", "send the content that has that digest", "or to a tag"]),
    ("MANIFEST_BLOB_UNKNOWN 404", &["push it first"]),
    ("MANIFEST_INVALID 400", &["push an OCI or a Docker schema 2 manifest", "correct the manifest"]),
    ("MANIFEST_INVALID 414", &["set the others with another request"]),
    ("MANIFEST_UNKNOWN 404", &["/v2/app/tags/list lists its tags"]),
    ("NAME_INVALID 400", &["use lower-case letters"]),
    ("NAME_UNKNOWN 404", &["/v2/_catalog lists what there is"]),
    ("SIZE_INVALID 400", &["send the chunk again", "begin a new upload"]),
    ("SIZE_INVALID 413", &["make it smaller"]),
    ("SIZE_INVALID 416", &["ask for a range within it"]),
    ("TOOMANYREQUESTS 429", &["try again in a moment"]),
    ("UNAUTHORIZED 401", &["log in first"]),
    ("UNKNOWN 500", &["its log says why"]),
    ("UNKNOWN 503", &["its log says why"]),
    ("UNKNOWN 507", &["once there is room"]),
    ("UNSUPPORTED 400", &["must be a number"]),
    ("UNSUPPORTED 404", &["below /v2/"]),
    ("UNSUPPORTED 405", &["knows the methods", "switches it on"]),
];

/// What happens at the next write of records.
type Fault = Arc<Mutex<Option<StoreError>>>;

/// Records that fail when they are told to.
#[derive(Debug)]
struct Failing {
    below: Arc<dyn Records>,
    next: Fault,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Records for Failing {
    async fn get(&self, key: &RecordKey) -> StoreResult<Option<Record>> {
        self.below.get(key).await
    }

    async fn get_many(&self, keys: &[RecordKey]) -> StoreResult<Vec<Option<Record>>> {
        self.below.get_many(keys).await
    }

    async fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> StoreResult<Vec<Entry>> {
        self.below.list(prefix, after, limit).await
    }

    async fn write(&self, batch: Vec<Write>) -> StoreResult<Vec<Outcome>> {
        let fault = self.next.lock().unwrap().take();
        match fault {
            Some(error) => Err(error),
            None => self.below.write(batch).await,
        }
    }

    fn generation(&self) -> Option<Generation> {
        self.below.generation()
    }
}

/// What was answered, as `CODE status`.
#[derive(Default)]
struct Seen(BTreeSet<String>);

impl Seen {
    /// Takes an error in, after looking at what every error must be.
    fn take(&mut self, head: &Head, body: &[u8]) -> String {
        let text = String::from_utf8(body.to_vec()).unwrap();
        let parsed: wharf_spec::ErrorBody = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{head:?}: {text}"));
        let [first] = parsed.errors.as_slice() else { panic!("{text}") };
        assert_eq!(head.get("content-type"), Some("application/json"), "{text}");
        assert_eq!(head.get("retry-after").is_some(), head.status == 429, "{text}");
        let row = format!("{} {}", first.code, head.status);
        let advice = ADVICE.iter().find(|(of, _)| *of == row).unwrap_or_else(|| panic!("{row}: {text}")).1;
        assert!(advice.iter().any(|advice| first.message.contains(advice)), "it does not say what to do: {text}");
        for internal in [SECRET, "secret-place", "src/", ".rs", "panicked", "Error {", "sqlite"] {
            assert!(!text.contains(internal), "{internal} is in {text}");
        }
        self.0.insert(row);
        first.message.clone()
    }

    async fn provoke(&mut self, client: &mut Client, request: &str, body: &[u8]) -> String {
        let (head, body) = client.call(&with_version(request), body).await;
        self.take(&head, &body)
    }
}

/// `GET /v2/` or `PUT /v2/…\nContent-Type: …` as a request's head.
fn with_version(request: &str) -> String {
    let (line, headers) = request
        .split_once('\n')
        .map_or((request, String::new()), |(line, headers)| (line, format!("\r\n{}", headers.replace('\n', "\r\n"))));
    format!("{line} HTTP/1.1{headers}")
}

/// The rows of the page's table, as `CODE status`; `5xx` stands for the statuses it explains.
fn documented() -> BTreeSet<String> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/api.md")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|row| row.split_once("` | "));
    let rows = rows.filter_map(|(code, rest)| Some((wharf_spec::ErrorCode::parse(code)?, rest.split(" | ").next()?)));
    let statuses = |text: &str| match text {
        "5xx" => vec!["500".to_owned(), "503".to_owned(), "507".to_owned()],
        list => list.split(", ").map(str::to_owned).collect(),
    };
    rows.flat_map(|(code, list)| statuses(list).into_iter().map(move |status| format!("{code} {status}"))).collect()
}

fn manifest(config: &Digest, size: usize) -> String {
    let kind = MediaType::OCI_MANIFEST;
    let config = format!(r#"{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{config}","size":{size}}}"#);
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[]}}"#)
}

async fn begin(client: &mut Client) -> String {
    let (head, _) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
    head.get("location").unwrap().to_owned()
}

#[tokio::test]
async fn every_error_of_the_table_is_answered_and_no_other() {
    let mut seen = Seen::default();
    requests(&mut seen).await;
    two_at_once(&mut seen).await;
    tags(&mut seen).await;
    faults(&mut seen).await;
    let table = documented();
    assert!(table.len() > 20, "{table:?}");
    assert_eq!(seen.0, table);
    assert_eq!(ADVICE.len(), table.len(), "advice for what is never answered");
}

/// What single requests are refused for.
async fn requests(seen: &mut Seen) {
    let server = Server::start(Setup { least_chunk: 100, ..Setup::default() }).await;
    let client = &mut server.connect().await;
    let kind = MediaType::OCI_MANIFEST;
    let (empty, absent) = (Digest::sha256(b"{}"), Digest::sha256(b"absent"));
    seen.provoke(client, "GET /v2/app/tags/list", b"").await;
    let (head, _) = client.call(&format!("POST /v2/app/blobs/uploads/?digest={empty} HTTP/1.1"), b"{}").await;
    assert_eq!(head.status, 201);
    let image = manifest(&empty, 2);
    let (head, _) =
        client.call(&with_version(&format!("PUT /v2/app/manifests/v1\nContent-Type: {kind}")), image.as_bytes()).await;
    assert_eq!(head.status, 201);

    for (request, body) in [
        (format!("GET /v2/app/blobs/{absent}"), ""),
        (format!("GET /v2/app/blobs/{empty}\nRange: bytes=2-"), ""),
        (format!("DELETE /v2/app/blobs/{empty}"), ""),
        (format!("POST /v2/app/blobs/uploads/?digest={empty}"), "else"),
        ("POST /v2/app/blobs/uploads/?digest=md5:0".to_owned(), ""),
        ("GET /v2/app/blobs/uploads/00000000000000000000000000000000".to_owned(), ""),
        ("GET /v2/app/manifests/none".to_owned(), ""),
        ("GET /v2/UPPER/manifests/v1".to_owned(), ""),
        ("GET /v2/app/tags/list?n=-1".to_owned(), ""),
        ("GET /v3/".to_owned(), ""),
        ("POST /v2/app/tags/list".to_owned(), ""),
        (format!("PUT /v2/app/manifests/v2\nContent-Type: {kind}"), "not JSON"),
        (format!("PUT /v2/app/manifests/v2\nContent-Type: {kind}"), &manifest(&absent, 6)),
        (format!("PUT /v2/app/manifests/v2\nContent-Type: {kind}"), &manifest(&empty, 3)),
        (format!("PUT /v2/app/manifests/v2\nContent-Type: {kind}"), &" ".repeat((4 << 20) + 1)),
        (format!("PUT /v2/app/manifests/{absent}\nContent-Type: {kind}"), &image),
        (format!("PUT /v2/app/manifests/v2?{}\nContent-Type: {kind}", ["tag=a"; 101].join("&")), &image),
        (
            format!("PUT /v2/app/manifests/v1\nContent-Type: {kind}\nIf-None-Match: *"),
            &manifest(&empty, 2).replace("[]", "[ ]"),
        ),
    ] {
        seen.provoke(&mut server.connect().await, &request, body.as_bytes()).await;
    }
    for (headers, body) in [("Content-Range: 5-6", "ab"), ("Content-Range: x", "ab"), ("Content-Range: 0-5", "ab")] {
        let place = begin(client).await;
        seen.provoke(client, &format!("PATCH {place}\n{headers}"), body.as_bytes()).await;
    }
    // A delta of nothing that is there, and one that is none.
    let place = begin(client).await;
    for (base, body) in [(absent, ""), (empty, "four")] {
        let headers = format!("Content-Type: {}\nWharf-Delta-Base: {base}", delta::MEDIA_TYPE);
        let step = [&delta::copy(7, 1)[..], body.as_bytes()].concat();
        seen.provoke(client, &format!("PATCH {place}\n{headers}"), &step).await;
    }
    // A chunk after one that was too short.
    let place = begin(client).await;
    assert_eq!(client.call(&format!("PATCH {place} HTTP/1.1\r\nContent-Range: 0-1"), b"ab").await.0.status, 202);
    seen.provoke(client, &format!("PATCH {place}\nContent-Range: 2-3"), b"cd").await;

    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let limits = Limits { delete: false, ..Limits::default() };
    let server = Server::start(Setup { users, limits, ..Setup::default() }).await;
    let client = &mut server.connect().await;
    seen.provoke(client, "GET /v2/app/tags/list", b"").await;
    let login = "Authorization: Basic YW5uOnNlY3JldA==";
    seen.provoke(client, &format!("DELETE /v2/app/manifests/v1\n{login}"), b"").await;
}

/// Two requests that write one upload: one wins. When the first has looked at the upload before the second is done, the first is told.
async fn two_at_once(seen: &mut Seen) {
    let server = Server::start(Setup::default()).await;
    let begun = Instant::now();
    while !seen.0.contains("BLOB_UPLOAD_INVALID 409") {
        assert!(begun.elapsed() < BOUND, "the slower one is never told");
        let (mut slow, mut fast) = (server.connect().await, server.connect().await);
        let place = begin(&mut fast).await;
        slow.send(format!("PATCH {place} HTTP/1.1\r\nHost: registry.test\r\nContent-Length: 4\r\n\r\nsl")).await;
        assert_eq!(fast.call(&format!("PATCH {place} HTTP/1.1"), b"fast").await.0.status, 202);
        slow.send("ow").await;
        let (head, body) = slow.answer().await;
        if head.status != 202 {
            seen.take(&head, &body);
        }
    }
}

/// A tag that never had another version cannot go back to it.
async fn tags(seen: &mut Seen) {
    let server = Server::start(Setup::default()).await;
    let client = &mut server.connect().await;
    let empty = Digest::sha256(b"{}");
    for (request, body) in [
        (format!("POST /v2/app/blobs/uploads/?digest={empty}"), "{}".to_owned()),
        (format!("PUT /v2/app/manifests/v1\nContent-Type: {}", MediaType::OCI_MANIFEST), manifest(&empty, 2)),
    ] {
        assert_eq!(client.call(&with_version(&request), body.as_bytes()).await.0.status, 201);
    }
    seen.provoke(client, "POST /api/v1/repositories/app/tags/v1/rollback", b"").await;
}

/// Faults of the registry's own: the client learns that it is none of his, and nothing else.
async fn faults(seen: &mut Seen) {
    let (mut store, next) = (Store::memory(), Fault::default());
    store.records = Arc::new(Failing { below: store.records.clone(), next: next.clone() });
    let server = Server::start(Setup { store: Some(store), ..Setup::default() }).await;
    let client = &mut server.connect().await;
    let doing = || format!("write {SECRET}");
    for (error, status, said) in [
        (StoreError::Full { doing: doing() }, 507, "disk is full"),
        (StoreError::Io { doing: doing(), source: std::io::ErrorKind::PermissionDenied.into() }, 500, "log says why"),
        (StoreError::Database { doing: "write", problem: doing() }, 500, "log says why"),
        (StoreError::CorruptRecord { key: SECRET.to_owned(), problem: doing() }, 500, "log says why"),
        (StoreError::Refused { doing: doing(), problem: SECRET.to_owned() }, 500, "log says why"),
        (StoreError::Unavailable { doing: doing(), problem: SECRET.to_owned() }, 503, "log says why"),
        (StoreError::Contended { key: SECRET.to_owned() }, 429, "try again"),
    ] {
        *next.lock().unwrap() = Some(error);
        let (head, body) = client.call("POST /v2/app/blobs/uploads/ HTTP/1.1", b"").await;
        let message = seen.take(&head, &body);
        assert_eq!(head.status, status, "{message}");
        assert!(message.contains(said), "{message}");
        // And the next request is as good as ever, over the same connection.
        begin(client).await;
    }
}
