//! Archives that mean harm: each is refused by name or made harmless, and nothing outside the directory changes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use wharf_builder::layer::{
    Expected, Fingerprint, Format, LayerIndex, TarError, TarLimits, UnpackError, UnpackOptions, Unpacked, unpack,
};
use wharf_spec::Digest;

use super::{file, path, unpack_plain, writer};

/// Builds tars that no honest writer writes.
struct Raw(tar::Builder<Vec<u8>>);

impl Raw {
    fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    fn add(mut self, kind: tar::EntryType, name: &[u8], link: &[u8], content: &[u8]) -> Self {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1);
        if matches!(kind, tar::EntryType::Char | tar::EntryType::Block) {
            header.set_device_major(0).unwrap();
            header.set_device_minor(0).unwrap();
        }
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    fn file(self, name: &str, content: &str) -> Self {
        self.add(tar::EntryType::Regular, name.as_bytes(), b"", content.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.add(tar::EntryType::Directory, name.as_bytes(), b"", b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Symlink, name.as_bytes(), target.as_bytes(), b"")
    }

    fn hardlink(self, name: &str, target: &str) -> Self {
        self.add(tar::EntryType::Link, name.as_bytes(), target.as_bytes(), b"")
    }

    fn pax(mut self, records: &[(&str, &[u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    fn bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// Unpacks into a directory beside a victim, and makes sure the victim is untouched. Indexing alone must agree.
fn attack(tar: &[u8]) -> (tempfile::TempDir, Result<Unpacked, UnpackError>) {
    let work = tempfile::tempdir().unwrap();
    fs::write(work.path().join("victim"), "safe").unwrap();
    let root = work.path().join("root");
    fs::create_dir(&root).unwrap();
    let result = unpack_plain(tar, &root);
    assert_eq!(fs::read_to_string(work.path().join("victim")).unwrap(), "safe");
    assert_eq!(fs::metadata(work.path().join("victim")).unwrap().nlink(), 1);
    assert_eq!(fs::read_dir(work.path()).unwrap().count(), 2, "something appeared outside");
    let indexed = LayerIndex::from_tar(tar, Format::Plain, TarLimits::default());
    match (&result, indexed) {
        (Ok(unpacked), Ok((diff_id, index))) => {
            assert_eq!(unpacked.index, index);
            assert_eq!(unpacked.diff_id, diff_id);
        }
        (Err(UnpackError::Tar(unpacking)), Err(indexing)) => assert_eq!(unpacking.to_string(), indexing.to_string()),
        (unpacking, indexing) => panic!("unpacking says {unpacking:?}, indexing {indexing:?}"),
    }
    (work, result)
}

fn refused(tar: &[u8]) -> TarError {
    match attack(tar).1 {
        Err(UnpackError::Tar(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn content(work: &tempfile::TempDir, name: &str) -> String {
    fs::read_to_string(work.path().join("root").join(name)).unwrap()
}

#[test]
fn names_that_lead_out_are_refused() {
    for name in ["../victim", "a/../../victim", "/../victim"] {
        let error = refused(&Raw::new().file(name, "evil").bytes());
        assert!(matches!(&error, TarError::Name { name: named, .. } if named == name), "{error}");
    }
    let error = refused(&Raw::new().file("x", "").hardlink("y", "../victim").bytes());
    assert!(matches!(error, TarError::Name { .. }), "{error}");
}

#[test]
fn absolute_and_winding_names_stay_inside() {
    let (work, result) = attack(&Raw::new().file("/etc/x", "1").file("a/../b", "2").dir("./").bytes());
    result.unwrap();
    assert_eq!((content(&work, "etc/x"), content(&work, "b")), ("1".into(), "2".into()));
}

#[test]
fn symlinks_lead_nowhere_but_inside() {
    for target in ["..", "../../..", "/", "/../.."] {
        let (work, result) = attack(&Raw::new().symlink("out", target).file("out/victim", "evil").bytes());
        result.unwrap();
        assert_eq!(content(&work, "victim"), "evil", "the root is the root");
    }
    // Through a file that became a symlink, and a directory that did.
    let tar = Raw::new().dir("d").file("d/a", "1").symlink("d", "..").file("d/victim", "evil").bytes();
    let (work, result) = attack(&tar);
    let names: Vec<String> = result.unwrap().index.entries().iter().map(|one| one.entry.path.to_string()).collect();
    assert_eq!(names, ["/d", "/victim"]);
    assert_eq!(content(&work, "victim"), "evil");
    // A file in place of a symlink replaces the link, not its target.
    let tar = Raw::new().symlink("s", "../victim").file("s", "evil").bytes();
    assert_eq!(content(&attack(&tar).0, "s"), "evil");
}

#[test]
fn symlink_loops_are_refused() {
    let error = refused(&Raw::new().symlink("a", "b").symlink("b", "a").file("a/x", "").bytes());
    assert!(matches!(error, TarError::TooManyLinks { .. }), "{error}");
}

#[test]
fn hard_links_name_files_of_the_layer() {
    let error = refused(&Raw::new().hardlink("x", "etc/shadow").bytes());
    assert!(matches!(error, TarError::DanglingHardlink { .. }), "{error}");
    let error = refused(&Raw::new().dir("d").hardlink("x", "d").bytes());
    assert!(matches!(error, TarError::DanglingHardlink { .. }), "{error}");
    // To a symlink: the link itself gets another name, its target is not looked at.
    let (work, result) = attack(&Raw::new().symlink("s", "../victim").hardlink("h", "s").bytes());
    result.unwrap();
    assert!(fs::symlink_metadata(work.path().join("root/h")).unwrap().is_symlink());
    // Through a symlinked directory.
    let (_, result) = attack(&Raw::new().file("usr/x", "1").symlink("u", "/usr").hardlink("h", "u/x").bytes());
    assert_eq!(result.unwrap().index.len(), 3);
    // To itself, as `tar cf x a a` makes it.
    let (work, result) = attack(&Raw::new().file("a", "1").hardlink("a", "./a").bytes());
    result.unwrap();
    assert_eq!(content(&work, "a"), "1");
    let error = refused(&Raw::new().file("d/f", "1").hardlink("d", "d/f").bytes());
    assert!(matches!(error, TarError::DanglingHardlink { .. }), "{error}");
}

#[test]
fn the_last_of_several_entries_counts() {
    let tar =
        Raw::new().file("a", "1").hardlink("b", "a").file("a", "2").dir("c").file("c/x", "").file("c", "3").bytes();
    let (work, result) = attack(&tar);
    let index = result.unwrap().index;
    assert_eq!(content(&work, "a") + &content(&work, "b") + &content(&work, "c"), "213");
    let digest = |name: &str| index.get(&path(name)).unwrap().content.unwrap();
    assert_eq!(digest("a"), Fingerprint::of(b"2"));
    assert_eq!(digest("b"), Fingerprint::of(b"1"));
    assert_eq!(index.len(), 3);
}

#[test]
fn nothing_lies_beneath_a_file() {
    let error = refused(&Raw::new().file("a", "").file("a/b", "").bytes());
    assert!(matches!(&error, TarError::ParentNotDirectory { path: at } if *at == path("a/b")), "{error}");
    let error = refused(&Raw::new().file("./", "").symlink(".", "x").bytes());
    assert!(matches!(error, TarError::ParentNotDirectory { .. }), "{error}");
}

#[test]
fn whiteout_names_cannot_be_abused() {
    for name in [".wh.", ".wh...", "d/.wh..", ".wh.d/x"] {
        let error = refused(&Raw::new().file(name, "").bytes());
        assert!(matches!(error, TarError::ReservedName { .. }), "{name}: {error}");
    }
    let (_, result) = attack(&Raw::new().file(".wh..wh.plnk/1.2", "aufs").file(".wh..wh.aufs", "").bytes());
    assert!(result.unwrap().index.is_empty());
}

#[test]
fn attributes_of_the_overlay_are_not_taken_from_layers() {
    let records: [(&str, &[u8]); 3] = [
        ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
        ("SCHILY.xattr.user.overlay.opaque", b"y"),
        ("SCHILY.xattr.user.fine", b"1"),
    ];
    let (_, result) = attack(&Raw::new().pax(&records).file("x", "").bytes());
    let index = result.unwrap().index;
    let entries = index.entries();
    let names: Vec<&[u8]> = entries[0].entry.xattrs.keys().map(Vec::as_slice).collect();
    assert_eq!(names, [b"user.fine"]);
}

#[test]
fn a_device_that_is_a_whiteout_is_one() {
    let tar = Raw::new().add(tar::EntryType::Char, b"x", b"", b"").bytes();
    let index = attack(&tar).1.unwrap().index;
    assert_eq!(index.entries()[0].entry, wharf_builder::layer::Entry::whiteout(path("x")));
}

#[test]
fn names_longer_than_linux_allows_are_refused() {
    for name in ["n".repeat(256), "d/".repeat(2100) + "x"] {
        let error = refused(&Raw::new().pax(&[("path", name.as_bytes())]).file("short", "").bytes());
        assert!(matches!(error, TarError::Name { .. }), "{error}");
    }
    let deep = "deep-down/".repeat(400) + "x";
    let (_, result) = attack(&Raw::new().pax(&[("path", deep.as_bytes())]).file("short", "1").bytes());
    assert_eq!(result.unwrap().implied.len(), 400);
}

#[test]
fn bombs_are_stopped() {
    let mut zeros = writer();
    let size = 64 << 20;
    zeros.append_file(file("zeros", size), std::io::repeat(0)).unwrap();
    let tar = zeros.finish().unwrap().sink;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&tar).unwrap();
    let bomb = gzip.finish().unwrap();
    assert!(bomb.len() < 100 << 10);
    let dest = tempfile::tempdir().unwrap();
    let mut options = UnpackOptions::for_root();
    options.limits = TarLimits { bytes: 1 << 20, entries: 10 };
    let error = unpack(bomb.as_slice(), Format::Gzip, Expected::default(), dest.path(), options).unwrap_err();
    assert!(matches!(error, UnpackError::Tar(TarError::TooLarge { limit: 1_048_576 })), "{error}");
    let many = (0..11).fold(Raw::new(), |tar, n| tar.file(&n.to_string(), "")).bytes();
    let error = unpack(many.as_slice(), Format::Plain, Expected::default(), dest.path(), options).unwrap_err();
    assert!(matches!(error, UnpackError::Tar(TarError::TooManyEntries { limit: 10 })), "{error}");
    // A hole costs nothing to send but the limit counts it.
    let hole: [(&str, &[u8]); 3] =
        [("GNU.sparse.size", b"1099511627776"), ("GNU.sparse.numblocks", b"0"), ("GNU.sparse.map", b"0,0")];
    let hole = Raw::new().pax(&hole).file("hole", "").bytes();
    let error = unpack(hole.as_slice(), Format::Plain, Expected::default(), dest.path(), options).unwrap_err();
    assert!(matches!(error, UnpackError::Tar(TarError::TooLarge { .. })), "{error}");
    let long = Raw::new().add(tar::EntryType::XHeader, b"pax", b"", &vec![b'x'; (1 << 20) + 1]).file("x", "").bytes();
    assert!(matches!(refused(&long), TarError::Header { .. }));
}

#[test]
fn blobs_are_what_they_were_promised_to_be() {
    let mut layer = writer();
    layer.append_file(file("a", 1), &b"1"[..]).unwrap();
    let layer = layer.finish().unwrap();
    let other = Digest::sha256(b"other");
    let try_with = |blob: &[u8], expected: Expected| {
        let dest = tempfile::tempdir().unwrap();
        unpack(blob, Format::Plain, expected, dest.path(), UnpackOptions::for_root())
    };
    let right = Expected {
        digest: Some(layer.digests.digest),
        size: Some(layer.digests.size),
        diff_id: Some(layer.digests.diff_id),
    };
    try_with(&layer.sink, right).unwrap();
    let wrong = try_with(&layer.sink, Expected { digest: Some(other), ..right }).unwrap_err();
    assert!(matches!(wrong, UnpackError::Digest(_)), "{wrong}");
    let wrong = try_with(&layer.sink, Expected { diff_id: Some(other), ..right }).unwrap_err();
    assert!(matches!(wrong, UnpackError::DiffId(_)), "{wrong}");
    for size in [0, layer.digests.size - 1, layer.digests.size + 1] {
        let wrong = try_with(&layer.sink, Expected { size: Some(size), ..right }).unwrap_err();
        assert!(matches!(wrong, UnpackError::Size { .. }), "{size}: {wrong}");
    }
    let mut flipped = layer.sink.clone();
    flipped[0] ^= 1;
    let wrong = try_with(&flipped, right).unwrap_err();
    assert!(matches!(wrong, UnpackError::Digest(_)), "damage is told as such: {wrong}");
    let cut = try_with(&layer.sink[..700], Expected::default()).unwrap_err();
    assert!(matches!(cut, UnpackError::Tar(TarError::Truncated { .. })), "{cut}");
    // A connection that breaks is told as such, whatever was promised.
    let broken = std::io::Read::chain(&layer.sink[..700], Reset);
    let dest = tempfile::tempdir().unwrap();
    let broken = unpack(broken, Format::Plain, right, dest.path(), UnpackOptions::for_root()).unwrap_err();
    assert!(matches!(&broken, UnpackError::Tar(TarError::Read(error)) if error.kind() == RESET), "{broken}");
    // Trailing bytes count for both digests.
    let padded = [layer.sink.clone(), vec![0; 9 << 10]].concat();
    assert_eq!(try_with(&padded, Expected::default()).unwrap().diff_id, Digest::sha256(&padded));
}

#[test]
fn sparse_files_come_out_whole() {
    let work = tempfile::tempdir().unwrap();
    let source = work.path().join("sparse");
    let holes = fs::File::create(&source).unwrap();
    for n in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, b"data", n << 20).unwrap();
    }
    holes.set_len(50 << 20).unwrap();
    let whole = Fingerprint::of(&fs::read(&source).unwrap());
    for format in [
        &["--format=gnu"][..],
        &["--format=posix"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=0.0"],
    ] {
        let tar = system_tar(work.path(), format);
        assert!(tar.len() < 5 << 20, "not sparse");
        let (_, index) = LayerIndex::from_tar(tar.as_slice(), Format::Plain, TarLimits::default()).unwrap();
        let entry = index.get(&path("sparse")).unwrap_or_else(|| panic!("{format:?}: {index:?}"));
        assert_eq!(entry.content, Some(whole), "{format:?}");
    }
}

fn system_tar(dir: &Path, format: &[&str]) -> Vec<u8> {
    let output = std::process::Command::new("tar")
        .arg("-C")
        .arg(dir)
        .args(format)
        .args(["-cSf", "-", "sparse"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

const RESET: std::io::ErrorKind = std::io::ErrorKind::ConnectionReset;

/// A connection that is reset.
struct Reset;

impl std::io::Read for Reset {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        Err(RESET.into())
    }
}
