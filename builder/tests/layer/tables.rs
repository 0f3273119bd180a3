//! Layers with a table of contents: everything the table says is true, and who does not know it reads the layer as ever.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use wharf_builder::layer::{Decoder, Fingerprint};
use wharf_builder::layer::{
    Encoding, Entry, Format, Kind, KnownFrames, LayerIndex, LayerWriter, TarLimits, WrittenLayer,
};
use wharf_spec::Digest;

use super::{dir, file, hardlink, options, path, symlink};

const BIG: usize = 9 << 20;

fn contents(edited: bool) -> Vec<(Entry, Vec<u8>)> {
    let noise = |n: u32| n.wrapping_mul(n >> 7).to_le_bytes()[1] & 0x3f;
    let mut attributed = file("d/capable", 700);
    attributed.mode = 0o4755;
    attributed.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 255]);
    let mut all = vec![
        (dir("d"), Vec::new()),
        (file("d/big", BIG), (0..u32::try_from(BIG).unwrap()).map(noise).collect()),
        (attributed, vec![7; 700]),
        (file("d/empty", 0), Vec::new()),
        (hardlink("d/other", "d/capable"), Vec::new()),
        (Entry::whiteout(path("d/gone")), Vec::new()),
        (symlink("link", "/d/big"), Vec::new()),
        (Entry::new(path("null"), Kind::Char { major: 1, minor: 3 }, 0o666), Vec::new()),
    ];
    for n in 0..60_u32 {
        let size = 10_000 + usize::try_from(n).unwrap() * 997;
        let mut bytes: Vec<u8> = (0..u32::try_from(size).unwrap()).map(|at| noise(at + n * 1000)).collect();
        if edited && n == 30 {
            bytes[500] ^= 0x80;
        }
        all.push((file(format!("s{n:02}"), size), bytes));
    }
    all
}

fn write(
    files: &[(Entry, Vec<u8>)],
    encoding: Encoding,
    threads: usize,
    known: Option<Arc<KnownFrames>>,
) -> WrittenLayer<Vec<u8>> {
    let mut writer = LayerWriter::new(Vec::new(), options(encoding, threads));
    if let Some(known) = known {
        writer = writer.reusing(known);
    }
    for (n, (entry, bytes)) in files.iter().enumerate() {
        if n % 2 == 0 {
            writer.append_file(entry.clone(), bytes.as_slice()).unwrap();
        } else {
            let copy = bytes.clone();
            let open = move || -> std::io::Result<Box<dyn Read>> { Ok(Box::new(std::io::Cursor::new(copy))) };
            writer.append_known(entry.clone(), Fingerprint::of(bytes), Box::new(open)).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn unpacked(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut out = Vec::new();
    Decoder::new(bytes, Format::from(encoding.compression())).unwrap().read_to_end(&mut out).unwrap();
    out
}

fn numbers(place: &str) -> Vec<usize> {
    place.split(':').map(|number| number.parse().unwrap()).collect()
}

/// The table of a layer, found as clients find it.
fn table(layer: &WrittenLayer<Vec<u8>>, encoding: Encoding) -> Value {
    let (blob, said) = (&layer.sink, &layer.annotations);
    let bytes = match encoding {
        Encoding::ZstdChunked { .. } => {
            let place = numbers(&said["io.github.containers.zstd-chunked.manifest-position"]);
            let packed = &blob[place[0]..place[0] + place[1]];
            let digest = &said["io.github.containers.zstd-chunked.manifest-checksum"];
            assert_eq!(Digest::sha256(packed).to_string(), *digest);
            let footer = &blob[blob.len() - 64..];
            assert_eq!(&footer[56..], b"GNUlInUx");
            assert_eq!(footer[..8], (place[0] as u64).to_le_bytes());
            assert_eq!(place[3], 1);
            let table = zstd::decode_all(packed).unwrap();
            assert_eq!(table.len(), place[2]);
            table
        }
        Encoding::Estargz { .. } => {
            assert_eq!(said["io.containers.estargz.uncompressed-size"], layer.digests.uncompressed_size.to_string());
            let place = std::str::from_utf8(&blob[blob.len() - 51 + 16..][..16]).unwrap();
            let at = usize::from_str_radix(place, 16).unwrap();
            // One member holds it whole.
            let mut tar = Vec::new();
            flate2::bufread::GzDecoder::new(&blob[at..]).read_to_end(&mut tar).unwrap();
            let mut archive = tar::Archive::new(tar.as_slice());
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            assert_eq!(entry.path().unwrap().to_str(), Some("stargz.index.json"));
            let mut table = Vec::new();
            entry.read_to_end(&mut table).unwrap();
            assert_eq!(Digest::sha256(&table).to_string(), said["containerd.io/snapshot/stargz/toc.digest"]);
            table
        }
        Encoding::Uncompressed | Encoding::Gzip { .. } | Encoding::Zstd { .. } => panic!("it has none"),
    };
    serde_json::from_slice(&bytes).unwrap()
}

/// The files as the table says, each chunk fetched by itself.
fn fetched(layer: &WrittenLayer<Vec<u8>>, encoding: Encoding) -> BTreeMap<String, Vec<u8>> {
    let table = table(layer, encoding);
    assert_eq!(table["version"], 1);
    let rows = table["entries"].as_array().unwrap();
    let at = |row: &Value| row["offset"].as_u64().map(|offset| usize::try_from(offset).unwrap());
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (n, row) in rows.iter().enumerate() {
        let Some(begin) = at(row) else { continue };
        let next = rows[n + 1..].iter().find_map(at).unwrap_or(layer.sink.len());
        let name = row["name"].as_str().unwrap().to_owned();
        let known = files.entry(name).or_default();
        assert_eq!(row["chunkOffset"].as_u64().unwrap_or(0), known.len() as u64, "{row}");
        let mut chunk = Vec::new();
        match encoding {
            Encoding::ZstdChunked { .. } => {
                let whole = row["endOffset"].as_u64().map(|end| usize::try_from(end).unwrap());
                let mut decoder = zstd::Decoder::with_buffer(&layer.sink[begin..whole.unwrap_or(next)]).unwrap();
                decoder = decoder.single_frame();
                decoder.read_to_end(&mut chunk).unwrap();
            }
            _ => {
                let mut decoder = flate2::bufread::GzDecoder::new(&layer.sink[begin..next]);
                decoder.read_to_end(&mut chunk).unwrap();
            }
        }
        if let Some(digest) = row["chunkDigest"].as_str() {
            assert_eq!(Digest::sha256(&chunk).to_string(), digest, "{row}");
        }
        known.extend(chunk);
    }
    for row in rows.iter().filter(|row| row["type"] == "reg" && row["size"].is_u64()) {
        let bytes = &files[row["name"].as_str().unwrap()];
        assert_eq!(row["size"], bytes.len());
        assert_eq!(row["digest"], Digest::sha256(bytes).to_string());
    }
    files
}

#[test]
fn every_file_can_be_fetched_by_itself() {
    let files = contents(false);
    for encoding in [Encoding::Estargz { level: 1 }, Encoding::ZstdChunked { level: 3 }] {
        let layer = write(&files, encoding, 1, None);
        let eight = write(&files, encoding, 8, None);
        assert!(layer.sink == eight.sink && layer.annotations == eight.annotations, "{encoding:?}");

        let found = fetched(&layer, encoding);
        for (entry, bytes) in files.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            assert!(
                found[std::str::from_utf8(entry.path.as_bytes()).unwrap()] == *bytes,
                "{} {encoding:?}",
                entry.path
            );
        }
        // Who knows nothing of it reads a layer.
        assert_eq!(Digest::sha256(&unpacked(&layer.sink, encoding)), layer.digests.diff_id);
        let (diff_id, index) =
            LayerIndex::from_tar(layer.sink.as_slice(), encoding.compression(), TarLimits::default()).unwrap();
        assert_eq!((diff_id, &index), (layer.digests.diff_id, &layer.index));
    }
}

#[test]
fn rows_say_what_headers_say() {
    let encoding = Encoding::ZstdChunked { level: 3 };
    let table = table(&write(&contents(false), encoding, 2, None), encoding);
    let row = |name: &str| table["entries"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap().clone();
    assert_eq!(row("d/")["type"], "dir");
    assert_eq!((row("d/capable")["mode"].clone(), row("d/capable")["size"].clone()), (0o4755.into(), 700.into()));
    assert_eq!(row("d/capable")["xattrs"]["security.capability"], "AQD/");
    assert_eq!(
        (row("d/other")["type"].clone(), row("d/other")["linkName"].clone()),
        ("hardlink".into(), "d/capable".into())
    );
    assert_eq!((row("link")["type"].clone(), row("link")["linkName"].clone()), ("symlink".into(), "/d/big".into()));
    assert_eq!((row("null")["devMajor"].clone(), row("null")["devMinor"].clone()), (1.into(), 3.into()));
    assert_eq!(row("d/.wh.gone")["type"], "reg");
    assert_eq!(row("d/empty")["digest"], Value::Null);
    assert_eq!(row("link")["modtime"], "1970-01-01T00:00:00Z");
}

#[test]
fn the_tar_can_be_put_together_from_tar_split_and_files() {
    let (files, encoding) = (contents(false), Encoding::ZstdChunked { level: 3 });
    let layer = write(&files, encoding, 2, None);
    let place = numbers(&layer.annotations["io.github.containers.zstd-chunked.tarsplit-position"]);
    let packed = &layer.sink[place[0]..place[0] + place[1]];
    assert_eq!(Digest::sha256(packed).to_string(), table(&layer, encoding)["tarSplitDigest"]);
    let split = zstd::decode_all(packed).unwrap();
    assert_eq!(split.len(), place[2]);
    let (found, mut tar) = (fetched(&layer, encoding), Vec::new());
    for (n, line) in split.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["position"], n);
        let payload = line["payload"].as_str().map(|text| BASE64.decode(text).unwrap());
        match line["type"].as_u64() {
            Some(2) => tar.extend(payload.unwrap()),
            Some(1) => {
                let bytes = found.get(line["name"].as_str().unwrap());
                assert_eq!(line["size"].as_u64().unwrap_or(0), bytes.map_or(0, |bytes| bytes.len() as u64));
                assert_eq!(payload.map(|crc| crc.len()), bytes.map(|_| 8));
                tar.extend(bytes.into_iter().flatten());
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(Digest::sha256(&tar), layer.digests.diff_id);
}

#[test]
fn frames_of_the_last_layer_change_nothing() {
    for encoding in [Encoding::Estargz { level: 1 }, Encoding::ZstdChunked { level: 3 }] {
        let first = write(&contents(false), encoding, 2, None);
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(&first.sink).unwrap();
        let known = Arc::new(KnownFrames::new(blob, first.frames.clone()));
        for edited in [false, true] {
            let fresh = write(&contents(edited), encoding, 1, None);
            let again = write(&contents(edited), encoding, 8, Some(Arc::clone(&known)));
            assert!(again.sink == fresh.sink && again.annotations == fresh.annotations, "{encoding:?} {edited}");
            assert_eq!(first.digests == fresh.digests, !edited);
        }
        assert_eq!(first.frames.is_empty(), matches!(encoding, Encoding::Estargz { .. }));
    }
}

#[test]
fn without_a_name_for_it_there_is_no_table() {
    let odd = [(file(b"caf\xe9", 3), b"abc".to_vec()), (symlink("x", "y"), Vec::new())];
    for encoding in [Encoding::Estargz { level: 1 }, Encoding::ZstdChunked { level: 3 }] {
        let layer = write(&odd, encoding, 1, None);
        assert_eq!(layer.annotations, BTreeMap::new());
        assert_eq!(Digest::sha256(&unpacked(&layer.sink, encoding)), layer.digests.diff_id);
        let (_, index) =
            LayerIndex::from_tar(layer.sink.as_slice(), encoding.compression(), TarLimits::default()).unwrap();
        assert_eq!(index, layer.index);
    }
}
