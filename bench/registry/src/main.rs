//! Registries side by side: one machine, one run, loopback. Each kind of work is done in rounds, in each round by every
//! registry in turn, so that whatever else the machine does hits all alike; what counts is ratios of medians.
//!
//! `bench/registry/run` installs what this needs and starts it.

mod fixture;
mod http;
mod latency;
mod memory;
mod peers;
mod process;
mod processors;
mod pushes;
mod reads;
mod start;
mod table;
mod wrk;

use std::path::PathBuf;

use fixture::Fixture;
use peers::{Peer, Software};
use table::Table;

/// What the command line says.
pub struct Options {
    /// Where everything is written; removed at the end by whoever made it.
    work: PathBuf,
    /// How often each kind of work is done.
    rounds: usize,
    /// How long `wrk` runs, in seconds.
    seconds: usize,
    /// Parts to run; all of them when empty.
    only: Vec<String>,
    software: Vec<(Software, PathBuf)>,
}

const USAGE: &str = "registry-bench --work DIR --wharf FILE [--distribution FILE] [--zot FILE] [--nginx FILE] \
                     [--rounds N] [--seconds N] [PART...]\nparts: reads, bulk, pushes, images, memory, latency, start";

fn options() -> Result<Options, String> {
    let mut options = Options { work: PathBuf::new(), rounds: 3, seconds: 2, only: Vec::new(), software: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--work" => options.work = value()?.into(),
            "--rounds" => options.rounds = value()?.parse().map_err(|_| USAGE)?,
            "--seconds" => options.seconds = value()?.parse().map_err(|_| USAGE)?,
            "--wharf" => options.software.push((Software::Wharf, value()?.into())),
            "--distribution" => options.software.push((Software::Distribution, value()?.into())),
            "--zot" => options.software.push((Software::Zot, value()?.into())),
            "--nginx" => options.software.push((Software::Nginx, value()?.into())),
            part if !part.starts_with('-') => options.only.push(part.to_owned()),
            _ => return Err(USAGE.to_owned()),
        }
    }
    if options.work.as_os_str().is_empty() || !options.software.iter().any(|(it, _)| *it == Software::Wharf) {
        return Err(USAGE.to_owned());
    }
    Ok(options)
}

/// What every part is given.
pub struct Bench {
    options: Options,
    fixture: Fixture,
    peers: Vec<Peer>,
}

impl Bench {
    fn peer(&self, software: Software) -> Option<&Peer> {
        self.peers.iter().find(|peer| peer.software == software)
    }

    /// Those of these that are here.
    fn those(&self, wanted: &[Software]) -> Vec<&Peer> {
        wanted.iter().filter_map(|software| self.peer(*software)).collect()
    }
}

fn main() {
    if let Err(problem) = run() {
        eprintln!("{problem}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), String> {
    let options = options()?;
    processors::be_clients()?;
    let fixture = Fixture::new();
    let mut peers = Vec::new();
    for (software, binary) in &options.software {
        let peer = Peer::start(*software, binary, &options.work)?;
        eprintln!("{} listens on {}", software.name(), peer.address);
        fixture.push_to(&peer)?;
        peers.push(peer);
    }
    let bench = Bench { options, fixture, peers };
    let mut table = Table::default();
    type Part = fn(&Bench, &mut Table) -> Result<(), String>;
    let parts: [(&str, Part); 7] = [
        ("reads", reads::small),
        ("bulk", reads::bulk),
        ("pushes", pushes::bulk),
        ("images", pushes::images),
        ("memory", memory::memory),
        ("latency", latency::latency),
        ("start", start::start),
    ];
    for (name, part) in parts {
        if bench.options.only.is_empty() || bench.options.only.iter().any(|only| only == name) {
            eprintln!("== {name}");
            part(&bench, &mut table)?;
        }
    }
    print!("{table}");
    Ok(())
}
