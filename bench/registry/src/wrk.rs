//! `wrk`, the load generator for reads.

use std::process::Command;

/// What it says about a run.
pub struct Report {
    pub requests_per_second: f64,
    pub bytes: f64,
}

/// Asks for `url` on so many connections, again and again, for some seconds.
pub fn wrk(url: &str, connections: usize, seconds: usize) -> Result<Report, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/report.lua");
    let (connections, seconds) = (connections.to_string(), format!("{seconds}s"));
    let accept = "Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";
    let arguments =
        ["-t", "1", "-c", &connections, "-d", &seconds, "--timeout", "30s", "-H", accept, "-s", script, url];
    let output = Command::new("wrk").args(arguments).output().map_err(|error| format!("start wrk: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line =
        text.lines().find_map(|line| line.strip_prefix("report ")).ok_or_else(|| format!("wrk {url}: {text}"))?;
    let numbers: Vec<f64> = line.split(' ').filter_map(|number| number.parse().ok()).collect();
    match numbers[..] {
        [requests, microseconds, bytes, 0.0] => {
            Ok(Report { requests_per_second: requests * 1e6 / microseconds, bytes })
        }
        _ => Err(format!("wrk {url} saw errors: {text}")),
    }
}
