//! What the writer writes, as other tools see it.

use std::io::{Cursor, Read, Write as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use wharf_builder::layer::{
    Encoding, Entry, Fingerprint, Format, FrameTable, Kind, KnownFrames, LayerIndex, LayerWriter, Mtime, TarLimits,
    WriteError,
};
use wharf_spec::Digest;

use super::{dir, file, hardlink, options, path, symlink, writer};

/// Runs `program` with `input` and returns what it prints; panics with its complaint when it fails.
fn pipe(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let feeder = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{program} complains");
    output.stdout
}

/// Five megabytes that compress somewhat.
fn text() -> Vec<u8> {
    (0..5 << 20_u32).map(|n: u32| n.wrapping_mul(n >> 7).to_le_bytes()[1] & 0x3f).collect()
}

#[test]
fn the_empty_layer_has_its_well_known_diff_id() {
    let empty = writer().finish().unwrap();
    let known = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";
    assert_eq!(empty.digests.diff_id.to_string(), known);
    assert_eq!(empty.digests.digest, empty.digests.diff_id);
    assert_eq!((empty.digests.size, empty.digests.uncompressed_size), (1024, 1024));
    assert!(empty.index.is_empty());
}

#[test]
fn any_number_of_threads_writes_the_same_and_every_tool_reads_it() {
    let text = text();
    for encoding in [Encoding::Gzip { level: 6 }, Encoding::Zstd { level: 3 }, Encoding::Uncompressed] {
        let write = |threads| {
            let mut writer = LayerWriter::new(Vec::new(), options(encoding, threads));
            writer.append(dir("d")).unwrap();
            writer.append_file(file("d/big", text.len()), text.as_slice()).unwrap();
            writer.append_file(file("d/small", 3), &b"abc"[..]).unwrap();
            writer.finish().unwrap()
        };
        let (one, eight) = (write(1), write(8));
        assert_eq!(one.digests, eight.digests);
        assert!(one.sink == eight.sink && one.index == eight.index);
        assert_eq!(one.digests.digest, Digest::sha256(&one.sink));
        let tar = match encoding {
            Encoding::Gzip { .. } | Encoding::Estargz { .. } => {
                pipe("gzip", &["-t"], &one.sink);
                pipe("gzip", &["-dc"], &one.sink)
            }
            Encoding::Zstd { .. } | Encoding::ZstdChunked { .. } => pipe("zstd", &["-dcq"], &one.sink),
            Encoding::Uncompressed => one.sink.clone(),
        };
        assert_eq!(Digest::sha256(&tar), one.digests.diff_id);
        assert!(pipe("tar", &["-xO", "d/big"], &tar) == text);
        let (diff_id, index) =
            LayerIndex::from_tar(one.sink.as_slice(), encoding.compression(), TarLimits::default()).unwrap();
        assert_eq!(diff_id, one.digests.diff_id);
        assert_eq!(index, one.index);
    }
}

#[test]
fn system_tar_agrees_on_every_kind_and_corner() {
    let long = format!("{}/{}", "d".repeat(120), "n".repeat(180));
    let split = format!("{}/{}", "s".repeat(90), "n".repeat(95));
    let mut writer = writer();
    let mut special = file("setuid", 0);
    special.mode = 0o4711;
    special.mtime = Mtime { secs: 1_700_000_000, nanos: 123_456_789 };
    (special.uid, special.gid) = (3_000_000_000, 4_000_000);
    let entries = [
        dir("d".repeat(120)),
        file(&long, 1),
        dir("s".repeat(90)),
        file(&split, 1),
        special,
        symlink("link", &format!("/{}", "t".repeat(150))),
        hardlink("zz-hard", "setuid"),
        Entry::new(path("fifo"), Kind::Fifo, 0o600),
        Entry::new(path("null"), Kind::Char { major: 1, minor: 3 }, 0o666),
        Entry::new(path("loop"), Kind::Block { major: 7, minor: 300 }, 0o660),
        file(b"caf\xe9", 1),
    ];
    for entry in entries {
        match entry.kind {
            Kind::File { size: 1 } => {
                writer.append_file(entry, &b"x"[..]).unwrap();
            }
            _ => writer.append(entry).unwrap(),
        }
    }
    let written = writer.finish().unwrap();
    let listing = pipe("tar", &["-tv", "--full-time", "--numeric-owner", "--utc"], &written.sink);
    let listing = String::from_utf8(listing).unwrap();
    for expected in [
        &format!("-rw-r--r-- 0/0               1 1970-01-01 00:00:00 {long}"),
        &format!("-rw-r--r-- 0/0               1 1970-01-01 00:00:00 {split}"),
        "-rws--x--x 3000000000/4000000 0 2023-11-14 22:13:20.123456789 setuid",
        &format!("link -> /{}", "t".repeat(150)),
        "zz-hard link to setuid",
        "prw------- 0/0",
        "crw-rw-rw- 0/0              1,3",
        "brw-rw---- 0/0            7,300",
        "caf\\351",
    ] {
        assert!(listing.contains(expected), "no `{expected}` in\n{listing}");
    }
    let (_, index) = LayerIndex::from_tar(written.sink.as_slice(), Format::Plain, TarLimits::default()).unwrap();
    assert_eq!(index, written.index);
}

#[test]
fn extended_attributes_reach_other_readers() {
    let mut entry = file("bin", 0);
    entry.xattrs.insert(b"security.capability".to_vec(), vec![1, 0, 0, 2, 0, 9, b'=', 0]);
    entry.xattrs.insert(b"user.name".to_vec(), b"value".to_vec());
    let mut writer = writer();
    writer.append(entry).unwrap();
    let written = writer.finish().unwrap();
    let mut archive = tar::Archive::new(written.sink.as_slice());
    let mut first = archive.entries().unwrap().next().unwrap().unwrap();
    let records: Vec<(String, Vec<u8>)> = first
        .pax_extensions()
        .unwrap()
        .unwrap()
        .map(|record| record.map(|record| (record.key().unwrap().to_owned(), record.value_bytes().to_vec())).unwrap())
        .collect();
    assert_eq!(
        records,
        [
            ("SCHILY.xattr.security.capability".to_owned(), vec![1, 0, 0, 2, 0, 9, b'=', 0]),
            ("SCHILY.xattr.user.name".to_owned(), b"value".to_vec()),
        ]
    );
}

#[test]
fn times_are_clamped_where_asked() {
    let mut writing = options(Encoding::Uncompressed, 1);
    writing.clamp_mtime = Some(1000);
    let mut writer = LayerWriter::new(Vec::new(), writing);
    for (name, secs, nanos) in [("a", 999, 5), ("b", 1000, 0), ("c", 1000, 1), ("d", 5000, 0)] {
        let mut entry = dir(name);
        entry.mtime = Mtime { secs, nanos };
        writer.append(entry).unwrap();
    }
    let times: Vec<Mtime> = writer.finish().unwrap().index.entries().iter().map(|one| one.entry.mtime).collect();
    assert_eq!(
        times,
        [Mtime { secs: 999, nanos: 5 }, Mtime::from_secs(1000), Mtime::from_secs(1000), Mtime::from_secs(1000)]
    );
}

#[test]
fn content_must_be_as_long_as_announced() {
    let mut writer = writer();
    // Longer is cut: the file grew after it was looked at, and the header is out.
    writer.append_file(file("grown", 2), &b"abc"[..]).unwrap();
    let error = writer.append_file(file("shrunk", 4), &b"abc"[..]).unwrap_err();
    assert!(matches!(error, WriteError::Truncated { expected: 4, actual: 3, .. }), "{error}");
    let error = super::writer().append_file(file("broken", 4), Broken).unwrap_err();
    assert!(matches!(error, WriteError::Source { .. }), "{error}");
}

/// A file that cannot be read.
struct Broken;

impl Read for Broken {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::PermissionDenied.into())
    }
}

/// Forty files of up to 200 kB that compress somewhat, one of them edited, and one large one.
fn tree(edited: Option<usize>) -> Vec<(Entry, Vec<u8>)> {
    let text = text();
    let mut files: Vec<_> = (0..40_usize)
        .map(|n| {
            let mut bytes = text[n * 1000..n * 1000 + n * 5000].to_vec();
            if edited == Some(n) {
                bytes.extend_from_slice(b"edited");
            }
            (file(format!("d/{n:02}"), bytes.len()), bytes)
        })
        .collect();
    files.push((file("e", text.len()), text));
    files
}

#[test]
fn frames_of_an_earlier_layer_are_used_again_and_never_show() {
    let write = |files: &[(Entry, Vec<u8>)], encoding, threads, known: Option<Arc<KnownFrames>>| {
        let mut writer = LayerWriter::new(Vec::new(), options(encoding, threads));
        if let Some(known) = known {
            writer = writer.reusing(known);
        }
        for (entry, bytes) in files {
            append_known(&mut writer, entry, bytes, &Arc::default());
        }
        writer.finish().unwrap()
    };
    for encoding in [Encoding::Gzip { level: 6 }, Encoding::Zstd { level: 3 }] {
        let first = write(&tree(None), encoding, 2, None);
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(&first.sink).unwrap();
        let table = FrameTable::decode(&first.frames.encode()).unwrap();
        let frames = table.len();
        let known = Arc::new(KnownFrames::new(blob, table));

        for edited in [None, Some(0), Some(20), Some(39)] {
            let files = tree(edited);
            let fresh = write(&files, encoding, 1, None);
            for threads in [1, 8] {
                let again = write(&files, encoding, threads, Some(Arc::clone(&known)));
                assert_eq!(again.digests, fresh.digests, "{encoding:?} {edited:?}");
                assert!(again.sink == fresh.sink && again.frames == fresh.frames);
            }
            let same = fresh.frames.common(&first.frames);
            assert!(same + 1 + usize::from(edited.is_some()) >= frames, "{same} of {frames}, {edited:?} {encoding:?}");
            assert!(edited.is_none() || same < frames);
        }
    }
}

/// Adds a file whose content is known, and notes it when it is opened.
fn append_known(writer: &mut LayerWriter<Vec<u8>>, entry: &Entry, bytes: &[u8], opened: &Arc<Mutex<Vec<String>>>) {
    let (name, content, opened) = (entry.path.to_string(), bytes.to_vec(), Arc::clone(opened));
    let open = move || -> std::io::Result<Box<dyn Read>> {
        opened.lock().unwrap().push(name);
        Ok(Box::new(Cursor::new(content)))
    };
    writer.append_known(entry.clone(), Fingerprint::of(bytes), Box::new(open)).unwrap();
}

#[test]
fn files_before_the_first_change_are_not_opened() {
    let write = |files: &[(Entry, Vec<u8>)], known: Option<Arc<KnownFrames>>| {
        let opened = Arc::default();
        let mut writer = LayerWriter::new(Vec::new(), options(Encoding::Gzip { level: 1 }, 2));
        if let Some(known) = known {
            writer = writer.reusing(known);
        }
        for (entry, bytes) in files {
            append_known(&mut writer, entry, bytes, &opened);
        }
        let written = writer.finish().unwrap();
        let opened = opened.lock().unwrap().clone();
        (written, opened)
    };
    let known_of = |sink: &[u8], table: &FrameTable| {
        let mut blob = tempfile::tempfile().unwrap();
        blob.write_all(sink).unwrap();
        Some(Arc::new(KnownFrames::new(blob, table.clone())))
    };
    let (first, opened) = write(&tree(None), None);
    assert_eq!(opened.len(), 41);
    for (edited, least) in [(None, 41), (Some(30), 25), (Some(0), 0)] {
        let files = tree(edited);
        let (again, opened) = write(&files, known_of(&first.sink, &first.frames));
        let (fresh, _) = write(&files, None);
        assert_eq!(again.digests, fresh.digests);
        assert!(again.sink == fresh.sink && again.frames == fresh.frames);
        assert!(41 - opened.len() >= least, "{edited:?}: {opened:?}");
        assert_eq!(opened.is_empty(), edited.is_none());
    }
    // Something is missing at the end, and something is new there.
    let (mut less, mut more) = (tree(None), tree(None));
    less.truncate(33);
    more.push((file("f", 3), b"new".to_vec()));
    for files in [less, more] {
        let (again, _) = write(&files, known_of(&first.sink, &first.frames));
        assert_eq!(again.digests, write(&files, None).0.digests);
    }
    // The blob is damaged in the middle: up to there it is used.
    let mut damaged = first.sink.clone();
    let middle = damaged.len() / 4;
    damaged[middle] ^= 1;
    let (again, opened) = write(&tree(None), known_of(&damaged, &first.frames));
    assert_eq!(again.digests, first.digests);
    assert!(again.sink == first.sink && !opened.is_empty() && opened.len() < 41, "{opened:?}");
}

#[test]
fn a_frame_that_is_damaged_on_disk_is_made_again() {
    let files = tree(None);
    let write = |known: Option<Arc<KnownFrames>>| {
        let mut writer = LayerWriter::new(Vec::new(), options(Encoding::Gzip { level: 1 }, 2));
        if let Some(known) = known {
            writer = writer.reusing(known);
        }
        for (entry, bytes) in &files {
            writer.append_file(entry.clone(), bytes.as_slice()).unwrap();
        }
        writer.finish().unwrap()
    };
    let first = write(None);
    let mut blob = tempfile::tempfile().unwrap();
    blob.write_all(&vec![7; first.sink.len()]).unwrap();
    let again = write(Some(Arc::new(KnownFrames::new(blob, first.frames.clone()))));
    assert_eq!(again.digests, first.digests);
}
