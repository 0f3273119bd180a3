//! An image as text: its files, and its configuration without times.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex};

use wharf_blobstore::Store;
use wharf_builder::BuildResult;
use wharf_builder::layer::{
    Decoder, Entry, Fingerprint, Fingerprinter, Format, IndexEntry, Kind, LayerIndex, TarLimits, TarReader, Tree,
};
use wharf_spec::{Algorithm, Compression, Hasher, ManifestView, MediaKind};

/// The merged files of an image, from its blobs alone.
pub(crate) async fn tree(store: &Store, result: &BuildResult) -> Tree {
    let mut tree = Tree::new();
    for index in layers(store, result).await {
        tree.push(&index);
    }
    tree
}

/// Each layer's entries, checked against manifest and configuration.
pub(crate) async fn layers(store: &Store, result: &BuildResult) -> Vec<LayerIndex> {
    let ManifestView::Manifest(manifest) = result.image.view() else { panic!("an image is no index") };
    assert_eq!(manifest.layers.len(), result.config.rootfs.diff_ids.len());
    let stored =
        store.blobs().get(&manifest.config.digest, 1 << 20).await.unwrap().expect("the configuration is stored");
    assert_eq!(stored, result.config.to_bytes());
    let with_layer = result.config.history.iter().filter(|entry| entry.empty_layer != Some(true)).count();
    assert_eq!(with_layer, manifest.layers.len(), "each layer has its entry in the history");
    let mut indexes = Vec::new();
    for (layer, diff_id) in manifest.layers.iter().zip(&result.config.rootfs.diff_ids) {
        let MediaKind::Layer(compression) = layer.media_type.kind() else { panic!("{}", layer.media_type) };
        assert!(layer.media_type.as_str().starts_with("application/vnd.oci."), "{}", layer.media_type);
        let blob = store.blobs().find(&layer.digest).await.unwrap().expect("the layer is stored");
        assert!(blob.is_live());
        let bytes = store.blobs().get(&layer.digest, 1 << 30).await.unwrap().unwrap();
        assert_eq!(bytes.len() as u64, layer.size);
        let (found, index) = LayerIndex::from_tar(&bytes[..], compression, TarLimits::default()).unwrap();
        assert_eq!(found, *diff_id);
        learn(&bytes, compression);
        indexes.push(index);
    }
    indexes
}

/// What contents are called outside: the beginning of their SHA-256, learnt from every layer that is read.
static NAMES: LazyLock<Mutex<HashMap<Fingerprint, String>>> = LazyLock::new(Mutex::default);

fn learn(blob: &[u8], compression: Compression) {
    let decoder = Decoder::new(blob, Format::from(compression)).unwrap();
    let mut tar = TarReader::new(decoder, TarLimits::default());
    while tar.next_entry().unwrap().is_some() {
        let (mut fingerprinter, mut hasher) = (Fingerprinter::new(), Hasher::new(Algorithm::Sha256));
        loop {
            match tar.content().unwrap() {
                [] => break,
                piece => {
                    fingerprinter.update(piece);
                    hasher.update(piece);
                }
            }
        }
        NAMES.lock().unwrap().insert(fingerprinter.finish(), hasher.finish().short());
    }
}

fn sha256(content: &Fingerprint) -> String {
    NAMES.lock().unwrap()[content].clone()
}

/// `path mode owner kind`, one a line. Files with a short content show it.
pub(crate) fn files(tree: &Tree) -> Vec<String> {
    let nodes = tree.nodes().iter().filter(|node| !node.entry().path.is_root());
    nodes.map(|node| line(node.index_entry())).collect()
}

pub(crate) fn line(IndexEntry { entry, content }: &IndexEntry) -> String {
    let Entry { path, kind, mode, uid, gid, .. } = entry;
    let kind = match kind {
        Kind::File { size } => format!("file {size} {}", content.map(|content| sha256(&content)).unwrap_or_default()),
        Kind::Dir => "dir".to_owned(),
        Kind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(target)),
        Kind::Hardlink { target } => format!("== {target}"),
        Kind::Whiteout => "deleted".to_owned(),
        Kind::Opaque => "emptied".to_owned(),
        other => format!("{other:?}"),
    };
    format!("{path} {mode:04o} {uid}:{gid} {kind}")
}

/// Files, configuration and history.
pub(crate) async fn whole(store: &Store, result: &BuildResult) -> String {
    let mut text = String::new();
    let tree = tree(store, result).await;
    // What the shell's image holds differs between machines.
    let is_shell = result.config.history.first().is_some_and(|entry| entry.created_by.as_deref() == Some("a shell"));
    let nodes =
        tree.nodes().iter().filter(|node| !node.entry().path.is_root() && node.layer() >= usize::from(is_shell));
    for node in nodes {
        writeln!(text, "{}", line(node.index_entry())).unwrap();
    }
    writeln!(text, "\n{}", serde_json::to_string_pretty(&result.config.config).unwrap()).unwrap();
    if let Some(author) = &result.config.author {
        writeln!(text, "author {author}").unwrap();
    }
    writeln!(text, "{}/{}\n", result.config.os, result.config.architecture).unwrap();
    for entry in &result.config.history {
        let layer = if entry.empty_layer == Some(true) { ' ' } else { '*' };
        writeln!(text, "{layer} {}", entry.created_by.as_deref().unwrap_or_default()).unwrap();
    }
    text
}
