//! A proxy between the binary and a server that writes down every request line, and counts bytes: what was really asked for, and
//! what was really sent.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::server::Server;

/// Listens until the test ends.
pub struct Proxy {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What passed on the way to the server.
#[derive(Default)]
struct Seen {
    lines: Mutex<Vec<String>>,
    bytes: AtomicUsize,
}

impl Proxy {
    /// A proxy in front of this server.
    pub fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::<Seen>::default();
        let (behind, noted) = (server.address, seen.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(behind) else { return };
                let seen = noted.clone();
                let (up, down) = (client.try_clone().expect("a handle"), server.try_clone().expect("a handle"));
                thread::spawn(move || pass(up, server, Some(&seen)));
                thread::spawn(move || pass(down, client, None));
            }
        });
        Self { address, seen }
    }

    /// The full name of an image of the server's store.
    pub fn name(&self, image: &str) -> String {
        format!("{}/{image}", self.address)
    }

    /// The requests since the last time, as `METHOD what`: `PUT manifests`, `POST uploads`.
    pub fn requests(&self) -> Vec<String> {
        let lines = std::mem::take(&mut *self.seen.lines.lock().unwrap_or_else(PoisonError::into_inner));
        lines.iter().map(|line| kind(line)).collect()
    }

    /// How many bytes were sent to the server since the last time.
    pub fn bytes(&self) -> usize {
        self.seen.bytes.swap(0, Ordering::Relaxed)
    }
}

/// `PATCH /v2/team/app/blobs/uploads/… HTTP/1.1` is `PATCH uploads`.
fn kind(line: &str) -> String {
    let method = line.split(' ').next().unwrap_or_default();
    let what = ["/uploads/", "/blobs/", "/manifests/", "/referrers/", "/tags/"];
    let what = what.iter().find(|what| line.contains(**what)).map_or("ping", |what| what.trim_matches('/'));
    format!("{method} {what}")
}

/// Copies one direction of a connection; request lines are noted before they are passed on.
fn pass(mut from: TcpStream, mut to: TcpStream, seen: Option<&Seen>) {
    let (mut buffer, mut line) = (vec![0; 64 << 10], Vec::new());
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if let Some(seen) = seen {
            seen.bytes.fetch_add(length, Ordering::Relaxed);
            for byte in &buffer[..length] {
                if *byte == b'\n' {
                    note(&line, &seen.lines);
                    line.clear();
                } else if line.len() < 4096 {
                    line.push(*byte);
                }
            }
        }
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn note(line: &[u8], lines: &Mutex<Vec<String>>) {
    let text = String::from_utf8_lossy(line);
    // A body without a line's end may stand before it.
    let methods = ["GET /v2/", "HEAD /v2/", "PUT /v2/", "POST /v2/", "PATCH /v2/", "DELETE /v2/"];
    let start = methods.iter().filter_map(|method| text.find(method)).min();
    if let Some(start) = start.filter(|_| text.trim_end().ends_with(" HTTP/1.1")) {
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(text[start..].to_owned());
    }
}
