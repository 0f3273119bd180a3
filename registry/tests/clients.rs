//! Clients that other people wrote, and TLS.

mod wire;

use std::sync::Arc;

use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use wharf_blobstore::Store;
use wharf_registry::http::{Limits, Registry, Timeouts, acceptor, serve};
use wharf_registry::repo::Repositories;
use wire::{Server, Setup, bounded, noise};

fn client() -> Client {
    // Only the first one installs it; that it is there is all that matters.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new(ClientConfig { protocol: ClientProtocol::Http, ..ClientConfig::default() })
}

#[tokio::test]
async fn oci_client_pushes_and_pulls() {
    let users = vec![("ann".to_owned(), "secret".to_owned())];
    let server = Server::start(Setup { users, ..Setup::default() }).await;
    let reference: Reference = format!("{}/team/app:v1", server.address).parse().unwrap();
    let login = RegistryAuth::Basic("ann".to_owned(), "secret".to_owned());
    let layer = ImageLayer::oci_v1_gzip(noise("layer", 6 << 20), None);
    let config = Config::oci_v1(br#"{"architecture":"amd64","os":"linux"}"#.to_vec(), None);
    let manifest = OciImageManifest::build(std::slice::from_ref(&layer), &config, None);
    let client = client();
    let pushed = bounded(client.push(&reference, std::slice::from_ref(&layer), config, &login, Some(manifest)));
    pushed.await.unwrap();

    let types = vec!["application/vnd.oci.image.layer.v1.tar+gzip"];
    let pulled = bounded(client.pull(&reference, &login, types)).await.unwrap();
    assert_eq!(pulled.layers.len(), 1);
    assert!(pulled.layers[0].data == layer.data);
    let digest = pulled.digest.unwrap();
    let by_digest: Reference = format!("{}/team/app@{digest}", server.address).parse().unwrap();
    let (_, found) = bounded(client.pull_manifest(&by_digest, &login)).await.unwrap();
    assert_eq!(found, digest);
    let tags = bounded(client.list_tags(&reference, &login, None, None)).await.unwrap();
    assert_eq!(tags.tags, ["v1"]);

    let wrong = RegistryAuth::Basic("ann".to_owned(), "wrong".to_owned());
    // Another client: the first one has remembered its login.
    let stranger = self::client();
    assert!(bounded(stranger.pull_manifest(&reference, &wrong)).await.is_err());
}

#[tokio::test]
async fn tls_is_served_with_both_versions_of_http() {
    let files = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["registry.test".to_owned()]).unwrap();
    let (chain, key) = (files.path().join("chain.pem"), files.path().join("key.pem"));
    std::fs::write(&chain, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();

    let registry = Registry::new(Repositories::new(Store::memory()), None, Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let shutdown = async move {
        let _ = stopped.await;
    };
    let tls = acceptor(&chain, &key).unwrap();
    let server = tokio::spawn(serve(listener, Some(tls), registry, Timeouts::default(), shutdown));

    // A client that speaks no TLS, and one that stops in the middle, are no trouble to the others.
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /v2/ HTTP/1.1\r\n\r\n").await.unwrap();
    let half = TcpStream::connect(address).await.unwrap();

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    for (offered, chosen) in [(vec!["h2", "http/1.1"], "h2"), (vec!["http/1.1"], "http/1.1")] {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = offered.iter().map(|name| name.as_bytes().to_vec()).collect();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let name = rustls_pki_types::ServerName::try_from("registry.test").unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = bounded(connector.connect(name, stream)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen.as_bytes()));
        if chosen == "http/1.1" {
            stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: registry.test\r\nConnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            bounded(stream.read_to_string(&mut answer)).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        }
    }
    drop(plain);
    drop(half);
    stop.send(()).unwrap();
    bounded(server).await.unwrap().unwrap();
}
