//! Replays what real clients send, request by request: one plain file a client in `testdata/http/` (its README says how
//! such a file reads). A file may only say what is on the wire; everything that runs is here.

mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use wharf_blobstore::Store;
use wharf_spec::Digest;
use wire::{Client, Head, Server, Setup, noise};

/// A file, read.
#[derive(Default)]
struct Script {
    users: Vec<(String, String)>,
    anonymous_pull: bool,
    fixtures: Vec<(String, Fixture)>,
    exchanges: Vec<Exchange>,
}

enum Fixture {
    Noise(usize),
    Text(String),
}

/// A request and what must come back.
#[derive(Default)]
struct Exchange {
    line: usize,
    request: String,
    headers: Vec<String>,
    body: Option<SentBody>,
    /// Read only so much of the answer's body, then close.
    close_after: Option<usize>,
    /// Asked again until the answer is the expected one: something that goes on after an answer was cut off.
    eventually: bool,
    status: u16,
    expected: Vec<Expected>,
}

enum SentBody {
    /// With a length.
    Whole(String),
    /// In pieces, without a length.
    Chunked(String),
    /// Announced in full, but the connection ends after so many bytes.
    Torn(String, usize),
}

enum Expected {
    Header(String, String),
    NoHeader(String),
    Capture(String, String),
    Body(String),
    Contains(String),
}

fn parse(text: &str) -> Script {
    let mut script = Script::default();
    let mut current = Exchange::default();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim_end();
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "" | "#" => {
                if !current.request.is_empty() {
                    let answered = current.status != 0 || matches!(current.body, Some(SentBody::Torn(..)));
                    assert!(answered, "line {}: no status is expected", current.line);
                    script.exchanges.push(std::mem::take(&mut current));
                }
            }
            "user" => {
                let (user, password) = rest.split_once(':').unwrap();
                script.users.push((user.to_owned(), password.to_owned()));
            }
            "anonymous-pull" => script.anonymous_pull = true,
            "blob" => {
                let (name, length) = rest.split_once(' ').unwrap();
                script.fixtures.push((name.to_owned(), Fixture::Noise(length.parse().unwrap())));
            }
            "text" => {
                let (name, text) = rest.split_once(' ').unwrap();
                script.fixtures.push((name.to_owned(), Fixture::Text(text.to_owned())));
            }
            ">" => sent(&mut current, rest, index + 1),
            "<" => expected(&mut current, rest),
            _ => panic!("line {}: {line}", index + 1),
        }
    }
    if !current.request.is_empty() {
        script.exchanges.push(current);
    }
    assert!(!script.exchanges.is_empty());
    script
}

fn sent(exchange: &mut Exchange, rest: &str, line: usize) {
    if exchange.request.is_empty() {
        rest.clone_into(&mut exchange.request);
        exchange.line = line;
        return;
    }
    if rest == "eventually" {
        exchange.eventually = true;
        return;
    }
    match rest.split_once(' ') {
        Some(("body", name)) => exchange.body = Some(SentBody::Whole(name.to_owned())),
        Some(("chunked", name)) => exchange.body = Some(SentBody::Chunked(name.to_owned())),
        Some(("torn", rest)) => {
            let (name, length) = rest.split_once(" after ").unwrap();
            exchange.body = Some(SentBody::Torn(name.to_owned(), length.parse().unwrap()));
        }
        Some(("close", after)) => exchange.close_after = Some(after.strip_prefix("after ").unwrap().parse().unwrap()),
        Some(_) | None => exchange.headers.push(rest.to_owned()),
    }
}

fn expected(exchange: &mut Exchange, rest: &str) {
    if exchange.status == 0 {
        exchange.status = rest.parse().unwrap();
        return;
    }
    exchange.expected.push(match rest.split_once(' ') {
        Some(("body", what)) => Expected::Body(what.to_owned()),
        Some(("contains", text)) => Expected::Contains(text.to_owned()),
        Some((name, value)) if name.ends_with(':') => {
            let name = name.trim_end_matches(':').to_owned();
            match value.strip_prefix('=') {
                Some(capture) => Expected::Capture(name, capture.to_owned()),
                None => Expected::Header(name, value.to_owned()),
            }
        }
        Some(("no", name)) => Expected::NoHeader(name.to_owned()),
        Some(_) | None => panic!("{rest}"),
    });
}

/// Names and what they stand for.
#[derive(Default)]
struct Words {
    bytes: BTreeMap<String, Vec<u8>>,
    texts: BTreeMap<String, String>,
}

impl Words {
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let digest = Digest::sha256(&bytes);
        self.texts.insert(format!("{name}.digest"), digest.to_string());
        self.texts.insert(format!("{name}.encoded"), digest.to_string().replace(':', "%3A"));
        self.texts.insert(format!("{name}.hex"), digest.hex());
        self.texts.insert(format!("{name}.sha512"), Digest::of(wharf_spec::Algorithm::Sha512, &bytes).to_string());
        self.texts.insert(format!("{name}.size"), bytes.len().to_string());
        self.bytes.insert(name.to_owned(), bytes);
    }

    /// Replaces `{name}`; braces of JSON stay, because no word has a quote in it.
    fn fill(&self, text: &str) -> String {
        let mut filled = text.to_owned();
        for (name, value) in &self.texts {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
        while let Some(start) = filled.find("{basic:") {
            let end = start + filled[start..].find('}').unwrap();
            let encoded = base64::engine::general_purpose::STANDARD.encode(&filled[start + 7..end]);
            filled.replace_range(start..=end, &encoded);
        }
        filled
    }

    /// `name`, or `name[from..to]`, or `-` for nothing.
    fn slice(&self, what: &str) -> &[u8] {
        if what == "-" {
            return &[];
        }
        let (name, range) = what.split_once('[').map_or((what, None), |(name, range)| (name, Some(range)));
        let whole = self.bytes.get(name).unwrap_or_else(|| panic!("no fixture {name}"));
        let Some(range) = range else { return whole };
        let (from, to) = range.trim_end_matches(']').split_once("..").unwrap();
        &whole[from.parse().unwrap_or(0)..to.parse().unwrap_or(whole.len())]
    }
}

async fn replay(path: &Path, store: Store) {
    let script = parse(&std::fs::read_to_string(path).unwrap());
    let Script { users, anonymous_pull, .. } = script;
    let setup = Setup { users, anonymous_pull, store: Some(store), ..Setup::default() };
    let server = Server::start(setup).await;
    let mut words = Words::default();
    for (name, fixture) in script.fixtures {
        let bytes = match fixture {
            Fixture::Noise(length) => noise(&name, length),
            Fixture::Text(text) => words.fill(&text).into_bytes(),
        };
        words.add(&name, bytes);
    }
    let mut client = None;
    for exchange in script.exchanges {
        let place = format!("{}:{}: {}", path.display(), exchange.line, words.fill(&exchange.request));
        let begun = std::time::Instant::now();
        loop {
            let mut connection = match client.take() {
                Some(connection) => connection,
                None => server.connect().await,
            };
            if send(&mut connection, &exchange, &words).await {
                break;
            }
            let head = connection.head().await;
            let bodiless = exchange.request.starts_with("HEAD ") || matches!(head.status, 204 | 304);
            let length = if bodiless { 0 } else { head.length() };
            let body = connection.body(exchange.close_after.unwrap_or(length)).await;
            let closes = exchange.close_after.is_some() || head.get("connection") == Some("close");
            client = (!closes).then_some(connection);
            match check(&exchange, &head, &body, &mut words) {
                Ok(()) => break,
                Err(_) if exchange.eventually && begun.elapsed() < wire::BOUND => tokio::task::yield_now().await,
                Err(problem) => panic!("{place}\n{problem}"),
            }
        }
    }
}

/// Sends the request; `true` when the connection is gone with it.
async fn send(client: &mut Client, exchange: &Exchange, words: &Words) -> bool {
    let mut head = format!("{} HTTP/1.1\r\nHost: registry.test\r\n", words.fill(&exchange.request));
    for header in &exchange.headers {
        head.push_str(&words.fill(header));
        head.push_str("\r\n");
    }
    let says_length = exchange.headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-length:"));
    match &exchange.body {
        None => client.send(head + "\r\n").await,
        Some(SentBody::Whole(what)) => {
            let bytes = words.slice(what);
            if !says_length {
                head = format!("{head}Content-Length: {}\r\n", bytes.len());
            }
            client.send(head + "\r\n").await;
            client.send(bytes).await;
        }
        Some(SentBody::Chunked(what)) => {
            client.send(head + "Transfer-Encoding: chunked\r\n\r\n").await;
            for piece in words.slice(what).chunks(32 << 10) {
                client.send(format!("{:x}\r\n", piece.len())).await;
                client.send(piece).await;
                client.send("\r\n").await;
            }
            client.send("0\r\n\r\n").await;
        }
        Some(SentBody::Torn(what, length)) => {
            let bytes = words.slice(what);
            client.send(format!("{head}Content-Length: {}\r\n\r\n", bytes.len())).await;
            client.send(&bytes[..*length]).await;
            tokio::io::AsyncWriteExt::shutdown(client.stream.get_mut()).await.unwrap();
            client.closed().await;
            return true;
        }
    }
    false
}

fn check(exchange: &Exchange, head: &Head, body: &[u8], words: &mut Words) -> Result<(), String> {
    let shown = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
    if head.status != exchange.status {
        return Err(format!("expected {}: {head:?}\n{shown}", exchange.status));
    }
    for expected in &exchange.expected {
        match expected {
            Expected::Header(name, value) => {
                let value = words.fill(value);
                let found = head.all(name);
                let right = if value == "*" { !found.is_empty() } else { found.contains(&value.as_str()) };
                if !right {
                    return Err(format!("{name}: {found:?}, not {value:?}"));
                }
            }
            Expected::NoHeader(name) => {
                if let Some(value) = head.get(name) {
                    return Err(format!("{name} is there: {value:?}"));
                }
            }
            Expected::Capture(name, word) => {
                let value = head.get(name).ok_or_else(|| format!("no {name}"))?;
                words.texts.insert(word.clone(), value.to_owned());
            }
            Expected::Body(what) => {
                if body != words.slice(what) {
                    return Err(format!("the body is not {what}: {shown}"));
                }
            }
            Expected::Contains(text) => {
                let text = words.fill(text);
                if !String::from_utf8_lossy(body).contains(&text) {
                    return Err(format!("no {text:?} in {shown}"));
                }
            }
        }
    }
    Ok(())
}

fn scripts() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/http");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    files
}

async fn replay_all(store: impl Fn() -> Store) {
    let scripts = scripts();
    assert!(scripts.len() >= 10, "{scripts:?}");
    let mut failed = Vec::new();
    for script in scripts {
        let (name, store) = (script.display().to_string(), store());
        if tokio::spawn(async move { replay(&script, store).await }).await.is_err() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "see above: {failed:#?}");
}

#[tokio::test]
async fn every_client_is_answered_as_it_needs() {
    replay_all(Store::memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_is_answered_as_it_needs_from_disk() {
    let directory = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicUsize::new(0);
    replay_all(|| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        wharf_blobstore::embedded::open(&directory.path().join(number.to_string())).unwrap()
    })
    .await;
}
