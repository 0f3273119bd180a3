//! A client that does as little as possible, so that what is measured is the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection that is kept.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// An answer, its body read whole.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Where the answer sends the client: path and query.
    pub fn location(&self) -> Result<String, String> {
        let location = self.header("location").ok_or("no Location")?;
        let path =
            location.split_once("://").map_or(location, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
        Ok(path.to_owned())
    }
}

/// A path with one more parameter.
pub fn with_parameter(path: &str, parameter: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!("{path}{separator}{parameter}")
}

impl Client {
    pub fn new(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|error| format!("connect to {address}: {error}"))?;
        stream.set_nodelay(true).ok();
        stream.set_read_timeout(Some(Duration::from_secs(120))).ok();
        Ok(Self { stream: BufReader::with_capacity(64 << 10, stream) })
    }

    /// The bare stream.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.stream.get_mut()
    }

    /// Sends a request whose body follows in pieces of the caller's.
    pub fn begin(&mut self, method: &str, path: &str, headers: &str, length: Option<u64>) -> Result<(), String> {
        let length = length.map_or_else(
            || "Transfer-Encoding: chunked\r\n".to_owned(),
            |length| format!("Content-Length: {length}\r\n"),
        );
        let head = format!("{method} {path} HTTP/1.1\r\nHost: bench\r\n{length}{headers}\r\n");
        self.stream().write_all(head.as_bytes()).map_err(|error| format!("{method} {path}: {error}"))
    }

    pub fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.stream().write_all(bytes).map_err(|error| format!("send: {error}"))
    }

    /// One piece of a chunked body; the empty one ends it.
    pub fn chunk(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.send(format!("{:x}\r\n", bytes.len()).as_bytes())?;
        self.send(bytes)?;
        self.send(b"\r\n")
    }

    pub fn answer(&mut self, head: bool) -> Result<Answer, String> {
        let mut line = String::new();
        let mut read = |line: &mut String| {
            line.clear();
            self.stream.read_line(line).map_err(|error| format!("read an answer: {error}"))
        };
        read(&mut line)?;
        let status: u16 = line
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| format!("no status in {line:?}"))?;
        let mut headers = Vec::new();
        loop {
            read(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => headers.push((name.to_owned(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let bodiless = head || status == 204 || status == 304;
        if bodiless {
            return Ok(answer);
        }
        match answer.header("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => {
                answer.body = vec![0; length];
                self.stream.read_exact(&mut answer.body).map_err(|error| format!("read a body: {error}"))?;
            }
            None => answer.body = self.chunks()?,
        }
        Ok(answer)
    }

    fn chunks(&mut self) -> Result<Vec<u8>, String> {
        let cannot = |error: std::io::Error| format!("read a body: {error}");
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).map_err(cannot)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(|_| format!("no chunk: {line:?}"))?;
            let begin = body.len();
            body.resize(begin + length, 0);
            self.stream.read_exact(&mut body[begin..]).map_err(cannot)?;
            self.stream.read_line(&mut line).map_err(cannot)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }

    /// A whole exchange, whatever comes of it.
    pub fn ask(&mut self, (method, path): (&str, &str), headers: &str, body: &[u8]) -> Result<Answer, String> {
        self.begin(method, path, headers, Some(body.len() as u64))?;
        self.send(body)?;
        self.answer(method == "HEAD")
    }

    /// A whole exchange; `expected` is the status it must end with.
    pub fn call(
        &mut self,
        (method, path): (&str, &str),
        headers: &str,
        body: &[u8],
        expected: u16,
    ) -> Result<Answer, String> {
        let answer = self.ask((method, path), headers, body)?;
        if answer.status == expected {
            Ok(answer)
        } else {
            Err(format!("{method} {path}: {} {}", answer.status, String::from_utf8_lossy(&answer.body)))
        }
    }
}
