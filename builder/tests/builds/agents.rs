//! `RUN --mount=type=ssh`: what a step sees of an agent.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use wharf_builder::sandbox::Tier;
use wharf_builder::ssh::{KeyAgent, PrivateKey};

use crate::fixture::World;
use crate::show;

/// What `/out` holds after these instructions, with an agent that was given as `default` and one as `deploy`.
async fn out(dockerfile: &str) -> Option<String> {
    let world = world()?;
    let room = tempfile::tempdir().unwrap();
    let socket = room.path().join("agent");
    let _agent = UnixListener::bind(&socket).unwrap();
    let mut request = world.request(dockerfile);
    request.ssh.insert("default".to_owned(), socket.clone());
    request.ssh.insert("deploy".to_owned(), socket);
    let result = world.build_request(request).await;
    let tree = show::tree(&world.store, &result).await;
    let leftovers: Vec<String> =
        show::files(&tree).into_iter().filter(|line| line.contains("buildkit") || line.contains("/s ")).collect();
    assert!(leftovers.is_empty(), "{leftovers:?}");
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    Some(std::fs::read_to_string(directory.path().join("out")).unwrap())
}

fn world() -> Option<World> {
    if let Tier::None { reason } = Tier::current() {
        println!("skipped: {reason}");
        return None;
    }
    let mut world = World::new();
    world.bases.add_shell("shell");
    Some(world)
}

#[tokio::test]
async fn the_socket_is_where_and_what_it_is_said_to_be() {
    let text =
        "FROM shell\nRUN --mount=type=ssh stat -c '%F %a %u:%g' $SSH_AUTH_SOCK > /out && echo $SSH_AUTH_SOCK >> /out\n";
    let Some(found) = out(text).await else { return };
    assert_eq!(found, "socket 600 0:0\n/run/buildkit/ssh_agent.0\n");
    let text = "FROM shell\nUSER 7\nRUN --mount=type=ssh,id=deploy,target=/s,required,mode=0660,uid=7,gid=8 \
                stat -c '%a %u:%g' /s > /tmp/out\nUSER 0\nRUN cat /tmp/out > /out\n";
    assert_eq!(out(text).await.unwrap(), "660 7:8\n");
    let two = "FROM shell\nRUN --mount=type=ssh --mount=type=ssh,id=deploy stat -c %n /run/buildkit/* > /out\n";
    assert_eq!(out(two).await.unwrap(), "/run/buildkit/ssh_agent.0\n/run/buildkit/ssh_agent.1\n");
}

#[tokio::test]
async fn an_agent_that_was_not_given_is_left_out_or_missed() {
    let Some(world) = world() else { return };
    world.build("FROM shell\nRUN --mount=type=ssh [ -z \"$SSH_AUTH_SOCK\" ]\n").await;
    let message = world.failure("FROM shell\nRUN --mount=type=ssh,required true\n").await;
    assert!(message.contains("SSH agent `default` is required") && message.contains("--ssh default"), "{message}");
}

/// The machine's own SSH server on loopback; ended when dropped.
struct SshServer {
    process: Child,
    port: u16,
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const SSHD: &str = "/usr/sbin/sshd";

fn keygen(path: &Path) {
    let mut keygen = Command::new("ssh-keygen");
    assert!(keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(path).status().unwrap().success());
}

impl SshServer {
    /// A server that knows the key `room/key.pub`.
    fn start(room: &Path) -> Self {
        keygen(&room.join("host"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {0}/host\nAuthorizedKeysFile {0}/key.pub\nStrictModes no\n\
             UsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\nPidFile none\n",
            room.display()
        );
        fs::write(room.join("sshd_config"), config).unwrap();
        let mut sshd = Command::new(SSHD);
        sshd.args(["-D", "-e", "-f"]).arg(room.join("sshd_config"));
        let process = sshd.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut server = Self { process, port };
        // It listens before it answers anybody; until then, connections are refused.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(server.process.try_wait().unwrap().is_none(), "the SSH server ended");
            std::thread::yield_now();
        }
        server
    }
}

/// A layer with `git` and `ssh` of this machine.
fn git_layer(root: &Path) {
    let programs = ["git", "ssh", "sh"].map(|name| PathBuf::from("/usr/bin").join(name));
    let put = |from: &Path| {
        let to = root.join(from.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, to).unwrap();
    };
    for program in &programs {
        put(program);
        let said = String::from_utf8(Command::new("ldd").arg(program).output().unwrap().stdout).unwrap();
        said.split_whitespace().filter(|word| word.starts_with('/')).for_each(|library| put(Path::new(library)));
    }
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
    fs::create_dir(root.join("tmp")).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
}

/// A repository with one file.
fn repository(path: &Path) {
    fs::create_dir(path).unwrap();
    fs::write(path.join("file"), "from the repository\n").unwrap();
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "x"]] {
        let mut git = Command::new("git");
        git.current_dir(path).args(["-c", "user.name=a", "-c", "user.email=a@b.c"]).args(arguments);
        assert!(git.env("GIT_CONFIG_GLOBAL", "/dev/null").status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_clones_a_private_repository_with_a_key_it_never_sees() {
    let Some(mut world) = world() else { return };
    // Only root may let somebody in, and the server wants this directory.
    if Tier::current() != Tier::Root || !Path::new(SSHD).exists() || fs::create_dir_all("/run/sshd").is_err() {
        println!("skipped: there is no SSH server that this user can start");
        return;
    }
    let room = tempfile::tempdir().unwrap();
    keygen(&room.path().join("key"));
    let server = SshServer::start(room.path());
    repository(&room.path().join("private"));
    let layer = tempfile::tempdir().unwrap();
    git_layer(layer.path());
    world.bases.add("git", &[layer.path()], |config| {
        config.config.env = vec!["PATH=/usr/bin".to_owned(), "HOME=/tmp".to_owned()];
        config.history = vec![wharf_spec::History::default()];
    });
    let key = PrivateKey::parse(&fs::read_to_string(room.path().join("key")).unwrap()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let agent = KeyAgent::start(vec![key], home.path()).unwrap();
    let url = format!("ssh://root@127.0.0.1:{}{}/private", server.port, room.path().display());
    let ssh = "GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes'";
    let clone = |mount: &str| format!("FROM git\nRUN {mount} {ssh} git clone -q {url} /src\n");
    let mut request = world.request(&clone("--mount=type=ssh"));
    request.ssh.insert("default".to_owned(), agent.socket().to_owned());
    let result = world.build_request(request).await;
    let directory = tempfile::tempdir().unwrap();
    result.write_directory(directory.path()).await.unwrap();
    assert_eq!(fs::read_to_string(directory.path().join("src/file")).unwrap(), "from the repository\n");
    // The same repository for ADD, and nobody gets in without the key.
    let mut request = world.request(&format!("FROM scratch\nADD {url} /src\n"));
    request.ssh.insert("default".to_owned(), agent.socket().to_owned());
    let result = world.build_request(request).await;
    let files = show::files(&show::tree(&world.store, &result).await);
    assert!(files.iter().any(|line| line.starts_with("/src/file ")), "{files:?}");
    let message = world.failure(&clone("")).await;
    assert!(message.contains("Permission denied"), "{message}");
}
