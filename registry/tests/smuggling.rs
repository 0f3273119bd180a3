//! Requests that two parsers in a row could read differently (RFC 9112, section 11.2): each is refused and its connection
//! closed, or read as the standard says. What hides in a body is never answered.

mod wire;

use tokio::io::AsyncReadExt as _;
use wire::{Server, Setup, bounded};

/// What must never be taken for a request.
const HIDDEN: &str = "GET /v2/_catalog HTTP/1.1\r\nHost: smuggled\r\n\r\n";

async fn answers(server: &Server, request: &str) -> String {
    let mut client = server.connect().await;
    client.send(request).await;
    tokio::io::AsyncWriteExt::shutdown(client.stream.get_mut()).await.unwrap();
    let mut answers = Vec::new();
    let _ = bounded(client.stream.read_to_end(&mut answers)).await;
    String::from_utf8_lossy(&answers).into_owned()
}

fn statuses(answers: &str) -> Vec<&str> {
    answers.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect()
}

#[tokio::test]
async fn lengths_that_can_be_read_in_two_ways_are_refused() {
    let server = Server::start(Setup::default()).await;
    for (what, head) in [
        ("two lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        ("two lengths in one", "Content-Length: 5, 6\r\n"),
        ("a sign", "Content-Length: +5\r\n"),
        ("a negative length", "Content-Length: -1\r\n"),
        ("hexadecimal", "Content-Length: 0x5\r\n"),
        ("a blank inside", "Content-Length: 5 5\r\n"),
        ("more than fits", "Content-Length: 99999999999999999999999\r\n"),
        ("no length at all", "Content-Length:\r\n"),
        ("a coding that is not the last", "Transfer-Encoding: chunked, identity\r\n"),
        ("a coding nobody knows", "Transfer-Encoding: xchunked\r\n"),
        ("a coding twice", "Transfer-Encoding: gzip\r\n"),
        ("a blank before the colon", "Content-Length : 5\r\n"),
        ("a blank before the name", " Content-Length: 5\r\n"),
        ("a folded line", "X-Folded: a\r\n b\r\nContent-Length: 5\r\n"),
        ("a folded length", "Content-Length:\r\n 5\r\n"),
        ("a control character", "X: a\x01b\r\nContent-Length: 5\r\n"),
        ("a lone carriage return", "X: a\rContent-Length: 5\r\n"),
        ("no colon", "Content-Length 5\r\n"),
    ] {
        let request =
            format!("POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: registry.test\r\n{head}\r\n0\r\n\r\n{HIDDEN}");
        let answers = answers(&server, &request).await;
        assert_eq!(statuses(&answers), ["400"], "{what}: {answers}");
    }
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_are_refused() {
    let server = Server::start(Setup::default()).await;
    for (what, body) in [
        ("a size that is none", "x\r\nhello\r\n0\r\n\r\n"),
        ("a sign", "+5\r\nhello\r\n0\r\n\r\n"),
        ("a prefix", "0x5\r\nhello\r\n0\r\n\r\n"),
        ("more than fits", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("longer than said", "4\r\nhello\r\n0\r\n\r\n"),
        ("no size", "\r\nhello\r\n0\r\n\r\n"),
    ] {
        let head = "POST /v2/app/blobs/uploads/?digest=sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let request =
            format!("{head} HTTP/1.1\r\nHost: registry.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{HIDDEN}");
        let answers = answers(&server, &request).await;
        assert!(matches!(statuses(&answers).as_slice(), ["400"] | []), "{what}: {answers}");
        assert!(!answers.contains("repositories"), "{what}: {answers}");
    }
}

/// With both, the length is not believed (RFC 9112, section 6.3): the body ends with its last chunk, for everybody.
#[tokio::test]
async fn a_length_beside_chunks_is_not_believed() {
    let server = Server::start(Setup::default()).await;
    for length in [3, 5, 1000] {
        let head = "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: registry.test";
        let request = format!("{head}\r\nContent-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        let answers = answers(&server, &request).await;
        assert!(matches!(statuses(&answers).as_slice(), ["202" | "400"]), "{answers}");
    }
}

/// A request line and a host that a proxy in front may have read differently.
#[tokio::test]
async fn targets_that_can_be_read_in_two_ways_reach_nothing() {
    let server = Server::start(Setup::default()).await;
    for (line, expected) in [
        ("GET /v2/\nX: y HTTP/1.1", "400"),
        ("GET  /v2/ HTTP/1.1", "400"),
        ("GET /v2/ HTTP/1.1 x", "400"),
        ("GET /v2/\0 HTTP/1.1", "400"),
        ("GET v2/ HTTP/1.1", "400"),
        ("G=T /v2/ HTTP/1.1", "400"),
        ("GET //v2/ HTTP/1.1", "404"),
        ("GET /x/../v2/ HTTP/1.1", "404"),
        ("GET /v2/..;/v2/ HTTP/1.1", "404"),
        ("GET /V2/ HTTP/1.1", "404"),
        ("GET /v2/?/../livez HTTP/1.1", "200"),
    ] {
        let answers = answers(&server, &format!("{line}\r\nHost: registry.test\r\n\r\n")).await;
        assert_eq!(statuses(&answers).first(), Some(&expected), "{line}: {answers}");
    }
}

/// The body of a refused request is not read as the next request.
#[tokio::test]
async fn a_refused_body_is_not_a_request() {
    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let server = Server::start(Setup { users, ..Setup::default() }).await;
    let request = format!(
        "PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: registry.test\r\nContent-Length: {}\r\n\r\n{HIDDEN}GET /livez HTTP/1.1\r\nHost: h\r\n\r\n",
        HIDDEN.len()
    );
    let answers = answers(&server, &request).await;
    assert!(matches!(statuses(&answers).as_slice(), ["401", "200"] | ["401"]), "{answers}");
}
