//! Resident memory: at rest, and with a great many slow clients.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::fixture::HUGE;
use crate::http::{Client, with_parameter};
use crate::peers::{self, Software};
use crate::process::resident;
use crate::table::{Goal, Row, Table};

const PULLS: usize = 1000;
const PUSHES: usize = 100;
/// What each push sends before it stops; the rest of its gigabyte never comes.
const PUSHED: usize = 20 << 20;
const PIECE: usize = 64 << 10;

pub fn memory(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let Some((_, binary)) = bench.options.software.iter().find(|(software, _)| *software == Software::Wharf) else {
        return Ok(());
    };
    let mut idle = Row::new("memory at rest", "MB");
    let mut pulls = Row::new("memory, 1,000 slow pulls of 1 GB at once", "MB");
    let mut pushes = Row::new("memory, 100 pushes of 1 GB at once", "MB");
    let store = bench.options.work.join("memory");
    let mut server = Server::start(binary, &store)?;
    push_huge(&mut server.client()?, &bench.fixture.huge)?;
    drop(server);
    for _ in 0..bench.options.rounds.min(2) {
        server = Server::start(binary, &store)?;
        server.client()?.call(("GET", "/v2/"), "", &[], 200)?;
        idle.sample("wharf", resident(server.pid()));
        pulls.sample("wharf", slow_pulls(&server, &bench.fixture.huge)?);
        drop(server);
        server = Server::start(binary, &store)?;
        pushes.sample("wharf", unfinished_pushes(&server)?);
        drop(server);
    }
    table.add(idle.value(&Goal::AtMost(20.0)));
    table.add(pulls.value(&Goal::AtMost(100.0)));
    table.add(pushes.value(&Goal::AtMost(200.0)));
    Ok(())
}

/// A Wharf of its own, so that nothing else is in its memory.
pub struct Server {
    process: Child,
    pub address: std::net::SocketAddr,
}

impl Server {
    pub fn spawn(binary: &Path, store: &Path) -> Result<Self, String> {
        let address = peers::free_port()?;
        let mut command: Command = peers::wharf(binary, store, address);
        let process = command.arg("--quiet").spawn().map_err(|error| format!("start wharf: {error}"))?;
        Ok(Self { process, address })
    }

    pub fn start(binary: &Path, store: &Path) -> Result<Self, String> {
        let server = Self::spawn(binary, store)?;
        let begun = Instant::now();
        while TcpStream::connect(server.address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("wharf does not listen".to_owned());
            }
            sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn client(&self) -> Result<Client, String> {
        Client::new(self.address)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn push_huge(client: &mut Client, digest: &str) -> Result<(), String> {
    let begun = client.call(("POST", "/v2/huge/blobs/uploads/"), "", &[], 202)?;
    client.begin("PUT", &with_parameter(&begun.location()?, &format!("digest={digest}")), "", Some(HUGE))?;
    let piece = vec![0; 1 << 20];
    for _ in 0..HUGE >> 20 {
        client.send(&piece)?;
    }
    match client.answer(false)?.status {
        201 => Ok(()),
        status => Err(format!("push of 1 GB: {status}")),
    }
}

/// The most memory seen while so many clients take a little now and then.
fn slow_pulls(server: &Server, digest: &str) -> Result<f64, String> {
    let cannot = |error: std::io::Error| format!("a slow pull: {error}");
    let mut streams = Vec::new();
    for _ in 0..PULLS {
        let mut stream = TcpStream::connect(server.address).map_err(cannot)?;
        let request = format!("GET /v2/huge/blobs/{digest} HTTP/1.1\r\nHost: bench\r\n\r\n");
        stream.write_all(request.as_bytes()).map_err(cannot)?;
        streams.push(stream);
    }
    let mut most = 0.0_f64;
    let mut buffer = vec![0; PIECE];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        for stream in &mut streams {
            if stream.read(&mut buffer).map_err(cannot)? == 0 {
                return Err("a pull ended early".to_owned());
            }
        }
        most = most.max(resident(server.pid()));
    }
    Ok(most)
}

/// The most memory seen while so many clients send as fast as the server takes it.
fn unfinished_pushes(server: &Server) -> Result<f64, String> {
    let mut clients = Vec::new();
    for _ in 0..PUSHES {
        let mut client = server.client()?;
        let begun = client.call(("POST", "/v2/huge/blobs/uploads/"), "", &[], 202)?;
        let digest = format!("digest=sha256:{}", "0".repeat(64));
        client.begin("PUT", &with_parameter(&begun.location()?, &digest), "", Some(HUGE))?;
        clients.push(client);
    }
    let mut most = 0.0_f64;
    let piece = vec![1; PIECE];
    for _ in 0..PUSHED / PIECE {
        for client in &mut clients {
            client.send(&piece)?;
        }
        most = most.max(resident(server.pid()));
    }
    Ok(most)
}
