//! How long a small read takes while a large blob is being pushed and garbage is collected.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::fixture::{Content, push_blob};
use crate::http::with_parameter;
use crate::peers::{Peer, Software};
use crate::processors;
use crate::table::{Goal, Row, Table};

/// Reads in a round, and the pause between two: far from what the server could do, so that nothing queues.
const READS: usize = 1000;
const PAUSE: Duration = Duration::from_millis(2);

/// What is announced of the blob that is pushed meanwhile, and what is sent of it at once: as much as clients written in Go copy.
const PUSHED: u64 = 10_000_000_000;
const PIECE: usize = 32 << 10;

/// Blobs that nobody needs: more than a server deletes while this is measured.
const GARBAGE: u64 = 3000;

pub fn latency(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let mut idle = Row::new("manifest GET, 99 of 100 are faster than, nothing else going on", "µs");
    let mut busy = Row::new("manifest GET, 99 of 100 are faster than, while a blob of 10 GB is pushed", "µs");
    let mut collected = Row::new("the same, and the server collects garbage", "µs");
    let mut commands = Row::new("a blob of 10 GB is pushed, and `wharf gc` is started again and again", "µs");
    let binary = bench.options.software.iter().find(|(software, _)| *software == Software::Wharf);
    for _ in 0..bench.options.rounds {
        for peer in bench.those(&[Software::Wharf, Software::Distribution, Software::Zot]) {
            let name = peer.software.name();
            idle.sample(name, percentile(peer)?);
            busy.sample(name, meanwhile(peer, &[&pushing])?);
            if let (Software::Wharf, Some((_, binary))) = (peer.software, binary) {
                collected.sample(name, while_it_collects(bench, binary)?);
                let collecting = |peer: &Peer, stop: &AtomicBool| collecting(binary, peer, stop);
                commands.sample(name, meanwhile(peer, &[&pushing, &collecting])?);
            }
        }
    }
    let quiet = idle.median("wharf");
    table.add(idle);
    table.add(busy.against("idle", quiet, &Goal::AtMost(3.0)));
    table.add(collected.against("idle", quiet, &Goal::AtMost(3.0)));
    table.add(commands);
    Ok(())
}

/// A server with so much garbage that it collects all the time.
fn while_it_collects(bench: &Bench, binary: &Path) -> Result<f64, String> {
    let garbage: Vec<_> = (0..GARBAGE).map(|number| Content::random(1 << 10, 1_000_000 + number)).collect();
    let peer = Peer::collecting(binary, &bench.options.work, |peer| {
        bench.fixture.push_to(peer)?;
        let mut client = peer.client()?;
        garbage.iter().try_for_each(|blob| push_blob(&mut client, "garbage", blob))
    })?;
    let found = meanwhile(&peer, &[&pushing])?;
    let mut client = peer.client()?;
    let mut left = 0;
    for blob in &garbage {
        let answer = client.ask(("HEAD", &format!("/v2/garbage/blobs/{}", blob.digest)), "", &[])?;
        left += usize::from(answer.status == 200);
    }
    if left == 0 || left == garbage.len() {
        return Err(format!("{left} of {GARBAGE} blobs are left: the server did not collect all the time"));
    }
    eprintln!("   {} blobs were collected meanwhile", garbage.len() - left);
    Ok(found)
}

/// What goes on until it is told to stop.
type Work<'a> = &'a (dyn Fn(&Peer, &AtomicBool) -> Result<(), String> + Sync);

fn meanwhile(peer: &Peer, works: &[Work<'_>]) -> Result<f64, String> {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let works: Vec<_> = works.iter().map(|work| scope.spawn(|| work(peer, &stop))).collect();
        sleep(Duration::from_millis(100));
        let found = percentile(peer);
        stop.store(true, Ordering::Relaxed);
        for work in works {
            work.join().map_err(|_| "what went on meanwhile panicked".to_owned())??;
        }
        found
    })
}

/// A blob that never ends while this is measured; it is given up then.
fn pushing(peer: &Peer, stop: &AtomicBool) -> Result<(), String> {
    processors::step_back()?;
    let content = Content::random(PIECE, 77);
    let mut client = peer.client()?;
    let begun = client.call(("POST", "/v2/pushed/blobs/uploads/"), "", &[], 202)?;
    let end = with_parameter(&begun.location()?, &format!("digest={}", content.digest));
    client.begin("PUT", &end, "Content-Type: application/octet-stream\r\n", Some(PUSHED))?;
    let (mut left, begun) = (PUSHED, Instant::now());
    while !stop.load(Ordering::Relaxed) && left > PIECE as u64 {
        client.send(&content.bytes)?;
        left -= PIECE as u64;
    }
    let speed = (PUSHED - left) as f64 / 1e6 / begun.elapsed().as_secs_f64();
    eprintln!("   {} took {speed:.0} MB/s meanwhile", peer.software.name());
    Ok(())
}

/// Wharf's collector as a command beside the server; most of what it does here is to start.
fn collecting(binary: &Path, peer: &Peer, stop: &AtomicBool) -> Result<(), String> {
    while !stop.load(Ordering::Relaxed) {
        let mut command = processors::server(binary);
        command.args(["gc", "--quiet", "--grace", "0s", "--store"]).arg(&peer.directory).stdout(Stdio::null());
        let ended = command.status().map_err(|error| format!("start {command:?}: {error}"))?;
        if !ended.success() {
            return Err(format!("{command:?}: {ended}"));
        }
    }
    Ok(())
}

/// The time in microseconds that 99 of 100 reads stay under.
fn percentile(peer: &Peer) -> Result<f64, String> {
    let mut client = peer.client()?;
    let accept = format!("Accept: {}\r\n", crate::fixture::MANIFEST);
    let mut times = Vec::with_capacity(READS);
    for _ in 0..READS {
        let begun = Instant::now();
        client.call(("GET", "/v2/bench/manifests/latest"), &accept, &[], 200)?;
        times.push(begun.elapsed().as_secs_f64() * 1e6);
        sleep(PAUSE);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[READS * 99 / 100])
}
