//! Writing: what a large blob costs, and how many images a second come in at once.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ring::digest::{SHA256, digest};
use rustix::fs::{Advice, fadvise};

use crate::Bench;
use crate::fixture::{self, Content, push_blob, push_manifest};
use crate::http::{Client, with_parameter};
use crate::peers::{Peer, Software};
use crate::process::cpu_seconds;
use crate::table::{Goal, Row, Table};

const REGISTRIES: [Software; 3] = [Software::Wharf, Software::Distribution, Software::Zot];
const LARGE: usize = 100_000_000;
/// Large blobs in a measurement: the kernel's books have hundredths of a second.
const BLOBS: usize = 6;
const PIECE: usize = 1 << 20;

/// What nobody has used yet.
static SEED: AtomicU64 = AtomicU64::new(1000);

fn seed() -> u64 {
    SEED.fetch_add(1, Ordering::Relaxed)
}

/// Processor time of the server for a gigabyte of blobs of 100 MB, pushed one after the other. All take turns blob by blob, and
/// all keep what they wrote, on the disk and not in memory ([`give_back`]).
pub fn bulk(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let mut whole = Row::new("100 MB blob push, POST and PUT", "CPU s/GB");
    let mut streamed = Row::new("100 MB blob push, POST, chunked PATCH and PUT", "CPU s/GB");
    let peers = bench.those(&REGISTRIES);
    let mut content = Content::random(LARGE, seed());
    for _ in 0..bench.options.rounds {
        let mut used_alone = 0.0;
        let mut used = vec![[0.0; 2]; peers.len()];
        for _ in 0..BLOBS {
            used_alone += cpu_of(std::process::id(), || alone(bench, &content.bytes))?;
            give_back(&bench.options.work)?;
            for (peer, used) in peers.iter().zip(&mut used) {
                for (push, used) in [push_blob as Push, push_streamed as Push].into_iter().zip(used) {
                    let mut client = peer.client()?;
                    content.bytes[..8].copy_from_slice(&seed().to_le_bytes());
                    content = Content::new(content.bytes);
                    *used += cpu_of(peer.pid(), || push(&mut client, "pushed", &content))?;
                    give_back(&bench.options.work)?;
                }
            }
        }
        let per_gigabyte = |used: f64| used * 1e9 / (LARGE * BLOBS) as f64;
        for (row, way) in [(&mut whole, 0), (&mut streamed, 1)] {
            row.sample("alone", per_gigabyte(used_alone));
            for (peer, used) in peers.iter().zip(&used) {
                row.sample(peer.software.name(), per_gigabyte(used[way]));
            }
        }
    }
    let row = |row: Row| row.ratio("alone", &Goal::AtMost(1.3));
    table.add(row(whole));
    table.add(row(streamed));
    Ok(())
}

/// Has the system forget the large files in `directory`, so that the next one gets the memory of the last. What a virtual machine has
/// not used for a while comes from its host again, which can take twice as long as everything that a push does, and now and
/// then nothing: then it is the host that is measured.
fn give_back(directory: &Path) -> Result<(), String> {
    let cannot = |error: std::io::Error| format!("{}: {error}", directory.display());
    for entry in directory.read_dir().map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        // What is moved meanwhile is no blob that was pushed.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() {
            give_back(&entry.path())?;
        } else if metadata.is_file() && metadata.len() >= LARGE as u64 {
            let file = File::open(entry.path()).map_err(cannot)?;
            fadvise(&file, 0, None, Advice::DontNeed).map_err(|error| cannot(error.into()))?;
        }
    }
    Ok(())
}

/// Processor seconds that a process uses meanwhile.
fn cpu_of(pid: u32, work: impl FnOnce() -> Result<(), String>) -> Result<f64, String> {
    let before = cpu_seconds(pid);
    work()?;
    Ok(cpu_seconds(pid) - before)
}

type Push = fn(&mut Client, &str, &Content) -> Result<(), String>;

/// Hashing and writing, and nothing else: by ring, to a file that is made durable.
fn alone(bench: &Bench, bytes: &[u8]) -> Result<(), String> {
    let path = bench.options.work.join(format!("alone-{}", seed()));
    let cannot = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = File::create_new(&path).map_err(cannot)?;
    for piece in bytes.chunks(256 << 10) {
        file.write_all(piece).map_err(cannot)?;
    }
    std::hint::black_box(digest(&SHA256, bytes));
    file.sync_data().map_err(cannot)
}

/// As docker does: the bytes in one chunked `PATCH`, and a `PUT` with nothing in it.
fn push_streamed(client: &mut Client, repository: &str, content: &Content) -> Result<(), String> {
    let begun = client.call(("POST", &format!("/v2/{repository}/blobs/uploads/")), "", &[], 202)?;
    client.begin("PATCH", &begun.location()?, "Content-Type: application/octet-stream\r\n", None)?;
    for piece in content.bytes.chunks(PIECE) {
        client.chunk(piece)?;
    }
    client.chunk(&[])?;
    let sent = client.answer(false)?;
    if sent.status != 202 {
        return Err(format!("PATCH: {} {}", sent.status, String::from_utf8_lossy(&sent.body)));
    }
    let end = with_parameter(&sent.location()?, &format!("digest={}", content.digest));
    client.call(("PUT", &end), "", &[], 201).map(|_| ())
}

/// Measurements in a round.
const TURNS: usize = 3;
const PUSHERS: usize = 32;
/// Images that each of them pushes in a turn.
const IMAGES: usize = 3;
const LAYERS: usize = 10;
const LAYER: usize = 10_000;

/// Images a second: 32 clients at once, ten small layers each, looked for and then pushed.
pub fn images(bench: &Bench, table: &mut Table) -> Result<(), String> {
    let mut one = Row::new("32 clients push 10-layer images into one repository", "images/s");
    let mut many = Row::new("32 clients push 10-layer images into 32 repositories", "images/s");
    for turn in 0..bench.options.rounds * TURNS {
        for peer in bench.those(&REGISTRIES) {
            let mut into_one = || -> Result<(), String> {
                one.sample(peer.software.name(), images_per_second(peer, |_| format!("one-{turn}"))?);
                Ok(())
            };
            // Who is first finds a disk that is still busy with what came before.
            if turn % 2 == 0 {
                into_one()?;
            }
            many.sample(peer.software.name(), images_per_second(peer, |client| format!("many-{turn}-{client}"))?);
            if turn % 2 == 1 {
                into_one()?;
            }
        }
    }
    let spread = many.median("wharf");
    let one = one.ratio("distribution", &Goal::AtLeast(3.0));
    table.add(one.against("32 repositories", spread, &Goal::AtLeast(0.9)));
    table.add(many.ratio("distribution", &Goal::AtLeast(3.0)));
    Ok(())
}

fn images_per_second(peer: &Peer, repository: impl Fn(usize) -> String + Sync) -> Result<f64, String> {
    let images: Vec<Vec<Image>> = (0..PUSHERS).map(|_| (0..IMAGES).map(|_| Image::new()).collect()).collect();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let pushers: Vec<_> = images
            .iter()
            .enumerate()
            .map(|(number, images)| {
                let repository = repository(number);
                scope.spawn(move || {
                    images.iter().enumerate().try_for_each(|(image, it)| it.push(peer, &repository, (number, image)))
                })
            })
            .collect();
        pushers.into_iter().try_for_each(|pusher| pusher.join().map_err(|_| "a client panicked".to_owned())?)
    })?;
    Ok((PUSHERS * IMAGES) as f64 / begun.elapsed().as_secs_f64())
}

struct Image {
    blobs: Vec<Content>,
    manifest: Content,
}

impl Image {
    fn new() -> Self {
        let mut blobs: Vec<_> = (0..LAYERS).map(|_| Content::random(LAYER, seed())).collect();
        let config = fixture::config(seed());
        let manifest = fixture::manifest(&config, &blobs.iter().collect::<Vec<_>>());
        blobs.push(config);
        Self { blobs, manifest }
    }

    fn push(&self, peer: &Peer, repository: &str, (client, image): (usize, usize)) -> Result<(), String> {
        let mut connection = peer.client()?;
        for blob in &self.blobs {
            connection.call(("HEAD", &format!("/v2/{repository}/blobs/{}", blob.digest)), "", &[], 404)?;
            push_blob(&mut connection, repository, blob)?;
        }
        push_manifest(&mut connection, repository, &format!("{client}-{image}"), &self.manifest)
    }
}
