//! Requests to a server that may be killed before it answers.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;
use wharf_spec::Digest;

use crate::support::PATIENCE;
use crate::support::http::head;

/// Status and body; an error when the server is gone.
pub fn ask(address: SocketAddr, method: &str, path: &str, fields: &[&str], body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(head(method, path, fields, body.len()).as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let cut = || io::Error::from(io::ErrorKind::UnexpectedEof);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").ok_or_else(cut)?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(cut)?;
    let length = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.parse::<usize>().ok());
    // A body that is cut off is a server that is gone.
    if length.is_some_and(|length| method != "HEAD" && body.len() < length) { Err(cut()) } else { Ok((status, body)) }
}

/// A small image: its blobs, the first its configuration, and its manifest.
#[derive(Clone)]
pub struct Image {
    pub repository: String,
    pub blobs: Vec<Vec<u8>>,
    pub manifest: Vec<u8>,
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Image {
    pub fn new(repository: &str, blobs: Vec<Vec<u8>>) -> Self {
        let descriptor = |blob: &Vec<u8>| {
            json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": Digest::sha256(blob).to_string(),
                "size": blob.len(),
            })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(&blobs[0]),
            "layers": blobs[1..].iter().map(descriptor).collect::<Vec<_>>(),
        });
        let manifest = serde_json::to_vec(&manifest).expect("plain data");
        Self { repository: repository.to_owned(), blobs, manifest }
    }

    fn path(&self, rest: &str) -> String {
        format!("/v2/{}/{rest}", self.repository)
    }

    fn manifest_path(&self) -> String {
        self.path(&format!("manifests/{}", self.digest()))
    }

    pub fn digest(&self) -> String {
        Digest::sha256(&self.manifest).to_string()
    }

    /// Pushes it under its digest.
    pub fn push(&self, address: SocketAddr) -> io::Result<u16> {
        self.push_as(address, &self.digest())
    }

    /// Pushes it as clients do: what is there is not sent. The status of the manifest, or of what did not work.
    pub fn push_as(&self, address: SocketAddr, reference: &str) -> io::Result<u16> {
        for blob in &self.blobs {
            let digest = Digest::sha256(blob);
            if ask(address, "HEAD", &self.path(&format!("blobs/{digest}")), &[], b"")?.0 == 200 {
                continue;
            }
            let (status, _) = ask(address, "POST", &self.path(&format!("blobs/uploads/?digest={digest}")), &[], blob)?;
            if status != 201 {
                return Ok(status);
            }
        }
        let kind = format!("Content-Type: {MANIFEST}");
        Ok(ask(address, "PUT", &self.path(&format!("manifests/{reference}")), &[&kind], &self.manifest)?.0)
    }

    pub fn delete(&self, address: SocketAddr) -> io::Result<u16> {
        Ok(ask(address, "DELETE", &self.manifest_path(), &[], b"")?.0)
    }

    /// Whether it is there. When it is, all of it is, byte for byte.
    pub fn pull(&self, address: SocketAddr) -> io::Result<bool> {
        let (status, manifest) = ask(address, "GET", &self.manifest_path(), &[&format!("Accept: {MANIFEST}")], b"")?;
        if status == 404 {
            return Ok(false);
        }
        assert_eq!(status, 200);
        assert!(manifest == self.manifest, "another manifest");
        for blob in &self.blobs {
            let path = self.path(&format!("blobs/{}", Digest::sha256(blob)));
            let (status, bytes) = ask(address, "GET", &path, &[], b"")?;
            assert_eq!(status, 200, "a blob of {} is missing: {}", self.repository, Digest::sha256(blob));
            assert!(bytes == *blob, "other bytes");
        }
        Ok(true)
    }
}
