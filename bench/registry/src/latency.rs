//! How long a small read takes while a large blob is being pushed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::fixture::{Content, push_blob};
use crate::peers::{Peer, Software};
use crate::table::{Goal, Row, Table};

/// Reads in a round, and the pause between two: far from what the server could do, so that nothing queues.
const READS: usize = 1000;
const PAUSE: Duration = Duration::from_millis(2);

pub fn latency(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let mut idle = Row::new("manifest GET, 99 of 100 are faster than, nothing else going on", "µs");
    let mut busy = Row::new("manifest GET, 99 of 100 are faster than, while 100 MB blobs are pushed", "µs");
    for round in 0..bench.options.rounds {
        for peer in bench.those(&[Software::Wharf, Software::Distribution, Software::Zot]) {
            let name = peer.software.name();
            idle.sample(name, percentile(peer)?);
            busy.sample(name, while_pushing(peer, round as u64)?);
        }
    }
    let quiet = idle.median("wharf");
    table.add(idle);
    table.add(busy.against("idle", quiet, &Goal::AtMost(3.0)));
    Ok(())
}

fn while_pushing(peer: &Peer, round: u64) -> Result<f64, String> {
    let stop = AtomicBool::new(false);
    let mut content = Content::random(100_000_000, 77 + round);
    std::thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            let mut number = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                number += 1;
                content.bytes[8..16].copy_from_slice(&number.to_le_bytes());
                // With a wrong digest, so that our own hashing does not take the processor; it is refused in the end.
                let mut client = peer.client()?;
                if push_blob(&mut client, "pushed", &content).is_ok() && number > 1 {
                    return Err("a blob with a wrong digest was taken".to_owned());
                }
            }
            Ok(())
        });
        sleep(Duration::from_millis(100));
        let found = percentile(peer);
        stop.store(true, Ordering::Relaxed);
        pusher.join().map_err(|_| "the pushing client panicked".to_owned())??;
        found
    })
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
