//! Directory -> layer -> directory -> layer: nothing is lost on the way.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, Timespec, Timestamps, UTIME_OMIT, XattrFlags, makedev, mknodat, setxattr};
use wharf_builder::layer::{
    Encoding, Entry, Expected, FlatLayer, Format, Kind, LayerIndex, OverlayXattr, Ownership, TarLimits, Tree,
    UnpackOptions, adopt_parents, unpack, unpack_flat,
};

use super::{dir, file, is_root, layer_of, options, path, unpack_plain, writer};

fn set_time(path: &Path, secs: i64, nanos: i64) {
    let last_access = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let times = Timestamps { last_access, last_modification: Timespec { tv_sec: secs, tv_nsec: nanos } };
    rustix::fs::utimensat(CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Capabilities as `setcap cap_net_raw+ep` stores them.
const NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// One of everything that root can make.
fn populate(root: &Path) {
    fs::create_dir_all(root.join("etc/deep/er")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0\n").unwrap();
    fs::write(root.join("empty"), "").unwrap();
    let big: Vec<u8> = (0..3_000_001_u32).flat_map(|n| (n ^ (n >> 3)).to_le_bytes()).collect();
    fs::write(root.join("big"), big).unwrap();
    fs::write(root.join("sudo"), "#!").unwrap();
    fs::set_permissions(root.join("sudo"), fs::Permissions::from_mode(0o6755)).unwrap();
    std::os::unix::fs::chown(root.join("etc/passwd"), Some(1000), Some(50)).unwrap();
    setxattr(root.join("sudo"), "security.capability", &NET_RAW, XattrFlags::empty()).unwrap();
    setxattr(root.join("etc"), "user.note", b"hi\n=\0there", XattrFlags::empty()).unwrap();
    symlink("../etc/passwd", root.join("etc/link")).unwrap();
    symlink("b".repeat(300), root.join("long-link")).unwrap();
    fs::hard_link(root.join("etc/passwd"), root.join("a-hard-link")).unwrap();
    mknodat(CWD, root.join("null"), FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(1, 3)).unwrap();
    mknodat(CWD, root.join("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap());
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"not-utf8-\xff\xfe")), "x").unwrap();
    let long = "l".repeat(200);
    fs::create_dir_all(root.join(&long).join(&long)).unwrap();
    fs::write(root.join(&long).join(&long).join("file"), "deep").unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(root.join("etc/deep"), fs::Permissions::from_mode(0o500)).unwrap();
    set_time(&root.join("empty"), -5, 7);
    set_time(&root.join("etc/link"), 1_000_000_000, 999_999_999);
    set_time(&root.join("etc"), 1_500_000_000, 0);
}

#[test]
fn everything_survives_and_gives_the_same_digest() {
    if !is_root("everything_survives_and_gives_the_same_digest") {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let (first, second, third) = (work.path().join("1"), work.path().join("2"), work.path().join("3"));
    for dir in [&first, &second, &third] {
        fs::create_dir(dir).unwrap();
    }
    populate(&first);
    let writing = options(Encoding::Gzip { level: 6 }, 4);
    let layer = layer_of(&first, &Tree::new(), writing);
    let expected = Expected {
        digest: Some(layer.digests.digest),
        size: Some(layer.digests.size),
        diff_id: Some(layer.digests.diff_id),
    };
    let unpacked = unpack(layer.sink.as_slice(), Format::Gzip, expected, &second, UnpackOptions::for_root()).unwrap();
    assert_eq!(unpacked.index, layer.index);
    assert_eq!(unpacked.uncompressed_size, layer.digests.uncompressed_size);
    assert_eq!((unpacked.implied, unpacked.skipped), (vec![], vec![]));
    let again = layer_of(&second, &Tree::new(), writing);
    assert_eq!(again.digests, layer.digests);

    let sudo = second.join("sudo");
    assert_eq!(fs::metadata(&sudo).unwrap().mode() & 0o7777, 0o6755);
    let mut value = [0; 64];
    let length = rustix::fs::getxattr(&sudo, "security.capability", &mut value[..]).unwrap();
    assert_eq!(value[..length], NET_RAW);
    assert_eq!(fs::metadata(second.join("a-hard-link")).unwrap().nlink(), 2);
    assert!(!second.join("socket").exists());

    // Over itself nothing is left of it.
    let tree = Tree::of([&layer.index]);
    let left = layer_of(&second, &tree, writing).index;
    let left: Vec<String> = left.entries().iter().map(|one| one.entry.path.to_string()).collect();
    // Names of one file always stay together, so they and their directory count as changed.
    assert_eq!(left, ["/a-hard-link", "/etc", "/etc/passwd"]);

    let flat = FlatLayer { index: &layer.index, blob: layer.sink.as_slice(), format: Format::Gzip };
    let skipped = unpack_flat([flat], &third, Ownership::Real, TarLimits::default()).unwrap();
    assert_eq!(skipped, []);
    assert_eq!(layer_of(&third, &Tree::new(), writing).digests, layer.digests);
}

#[test]
fn the_order_in_which_files_were_made_does_not_show() {
    let work = tempfile::tempdir().unwrap();
    let mut digests = Vec::new();
    for (nth, step) in [1_usize, 7, 13].into_iter().enumerate() {
        let root = work.path().join(nth.to_string());
        fs::create_dir(&root).unwrap();
        for n in 0..100 {
            let n = n * step % 100;
            let dir = root.join(format!("d{}", n % 10));
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join(format!("f{n}")), n.to_string()).unwrap();
            set_time(&dir.join(format!("f{n}")), 1, 0);
        }
        (0..10).for_each(|n| set_time(&root.join(format!("d{n}")), 1, 0));
        digests.push(layer_of(&root, &Tree::new(), options(Encoding::Gzip { level: 1 }, 2)).digests);
    }
    assert!(digests.iter().all(|each| *each == digests[0]));
}

#[test]
fn left_out_parents_are_reported_and_adopted() {
    let work = tempfile::tempdir().unwrap();
    let mut layer = writer();
    layer.append_file(file("tmp/x/y", 1), &b"1"[..]).unwrap();
    let layer = layer.finish().unwrap();
    let unpacked = unpack_plain(&layer.sink, work.path()).unwrap();
    assert_eq!(unpacked.implied, [path("tmp"), path("tmp/x")]);
    let mode = |name: &str| fs::metadata(work.path().join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("tmp"), mode("tmp/x")), (0o755, 0o755));
    let mut tmp = dir("tmp");
    tmp.mode = 0o1777;
    let mut base = writer();
    base.append(tmp).unwrap();
    let lower = Tree::of([&base.finish().unwrap().index]);
    adopt_parents(work.path(), &unpacked.implied, &lower, Ownership::Real).unwrap();
    assert_eq!((mode("tmp"), mode("tmp/x")), (0o1777, 0o755));
}

#[test]
fn flat_output_shows_the_top_of_the_stack() {
    let dest = tempfile::tempdir().unwrap();
    fs::write(dest.path().join("mine"), "stays").unwrap();
    fs::write(dest.path().join("swap"), "a file where the image has a directory").unwrap();
    let lower: &[&str] = &["gone", "d/old", "d/kept-not", "e/x", "swap/a", "f"];
    let mut base = writer();
    for name in lower {
        base.append_file(file(name, 1), &b"1"[..]).unwrap();
    }
    let base = base.finish().unwrap();
    let mut top = writer();
    let markers = [
        Entry::whiteout(path("gone")),
        Entry::whiteout(path("e")),
        Entry::opaque(path("d")),
        Entry::whiteout(path("mine")),
    ];
    for marker in markers {
        top.append(marker).unwrap();
    }
    top.append_file(file("d/new", 1), &b"2"[..]).unwrap();
    top.append(dir("f")).unwrap();
    top.append(super::hardlink("f/hard", "d/new")).unwrap();
    let top = top.finish().unwrap();
    let stack =
        [&base, &top].map(|one| FlatLayer { index: &one.index, blob: one.sink.as_slice(), format: Format::Plain });
    unpack_flat(stack, dest.path(), Ownership::Squashed, TarLimits::default()).unwrap();
    let seen = layer_of(dest.path(), &Tree::new(), options(Encoding::Uncompressed, 1)).index;
    let names: Vec<String> = seen.entries().iter().map(|one| one.entry.path.to_string()).collect();
    assert_eq!(names, ["/d", "/d/new", "/f", "/f/hard", "/mine", "/swap", "/swap/a"]);
    assert!(matches!(seen.get(&path("f/hard")).unwrap().entry.kind, Kind::Hardlink { .. }));
}

#[test]
fn a_squashed_layer_keeps_its_owners_in_the_index() {
    let work = tempfile::tempdir().unwrap();
    let mut owned = file("data", 1);
    (owned.uid, owned.gid) = (33, 33);
    let mut layer = writer();
    layer.append_file(owned, &b"1"[..]).unwrap();
    let layer = layer.finish().unwrap();
    let options =
        UnpackOptions { ownership: Ownership::Squashed, overlay: OverlayXattr::User, ..UnpackOptions::for_root() };
    let unpacked = unpack(layer.sink.as_slice(), Format::Plain, Expected::default(), work.path(), options).unwrap();
    assert_eq!(unpacked.index, layer.index);
    let on_disk = fs::metadata(work.path().join("data")).unwrap();
    assert_eq!(on_disk.uid(), rustix::process::geteuid().as_raw());
    // Looked at as an upper directory, the file still belongs to whom it belongs.
    let mut looking = wharf_builder::layer::DiffOptions::for_user_namespace();
    looking.ownership = Ownership::Squashed;
    let tree = Tree::of([&unpacked.index]);
    assert_eq!(wharf_builder::layer::list_upper(work.path(), &tree, &looking).unwrap(), []);
    fs::write(work.path().join("data"), "22").unwrap();
    let changes = wharf_builder::layer::list_upper(work.path(), &tree, &looking).unwrap();
    assert_eq!((changes.len(), changes[0].uid, changes[0].gid), (1, 33, 33));
}

#[test]
fn an_index_is_kept_in_little_space() {
    let entries = (0..30_000).map(|n| format!("usr/lib/python3/dist-packages/package{:04}/module{n:05}.py", n / 20));
    let mut layer = writer();
    for name in entries {
        layer.append_file(file(name, 1), &b"1"[..]).unwrap();
    }
    let index = layer.finish().unwrap().index;
    let encoded = index.encode();
    assert!(encoded.len() < 30_000 * 60, "{} bytes", encoded.len());
    assert_eq!(LayerIndex::decode(&encoded).unwrap(), index);
}

#[test]
fn markers_are_spelt_as_the_overlay_wants_them() {
    if !is_root("markers_are_spelt_as_the_overlay_wants_them") {
        return;
    }
    let mut layer = writer();
    layer.append(Entry::whiteout(path("gone"))).unwrap();
    layer.append(dir("d")).unwrap();
    layer.append(Entry::opaque(path("d"))).unwrap();
    let layer = layer.finish().unwrap();
    for (options, attribute) in [
        (UnpackOptions::for_root(), "trusted.overlay.opaque"),
        (UnpackOptions::for_user_namespace(), "user.overlay.opaque"),
    ] {
        let dest = tempfile::tempdir().unwrap();
        unpack(layer.sink.as_slice(), Format::Plain, Expected::default(), dest.path(), options).unwrap();
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(dest.path().join("d"), attribute, &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"y");
        let gone = fs::symlink_metadata(dest.path().join("gone")).unwrap();
        assert_eq!((gone.mode() & 0o170_000, gone.rdev()), (0o020_000, 0));
    }
}
