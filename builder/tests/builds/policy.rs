//! Source policies: what a build may use, and what takes its place.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use wharf_builder::{BuildRequest, Fetch, FetchError, Fetched};

use crate::fixture::{World, explain};
use crate::show;

struct Web;

#[async_trait]
impl Fetch for Web {
    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        let body = futures_util::stream::iter([Ok(Bytes::from(url.to_owned()))]).boxed();
        Ok(Fetched { last_modified: None, file_name: None, size: None, body })
    }
}

fn world() -> World {
    let mut world = World::with(&[("a", "1")]);
    for (name, file) in [("base", "first"), ("registry.example/other:2", "second")] {
        let room = tempfile::tempdir().unwrap();
        std::fs::write(room.path().join(file), "x").unwrap();
        world.bases.add(name, &[room.path()], |config| {
            config.history = vec![wharf_spec::History::default()];
        });
    }
    world.fetch = Arc::new(Web);
    world
}

fn under(world: &World, text: &str, rules: &str) -> BuildRequest {
    let mut request = world.request(text);
    request.policies.add(&format!("{{\"version\":1,\"rules\":[{rules}]}}")).unwrap();
    request
}

async fn files(world: &World, request: BuildRequest) -> Vec<String> {
    let result = world.build_request(request).await;
    let files = show::files(&show::tree(&world.store, &result).await);
    files.into_iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

async fn refused(world: &World, text: &str, rules: &str) -> String {
    explain(&world.try_build(under(world, text, rules)).await.unwrap_err(), text)
}

const OTHER: &str = r#"{"action":"CONVERT","selector":{"identifier":"docker-image://docker.io/library/base:latest"},
    "updates":{"identifier":"docker-image://registry.example/other:2"}}"#;

#[tokio::test]
async fn an_image_takes_another_s_place() {
    let world = world();
    assert_eq!(files(&world, under(&world, "FROM base\n", "")).await, ["/first"]);
    assert_eq!(files(&world, under(&world, "FROM base\n", OTHER)).await, ["/second"]);
    let copied = "FROM scratch\nCOPY --from=base / /\n";
    assert_eq!(files(&world, under(&world, copied, OTHER)).await, ["/second"]);
    let result = world.build_request(under(&world, "FROM base\n", OTHER)).await;
    assert_eq!(result.bases[0].name, "registry.example/other:2", "provenance tells what was used");
}

#[tokio::test]
async fn what_is_denied_is_said_where_it_stands() {
    let world = world();
    let deny = r#"{"action":"DENY","selector":{"identifier":"*"}},
        {"action":"ALLOW","selector":{"identifier":"docker-image://registry.example/*"}}"#;
    let message = refused(&world, "FROM scratch\nCOPY --from=base / /\n", deny).await;
    assert!(message.contains("the source policy denies docker-image://docker.io/library/base:latest"), "{message}");
    assert!(message.contains("Dockerfile:2:13"), "{message}");
    assert_eq!(files(&world, under(&world, "FROM base\n", &format!("{deny},{OTHER}"))).await, ["/second"]);
    for (text, words) in [
        ("FROM scratch\nADD https://x.example/f /\n", "denies https://x.example/f"),
        ("FROM scratch\nADD https://x.example/r.git#v1:d /\n", "denies git://x.example/r.git#v1:d"),
    ] {
        let message = refused(&world, text, deny).await;
        assert!(message.contains(words) && message.contains("Dockerfile:2:5"), "{message}");
    }
    // What the target does not need is nobody's business.
    assert_eq!(files(&world, under(&world, "FROM base AS x\nFROM scratch\nCOPY a /\n", deny)).await, ["/a"]);
}

#[tokio::test]
async fn a_url_is_mirrored_and_pinned() {
    let world = world();
    let text = "FROM scratch\nADD https://x.example/d/f /\n";
    let mirror = r#"{"action":"CONVERT","selector":{"identifier":"https://x.example/*"},
        "updates":{"identifier":"https://m.example/x/${1}"}}"#;
    let pinned = world.build_request(under(&world, text, mirror)).await;
    let directory = tempfile::tempdir().unwrap();
    pinned.write_directory(directory.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(directory.path().join("f")).unwrap(), "https://m.example/x/d/f");
    let wrong = r#"{"action":"CONVERT","selector":{"identifier":"https://x.example/d/f"},
        "updates":{"attrs":{"http.checksum":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}}}"#;
    let message = refused(&world, text, wrong).await;
    assert!(message.contains("https://x.example/d/f is not what its checksum says"), "{message}");
    let odd = r#"{"action":"CONVERT","selector":{"identifier":"https://x.example/*"},
        "updates":{"identifier":"docker-image://docker.io/library/f:1"}}"#;
    let message = refused(&world, text, odd).await;
    assert!(message.contains("which cannot take its place: it is no URL"), "{message}");
}
