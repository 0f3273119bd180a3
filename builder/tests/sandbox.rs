//! What a build step sees, and what it leaves behind.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use support::image::{layer, write};
use support::step::Step;
use tempfile::TempDir;
use wharf_builder::sandbox::{Access, MountKind, Secret, Writes, opaque_attribute};

/// A further layer.
fn layer_with(files: &[(&str, &str)]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (path, text) in files {
        write(root.path(), path, text);
    }
    root
}

fn over(layers: &[&Path], script: &str) -> Step {
    Step::over(layers.iter().map(|layer| (*layer).to_owned()).collect(), &["/bin/sh", "-c", script])
}

fn bind(source: &Path, access: Access) -> MountKind {
    MountKind::Bind { source: source.to_owned(), subpath: String::new(), access }
}

#[tokio::test]
async fn output_and_exit_code_come_back() {
    let ran = Step::shell("echo out; echo err >&2; exit 3").run().await;
    ran.exited(3);
    assert_eq!(ran.stdout, "out\n");
    assert_eq!(ran.stderr, "err\n");
}

#[tokio::test]
async fn a_lot_of_output_comes_whole() {
    let ran = Step::shell("head -c 5000000 /dev/zero").run().await;
    assert_eq!(ran.ok().len(), 5_000_000);
}

#[tokio::test]
async fn nothing_of_the_host_leaks_in() {
    let ran = Step::shell("env; echo --; ls /proc/self/fd; echo --; pwd; uname -n; cat").run().await;
    // `ls` itself has the directory open.
    let expected = "HOME=/root\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\n--\n\
                    0\n1\n2\n3\n--\n/\nwharf\n";
    let (env, rest) = ran.ok().split_once("--").unwrap();
    let mut env: Vec<&str> = env.lines().collect();
    env.sort_unstable();
    assert_eq!(format!("{}\n--{rest}", env.join("\n")), expected);
}

#[tokio::test]
async fn only_its_own_processes_exist() {
    let ran = Step::shell("echo /proc/[0-9]*").run().await;
    assert_eq!(ran.ok(), "/proc/1 /proc/2\n");
}

#[tokio::test]
async fn the_environment_is_the_callers() {
    let ran = Step::shell("echo $A $HOME").env("A", "1").env("HOME", "/h").env("A", "2").run().await;
    assert_eq!(ran.ok(), "2 /h\n");
}

#[tokio::test]
async fn hosts_and_resolvers_are_there_and_locked() {
    let mut step = Step::shell("cat /etc/hosts; echo x >> /etc/hosts || echo x > /etc/resolv.conf");
    step.process.extra_hosts.push(("db".to_owned(), "10.0.0.7".parse().unwrap()));
    let ran = step.run().await;
    ran.exited(2);
    assert!(ran.stdout.contains("localhost wharf") && ran.stdout.ends_with("10.0.0.7\tdb\n"), "{}", ran.stdout);
    assert!(ran.stderr.matches("Read-only file system").count() == 2, "{}", ran.stderr);
}

#[tokio::test]
async fn a_step_that_changes_nothing_leaves_nothing() {
    let cache = tempfile::tempdir().unwrap();
    let secret = MountKind::File { contents: Secret::new(b"s".to_vec()), mode: 0o400, uid: 0, gid: 0 };
    let step = Step::shell("ls /proc/1 /dev/null /sys /etc/hosts /run/secrets/token /etc/ssl/deep/cache >/dev/null")
        .mount("/run/secrets/token", secret)
        .mount("/etc/ssl/deep/cache", bind(cache.path(), Access::ReadWrite))
        .mount("/scratch", MountKind::Tmpfs { size: None });
    let ran = step.run().await;
    ran.ok();
    assert_eq!(ran.changes(), [""; 0]);
}

#[tokio::test]
async fn an_images_own_name_files_are_hidden_and_kept() {
    let top = layer_with(&[("etc/resolv.conf", "nameserver 1.1.1.1\n"), ("etc/hosts", "mine\n")]);
    let ran = over(&[layer(), top.path()], "cat /etc/hosts /etc/resolv.conf; echo new > /etc/new").run().await;
    assert!(!ran.ok().contains("mine") && !ran.stdout.contains("1.1.1.1"), "{}", ran.stdout);
    assert_eq!(ran.changes(), ["etc/", "etc/new"]);
}

#[tokio::test]
async fn a_linked_resolv_conf_is_followed_inside_the_image() {
    let top = layer_with(&[]);
    fs::create_dir(top.path().join("etc")).unwrap();
    symlink("../run/systemd/resolve/stub-resolv.conf", top.path().join("etc/resolv.conf")).unwrap();
    let ran = over(&[layer(), top.path()], "test -L /etc/resolv.conf && wc -c < /etc/resolv.conf").run().await;
    let host = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    assert_ne!(ran.ok().trim() == "0", !host.is_empty());
    assert_eq!(ran.changes(), [""; 0]);
}

#[tokio::test]
async fn mount_points_work_where_the_image_deleted_them() {
    let (below, top) = (layer_with(&[("etc/hosts", "old\n"), ("srv/x/file", "")]), layer_with(&[]));
    fs::create_dir_all(top.path().join("etc")).unwrap();
    fs::create_dir_all(top.path().join("srv")).unwrap();
    fs::set_permissions(top.path().join("srv"), fs::Permissions::from_mode(0o750)).unwrap();
    let deleted = top.path().join("etc/hosts");
    let node = rustix::fs::FileType::CharacterDevice;
    rustix::fs::mknodat(rustix::fs::CWD, &deleted, node, rustix::fs::Mode::empty(), 0).unwrap();
    let opaque = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(top.path().join("srv"), opaque_attribute(), b"y", opaque).unwrap();
    let stamp = fs::metadata(top.path().join("srv")).unwrap().mtime();

    let script = "cat /etc/hosts; stat -c '%a %Y' /srv; ls /srv; echo >> /srv/new";
    let ran = over(&[layer(), below.path(), top.path()], script)
        .mount("/srv/data", MountKind::Tmpfs { size: None })
        .run()
        .await;
    assert!(ran.ok().contains("localhost wharf"), "{}", ran.stdout);
    assert!(ran.stdout.ends_with(&format!("750 {stamp}\ndata\n")), "{}", ran.stdout);
    assert_eq!(ran.changes(), ["srv/", "srv/new"]);
    assert_eq!(fs::metadata(ran.upper.join("srv")).unwrap().mode() & 0o777, 0o750);
}

#[tokio::test]
async fn changes_are_in_the_upper_directory() {
    let script = "rm /etc/group; echo x > /etc/new; mkdir -p /a/b; chmod 700 /tmp; rm -r /usr/bin; :";
    let ran = Step::shell(script).run().await;
    ran.ok();
    assert_eq!(ran.changes(), ["-etc/group", "-usr/bin", "a/", "a/b/", "etc/", "etc/new", "tmp/", "usr/"]);
    assert!(layer().join("usr/bin/sh").exists(), "the layer below stays");
}

#[tokio::test]
async fn the_root_directory_looks_like_the_images() {
    let top = layer_with(&[]);
    fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let stamp = fs::metadata(top.path()).unwrap().mtime();
    let ran = over(&[layer(), top.path()], "stat -c '%a %Y' /").run().await;
    assert_eq!(ran.ok(), format!("711 {stamp}\n"));
}

#[tokio::test]
async fn a_hundred_and_fifty_layers_with_long_names_are_one_file_system() {
    let room = tempfile::tempdir().unwrap();
    let mut layers = vec![layer().to_owned()];
    for number in 0..150 {
        let path = room.path().join(format!("{number},colon:{}", "x".repeat(100)));
        write(&path, &format!("n/{number}"), "");
        layers.push(path);
    }
    // The same layer again, as images may have it.
    layers.push(layers[1].clone());
    let ran = Step::over(layers, &["/bin/sh", "-c", "ls /n | wc -l"]).run().await;
    assert_eq!(ran.ok(), "150\n");
}

#[tokio::test]
async fn the_working_directory_is_made_and_stays() {
    if !support::has_many_ids() {
        skip!("there is one user id only");
    }
    let mut step = Step::shell("pwd; stat -c %a .").user("app");
    step.process.cwd = "/srv/app/../work".to_owned();
    let ran = step.run().await;
    assert_eq!(ran.ok(), "/srv/work\n755\n");
    assert_eq!(ran.changes(), ["srv/", "srv/work/"]);
}

#[tokio::test]
async fn users_are_those_of_the_image() {
    if !support::has_many_ids() {
        skip!("there is one user id only");
    }
    let script = "id -u; id -G; echo $HOME; echo x > /tmp/mine; echo seen > /dev/stdout; umask";
    let ran = Step::shell(script).user("app").run().await;
    assert_eq!(ran.ok(), "1000\n1001 44\n/home/app\nseen\n0022\n");
    let made = fs::metadata(ran.upper.join("tmp/mine")).unwrap();
    assert_eq!((made.uid(), made.gid(), made.mode() & 0o777), (1000, 1001, 0o644));

    let ran = Step::shell("id -u; id -G; echo $HOME").user("4242:video").run().await;
    assert_eq!(ran.ok(), "4242\n44\n/\n");
}

#[tokio::test]
async fn binds_show_the_host_as_allowed() {
    let host = layer_with(&[("in/file", "text\n")]);
    symlink("/etc", host.path().join("out")).unwrap();
    let script = "cat /ro/in/file; echo x > /ro/new; echo x > /rw/new; cat /sub; ls /out";
    let kind =
        |subpath: &str, access| MountKind::Bind { source: host.path().to_owned(), subpath: subpath.to_owned(), access };
    let ran = Step::shell(script)
        .mount("/ro", bind(host.path(), Access::ReadOnly))
        .mount("/rw", bind(host.path(), Access::ReadWrite))
        .mount("/sub", kind("/in/../in/file", Access::ReadOnly))
        .run()
        .await;
    ran.exited(2);
    assert_eq!(ran.stdout, "text\ntext\n");
    assert!(ran.stderr.contains("/ro/new: Read-only file system"), "{}", ran.stderr);
    assert!(host.path().join("new").exists());
    assert_eq!(ran.changes(), [""; 0]);

    let error = Step::shell(":").mount("/x", kind("out/passwd", Access::ReadOnly)).run().await.result.unwrap_err();
    assert!(error.to_string().ends_with("out/passwd: No such file or directory (os error 2)"), "{error}");
}

#[tokio::test]
async fn layers_are_mounted_without_being_changed() {
    let (low, high) = (layer_with(&[("a/1", ""), ("a/2", "")]), layer_with(&[("a/3", "")]));
    let layers = |writes, subpath: &str| MountKind::Layers {
        lowers: vec![low.path().to_owned(), high.path().to_owned()],
        subpath: subpath.to_owned(),
        writes,
    };
    let ran = Step::shell("ls /x /y; touch /y/4; ls /y; touch /x/4")
        .mount("/x", layers(Writes::Refused, "a"))
        .mount("/y", layers(Writes::Discarded, "/a"))
        .mount("/z", MountKind::Layers { lowers: Vec::new(), subpath: String::new(), writes: Writes::Refused })
        .run()
        .await;
    ran.exited(1);
    assert_eq!(ran.stdout, "/x:\n1\n2\n3\n\n/y:\n1\n2\n3\n1\n2\n3\n4\n");
    assert!(ran.stderr.contains("Read-only"), "{}", ran.stderr);
    assert!(!low.path().join("a/4").exists() && !high.path().join("a/4").exists());
}

#[tokio::test]
async fn a_secret_is_a_file_in_memory() {
    if !support::has_many_ids() {
        skip!("there is one user id only");
    }
    let kind = MountKind::File { contents: Secret::new(b"hunter2".to_vec()), mode: 0o440, uid: 1000, gid: 44 };
    let script = "cat /run/secrets/token; stat -c ' %a %u %g' /run/secrets/token; echo > /run/secrets/token";
    let step = Step::shell(script).user("app").mount("/run/secrets/token", kind);
    let memory = step.rootfs.shared.join("memory");
    let ran = step.run().await;
    ran.exited(2);
    assert_eq!(ran.stdout, "hunter2 440 1000 44\n");
    assert_eq!(ran.changes(), [""; 0]);
    assert!(fs::read_dir(memory).unwrap().next().is_none(), "never on disk");
}

#[tokio::test]
async fn what_sandboxes_share_has_nothing_of_one_of_them() {
    let first = Step::shell("ls -d /only/here").mount("/only/here", MountKind::Tmpfs { size: None });
    let mut second = Step::shell("ls -d /only /proc /etc/hosts");
    second.rootfs.shared.clone_from(&first.rootfs.shared);
    let first = first.run().await;
    assert_eq!(first.ok(), "/only/here\n");
    let second = second.run().await;
    assert_eq!(second.stdout, "/etc/hosts\n/proc\n", "{}", second.stderr);
    assert_eq!(second.changes(), [""; 0]);
}

#[tokio::test]
async fn a_tmpfs_has_its_size() {
    let script = "dd if=/dev/zero of=/t/x bs=1024 count=200 2>/dev/null; stat -c %s /t/x";
    let ran = Step::shell(script).mount("/t", MountKind::Tmpfs { size: Some(100 << 10) }).run().await;
    assert_eq!(ran.ok(), "102400\n");
}

#[tokio::test]
async fn mounts_inside_mounts_leave_no_trace_in_a_cache() {
    let (cache, inner) = (layer_with(&[("kept", "")]), layer_with(&[("seen", "")]));
    let ran = Step::shell("ls /cache/deep/inner; touch /cache/made")
        // Children before parents on purpose.
        .mount("/cache/deep/inner", bind(inner.path(), Access::ReadOnly))
        .mount("/cache", bind(cache.path(), Access::ReadWrite))
        .run()
        .await;
    assert_eq!(ran.ok(), "seen\n");
    let mut names: Vec<_> = fs::read_dir(cache.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["kept", "made"]);
}

#[tokio::test]
async fn mounts_that_cannot_be_are_errors() {
    let missing = Step::shell(":").mount("/x", bind(Path::new("/does/not/exist"), Access::ReadOnly)).run().await;
    let error = missing.result.unwrap_err();
    assert_eq!(error.to_string(), "cannot mount /does/not/exist: No such file or directory (os error 2)");
    let root = Step::shell(":").mount("/", MountKind::Tmpfs { size: None }).run().await.result.unwrap_err();
    assert_eq!(root.to_string(), "cannot make a mount point /: Invalid argument (os error 22)");
}
