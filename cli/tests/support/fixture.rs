//! Images made here: OCI layouts with a layer or two.

use serde_json::{Value, json};
use wharf_spec::Digest;

use super::Desk;

/// An image in a layout.
pub struct Image {
    /// Its manifest's digest.
    pub digest: String,
    /// Its manifest's exact bytes.
    pub manifest: Vec<u8>,
    /// The digest of its configuration.
    pub config: String,
    /// The digests of its layers.
    pub layers: Vec<String>,
}

/// A layer with one file.
pub fn layer(name: &str, content: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(0);
    archive.append_data(&mut header, name, content).expect("a tar in memory");
    archive.into_inner().expect("a tar in memory")
}

/// A layout at `place` with one image of these layers, tagged `1`.
pub fn layout(desk: &Desk, place: &str, layers: &[Vec<u8>]) -> Image {
    let (image, descriptor) = image(desk, place, layers, "amd64");
    index(desk, place, &descriptor);
    image
}

/// A layout at `place` with an index, tagged `1`, of an image for amd64 and one for arm64. Digest of the index, and both.
pub fn multi_platform(desk: &Desk, place: &str) -> (String, [Image; 2]) {
    let (amd64, first) = image(desk, place, &[layer("arch", b"amd64\n")], "amd64");
    let (arm64, second) = image(desk, place, &[layer("arch", b"arm64\n")], "arm64");
    let bytes = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [first, second],
    }));
    let digest = blob(desk, place, &bytes);
    index(desk, place, &descriptor("application/vnd.oci.image.index.v1+json", &digest, bytes.len()));
    (digest, [amd64, arm64])
}

fn image(desk: &Desk, place: &str, layers: &[Vec<u8>], architecture: &str) -> (Image, Value) {
    let digests: Vec<String> = layers.iter().map(|layer| blob(desk, place, layer)).collect();
    let config = text(&json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": ["/hello"], "Labels": { "of": "a test" } },
        "rootfs": { "type": "layers", "diff_ids": digests },
    }));
    let config_digest = blob(desk, place, &config);
    let layer_type = "application/vnd.oci.image.layer.v1.tar";
    let listed = layers.iter().zip(&digests).map(|(layer, digest)| descriptor(layer_type, digest, layer.len()));
    let manifest = text(&json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &config_digest, config.len()),
        "layers": listed.collect::<Vec<_>>(),
    }));
    let digest = blob(desk, place, &manifest);
    let mut descriptor = descriptor("application/vnd.oci.image.manifest.v1+json", &digest, manifest.len());
    descriptor["platform"] = json!({ "os": "linux", "architecture": architecture });
    (Image { digest, manifest, config: config_digest, layers: digests }, descriptor)
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> Value {
    json!({ "mediaType": media_type, "digest": digest, "size": size })
}

fn index(desk: &Desk, place: &str, root: &Value) {
    let mut root = root.clone();
    root["annotations"] = json!({ "org.opencontainers.image.ref.name": "1" });
    desk.write(&format!("{place}/oci-layout"), text(&json!({ "imageLayoutVersion": "1.0.0" })));
    desk.write(&format!("{place}/index.json"), text(&json!({ "schemaVersion": 2, "manifests": [root] })));
}

fn blob(desk: &Desk, place: &str, bytes: &[u8]) -> String {
    let digest = Digest::sha256(bytes).to_string();
    desk.write(&format!("{place}/blobs/{}", digest.replace(':', "/")), bytes);
    digest
}

fn text(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}
