//! From the start of the process to the first answer, with a million tags in the store.

use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Bench;
use crate::fixture::{Content, config, manifest, push_blob, push_manifest};
use crate::http::Client;
use crate::memory::Server;
use crate::peers::Software;
use crate::table::{Goal, Row, Table};

const TAGS: u64 = 1_000_000;

pub fn start(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let Some((_, binary)) = bench.options.software.iter().find(|(software, _)| *software == Software::Wharf) else {
        return Ok(());
    };
    let store = bench.options.work.join("many-tags");
    let server = Server::start(binary, &store)?;
    let mut client = server.client()?;
    let (config, layer) = (config(5), Content::random(100, 5));
    let image = manifest(&config, &[&layer]);
    push_blob(&mut client, "many", &config)?;
    push_blob(&mut client, "many", &layer)?;
    push_manifest(&mut client, "many", "first", &image)?;
    drop((client, server));
    // A million pushes would take longer than everything else here: the one tag's record is copied.
    let copy = format!(
        "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {TAGS})
         INSERT INTO records SELECT 'repos/many/_tags/tag-' || printf('%07d', n), version, value
         FROM number, (SELECT version, value FROM records WHERE key = 'repos/many/_tags/first');
         PRAGMA wal_checkpoint(TRUNCATE);"
    );
    let mut command = Command::new("sqlite3");
    let status = command.arg(store.join("records.sqlite")).arg(copy).stdout(Stdio::null()).status();
    if !status.map_err(|error| format!("start sqlite3: {error}"))?.success() {
        return Err("sqlite3 could not copy the tags".to_owned());
    }
    let mut row = Row::new("start to first answer, 1,000,000 tags in the store", "ms");
    for _ in 0..bench.options.rounds * 2 {
        let begun = Instant::now();
        let server = Server::spawn(binary, &store)?;
        let mut client = loop {
            match Client::new(server.address) {
                Ok(client) => break client,
                Err(_) if begun.elapsed().as_secs() < 10 => std::thread::yield_now(),
                Err(error) => return Err(error),
            }
        };
        client.call(("GET", "/v2/many/manifests/tag-0777777"), "", &[], 200)?;
        row.sample("wharf", begun.elapsed().as_secs_f64() * 1e3);
    }
    table.add(row.value(&Goal::AtMost(50.0)));
    Ok(())
}
