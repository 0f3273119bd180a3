//! Rounds of pushing, deleting, rolling back and collecting by several clients at once, each ended by kill -9 at a random
//! moment, after which everything is started again.
//! `testdata/faults/killed.sh` runs more of them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::Server;
use crate::support::{Desk, Ended};
use crate::wire::{Image, ask};

/// Rounds, unless the script asks for more, and how long they may take together.
const ROUNDS: u64 = 12;
const AT_MOST: Duration = Duration::from_secs(15);
const CLIENTS: u64 = 4;
const IMAGES: u64 = 6;

/// What a client was told about an image.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Told {
    Nothing,
    Pushed,
    Deleted,
}

/// A client's images and its tag: nobody else pushes these manifests or moves that tag, but others push the same layers.
struct Client {
    images: Vec<(Image, Told)>,
    tag: String,
    /// The image that the tag was acknowledged to be; nothing where nobody can know.
    tagged: Option<usize>,
    /// Rollbacks that were acknowledged.
    rollbacks: u64,
    dice: Dice,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) % bound
    }
}

impl Client {
    fn new(number: u64) -> Self {
        let image = |image: u64| {
            let repository = format!("team/app{}", number % 2);
            let own = format!("client {number}, image {image} ").repeat(500).into_bytes();
            // A base layer in common with other clients.
            let base = format!("base {} ", image % 3).repeat(2000).into_bytes();
            (Image::new(&repository, vec![format!("{{\"image\":{image}}}").into_bytes(), base, own]), Told::Nothing)
        };
        let (tag, dice) = (format!("client{number}"), Dice(number * 7919 + 1));
        Self { images: (0..IMAGES).map(image).collect(), tag, tagged: None, rollbacks: 0, dice }
    }

    /// Works until the server is gone.
    fn work(&mut self, address: SocketAddr, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let choice = usize::try_from(self.dice.below(IMAGES)).expect("small");
            let went = match self.dice.below(6) {
                0..3 => self.push(address, choice),
                3 | 4 => self.delete(address, choice),
                _ => self.rollback(address),
            };
            // From here on nobody can know.
            if went.is_err() {
                return;
            }
        }
    }

    fn push(&mut self, address: SocketAddr, choice: usize) -> io::Result<()> {
        let (image, told) = &mut self.images[choice];
        let before = (std::mem::replace(told, Told::Nothing), self.tagged.take());
        match image.push_as(address, &self.tag)? {
            201 => (*told, self.tagged) = (Told::Pushed, Some(choice)),
            // A blob went while it was pushed: nothing was done.
            404 => (*told, self.tagged) = before,
            // Others changed the same, perhaps after the tag had been moved.
            429 => {}
            status => panic!("push: {status}"),
        }
        Ok(())
    }

    fn delete(&mut self, address: SocketAddr, choice: usize) -> io::Result<()> {
        let (image, told) = &mut self.images[choice];
        let before = (std::mem::replace(told, Told::Nothing), self.tagged.take());
        match image.delete(address)? {
            202 => (*told, self.tagged) = (Told::Deleted, before.1.filter(|tagged| *tagged != choice)),
            404 => (*told, self.tagged) = before,
            429 => {}
            status => panic!("delete: {status}"),
        }
        Ok(())
    }

    fn rollback(&mut self, address: SocketAddr) -> io::Result<()> {
        self.tagged = None;
        let path = format!("/api/v1/repositories/{}/tags/{}/rollback", self.images[0].0.repository, self.tag);
        match ask(address, "POST", &path, &[], b"")? {
            (200, body) => {
                let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
                let digest = answer["current"]["digest"].as_str().expect("a digest");
                self.tagged = self.images.iter().position(|(image, _)| image.digest() == digest);
                assert!(self.tagged.is_some(), "back to {digest}, which nobody pushed");
                self.rollbacks += 1;
            }
            (404 | 409 | 429, _) => {}
            (status, _) => panic!("rollback: {status}"),
        }
        Ok(())
    }

    /// What was acknowledged is so, and what is there is whole.
    fn verify(&mut self, address: SocketAddr) {
        for (image, told) in &mut self.images {
            let there = image.pull(address).expect("the server is not killed now");
            match told {
                Told::Pushed => assert!(there, "an acknowledged push is lost"),
                Told::Deleted => assert!(!there, "an acknowledged delete is undone"),
                Told::Nothing => {}
            }
        }
        let path = format!("/v2/{}/manifests/{}", self.images[0].0.repository, self.tag);
        let (status, body) = ask(address, "GET", &path, &[], b"").expect("the server is not killed now");
        match (status, self.tagged) {
            (200, Some(tagged)) => assert!(body == self.images[tagged].0.manifest, "the tag is another image"),
            (200, None) => assert!(self.images.iter().any(|(image, _)| image.manifest == body), "nobody's image"),
            (404, None) => {}
            (status, tagged) => panic!("the tag was acknowledged to be {tagged:?}, and is answered {status}"),
        }
    }
}

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    #[expect(clippy::disallowed_methods, reason = "how often, for the script; the program's environment is another")]
    let asked = std::env::var("WHARF_FAULT_ROUNDS").ok().map(|rounds| rounds.parse().expect("a number of rounds"));
    let begun = Instant::now();
    let desk = Desk::new();
    desk.write("config.toml", "[serve]\ngc-interval = 1\ngc-grace = 2\n");
    let mut clients: Vec<Client> = (1..=CLIENTS).map(Client::new).collect();
    let mut dice = Dice(4711);
    let mut done = 0;
    while done < asked.unwrap_or(ROUNDS) && (asked.is_some() || begun.elapsed() < AT_MOST) {
        round(&desk, &mut clients, &mut dice);
        done += 1;
        if asked.is_some() {
            println!("round {done} passed");
        }
    }
    assert!(done >= 2, "{done} rounds in {:?}", begun.elapsed());
    assert!(clients.iter().any(|client| client.rollbacks > 0), "nobody ever rolled back");
    // In the end nobody needs anything, and nothing stays.
    let server = Server::start(&desk);
    for (image, _) in clients.iter().flat_map(|client| &client.images) {
        let status = image.delete(server.address).expect("answered");
        assert!(status == 202 || status == 404, "{status}");
    }
    drop(server);
    desk.good(&["gc", "--grace", "0"]);
    assert_eq!(desk.good(&["gc", "--grace", "0"]), "freed 0 B (0 blobs)\n");
    let objects = std::fs::read_dir(desk.path("store/objects")).expect("a store").flatten();
    let left = objects.flat_map(|shard| std::fs::read_dir(shard.path()).expect("a directory")).count();
    assert_eq!(left, 0, "files that nobody needs");
    desk.good(&["fsck"]);
}

fn round(desk: &Desk, clients: &mut [Client], dice: &mut Dice) {
    let checked = desk.run(&["fsck"]);
    assert_eq!(checked.code, Some(0), "{checked}");
    let server = Server::start(desk);
    let (address, stop) = (server.address, AtomicBool::new(false));
    thread::scope(|scope| {
        for client in clients.iter_mut() {
            scope.spawn(|| client.verify(address));
        }
    });
    thread::scope(|scope| {
        for client in clients.iter_mut() {
            scope.spawn(|| client.work(address, &stop));
        }
        let collector = Ended(desk.command(&["--quiet", "gc", "--grace", "2s"]).spawn().expect("the binary starts"));
        let moment = Duration::from_millis(30 + dice.below(400));
        #[expect(clippy::disallowed_methods, reason = "the random moment of the kill is what this is about")]
        thread::sleep(moment);
        // Both at once, in the middle of whatever they do.
        drop(collector);
        server.kill();
        stop.store(true, Ordering::Relaxed);
    });
}
