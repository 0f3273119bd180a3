//! Clients may be sent to the store itself for blobs: only when that is asked for, and only for what it can answer.

mod wire;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use wharf_blobstore::{ByteStream, Checkpoint, ObjectKey, ObjectWriter, Objects, Result, Store, Unfinished};
use wharf_registry::http::Limits;
use wharf_spec::Digest;
use wire::{Server, Setup};

/// Objects with addresses, as a bucket has them.
#[derive(Debug)]
struct Addressed(Arc<dyn Objects>);

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Objects for Addressed {
    async fn create(&self, key: ObjectKey) -> Result<Box<dyn ObjectWriter>> {
        self.0.create(key).await
    }

    async fn resume(&self, key: ObjectKey, checkpoint: &Checkpoint) -> Result<Box<dyn ObjectWriter>> {
        self.0.resume(key, checkpoint).await
    }

    async fn abandon(&self, key: ObjectKey) -> Result<()> {
        self.0.abandon(key).await
    }

    async fn unfinished(&self, before: SystemTime) -> Result<Vec<Unfinished>> {
        self.0.unfinished(before).await
    }

    async fn size(&self, key: ObjectKey) -> Result<Option<u64>> {
        self.0.size(key).await
    }

    async fn read(&self, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
        self.0.read(key, range).await
    }

    async fn delete(&self, key: ObjectKey) -> Result<()> {
        self.0.delete(key).await
    }

    async fn list(&self, after: Option<ObjectKey>, limit: usize) -> Result<Vec<ObjectKey>> {
        self.0.list(after, limit).await
    }

    fn local_path(&self, key: ObjectKey) -> Option<PathBuf> {
        self.0.local_path(key)
    }

    async fn url(&self, _key: ObjectKey, valid: Duration) -> Result<Option<String>> {
        Ok(Some(format!("https://bucket.example/object?seconds={}", valid.as_secs())))
    }
}

async fn server(redirect: Option<Duration>, addressed: bool) -> (Server, Digest) {
    let mut store = Store::memory();
    if addressed {
        store.objects = Arc::new(Addressed(Arc::clone(&store.objects)));
    }
    let limits = Limits { redirect, ..Limits::default() };
    let server = Server::start(Setup { store: Some(store), limits, ..Setup::default() }).await;
    let digest = Digest::sha256(b"0123456789");
    let post = format!("POST /v2/app/blobs/uploads/?digest={digest} HTTP/1.1");
    assert_eq!(server.connect().await.call(&post, b"0123456789").await.0.status, 201);
    (server, digest)
}

#[tokio::test]
async fn a_blob_or_one_range_of_it_is_elsewhere() {
    let (server, digest) = server(Some(Duration::from_mins(5)), true).await;
    for range in ["", "\r\nRange: bytes=2-5"] {
        let (head, body) =
            server.connect().await.call(&format!("GET /v2/app/blobs/{digest} HTTP/1.1{range}"), b"").await;
        assert_eq!((head.status, body.len()), (307, 0), "{range}");
        assert_eq!(head.get("location"), Some("https://bucket.example/object?seconds=300"));
        assert_eq!(head.get("docker-content-digest"), Some(digest.to_string().as_str()));
        assert_eq!(head.get("cache-control"), Some("no-store"), "the address is good for a while only");
    }
}

#[tokio::test]
async fn what_a_bucket_cannot_answer_is_answered_here() {
    let (server, digest) = server(Some(Duration::from_mins(5)), true).await;
    let get = format!("GET /v2/app/blobs/{digest} HTTP/1.1\r\nRange: bytes");
    for (request, status) in [
        (format!("{get}=0-1,4-5"), 206),
        (format!("{get}=10-"), 416),
        (format!("GET /v2/app/blobs/{} HTTP/1.1", Digest::sha256(b"")), 404),
    ] {
        assert_eq!(server.connect().await.call(&request, b"").await.0.status, status, "{request}");
    }
    let mut client = server.connect().await;
    client.request(&format!("HEAD /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
    assert_eq!(client.head().await.status, 200);
}

#[tokio::test]
async fn nobody_is_sent_anywhere_unasked_or_where_nothing_is() {
    for (redirect, addressed) in [(None, true), (Some(Duration::from_mins(5)), false)] {
        let (server, digest) = server(redirect, addressed).await;
        let (head, body) = server.connect().await.call(&format!("GET /v2/app/blobs/{digest} HTTP/1.1"), b"").await;
        assert_eq!((head.status, &body[..]), (200, &b"0123456789"[..]));
    }
}
