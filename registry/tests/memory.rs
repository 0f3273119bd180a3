//! Memory is bounded by connections, not by what they transfer. A file of its own, because it looks at the process.

mod wire;

use tokio::io::AsyncReadExt as _;
use wharf_spec::{Algorithm, Hasher};
use wire::{Server, Setup, bounded, noise};

const PIECE: usize = 1 << 20;
const PIECES: usize = 192;

/// Most bytes this process had in memory at once, so far.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_large_blob_passes_through_little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let store = wharf_blobstore::embedded::open(directory.path()).unwrap();
    let server = Server::start(Setup { store: Some(store), ..Setup::default() }).await;
    let mut client = server.connect().await;
    let piece = noise("piece", PIECE);
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..PIECES).for_each(|_| hasher.update(&piece));
    let digest = hasher.finish();

    let before = peak();
    let length = PIECE * PIECES;
    let post = format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: registry.test");
    client.send(format!("{post}\r\nContent-Length: {length}\r\n\r\n")).await;
    for _ in 0..PIECES {
        client.send(&piece).await;
    }
    assert_eq!(client.head().await.status, 201);
    client.request(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
    assert_eq!(client.head().await.length(), length);
    let mut taken = vec![0; PIECE];
    for _ in 0..PIECES {
        bounded(client.stream.read_exact(&mut taken)).await.unwrap();
        assert!(taken == piece);
    }
    let grown = peak() - before;
    assert!(grown < 32 << 20, "{} MiB", grown >> 20);
}
