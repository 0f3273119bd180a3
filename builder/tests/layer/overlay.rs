//! Against the kernel: what a real overlay mount shows and leaves behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use wharf_builder::layer::{
    DiffError, DiffOptions, Encoding, Entry, Expected, Format, Kind, LayerPath, Ownership, Tree, UnpackOptions,
    adopt_parents, list_upper, unpack,
};

use super::{dir, file, is_root, layer_of, options, path, symlink as link, writer};

/// A stack of layers unpacked each for itself, and a fresh upper directory, mounted.
struct Mounted {
    work: tempfile::TempDir,
    tree: Tree,
}

impl Mounted {
    fn over(layers: &[&[u8]]) -> Self {
        let work = tempfile::tempdir().unwrap();
        let mut tree = Tree::new();
        let mut lowers = Vec::new();
        for (nth, tar) in layers.iter().enumerate() {
            let lower = work.path().join(format!("lower{nth}"));
            fs::create_dir(&lower).unwrap();
            let unpacked = unpack(*tar, Format::Plain, Expected::default(), &lower, UnpackOptions::for_root()).unwrap();
            adopt_parents(&lower, &unpacked.implied, &tree, Ownership::Real).unwrap();
            tree.push(&unpacked.index);
            lowers.insert(0, lower.display().to_string());
        }
        let mounted = Self { work, tree };
        for name in ["upper", "work", "merged"] {
            fs::create_dir(mounted.work.path().join(name)).unwrap();
        }
        adopt_parents(&mounted.upper(), &[LayerPath::root()], &mounted.tree, Ownership::Real).unwrap();
        let data = format!(
            "lowerdir={},upperdir={},workdir={},redirect_dir=off,metacopy=off,index=off",
            lowers.join(":"),
            mounted.upper().display(),
            mounted.work.path().join("work").display()
        );
        let data = std::ffi::CString::new(data).unwrap();
        mount("overlay", mounted.merged(), "overlay", MountFlags::empty(), data.as_c_str()).unwrap();
        mounted
    }

    fn merged(&self) -> PathBuf {
        self.work.path().join("merged")
    }

    fn upper(&self) -> PathBuf {
        self.work.path().join("upper")
    }

    /// What was done in the mount, one line per entry.
    fn changes(&self) -> Vec<String> {
        let entries = list_upper(&self.upper(), &self.tree, &DiffOptions::for_root()).unwrap();
        entries.iter().map(describe).collect()
    }

    /// Mounts the stack with the changes as one more layer, and checks that it looks the same.
    fn check_again(&self, layers: &[&[u8]]) {
        let top = layer_of(&self.upper(), &self.tree, options(Encoding::Uncompressed, 1));
        let mut stack = layers.to_vec();
        stack.push(&top.sink);
        let again = Self::over(&stack);
        assert_eq!(look(&again.merged()), look(&self.merged()));
        let mut tree = self.tree.clone();
        tree.push(&top.index);
        // The tree says the same as the kernel.
        let told: Vec<String> = tree.nodes().iter().map(|node| describe(node.entry())).skip(1).collect();
        let seen = list_upper(&self.merged(), &Tree::new(), &DiffOptions::for_root()).unwrap();
        let seen: Vec<String> = seen
            .iter()
            .filter(|entry| !entry.path.is_root())
            .map(|entry| describe(entry).replace("hard", "file"))
            .collect();
        assert_eq!(told, seen);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        unmount(self.merged(), UnmountFlags::DETACH).unwrap();
    }
}

fn describe(entry: &Entry) -> String {
    let kind = match entry.kind {
        Kind::File { .. } => "file",
        Kind::Dir => "dir",
        Kind::Symlink { .. } => "symlink",
        Kind::Hardlink { .. } => "hard",
        Kind::Char { .. } | Kind::Block { .. } => "device",
        Kind::Fifo => "fifo",
        Kind::Whiteout => "whiteout",
        Kind::Opaque => "opaque",
    };
    format!("{kind} {}", entry.path)
}

/// Everything there is to see, with modes, times and contents.
fn look(root: &Path) -> Vec<String> {
    let seen = layer_of(root, &Tree::new(), options(Encoding::Uncompressed, 1)).index;
    assert!(!seen.is_empty());
    seen.entries().iter().map(|one| format!("{one:?}")).collect()
}

fn base() -> Vec<u8> {
    let mut base = writer();
    for name in ["bin", "etc", "etc/conf.d", "tmp", "usr", "usr/lib"] {
        let mut entry = dir(name);
        entry.mode = if name == "tmp" { 0o1777 } else { 0o755 };
        base.append(entry).unwrap();
    }
    for name in ["bin/sh", "etc/passwd", "etc/conf.d/a", "etc/conf.d/b", "usr/lib/so"] {
        base.append_file(file(name, 4), &b"base"[..]).unwrap();
    }
    base.append(link("lib", "usr/lib")).unwrap();
    base.finish().unwrap().sink
}

/// Does `work` in a mount over the base layer; returns the changes and checks that they say everything.
#[track_caller]
fn check(work: impl FnOnce(&Path), expect: &[&str]) {
    if !is_root("an overlay test") {
        return;
    }
    let base = base();
    let mounted = Mounted::over(&[&base]);
    work(&mounted.merged());
    assert_eq!(mounted.changes(), expect);
    mounted.check_again(&[&base]);
}

#[test]
fn nothing_done_is_no_change() {
    check(|_| {}, &[]);
}

#[test]
fn what_was_copied_up_and_not_changed_is_no_change() {
    check(
        |root| {
            // Opening for writing copies up; so does changing the mode there and back.
            fs::OpenOptions::new().write(true).open(root.join("bin/sh")).unwrap();
            fs::set_permissions(root.join("etc/conf.d"), fs::Permissions::from_mode(0o700)).unwrap();
            fs::set_permissions(root.join("etc/conf.d"), fs::Permissions::from_mode(0o755)).unwrap();
        },
        &[],
    );
}

#[test]
fn new_changed_and_touched_files_bring_their_directories() {
    check(
        |root| {
            fs::write(root.join("etc/new"), "1").unwrap();
            fs::write(root.join("etc/conf.d/a"), "else").unwrap();
            fs::File::options()
                .write(true)
                .open(root.join("lib/so"))
                .unwrap()
                .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(9))
                .unwrap();
            fs::set_permissions(root.join("bin/sh"), fs::Permissions::from_mode(0o4755)).unwrap();
        },
        &[
            "dir /bin",
            "file /bin/sh",
            "dir /etc",
            "dir /etc/conf.d",
            "file /etc/conf.d/a",
            "file /etc/new",
            "dir /usr",
            "dir /usr/lib",
            "file /usr/lib/so",
        ],
    );
}

#[test]
fn the_same_size_and_time_with_another_content_is_a_change() {
    check(
        |root| {
            let sh = root.join("bin/sh");
            fs::write(&sh, "esab").unwrap();
            fs::File::options().write(true).open(&sh).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        },
        &["dir /bin", "file /bin/sh"],
    );
}

#[test]
fn removed_things_become_whiteouts_before_their_siblings() {
    check(
        |root| {
            fs::remove_file(root.join("etc/passwd")).unwrap();
            fs::write(root.join("etc/aaa"), "1").unwrap();
            fs::remove_dir_all(root.join("usr")).unwrap();
            fs::remove_file(root.join("lib")).unwrap();
        },
        &["whiteout /lib", "whiteout /usr", "dir /etc", "whiteout /etc/passwd", "file /etc/aaa"],
    );
}

#[test]
fn replaced_directories_are_opaque() {
    check(
        |root| {
            fs::remove_dir_all(root.join("etc/conf.d")).unwrap();
            fs::create_dir(root.join("etc/conf.d")).unwrap();
            fs::write(root.join("etc/conf.d/b"), "base").unwrap();
        },
        &["dir /etc", "dir /etc/conf.d", "opaque /etc/conf.d", "file /etc/conf.d/b"],
    );
}

#[test]
fn kinds_change() {
    check(
        |root| {
            fs::remove_dir_all(root.join("etc/conf.d")).unwrap();
            fs::write(root.join("etc/conf.d"), "now a file").unwrap();
            fs::remove_file(root.join("bin/sh")).unwrap();
            fs::create_dir(root.join("bin/sh")).unwrap();
            fs::write(root.join("bin/sh/x"), "now a directory").unwrap();
            fs::remove_file(root.join("lib")).unwrap();
            symlink("bin", root.join("lib")).unwrap();
        },
        &["dir /bin", "dir /bin/sh", "file /bin/sh/x", "dir /etc", "file /etc/conf.d", "symlink /lib"],
    );
}

#[test]
fn new_directories_hide_nothing_and_come_and_gone_leaves_no_whiteout() {
    check(
        |root| {
            fs::create_dir_all(root.join("opt/a/b")).unwrap();
            fs::write(root.join("opt/a/b/c"), "1").unwrap();
            fs::write(root.join("bin/tmp"), "1").unwrap();
            fs::remove_file(root.join("bin/tmp")).unwrap();
        },
        // The time of /bin changed.
        &["dir /bin", "dir /opt", "dir /opt/a", "dir /opt/a/b", "file /opt/a/b/c"],
    );
}

#[test]
fn hard_links_stay_together() {
    check(
        |root| {
            fs::write(root.join("tmp/b"), "1").unwrap();
            fs::hard_link(root.join("tmp/b"), root.join("tmp/a")).unwrap();
            // One name is old and unchanged: still one file.
            fs::hard_link(root.join("bin/sh"), root.join("bin/bash")).unwrap();
        },
        &["dir /bin", "file /bin/bash", "hard /bin/sh", "dir /tmp", "file /tmp/a", "hard /tmp/b"],
    );
}

#[test]
fn the_root_itself_can_change() {
    check(|root| fs::set_permissions(root, fs::Permissions::from_mode(0o711)).unwrap(), &["dir /"]);
}

#[test]
fn stacks_of_layers_with_markers_look_right() {
    if !is_root("stacks_of_layers_with_markers_look_right") {
        return;
    }
    let base = base();
    let mut middle = writer();
    middle.append(Entry::whiteout(path("bin/sh"))).unwrap();
    middle.append(dir("etc/conf.d")).unwrap();
    middle.append(Entry::opaque(path("etc/conf.d"))).unwrap();
    middle.append_file(file("etc/conf.d/c", 1), &b"1"[..]).unwrap();
    middle.append(Entry::whiteout(path("usr"))).unwrap();
    middle.append_file(file("usr/fresh", 1), &b"1"[..]).unwrap();
    middle.append_file(file("tmp/x", 1), &b"1"[..]).unwrap();
    let middle = middle.finish().unwrap().sink;
    let stack: [&[u8]; 2] = [&base, &middle];
    let mounted = Mounted::over(&stack);
    fs::write(mounted.merged().join("etc/conf.d/d"), "1").unwrap();
    mounted.check_again(&stack);
    let tmp = fs::metadata(mounted.merged().join("tmp")).unwrap();
    assert_eq!(tmp.permissions().mode() & 0o7777, 0o1777, "a layer that does not mention /tmp leaves it alone");
}

#[test]
fn mount_points_of_the_sandbox_are_no_change() {
    if !is_root("mount_points_of_the_sandbox_are_no_change") {
        return;
    }
    let base = base();
    let mounted = Mounted::over(&[&base]);
    fs::write(mounted.merged().join("etc/resolv.conf"), "").unwrap();
    fs::create_dir_all(mounted.merged().join("run/lock")).unwrap();
    fs::create_dir(mounted.merged().join("proc")).unwrap();
    let mut looking = DiffOptions::for_root();
    looking.ignore = vec![path("etc/resolv.conf"), path("proc"), path("run/lock")];
    assert_eq!(list_upper(&mounted.upper(), &mounted.tree, &looking).unwrap(), []);
    fs::write(mounted.merged().join("etc/mine"), "").unwrap();
    let changes: Vec<String> =
        list_upper(&mounted.upper(), &mounted.tree, &looking).unwrap().iter().map(describe).collect();
    assert_eq!(changes, ["dir /etc", "file /etc/mine"]);
}

#[test]
fn names_that_mean_deletion_are_refused() {
    let upper = tempfile::tempdir().unwrap();
    fs::write(upper.path().join(".wh.trap"), "").unwrap();
    let error = list_upper(upper.path(), &Tree::new(), &DiffOptions::for_root()).unwrap_err();
    assert!(matches!(error, DiffError::ReservedName { .. }), "{error}");
}
