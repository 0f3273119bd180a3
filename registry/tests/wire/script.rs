//! Plain files that say what goes over the wire (`testdata/http/README.md` says how they read): parsing and playing them.
//! A file may only say what is on the wire; everything that runs is here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine as _;
use wharf_blobstore::Store;
use wharf_spec::{Algorithm, Digest};

use super::{BOUND, Client, Head, Server, Setup, noise};

/// A file, read.
#[derive(Default)]
pub(crate) struct Script {
    users: Vec<(String, String)>,
    anonymous_pull: bool,
    fixtures: Vec<(String, Fixture)>,
    routines: BTreeMap<String, Vec<Exchange>>,
    /// Named cases, each for itself; a file that names none is one case without a name.
    pub(crate) cases: Vec<Case>,
}

/// Exchanges that are played one after the other.
#[derive(Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    exchanges: Vec<Exchange>,
}

enum Fixture {
    Noise(usize),
    Text(String),
}

/// A request and what must come back.
#[derive(Clone, Default)]
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

#[derive(Clone)]
enum SentBody {
    /// With a length.
    Whole(String),
    /// In pieces, without a length.
    Chunked(String),
    /// Announced in full, but the connection ends after so many bytes.
    Torn(String, usize),
}

#[derive(Clone)]
enum Expected {
    Header(String, String),
    NoHeader(String),
    Capture(String, String),
    Body(String),
    Contains(String),
    Lacks(String),
}

/// What the lines that follow belong to.
enum Into {
    Case,
    Routine(String),
}

impl Script {
    pub(crate) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn parse(text: &str) -> Self {
        let mut script = Self::default();
        let (mut into, mut current) = (Into::Case, Exchange::default());
        for (index, line) in text.lines().chain([""]).enumerate() {
            let line = line.trim_end();
            let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
            match word {
                "" | "#" => script.end_exchange(&into, &mut current),
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
                    let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                    script.fixtures.push((name.to_owned(), Fixture::Text(text.to_owned())));
                }
                // Exchanges end with an empty line.
                "case" | "routine" | "run" if !current.request.is_empty() => panic!("line {}: {line}", index + 1),
                "case" => {
                    into = Into::Case;
                    script.cases.push(Case { name: rest.to_owned(), exchanges: Vec::new() });
                }
                "routine" => into = Into::Routine(rest.to_owned()),
                "run" => {
                    let routine = script.routines.get(rest).unwrap_or_else(|| panic!("no routine {rest}")).clone();
                    script.cases.last_mut().unwrap().exchanges.extend(routine);
                }
                ">" => sent(&mut current, rest, index + 1),
                "<" => expected(&mut current, rest),
                _ => panic!("line {}: {line}", index + 1),
            }
        }
        assert!(script.cases.iter().all(|case| !case.exchanges.is_empty()) && !script.cases.is_empty());
        script
    }

    fn end_exchange(&mut self, into: &Into, current: &mut Exchange) {
        if current.request.is_empty() {
            return;
        }
        let answered = current.status != 0 || matches!(current.body, Some(SentBody::Torn(..)));
        assert!(answered, "line {}: no status is expected", current.line);
        let exchange = std::mem::take(current);
        match into {
            Into::Routine(name) => self.routines.entry(name.clone()).or_default().push(exchange),
            Into::Case => {
                if self.cases.is_empty() {
                    self.cases.push(Case::default());
                }
                self.cases.last_mut().unwrap().exchanges.push(exchange);
            }
        }
    }

    /// Plays one case against a registry of its own, with digests of `algorithm` where the file does not say which.
    pub(crate) async fn play(&self, case: &Case, place: &str, store: Store, algorithm: Algorithm) {
        let (users, anonymous_pull) = (self.users.clone(), self.anonymous_pull);
        let server = Server::start(Setup { users, anonymous_pull, store: Some(store), ..Setup::default() }).await;
        let mut words = Words { algorithm, ..Words::default() };
        for (name, fixture) in &self.fixtures {
            let bytes = match fixture {
                Fixture::Noise(length) => noise(name, *length),
                Fixture::Text(text) => words.fill(text).into_bytes(),
            };
            words.add(name, bytes);
        }
        let mut client = None;
        for exchange in &case.exchanges {
            let place = format!("{place}:{}: {}", exchange.line, words.fill(&exchange.request));
            client = exchange.play(client.take(), &server, &mut words, &place).await;
        }
    }
}

impl Exchange {
    /// Asks and checks, over this connection if there is one; gives it back when it can go on.
    async fn play(&self, client: Option<Client>, server: &Server, words: &mut Words, place: &str) -> Option<Client> {
        let begun = Instant::now();
        let mut client = client;
        loop {
            let mut connection = match client.take() {
                Some(connection) => connection,
                None => server.connect().await,
            };
            if self.send(&mut connection, words).await {
                return None;
            }
            let head = connection.head().await;
            let bodiless = self.request.starts_with("HEAD ") || matches!(head.status, 204 | 304);
            let length = if bodiless { 0 } else { head.length() };
            let body = connection.body(self.close_after.unwrap_or(length)).await;
            let closes = self.close_after.is_some() || head.get("connection") == Some("close");
            client = (!closes).then_some(connection);
            match self.check(&head, &body, words) {
                Ok(()) => return client,
                Err(_) if self.eventually && begun.elapsed() < BOUND => tokio::task::yield_now().await,
                Err(problem) => panic!("{place}\n{problem}"),
            }
        }
    }

    /// Sends the request; `true` when the connection is gone with it.
    async fn send(&self, client: &mut Client, words: &Words) -> bool {
        let mut head = format!("{} HTTP/1.1\r\nHost: registry.test\r\n", words.fill(&self.request));
        for header in &self.headers {
            head.push_str(&words.fill(header));
            head.push_str("\r\n");
        }
        let says_length = self.headers.iter().any(|header| header.to_ascii_lowercase().starts_with("content-length:"));
        match &self.body {
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

    fn check(&self, head: &Head, body: &[u8], words: &mut Words) -> Result<(), String> {
        let shown = String::from_utf8_lossy(&body[..body.len().min(400)]).into_owned();
        if head.status != self.status {
            return Err(format!("expected {}: {head:?}\n{shown}", self.status));
        }
        let text = String::from_utf8_lossy(body);
        for expected in &self.expected {
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
                Expected::Contains(part) => {
                    let part = words.fill(part);
                    if !text.contains(&part) {
                        return Err(format!("no {part:?} in {shown}"));
                    }
                }
                Expected::Lacks(part) => {
                    let part = words.fill(part);
                    if text.contains(&part) {
                        return Err(format!("{part:?} is in {shown}"));
                    }
                }
            }
        }
        Ok(())
    }
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
        Some(("lacks", text)) => Expected::Lacks(text.to_owned()),
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
    algorithm: Algorithm,
    bytes: BTreeMap<String, Vec<u8>>,
    texts: BTreeMap<String, String>,
}

impl Words {
    fn add(&mut self, name: &str, bytes: Vec<u8>) {
        let digest = Digest::of(self.algorithm, &bytes);
        self.texts.insert(format!("{name}.digest"), digest.to_string());
        self.texts.insert(format!("{name}.encoded"), digest.to_string().replace(':', "%3A"));
        self.texts.insert(format!("{name}.hex"), digest.hex());
        let hex = digest.hex();
        self.texts.insert(format!("{name}.fallback"), format!("{}-{}", digest.algorithm(), &hex[..hex.len().min(64)]));
        self.texts.insert(format!("{name}.sha512"), Digest::of(Algorithm::Sha512, &bytes).to_string());
        self.texts.insert(format!("{name}.size"), bytes.len().to_string());
        self.bytes.insert(name.to_owned(), bytes);
    }

    /// Replaces `{name}`; braces of JSON stay, because no word has a quote in it.
    fn fill(&self, text: &str) -> String {
        let mut filled =
            text.replace("{101 tags}", &(1..=101).map(|n| format!("tag=t{n}")).collect::<Vec<_>>().join("&"));
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

    /// `name`, `name[from..to]`, `name+more` for the same with something behind it (`\s` is a space), or `-` for nothing.
    fn slice(&self, what: &str) -> Vec<u8> {
        if what == "-" {
            return Vec::new();
        }
        if let Some((name, more)) = what.split_once('+') {
            return [self.slice(name), more.replace("\\s", " ").into_bytes()].concat();
        }
        let (name, range) = what.split_once('[').map_or((what, None), |(name, range)| (name, Some(range)));
        let whole = self.bytes.get(name).unwrap_or_else(|| panic!("no fixture {name}"));
        let Some(range) = range else { return whole.clone() };
        let (from, to) = range.trim_end_matches(']').split_once("..").unwrap();
        whole[from.parse().unwrap_or(0)..to.parse().unwrap_or(whole.len())].to_vec()
    }
}

/// The `.http` files of a directory below `testdata/`, in order.
pub(crate) fn scripts(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(directory);
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "http"))
        .collect();
    files.sort();
    files
}
