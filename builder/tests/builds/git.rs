//! `ADD` of repositories, from a Git server on loopback.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixture::World;
use crate::show;

/// Repositories behind a server: each connection is one `git daemon`.
struct Server {
    directory: TempDir,
    address: SocketAddr,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let base = directory.path().to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (input, output) = (OwnedFd::from(stream.try_clone().unwrap()), OwnedFd::from(stream));
                let mut daemon = Command::new("git");
                daemon.args(["daemon", "--inetd", "--export-all"]);
                daemon.arg(format!("--base-path={}", base.display())).arg(&base);
                let _ = daemon.stdin(input).stdout(output).stderr(Stdio::null()).status();
            }
        });
        Self { directory, address }
    }

    fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }

    /// A repository with these files on `main`; its commit.
    fn repository(&self, name: &str, files: &[(&str, &str)]) -> String {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).unwrap();
        git(&path, &["init", "-q", "-b", "main"]);
        self.commit(name, files)
    }

    fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        let path = self.directory.path().join(name);
        for (file, text) in files {
            let file = path.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        git(&path, &["add", "-A"]);
        git(&path, &["commit", "-q", "-m", "x"]);
        git(&path, &["rev-parse", "HEAD"])
    }

    fn git(&self, name: &str, arguments: &[&str]) -> String {
        git(&self.directory.path().join(name), arguments)
    }
}

fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(directory).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(arguments);
    command.env("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z").env("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z");
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let done = command.output().unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// Paths and modes of what a Dockerfile of this one ADD gives.
async fn added(add: &str) -> Vec<String> {
    let world = World::new();
    let result = world.build(&format!("FROM scratch\nADD {add}\n")).await;
    let tree = show::tree(&world.store, &result).await;
    let short = |line: String| line.split(' ').take(3).collect::<Vec<_>>().join(" ");
    show::files(&tree).into_iter().map(short).collect()
}

async fn refused(add: &str) -> String {
    World::new().failure(&format!("FROM scratch\nADD {add}\n")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_is_checked_out_as_asked() {
    let server = Server::start();
    let first = server.repository("r", &[("a", "1"), ("d/b", "2"), (".dockerignore", "a\n")]);
    server.git("r", &["tag", "v1"]);
    let second = server.commit("r", &[("c", "3")]);
    server.git("r", &["branch", "other", "v1"]);
    let url = server.url("r");
    let all = [
        "/x 0755 0:0",
        "/x/.dockerignore 0644 0:0",
        "/x/a 0644 0:0",
        "/x/c 0644 0:0",
        "/x/d 0755 0:0",
        "/x/d/b 0644 0:0",
    ];
    assert_eq!(added(&format!("{url} /x")).await, all);
    let old: Vec<&str> = all.into_iter().filter(|line| !line.starts_with("/x/c")).collect();
    for what in ["#v1", "#other", "#refs/heads/other", "?tag=v1", "?branch=other", "?ref=v1"] {
        assert_eq!(added(&format!("{url}{what} /x/")).await, old, "{what}");
    }
    assert_eq!(added(&format!("{url}#{first} /x")).await, old, "a commit");
    assert_eq!(added(&format!("{url}#{} /x", &first[..10])).await, old, "a short commit");
    assert_eq!(added(&format!("{url}#:d /x")).await, ["/x 0755 0:0", "/x/b 0644 0:0"]);
    assert_eq!(added(&format!("{url}?subdir=d&ref=v1 /")).await, ["/b 0644 0:0"]);
    let checked = format!("--checksum={} --chown=3 --chmod=600 {url}#:d /", &second[..8]);
    assert_eq!(added(&checked).await, ["/b 0600 3:3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn git_s_own_directory_is_kept_when_asked() {
    let server = Server::start();
    server.repository("r", &[("a", "1")]);
    let url = server.url("r");
    let has_head = |lines: Vec<String>| lines.iter().any(|line| line.starts_with("/.git/HEAD "));
    assert!(has_head(added(&format!("--keep-git-dir {url} /")).await));
    assert!(has_head(added(&format!("{url}?keep-git-dir=1 /")).await));
    assert!(!has_head(added(&format!("--keep-git-dir=false {url}?keep-git-dir=1 /")).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_come_along() {
    let server = Server::start();
    let inner = server.repository("inner", &[("in", "1")]);
    let modules = format!("[submodule \"m\"]\n\tpath = m\n\turl = {}\n", server.url("inner"));
    server.repository("outer", &[("out", "2"), (".gitmodules", &modules)]);
    server.git("outer", &["update-index", "--add", "--cacheinfo", &format!("160000,{inner},m")]);
    server.git("outer", &["commit", "-q", "-m", "m"]);
    let url = server.url("outer");
    let with = added(&format!("{url} /")).await;
    assert_eq!(with, ["/.gitmodules 0644 0:0", "/m 0755 0:0", "/m/in 0644 0:0", "/out 0644 0:0"]);
    let without = added(&format!("{url}?submodules=0 /")).await;
    assert_eq!(without, ["/.gitmodules 0644 0:0", "/m 0755 0:0", "/out 0644 0:0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submodule_reads_nothing_of_this_machine() {
    let server = Server::start();
    let inner = server.repository("inner", &[("in", "1")]);
    let modules = format!("[submodule \"m\"]\n\tpath = m\n\turl = {}/inner\n", server.directory.path().display());
    server.repository("outer", &[(".gitmodules", &modules)]);
    server.git("outer", &["update-index", "--add", "--cacheinfo", &format!("160000,{inner},m")]);
    server.git("outer", &["commit", "-q", "-m", "m"]);
    let message = refused(&format!("{} /", server.url("outer"))).await;
    assert!(message.contains("transport 'file' not allowed"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_can_be_as_old_as_the_commit() {
    let server = Server::start();
    server.repository("r", &[("a", "1")]);
    let world = World::new();
    let result = world.build(&format!("FROM scratch\nADD {}?mtime=commit /\n", server.url("r"))).await;
    let tree = show::tree(&world.store, &result).await;
    assert_eq!(tree.nodes().last().unwrap().entry().mtime.secs, 978_307_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said() {
    let server = Server::start();
    let commit = server.repository("r", &[("a", "1")]);
    let url = server.url("r");
    for (add, words) in [
        (format!("{url}#nowhere /"), vec!["couldn't find remote ref nowhere", "name a branch"]),
        (format!("{url}#:nowhere /"), vec!["there is no directory `nowhere` in it"]),
        (format!("--checksum=0123456789 {url} /"), vec![&commit, "name the commit"]),
        (format!("{} /", server.url("none")), vec!["the repository git://", "`git fetch` failed"]),
        (format!("{url}?brunch=x /"), vec!["`brunch=x`", "did you mean `branch`?"]),
        (format!("{url} other /x/"), vec!["not added together", "an ADD of its own"]),
        (format!("--checksum=sha256:0 {url} /"), vec!["is no commit"]),
    ] {
        let message = refused(&add).await;
        for word in words {
            assert!(message.contains(word), "{add}: {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_can_be_as_old_as_a_commit() {
    let server = Server::start();
    server.repository("r", &[("a", "1")]);
    let world = World::new();
    let text =
        format!("FROM scratch AS source\nADD {}#main /\nFROM scratch\nCOPY --from=source /a /\n", server.url("r"));
    let mut request = world.request(&text);
    request.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), "source".to_owned());
    let first = world.build_request(request.clone()).await;
    assert_eq!(first.source_date_epoch, Some(978_307_200));
    assert_eq!(first.config.created.as_deref(), Some("2001-01-01T00:00:00Z"));
    request.build_args.insert("SOURCE_DATE_EPOCH".to_owned(), "978307200".to_owned());
    assert_eq!(world.build_request(request).await.image.digest(), first.image.digest(), "it is the same number");
}
