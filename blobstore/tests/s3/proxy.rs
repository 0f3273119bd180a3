//! A network between the store and the service that loses requests and answers. What it does to a request depends on
//! the request's number alone, so a run can be repeated.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    /// It is carried out and answered.
    Answered,
    /// It never arrives; the service seems busy.
    Busy,
    /// It never arrives; the connection is closed.
    Lost,
    /// It is carried out, and the answer says that it was not.
    Denied,
    /// It is carried out, and the connection is closed.
    Unanswered,
    /// It is carried out, and half of the answer arrives.
    Cut,
    /// Half of its body arrives at the service.
    Halved,
    /// It is carried out, and nothing is heard of it.
    Silent,
    /// A write on this condition is answered as if the condition were met.
    Unconditional(&'static str),
}

impl Fate {
    /// All that harm a request by chance.
    pub(crate) const HARMFUL: [Self; 7] =
        [Self::Busy, Self::Lost, Self::Denied, Self::Unanswered, Self::Cut, Self::Halved, Self::Silent];
}

/// Whether a request reads or writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Read,
    Write,
}

/// How many requests of each kind met each fate.
pub(crate) type Counts = Arc<Mutex<BTreeMap<(Fate, Kind), u64>>>;

/// A proxy in front of a service. Everything goes well until [`Proxy::set_percentage`].
pub(crate) struct Proxy {
    /// Where it listens, as an endpoint.
    pub(crate) endpoint: String,
    percentage: Arc<AtomicU64>,
    /// Requests that were harmed.
    pub(crate) harmed: Arc<AtomicU64>,
    counts: Counts,
}

impl Proxy {
    /// In front of this endpoint, `http://HOST:PORT`. What befalls a request depends on its number and the percentage.
    pub(crate) async fn start(endpoint: &str, fate: impl Fn(u64, u64) -> Fate + Send + 'static) -> Self {
        let upstream = endpoint.strip_prefix("http://").expect("a plain endpoint").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (percentage, harmed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (shared, counted) = (Arc::clone(&percentage), Arc::clone(&harmed));
        let counts = Counts::default();
        let each = Arc::clone(&counts);
        tokio::spawn(async move {
            let number = Arc::new(AtomicU64::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let percentage = shared.load(Ordering::Relaxed);
                let fate = fate(number.fetch_add(1, Ordering::Relaxed), percentage);
                counted.fetch_add(u64::from(fate != Fate::Answered), Ordering::Relaxed);
                let (upstream, each) = (upstream.clone(), Arc::clone(&each));
                // Whoever hangs up early is no trouble here.
                tokio::spawn(async move { pass(client, &upstream, fate, &each).await.ok() });
            }
        });
        Self { endpoint: format!("http://{address}"), percentage, harmed, counts }
    }

    /// How many requests of this kind met this fate.
    pub(crate) fn count(&self, fate: Fate, kind: Kind) -> u64 {
        self.counts.lock().unwrap().get(&(fate, kind)).copied().unwrap_or(0)
    }

    /// How many of a hundred requests are harmed from now on.
    pub(crate) fn set_percentage(&self, percentage: u64) {
        self.percentage.store(percentage, Ordering::Relaxed);
    }
}

/// So many of a hundred requests are harmed, each in another way.
pub(crate) fn by_chance(number: u64, percentage: u64) -> Fate {
    // Spread, and the same in every run.
    let mixed =
        (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 20;
    if mixed % 100 >= percentage {
        return Fate::Answered;
    }
    match (mixed / 100) % 13 {
        0 | 1 => Fate::Busy,
        2 | 3 => Fate::Lost,
        4 | 5 => Fate::Denied,
        6 | 7 => Fate::Unanswered,
        8 | 9 => Fate::Cut,
        10 | 11 => Fate::Halved,
        _ => Fate::Silent,
    }
}

/// One request of one connection; then both are closed.
async fn pass(mut client: TcpStream, upstream: &str, fate: Fate, counts: &Counts) -> std::io::Result<()> {
    let Some(request) = request(&mut client).await? else { return Ok(()) };
    let kind = if request.starts_with(b"GET ") || request.starts_with(b"HEAD ") { Kind::Read } else { Kind::Write };
    *counts.lock().unwrap().entry((fate, kind)).or_default() += 1;
    let error = |status: &str, code: &str| {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code></Error>");
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
    };
    match fate {
        Fate::Busy => return client.write_all(error("503 Slow Down", "SlowDown").as_bytes()).await,
        Fate::Lost => return Ok(()),
        Fate::Unconditional(header) if has(&request, header) => {
            let answer = "HTTP/1.1 200 OK\r\nETag: \"00\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(answer.as_bytes()).await;
        }
        Fate::Halved => {
            let mut service = TcpStream::connect(upstream).await?;
            return service.write_all(&request[..request.len() - body_length(&request).div_ceil(2)]).await;
        }
        Fate::Answered | Fate::Denied | Fate::Unanswered | Fate::Cut | Fate::Silent | Fate::Unconditional(_) => {}
    }
    let mut service = TcpStream::connect(upstream).await?;
    service.write_all(&request).await?;
    let mut answer = Vec::new();
    service.read_to_end(&mut answer).await?;
    match fate {
        Fate::Answered | Fate::Unconditional(_) => client.write_all(&answer).await,
        Fate::Denied => client.write_all(error("500 Internal", "InternalError").as_bytes()).await,
        Fate::Cut => client.write_all(&answer[..answer.len() / 2]).await,
        Fate::Silent => {
            // Until the client has had enough.
            client.read_to_end(&mut Vec::new()).await.map(|_| ())
        }
        Fate::Busy | Fate::Lost | Fate::Halved | Fate::Unanswered => Ok(()),
    }
}

fn body_length(request: &[u8]) -> usize {
    let head = request.windows(4).position(|window| window == b"\r\n\r\n");
    head.map_or(0, |end| request.len() - end - 4)
}

fn has(request: &[u8], header: &str) -> bool {
    let text = String::from_utf8_lossy(request);
    let head = text.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
    head.lines().any(|line| line.starts_with(&format!("{header}:")))
}

/// A whole request, changed to be the last one of its connection.
async fn request(client: &mut TcpStream) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, length)| length.trim().parse().unwrap());
    while bytes.len() < end + 4 + length {
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    bytes.splice(end..end, b"\r\nConnection: close".iter().copied());
    Ok(Some(bytes))
}
