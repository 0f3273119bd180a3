use std::num::NonZeroU64;

use super::*;
use crate::layer::{Fingerprint, IndexEntry, LayerIndex};
use crate::plan::Symbolic;

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text).unwrap()
}

fn entry(text: &str, kind: Kind, mode: u32) -> Entry {
    Entry { mtime: Mtime::from_secs(1000), ..Entry::new(path(text), kind, mode) }
}

fn file(text: &str) -> Found {
    Found { entry: entry(text, Kind::File { size: 1 }, 0o644), inode: None, stamp: None, content: None }
}

fn dir(text: &str) -> Found {
    Found { entry: entry(text, Kind::Dir, 0o700), inode: None, stamp: None, content: None }
}

fn link(text: &str, target: &str) -> Found {
    Found {
        entry: entry(text, Kind::Symlink { target: target.as_bytes().into() }, 0o777),
        inode: None,
        stamp: None,
        content: None,
    }
}

fn only(top: Found) -> Selection {
    Selection { name: top.entry.path.file_name().to_vec(), top, below: FoundList::default() }
}

fn tree(found: &[Found]) -> Tree {
    let entries = found.iter().map(|found| {
        let content = matches!(found.entry.kind, Kind::File { .. }).then(|| Fingerprint::of(b"x"));
        IndexEntry { entry: found.entry.clone(), content }
    });
    Tree::of([&LayerIndex::new(entries.collect()).unwrap()])
}

/// What stands in the image already: `/etc` 0700 of root, `/tmp` 1777, links to both, a file.
fn image() -> Tree {
    let mut tmp = dir("tmp");
    tmp.entry.mode = 0o1777;
    tree(&[
        dir("etc"),
        file("etc/hosts"),
        tmp,
        link("conf", "/etc"),
        link("up", "../../../../tmp"),
        link("file", "etc/hosts"),
        link("loop", "loop"),
    ])
}

fn show(layout: Layout<'_>) -> Vec<String> {
    let line = |ready: Ready| {
        let Entry { path, kind, mode, uid, gid, mtime, .. } = ready.entry;
        let kind = match kind {
            Kind::File { .. } => "file".to_owned(),
            Kind::Dir => "dir".to_owned(),
            Kind::Symlink { target } => format!("-> {}", String::from_utf8_lossy(&target)),
            Kind::Hardlink { target } => format!("== {target}"),
            other => format!("{other:?}"),
        };
        let time = if mtime == DATELESS { "dateless".to_owned() } else { mtime.secs.to_string() };
        format!("{path} {mode:o} {uid}:{gid} {time} {kind}")
    };
    layout.finish().map(line).collect()
}

#[track_caller]
fn check(selections: &[Selection], destination: &str, expect: &[&str]) {
    let image = image();
    let mut layout = Layout::new(&image, Rules::default());
    let form = if destination.ends_with('/') { DestinationForm::Directory } else { DestinationForm::Open };
    for selection in selections {
        layout.copy(selection.clone(), destination, form).unwrap();
    }
    assert_eq!(show(layout), expect);
}

#[track_caller]
fn refused(selection: &Selection, destination: &str, expect: &str) {
    let image = image();
    let mut layout = Layout::new(&image, Rules::default());
    let form = if destination.ends_with('/') { DestinationForm::Directory } else { DestinationForm::Open };
    assert_eq!(layout.copy(selection.clone(), destination, form).unwrap_err().to_string(), expect);
}

#[test]
fn a_file_goes_into_a_directory_or_takes_the_name() {
    let one = only(file("src/a"));
    check(std::slice::from_ref(&one), "/x", &["/x 644 0:0 1000 file"]);
    check(std::slice::from_ref(&one), "/x/", &["/x 755 0:0 dateless dir", "/x/a 644 0:0 1000 file"]);
    check(std::slice::from_ref(&one), "/tmp", &["/tmp 1777 0:0 1000 dir", "/tmp/a 644 0:0 1000 file"]);
    check(
        std::slice::from_ref(&one),
        "/n/m/x",
        &["/n 755 0:0 dateless dir", "/n/m 755 0:0 dateless dir", "/n/m/x 644 0:0 1000 file"],
    );
    check(&[one], "/etc/hosts", &["/etc 700 0:0 1000 dir", "/etc/hosts 644 0:0 1000 file"]);
}

#[test]
fn links_in_the_destination_are_followed_inside_the_image() {
    let one = only(file("a"));
    check(std::slice::from_ref(&one), "/conf/", &["/etc 700 0:0 1000 dir", "/etc/a 644 0:0 1000 file"]);
    check(std::slice::from_ref(&one), "/up/x", &["/tmp 1777 0:0 1000 dir", "/tmp/x 644 0:0 1000 file"]);
    check(std::slice::from_ref(&one), "/file", &["/etc 700 0:0 1000 dir", "/etc/hosts 644 0:0 1000 file"]);
    refused(&one, "/loop/x", "/loop/x leads through too many symbolic links");
    refused(&one, "/etc/hosts/x", "/etc/hosts is not a directory");
}

#[test]
fn a_directory_s_content_is_merged_and_what_was_there_keeps_its_mode() {
    let source = Selection {
        name: b"src".to_vec(),
        top: dir("src"),
        below: vec![dir("src/sub"), file("src/sub/a"), link("src/to", "sub/a")].into(),
    };
    check(
        std::slice::from_ref(&source),
        "/tmp",
        &[
            "/tmp 1777 0:0 1000 dir",
            "/tmp/sub 700 0:0 1000 dir",
            "/tmp/sub/a 644 0:0 1000 file",
            "/tmp/to 777 0:0 1000 -> sub/a",
        ],
    );
    // A new directory is 0755, whatever the source's mode.
    check(&[Selection { below: FoundList::default(), ..source.clone() }], "/new", &["/new 755 0:0 1000 dir"]);
    refused(&source, "/etc/hosts", "/etc/hosts is not a directory");
}

#[test]
fn directories_and_files_never_replace_each_other() {
    let over = |name: &str, child: Found| Selection { name: name.into(), top: dir(name), below: vec![child].into() };
    refused(&over("s", dir("s/hosts")), "/etc", "/etc/hosts is not a directory and cannot be replaced by one");
    refused(&over("s", file("s/etc")), "/", "/etc is a directory and cannot be replaced by a file");
    refused(&only(file("s/etc")), "/", "/etc is a directory and cannot be replaced by a file");
    refused(
        &only(file(".wh.x")),
        "/",
        "/.wh.x cannot be stored in an image: names that begin with `.wh.` mean deletions there",
    );
}

#[test]
fn names_of_one_file_stay_one_file() {
    let twin = |text: &str| Found { inode: NonZeroU64::new(7), ..file(text) };
    let source = Selection { name: b"s".to_vec(), top: dir("s"), below: vec![twin("s/a"), twin("s/b")].into() };
    check(&[source], "/", &["/a 644 0:0 1000 file", "/b 644 0:0 1000 == /a"]);
}

#[test]
fn owner_and_mode_rule_everything_new() {
    let image = image();
    let owner = Some(Owner { uid: 5, gid: 6 });
    let source = Selection { name: b"s".to_vec(), top: dir("s"), below: vec![file("s/a"), link("s/l", "a")].into() };
    let mut layout = Layout::new(&image, Rules { owner, mode: Some(Chmod::Octal(0o640)) });
    layout.copy(source, "/n/m", DestinationForm::Open).unwrap();
    let text: Arc<[u8]> = Arc::from(&b"hi"[..]);
    layout.write(("EOF", text), "/tmp/", DestinationForm::Directory).unwrap();
    assert_eq!(
        show(layout),
        [
            "/n 640 5:6 dateless dir",
            "/n/m 640 5:6 1000 dir",
            "/n/m/a 640 5:6 1000 file",
            "/n/m/l 777 5:6 1000 -> a",
            "/tmp 1777 0:0 1000 dir",
            "/tmp/EOF 640 5:6 dateless file",
        ]
    );
    let symbolic = Symbolic::parse("go=").map(Chmod::Symbolic);
    let mut layout = Layout::new(&image, Rules { owner: None, mode: symbolic });
    layout.copy(only(file("a")), "/x", DestinationForm::Open).unwrap();
    assert_eq!(show(layout), ["/x 600 0:0 1000 file"]);
}

#[test]
fn nothing_there_means_new_directories() {
    let nothing = Tree::new();
    let mut layout = Layout::new(&nothing, Rules::default());
    layout.copy(only(file("a")), "/tmp/x", DestinationForm::Open).unwrap();
    assert_eq!(show(layout), ["/tmp 755 0:0 dateless dir", "/tmp/x 644 0:0 1000 file"]);
}
