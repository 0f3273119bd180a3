//! Archives that `ADD` extracts.

use std::collections::BTreeMap;
use std::fs;

use wharf_builder::layer::{
    Archive, Encoding, Entry, Format, Kind, LayerWriter, TarError, TarLimits, Tree, unpack_flat,
};

use super::{layer_of, options, path, unpack_plain, writer};

/// Two files, a link, and a replaced file whose first content lives on under another name.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind: tar::EntryType, name: &str, link: &str, content: &str| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o640);
        header.set_size(content.len() as u64);
        header.set_mtime(7);
        header.set_uid(5);
        header.set_gid(6);
        if link.is_empty() {
            tar.append_data(&mut header, name, content.as_bytes()).unwrap();
        } else {
            tar.append_link(&mut header, name, link).unwrap();
        }
    };
    add(tar::EntryType::Regular, "z/first", "", "old");
    add(tar::EntryType::Link, "a/kept", "z/first", "");
    add(tar::EntryType::Regular, "z/first", "", "new");
    add(tar::EntryType::Directory, "z", "", "");
    add(tar::EntryType::Regular, "gone", "", "gone");
    add(tar::EntryType::Symlink, "gone", "z", "");
    add(tar::EntryType::Regular, "gone/second", "", "2");
    add(tar::EntryType::Link, "b", "gone/second", "");
    tar.into_inner().unwrap()
}

#[test]
fn replaying_gives_what_unpacking_gives() {
    let tar = archive();
    let archive = Archive::scan(tar.as_slice(), Format::Plain, TarLimits::default()).unwrap();
    assert_eq!(archive.implied(), [path("a")]);
    let mut seen = Vec::new();
    let mut layer = writer();
    layer.append(Entry::implied_dir(path("a"))).unwrap();
    archive
        .replay(tar.as_slice(), |entry, content| {
            seen.push(entry.path.to_string());
            layer.append_file(entry, content).unwrap();
            Ok::<(), TarError>(())
        })
        .unwrap();
    assert_eq!(seen, ["/z", "/a/kept", "/z/first", "/gone", "/b", "/z/second"]);
    let layer = layer.finish().unwrap();
    for one in archive.index().entries() {
        assert_eq!(layer.index.get(&one.entry.path), Some(one.clone()));
    }
    let (left, right) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    unpack_plain(&layer.sink, left.path()).unwrap();
    unpack_plain(&tar, right.path()).unwrap();
    for name in ["a/kept", "z/first", "gone/second", "b"] {
        let read = |dir: &tempfile::TempDir| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read(&left), read(&right), "{name}");
    }
}

#[test]
fn compressed_archives_replay_too() {
    let tar = archive();
    let xz = {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        std::io::Write::write_all(&mut encoder, &tar).unwrap();
        encoder.finish().unwrap()
    };
    let archive = Archive::scan(xz.as_slice(), Format::Xz, TarLimits::default()).unwrap();
    let mut contents = BTreeMap::new();
    archive
        .replay(xz.as_slice(), |entry, content| {
            if matches!(entry.kind, Kind::File { .. }) {
                let mut text = String::new();
                content.read_to_string(&mut text).map_err(TarError::Read)?;
                contents.insert(entry.path.to_string(), text);
            }
            Ok::<(), TarError>(())
        })
        .unwrap();
    let expected = [("/a/kept", "old"), ("/b", "2"), ("/z/first", "new")];
    assert_eq!(contents, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
}

#[test]
fn a_flat_image_is_one_layer_again() {
    let source = tempfile::tempdir().unwrap();
    fs::create_dir(source.path().join("d")).unwrap();
    fs::write(source.path().join("d/f"), "1").unwrap();
    let writing = options(Encoding::Zstd { level: 3 }, 2);
    let layer = layer_of(source.path(), &Tree::new(), writing);
    let dest = tempfile::tempdir().unwrap();
    let stack =
        wharf_builder::layer::FlatLayer { index: &layer.index, blob: layer.sink.as_slice(), format: Format::Zstd };
    unpack_flat([stack], dest.path(), wharf_builder::layer::Ownership::Squashed, TarLimits::default()).unwrap();
    let mut again = LayerWriter::new(std::io::sink(), writing);
    let looking = wharf_builder::layer::DiffOptions::for_root();
    wharf_builder::layer::write_upper(dest.path(), &Tree::new(), &looking, &mut again).unwrap();
    assert_eq!(again.finish().unwrap().digests, layer.digests);
}
