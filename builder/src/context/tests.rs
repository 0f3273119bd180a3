use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::files::resolve;
use crate::layer::Fingerprint;

fn path(text: &str) -> LayerPath {
    LayerPath::parse(text).unwrap()
}

fn directory(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let at = root.path().join(file);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        fs::write(at, *file).unwrap();
    }
    root
}

fn open(root: &tempfile::TempDir, ignore: Option<&str>) -> Context {
    Context::open("context", root.path(), ignore, Hashes::default()).unwrap()
}

fn everything(context: &Context) -> Vec<String> {
    let root = context.get(&LayerPath::root()).unwrap().unwrap();
    context.walk(&root).unwrap().iter().skip(1).map(|found| text(&found.entry.path)).collect()
}

#[test]
fn ignored_files_are_not_there_and_exceptions_are() {
    let root = directory(&["a.txt", "node_modules/x/index.js", "node_modules/keep/k.js", "src/main.rs", "src/a.log"]);
    let context = open(&root, Some("node_modules\n!node_modules/keep\n**/*.log\n"));
    assert_eq!(
        everything(&context),
        ["a.txt", "node_modules", "node_modules/keep", "node_modules/keep/k.js", "src", "src/main.rs"]
    );
    assert!(context.get(&path("node_modules/x/index.js")).unwrap().is_none());
    assert!(matches!(context.absence(&path("src/a.log")), Absence::Ignored { .. }));
    assert!(matches!(context.absence(&path("node_modules/x/index.js")), Absence::Ignored { .. }));
    let Absence::Nothing { siblings } = context.absence(&path("src/main.rd")) else { panic!("it is not ignored") };
    assert_eq!(siblings, ["src/main.rs"]);
}

#[test]
fn a_directory_of_ignored_files_alone_is_hidden_when_it_is_ignored_itself() {
    let root = directory(&["target/debug/x", "target/.keep"]);
    assert!(everything(&open(&root, Some("target\n!target/*.md"))).is_empty());
    assert_eq!(everything(&open(&root, Some("target/*"))), ["target"]);
}

#[test]
fn links_that_go_in_circles_sockets_and_detours_do_no_harm() {
    let root = directory(&["real/file"]);
    symlink("..", root.path().join("real/up")).unwrap();
    symlink("loop", root.path().join("loop")).unwrap();
    symlink("/etc/passwd", root.path().join("outside")).unwrap();
    symlink("../../../../../../real/file", root.path().join("detour")).unwrap();
    let _socket = UnixListener::bind(root.path().join("socket")).unwrap();
    let context = open(&root, None);
    assert_eq!(everything(&context), ["detour", "loop", "outside", "real", "real/file", "real/up"]);
    assert!(resolve(&context, &path("outside")).unwrap().is_none(), "never the machine's own file");
    assert_eq!(resolve(&context, &path("detour")).unwrap().unwrap().entry.path, path("real/file"));
    assert_eq!(resolve(&context, &path("real/up/real/file")).unwrap().unwrap().entry.path, path("real/file"));
    assert!(matches!(resolve(&context, &path("loop")), Err(FilesError::TooManyLinks { .. })));
    assert!(context.open_file(&path("outside")).is_err());
    assert!(context.open_file(&path("real/up/real/file")).is_err(), "only what was resolved is opened");
}

#[test]
fn everybody_is_root_and_modes_stay() {
    let root = directory(&["run.sh"]);
    fs::set_permissions(root.path().join("run.sh"), fs::Permissions::from_mode(0o4755)).unwrap();
    let context = open(&root, None);
    let mut found = context.get(&path("run.sh")).unwrap().unwrap();
    assert_eq!((found.entry.mode, found.entry.uid, found.entry.gid), (0o4755, 0, 0));
    context.fingerprint(vec![&mut found]).unwrap();
    assert_eq!(found.content, Some(Fingerprint::of(b"run.sh")));
    fs::write(root.path().join("run.sh"), "changed").unwrap();
    let mut found = context.get(&path("run.sh")).unwrap().unwrap();
    context.fingerprint(vec![&mut found]).unwrap();
    assert_eq!(found.content, Some(Fingerprint::of(b"changed")));
}

#[test]
fn names_of_one_file_are_known_as_such() {
    let root = directory(&["a"]);
    fs::hard_link(root.path().join("a"), root.path().join("b")).unwrap();
    let context = open(&root, None);
    let inode = |name: &str| context.get(&path(name)).unwrap().unwrap().inode;
    assert!(inode("a").is_some());
    assert_eq!(inode("a"), inode("b"));
}

#[test]
fn the_directory_s_own_ignore_file_counts_unless_replaced() {
    let root = directory(&["a", "b"]);
    fs::write(root.path().join(".dockerignore"), "a\n").unwrap();
    assert_eq!(everything(&open(&root, None)), [".dockerignore", "b"]);
    assert_eq!(everything(&open(&root, Some("b"))), [".dockerignore", "a"]);
    fs::write(root.path().join(".dockerignore"), "!\n").unwrap();
    let error = Context::open("context", root.path(), None, Hashes::default()).err();
    assert!(matches!(error, Some(ContextError::Ignore { .. })));
}

#[test]
fn a_walk_by_many_is_that_of_one() {
    let names: Vec<String> = (0..400).map(|n| format!("{}/{}/x{}/{n}", n % 3, n % 7, n % 11)).collect();
    let root = directory(
        &names.iter().map(String::as_str).chain(["deep/1/2/3/4/5/6/7/8/9/10/file", "top"]).collect::<Vec<_>>(),
    );
    let context = open(&root, Some("0/3\n"));
    for start in ["", "2", "deep", "top"] {
        let top = context.get(&path(start)).unwrap().unwrap();
        assert_eq!(context.walk(&top).unwrap(), crate::files::walk_alone(&context, top).unwrap().into());
    }
}
