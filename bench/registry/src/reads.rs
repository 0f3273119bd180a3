//! Reading: small things by the number of requests, large ones by what they cost.

use crate::Bench;
use crate::peers::{Peer, Software};
use crate::process::cpu_seconds;
use crate::table::{Goal, Row, Table};
use crate::wrk::wrk;

const CONNECTIONS: usize = 32;
const ALL: [Software; 4] = [Software::Nginx, Software::Wharf, Software::Distribution, Software::Zot];
const REGISTRIES: [Software; 3] = [Software::Wharf, Software::Distribution, Software::Zot];

/// Requests in a second.
pub fn small(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let blob = format!("blobs/{}", bench.fixture.small.digest);
    let by_digest = format!("manifests/{}", bench.fixture.manifest.digest);
    let fast = |row: Row| {
        row.ratio("nginx", &Goal::AtLeast(0.6))
            .ratio("distribution", &Goal::AtLeast(5.0))
            .ratio("zot", &Goal::AtLeast(3.0))
    };
    table.add(fast(requests(bench, "manifest GET by tag, 32 connections", "manifests/latest", &ALL)?));
    table.add(fast(requests(bench, "manifest GET by digest, 32 connections", &by_digest, &ALL)?));
    let row = requests(bench, "2 KB blob GET, 32 connections", &blob, &ALL)?;
    table.add(row.ratio("nginx", &Goal::AtLeast(0.5)));
    let row = requests(bench, "list of 1,000 tags", "tags/list?n=1000", &REGISTRIES)?;
    table.add(row.ratio("distribution", &Goal::AtLeast(10.0)));
    let referrers = format!("referrers/{}", bench.fixture.manifest.digest);
    table.add(requests(bench, "list of 100 referrers", &referrers, &[Software::Wharf, Software::Zot])?);
    Ok(())
}

fn requests(bench: &Bench, work: &str, path: &str, software: &[Software]) -> Result<Row, String> {
    let mut row = Row::new(work, "requests/s");
    for _ in 0..bench.options.rounds {
        for peer in bench.those(software) {
            let url = format!("http://{}/v2/bench/{path}", peer.address);
            let report = wrk(&url, CONNECTIONS, bench.options.seconds)?;
            row.sample(peer.software.name(), report.requests_per_second);
        }
    }
    Ok(row)
}

/// Processor time of the server for a gigabyte.
pub fn bulk(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let path = format!("/v2/bench/blobs/{}", bench.fixture.large.digest);
    let row =
        cost(bench, "100 MB blob GET", &ALL, |peer| Some((format!("http://{}{path}", peer.address), peer.pid())))?;
    table.add(row.ratio("nginx", &Goal::AtMost(1.3)));
    let row = cost(bench, "100 MB blob GET over TLS", &ALL, |peer| {
        Some((format!("https://{}{path}", peer.tls?), peer.tls_pid()))
    })?;
    table.add(row.ratio("nginx", &Goal::AtMost(1.5)));
    Ok(())
}

fn cost(
    bench: &Bench,
    work: &str,
    software: &[Software],
    place: impl Fn(&Peer) -> Option<(String, u32)>,
) -> Result<Row, String> {
    let mut row = Row::new(work, "CPU s/GB");
    for _ in 0..bench.options.rounds {
        for peer in bench.those(software) {
            let Some((url, pid)) = place(peer) else { continue };
            let before = cpu_seconds(pid);
            let report = wrk(&url, 4, bench.options.seconds)?;
            row.sample(peer.software.name(), (cpu_seconds(pid) - before) / (report.bytes / 1e9));
        }
    }
    Ok(row)
}
