//! A full disk refuses with a clear error, loses nothing, and works again once something was deleted and collected.

use rustix::mount::{MountFlags, UnmountFlags};

use crate::support::Desk;
use crate::support::server::Server;
use crate::wire::{Image, ask};

/// A small file system at the desk's store.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount(desk: &Desk) -> Option<Self> {
        let path = desk.path("store");
        std::fs::create_dir_all(&path).expect("a directory");
        match rustix::mount::mount("none", &path, "tmpfs", MountFlags::empty(), c"size=24m") {
            Ok(()) => Some(Self(path)),
            Err(error) => {
                eprintln!("skipped: a small disk cannot be mounted ({error})");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, UnmountFlags::DETACH).expect("it is ours");
    }
}

#[test]
fn a_full_disk_loses_nothing_and_works_again() {
    let desk = Desk::new();
    let Some(_disk) = SmallDisk::mount(&desk) else { return };
    let image = |number: u8| Image::new("team/app", vec![b"{}".to_vec(), vec![number; 2 << 20]]);
    let server = Server::start(&desk);
    let mut stored = 0;
    let status = loop {
        match image(stored).push(server.address).expect("answered") {
            201 => stored += 1,
            status => break status,
        }
    };
    assert_eq!(status, 507, "after {stored} images");
    assert!(stored > 5, "{stored}");
    let large = vec![99; 3 << 20];
    let path = format!("/v2/team/app/blobs/uploads/?digest={}", wharf_spec::Digest::sha256(&large));
    let (_, body) = ask(server.address, "POST", &path, &[], &large).expect("answered");
    assert!(String::from_utf8_lossy(&body).contains("disk is full"), "{}", String::from_utf8_lossy(&body));
    for number in 0..stored {
        assert!(image(number).pull(server.address).expect("answered"), "image {number}");
    }
    // Deleting and collecting work on a full disk.
    for number in 0..3 {
        assert_eq!(image(number).delete(server.address).expect("answered"), 202);
    }
    let freed = desk.good(&["gc", "--grace", "0"]);
    assert!(freed.starts_with("freed 6.3 MB (3 blobs"), "{freed}");
    assert_eq!(image(stored).push(server.address).expect("answered"), 201);
    for number in 3..=stored {
        assert!(image(number).pull(server.address).expect("answered"), "image {number}");
    }
    drop(server);
    desk.good(&["fsck"]);
}
