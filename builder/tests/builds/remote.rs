//! `ADD` of URLs, with a server that is not there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use wharf_builder::{Fetch, FetchError, Fetched};
use wharf_spec::Digest;

use crate::fixture::{World, gzip, outcomes, tar_of};
use crate::show;

#[derive(Default)]
struct Web {
    files: HashMap<&'static str, Vec<u8>>,
    /// Whether the server does not say how old a file is.
    undated: bool,
    asked: AtomicUsize,
}

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let bytes = self.files.get(url).cloned().ok_or(FetchError::Status { status: 404 })?;
        let pieces: Vec<_> = bytes.chunks(3).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        Ok(Fetched {
            last_modified: (!self.undated).then_some(UNIX_EPOCH + Duration::from_secs(86_400)),
            file_name: None,
            size: Some(bytes.len() as u64),
            body: futures_util::stream::iter(pieces).boxed(),
        })
    }
}

fn world(files: &[(&'static str, Vec<u8>)]) -> (World, Arc<Web>) {
    let web = Arc::new(Web { files: files.iter().cloned().collect(), ..Web::default() });
    let mut world = World::new();
    world.fetch = web.clone();
    (world, web)
}

#[tokio::test]
async fn a_file_keeps_its_name_and_time_and_is_private() {
    let (world, _) = world(&[("https://x.example/d/tool.sh?v=1", b"#!/bin/sh".to_vec())]);
    let text = "FROM scratch\nARG V=1\nADD https://x.example/d/tool.sh?v=$V /bin/\nADD --chmod=755 https://x.example/d/tool.sh?v=1 /x";
    let result = world.build(text).await;
    let tree = show::tree(&world.store, &result).await;
    assert_eq!(
        show::files(&tree),
        ["/bin 0755 0:0 dir", "/bin/tool.sh 0600 0:0 file 9 3af71adb278a", "/x 0755 0:0 file 9 3af71adb278a"]
    );
    assert_eq!(tree.nodes().last().unwrap().entry().mtime.secs, 86_400);
}

#[tokio::test]
async fn archives_from_the_network_are_kept_unless_asked() {
    let archive = gzip(&tar_of(&[("f", "text")]));
    let (world, _) = world(&[("https://x.example/a.tgz", archive)]);
    let text = "FROM scratch\nADD https://x.example/a.tgz /kept/\nADD --unpack https://x.example/a.tgz /open/";
    let result = world.build(text).await;
    let files = show::files(&show::tree(&world.store, &result).await);
    assert_eq!(files.iter().filter(|line| line.starts_with("/kept/a.tgz 0600")).count(), 1, "{files:?}");
    assert!(files.contains(&"/open/f 0640 7:8 file 4 982d9e3eb996".to_owned()), "{files:?}");
}

#[tokio::test]
async fn a_checksum_is_held_against_the_bytes_and_saves_asking() {
    let (world, web) = world(&[("https://x.example/f", b"content".to_vec())]);
    let text = format!("FROM scratch\nADD --checksum={} https://x.example/f /", Digest::sha256(b"content"));
    world.build(&text).await;
    let again = world.build(&text).await;
    assert_eq!(outcomes(&again).len(), 1);
    assert_eq!(web.asked.load(Ordering::Relaxed), 1, "what it hashes to was known");
    let wrong = text.replace(&Digest::sha256(b"content").hex(), &Digest::sha256(b"other").hex());
    let message = world.failure(&wrong).await;
    assert!(message.contains("is not what its checksum says"), "{message}");
}

#[tokio::test]
async fn what_cannot_be_had_is_explained() {
    let (world, _) = world(&[]);
    let message = world.failure("FROM scratch\nADD https://x.example/gone /").await;
    assert!(message.contains("the server answered 404"), "{message}");
}

#[tokio::test]
async fn an_image_can_be_as_old_as_a_source() {
    let archive = gzip(&tar_of(&[("f", "text")]));
    let text = "FROM scratch AS source\nARG NAME=a\nADD https://x.example/$NAME.tgz /\n\
                FROM scratch\nARG SOURCE_DATE_EPOCH\nADD --unpack https://x.example/a.tgz /\nLABEL t=$SOURCE_DATE_EPOCH\n";
    for (undated, files, expected) in [
        (false, vec![("https://x.example/a.tgz", archive.clone())], Some(86_400)),
        (true, vec![("https://x.example/a.tgz", archive.clone())], Some(5)),
        (true, vec![("https://x.example/a.tgz", archive.clone()), ("https://x.example/b.tgz", b"text".to_vec())], None),
    ] {
        let mut world = World::new();
        let text = if files.len() > 1 { text.replace("NAME=a", "NAME=b") } else { text.to_owned() };
        world.fetch = Arc::new(Web { files: files.into_iter().collect(), undated, ..Web::default() });
        let mut request = world.request(&text);
        request.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), "Source".to_owned());
        let result = world.build_request(request).await;
        assert_eq!(result.source_date_epoch, expected);
        let label = expected.map(|seconds| seconds.to_string()).unwrap_or_default();
        assert_eq!(result.config.config.labels["t"], label);
        assert!(result.warnings.is_empty(), "{:?}", result.warnings);
        let created = jiff_text(expected);
        assert!(created.is_none() || result.config.created == created, "{:?} {created:?}", result.config.created);
    }
}

/// A time as images write it.
fn jiff_text(seconds: Option<i64>) -> Option<String> {
    seconds.map(|seconds| jiff::Timestamp::from_second(seconds).unwrap().to_string())
}
