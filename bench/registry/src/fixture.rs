//! What lies in every registry before anything is measured.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use ring::digest::{Context, SHA256, digest};

use crate::http::{Client, with_parameter};
use crate::peers::{Peer, Software};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const TAGS: usize = 1000;
const REFERRERS: usize = 100;
/// The blob that slow clients pull. Zeros: it takes no time to make, and no registry looks.
pub const HUGE: u64 = 1 << 30;

/// Bytes and their digest.
#[derive(Clone)]
pub struct Content {
    pub bytes: Vec<u8>,
    pub digest: String,
}

impl Content {
    pub fn new(bytes: Vec<u8>) -> Self {
        let digest = named(digest(&SHA256, &bytes).as_ref());
        Self { bytes, digest }
    }

    /// Bytes that do not compress and that no other seed gives.
    pub fn random(length: usize, seed: u64) -> Self {
        Self::new(random(length, seed))
    }
}

fn named(raw: &[u8]) -> String {
    raw.iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

pub fn random(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn described(media_type: &str, content: &Content) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}}}"#, content.digest, content.bytes.len())
}

/// A manifest over a configuration and layers.
pub fn manifest(config: &Content, layers: &[&Content]) -> Content {
    let layers: Vec<_> = layers.iter().map(|layer| described(LAYER, layer)).collect();
    let config = described("application/vnd.oci.image.config.v1+json", config);
    let text =
        format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{}]}}"#, layers.join(","));
    Content::new(text.into_bytes())
}

/// A configuration that no other seed gives.
pub fn config(seed: u64) -> Content {
    let text = format!(
        r#"{{"architecture":"amd64","os":"linux","author":"{seed}","rootfs":{{"type":"layers","diff_ids":[]}}}}"#
    );
    Content::new(text.into_bytes())
}

pub struct Fixture {
    pub manifest: Content,
    pub small: Content,
    pub large: Content,
    /// Digest of [`HUGE`] zeros.
    pub huge: String,
    config: Content,
}

impl Fixture {
    pub fn new() -> Self {
        let (config, small, large) = (config(0), Content::random(2 << 10, 1), Content::random(100_000_000, 2));
        let manifest = manifest(&config, &[&small, &large]);
        let mut zeros = Context::new(&SHA256);
        let piece = vec![0; 1 << 20];
        (0..HUGE >> 20).for_each(|_| zeros.update(&piece));
        Self { huge: named(zeros.finish().as_ref()), manifest, small, large, config }
    }

    /// Puts everything into a registry, in the repository `bench`.
    pub fn push_to(&self, peer: &Peer) -> Result<(), String> {
        if let Software::Nginx = peer.software {
            return self.write_to(&peer.directory);
        }
        let mut client = Client::new(peer.address)?;
        for content in [&self.config, &self.small, &self.large] {
            push_blob(&mut client, "bench", content)?;
        }
        push_manifest(&mut client, "bench", "latest", &self.manifest)?;
        for number in 0..TAGS - 1 {
            push_manifest(&mut client, "bench", &format!("tag-{number:04}"), &self.manifest)?;
        }
        if peer.software == Software::Distribution {
            return Ok(());
        }
        let empty = Content::new(b"{}".to_vec());
        push_blob(&mut client, "bench", &empty)?;
        for number in 0..REFERRERS {
            let referrer = self.referrer(&empty, number);
            push_manifest(&mut client, "bench", &referrer.digest.clone(), &referrer)?;
        }
        Ok(())
    }

    fn referrer(&self, empty: &Content, number: usize) -> Content {
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","artifactType":"application/vnd.example.signature","config":{},"layers":[{}],"subject":{},"annotations":{{"org.example.number":"{number}"}}}}"#,
            described("application/vnd.oci.empty.v1+json", empty),
            described("application/vnd.oci.empty.v1+json", empty),
            described(MANIFEST, &self.manifest),
        );
        Content::new(text.into_bytes())
    }

    /// The same bytes as files, under the same paths.
    fn write_to(&self, directory: &Path) -> Result<(), String> {
        let cannot = |error: std::io::Error| format!("write files for nginx: {error}");
        let repository = directory.join("v2/bench");
        for below in ["manifests", "blobs"] {
            fs::create_dir_all(repository.join(below)).map_err(cannot)?;
        }
        for name in ["latest", self.manifest.digest.as_str()] {
            fs::write(repository.join("manifests").join(name), &self.manifest.bytes).map_err(cannot)?;
        }
        for content in [&self.small, &self.large] {
            fs::write(repository.join("blobs").join(&content.digest), &content.bytes).map_err(cannot)?;
        }
        Ok(())
    }
}

/// `POST`, then the whole blob with the closing `PUT`.
pub fn push_blob(client: &mut Client, repository: &str, content: &Content) -> Result<(), String> {
    let begun = client.call(("POST", &format!("/v2/{repository}/blobs/uploads/")), "", &[], 202)?;
    let end = with_parameter(&begun.location()?, &format!("digest={}", content.digest));
    let octets = "Content-Type: application/octet-stream\r\n";
    client.call(("PUT", &end), octets, &content.bytes, 201).map(|_| ())
}

pub fn push_manifest(client: &mut Client, repository: &str, reference: &str, content: &Content) -> Result<(), String> {
    let path = format!("/v2/{repository}/manifests/{reference}");
    client.call(("PUT", &path), &format!("Content-Type: {MANIFEST}\r\n"), &content.bytes, 201).map(|_| ())
}
