//! Against servers on loopback that speak TLS with a certificate nobody knows, or no TLS at all. The client is used below
//! the level where loopback hosts are trusted anyway.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::answer::Context;
use super::super::client::Client;
use super::super::endpoint::Endpoint;
use super::*;
use crate::auth::Anonymous;
use crate::ignore_notices;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

/// A server with a fresh certificate for `localhost`; gives the certificate as PEM.
async fn tls_server() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(ANSWER).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, made.cert.pem())
}

async fn plain_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
            });
        }
    });
    address
}

async fn ask(tls: Tls, address: SocketAddr) -> Result<u16, Error> {
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    let url = format!("https://localhost:{}/v2/", address.port());
    let endpoint = Endpoint::origin(&"registry.example".parse().unwrap());
    let context = Context { endpoint: &endpoint, doing: "reach it" };
    let answer = client.get(url).send().await;
    answer.map(|answer| answer.status().as_u16()).map_err(|error| context.broken(&error, Duration::from_secs(1)))
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_with_the_way_out() {
    let (address, _) = tls_server().await;
    let error = ask(strict(&ClientConfig::default()).unwrap(), address).await.unwrap_err();
    assert!(matches!(error, Error::Certificate { .. }), "{error:?}");
    assert!(!error.is_transient());
    assert!(error.hint().unwrap().contains("--insecure-registry registry.example"));
    assert_eq!(ask(lax().unwrap(), address).await.unwrap(), 200);
}

#[tokio::test]
async fn an_authority_from_a_file_is_trusted() {
    let (address, pem) = tls_server().await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(pem.as_bytes()).unwrap();
    let with = |path: &std::path::Path| ClientConfig { extra_cas: vec![path.to_owned()], ..ClientConfig::default() };
    assert_eq!(ask(strict(&with(file.path())).unwrap(), address).await.unwrap(), 200);

    let empty = tempfile::NamedTempFile::new().unwrap();
    for bad in [empty.path(), std::path::Path::new("/nonexistent/ca.pem")] {
        let error = strict(&with(bad)).unwrap_err().to_string();
        assert!(error.contains(bad.to_str().unwrap()), "{error}");
    }
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_is_named() {
    let error = ask(strict(&ClientConfig::default()).unwrap(), plain_server().await).await.unwrap_err();
    assert!(matches!(error, Error::PlainHttp { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--insecure-registry registry.example"));
}

#[tokio::test]
async fn loopback_may_speak_either() {
    let (tls, _) = tls_server().await;
    let mut quick = ClientConfig::default();
    quick.retries.times = 0;
    let client = Client::new(quick, Arc::new(Anonymous), ignore_notices()).unwrap();
    assert!(!client.ping(&format!("localhost:{}", tls.port()).parse().unwrap()).await.unwrap());
    let error = client.ping(&plain_server().await.to_string().parse().unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("refused with status 400"), "reached over plain HTTP: {error}");
    assert_eq!(client.inner.schemes.lock().unwrap().len(), 2);

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    client.ping(&gone.to_string().parse().unwrap()).await.unwrap_err();
    assert_eq!(client.inner.schemes.lock().unwrap().len(), 2, "who is not there may come back and speak TLS");
}
