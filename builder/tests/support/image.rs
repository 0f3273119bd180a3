//! An unpacked layer with a shell, made of this machine's programs and the libraries they need.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PROGRAMS: [&str; 30] = [
    "sh", "cat", "chmod", "chown", "cp", "dd", "echo", "env", "false", "head", "id", "ln", "ls", "mkdir", "mknod",
    "mount", "mv", "pwd", "readlink", "rm", "rmdir", "sleep", "sort", "stat", "touch", "true", "tty", "uname",
    "unshare", "wc",
];

/// Names a finished layer that [`layer`] gives instead of making one.
pub(crate) const READY: &str = "WHARF_TEST_IMAGE";

/// A layer with `/bin`, its libraries, `/etc/passwd`, `/etc/group` and `/tmp`; no `/proc`, `/dev`, `/sys`, no
/// `/etc/hosts`. Shared by all tests: nobody may change it.
pub(crate) fn layer() -> &'static Path {
    static LAYER: OnceLock<PathBuf> = OnceLock::new();
    LAYER.get_or_init(|| match std::env::var_os(READY) {
        Some(ready) => ready.into(),
        None => made_once("image-1", make),
    })
}

/// The same layer, all of it somebody else's.
pub(crate) fn layer_of(owner: u32) -> PathBuf {
    made_once(&format!("image-1-of-{owner}"), |root| {
        make(root);
        let given = Command::new("chown").args(["-hR", &format!("{owner}:{owner}")]).arg(root).status().unwrap();
        assert!(given.success());
    })
}

fn made_once(name: &str, make: impl FnOnce(&Path)) -> PathBuf {
    let finished = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if !finished.exists() {
        let making = finished.with_extension(format!("{}.{:?}", std::process::id(), std::thread::current().id()));
        make(&making);
        // Another test may have been first; its image is as good.
        if fs::rename(&making, &finished).is_err() {
            fs::remove_dir_all(&making).unwrap();
        }
    }
    finished
}

fn make(root: &Path) {
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let Some(found) = find(program) else { panic!("this machine has no `{program}`") };
        fs::copy(&found, root.join("usr/bin").join(program)).unwrap();
        libraries.extend(libraries_of(&found));
    }
    for library in libraries {
        let place = root.join(library.strip_prefix("/").unwrap());
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::copy(&library, place).unwrap();
    }
    write(root, "etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n");
    write(root, "etc/group", "root:x:0:\napp:x:1001:\nvideo:x:44:app\n");
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
}

/// Writes a file of an image, with the directories above it.
pub(crate) fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}
