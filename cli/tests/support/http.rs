//! Requests byte by byte, for what no well-behaved client does: half a body, a slow reader.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// An answer.
pub struct Answer {
    /// Its status.
    pub status: u16,
    head: String,
    /// Its body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A connection that never waits for ever.
pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// One request and its answer. `fields` are header lines.
pub fn ask(address: SocketAddr, method: &str, path: &str, fields: &[&str], body: &[u8]) -> Answer {
    let mut stream = connect(address);
    stream.write_all(head(method, path, fields, body.len()).as_bytes()).expect("sent");
    stream.write_all(body).expect("sent");
    answer(&mut stream)
}

/// The head of a request whose body has this length.
pub fn head(method: &str, path: &str, fields: &[&str], length: usize) -> String {
    let fields = fields.iter().fold(String::new(), |fields, field| fields + field + "\r\n");
    format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: {length}\r\n{fields}\r\n")
}

/// Reads an answer to the connection's end.
pub fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer");
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    Answer { status, head, body }
}
