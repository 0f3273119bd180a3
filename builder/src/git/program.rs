//! Running `git`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::url::{FileTimes, GitSource};

/// A repository that takes longer than this to fetch is given up.
const PATIENCE: Duration = Duration::from_mins(15);
/// What is kept of what the program says.
const SAID: u64 = 16 << 10;
/// Where the program and its own are looked for.
const SEARCH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Transports of the network. Others could read this machine's files or run its programs.
const PROTOCOLS: &str = "https:http:ssh:git";

/// What of this machine Git is given.
#[derive(Clone, Debug, Default)]
pub struct Host {
    /// The socket of an SSH agent.
    pub agent: Option<PathBuf>,
    /// Proxy settings.
    pub proxies: Vec<(String, String)>,
}

/// Files of a repository on disk.
#[derive(Clone, Debug)]
pub struct Checkout {
    /// The directory that was wanted.
    pub directory: PathBuf,
    /// The commit.
    pub commit: String,
    /// When it was committed, in seconds since 1970.
    pub committed: i64,
}

/// Why a repository could not be had.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git`.
    #[error("the program `git` is not installed")]
    Missing,
    /// It failed.
    #[error("`git {command}` failed: {said}")]
    Failed {
        /// What it was told to do.
        command: &'static str,
        /// Its last words.
        said: String,
    },
    /// It took too long.
    #[error("`git {command}` took longer than {} minutes", PATIENCE.as_secs() / 60)]
    TooLong {
        /// What it was told to do.
        command: &'static str,
    },
    /// It is another commit.
    #[error("it is at commit {found}")]
    WrongCommit {
        /// What was expected.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The directory is not in it.
    #[error("there is no directory `{directory}` in it")]
    NoDirectory {
        /// What was wanted.
        directory: String,
    },
    /// The checkout could not be written or read.
    #[error("the checkout cannot be used")]
    Io(#[from] io::Error),
}

impl GitError {
    /// What can be done about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Missing => Some("install git, or pass a checkout as a directory"),
            Self::Failed { said, .. }
                if ["terminal prompts disabled", "could not read Username", "Authentication failed"]
                    .iter()
                    .any(|words| said.contains(words)) =>
            {
                Some("it asks for a password, or is not there; for a private one use SSH with an agent: --ssh default")
            }
            Self::Failed { said, .. } if said.contains("couldn't find remote ref") => {
                Some("name a branch, a tag or a whole commit after the `#`")
            }
            Self::WrongCommit { .. } => Some("name the commit that is expected, or drop the checksum"),
            Self::Failed { .. } | Self::TooLong { .. } | Self::NoDirectory { .. } | Self::Io(_) => None,
        }
    }
}

/// Checks `source` out into `into`, an empty directory. `.git` stays only if asked for.
pub async fn checkout(source: &GitSource, into: &Path, host: &Host, keep_git_dir: bool) -> Result<Checkout, GitError> {
    let git = Git { directory: into, host };
    git.run("init", &["init", "--quiet", "."]).await?;
    git.run("remote", &["remote", "add", "origin", &source.remote]).await?;
    git.fetch(source).await?;
    let commit = git.run("rev-parse", &["rev-parse", "HEAD"]).await?.trim().to_owned();
    if let Some(expected) = source.commit.as_ref().filter(|expected| !commit.starts_with(expected.as_str())) {
        return Err(GitError::WrongCommit { expected: expected.clone(), found: commit });
    }
    if source.submodules && into.join(".gitmodules").is_file() {
        let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--depth=1"];
        git.run("submodule", &update).await?;
    }
    let committed = git.run("log", &["log", "-1", "--format=%ct"]).await?;
    let committed = committed.trim().parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    if source.times == FileTimes::Commit {
        set_times(into, committed)?;
    }
    if !keep_git_dir {
        remove_git_dirs(into)?;
    }
    Ok(Checkout { directory: inside(into, source.directory.as_deref())?, commit, committed })
}

/// A directory of the checkout, which no link leads out of.
fn inside(root: &Path, directory: Option<&str>) -> Result<PathBuf, GitError> {
    let root = root.canonicalize()?;
    let Some(directory) = directory else { return Ok(root) };
    let found = root.join(directory).canonicalize().ok().filter(|found| found.starts_with(&root) && found.is_dir());
    found.ok_or_else(|| GitError::NoDirectory { directory: directory.to_owned() })
}

struct Git<'a> {
    directory: &'a Path,
    host: &'a Host,
}

impl Git<'_> {
    /// Gets one commit and no history where that can be done, all of it where a short commit leaves no choice.
    async fn fetch(&self, source: &GitSource) -> Result<(), GitError> {
        let whole_commit = source.commit.as_deref().filter(|commit| commit.len() >= 40);
        let wanted = source.reference.as_deref().or(whole_commit).unwrap_or("HEAD");
        let shallow = ["fetch", "--quiet", "--depth=1", "--no-tags", "--", "origin", wanted];
        match self.run("fetch", &shallow).await {
            Ok(_) => self.run("checkout", &["checkout", "--quiet", "--detach", "FETCH_HEAD"]).await.map(drop),
            Err(GitError::Failed { .. }) if is_commit(wanted) => {
                self.run("fetch", &["fetch", "--quiet", "--", "origin", "+refs/*:refs/remotes/origin/*"]).await?;
                self.run("checkout", &["checkout", "--quiet", "--detach", wanted]).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// Runs the program to its end; what it printed.
    async fn run(&self, command: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        let mut child = self.command(arguments).spawn().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::Io(error),
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let end = async { tokio::join!(read(stdout), read(stderr), child.wait()) };
        let Ok((printed, said, status)) = tokio::time::timeout(PATIENCE, end).await else {
            return Err(GitError::TooLong { command });
        };
        if status?.success() {
            return Ok(printed);
        }
        let lines: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(4)..].join("; ");
        Err(GitError::Failed { command, said: if last.is_empty() { "it says nothing".to_owned() } else { last } })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(["-c", "init.defaultBranch=main", "-c", "advice.detachedHead=false"]).args(arguments);
        command.current_dir(self.directory).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env("PATH", SEARCH).env("HOME", "/dev/null").env("LC_ALL", "C");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_ASKPASS", "/bin/false").env("SSH_ASKPASS", "/bin/false");
        command.env("GIT_ALLOW_PROTOCOL", PROTOCOLS).env("GIT_LFS_SKIP_SMUDGE", "1");
        command.env("GIT_SSH_COMMAND", "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new");
        if let Some(agent) = &self.host.agent {
            command.env("SSH_AUTH_SOCK", agent);
        }
        command.envs(self.host.proxies.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn is_commit(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The beginning of a pipe, read to its end so that the writer never waits.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut bytes = Vec::new();
    let _ = (&mut pipe).take(SAID).read_to_end(&mut bytes).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Removes `.git` here and in submodules, where it is a file.
fn remove_git_dirs(root: &Path) -> io::Result<()> {
    each_entry(root, &mut |path, kind| match (path.file_name(), kind) {
        (Some(name), Kind::Directory) if name == ".git" => std::fs::remove_dir_all(path).map(|()| Go::Past),
        (Some(name), Kind::Other) if name == ".git" => std::fs::remove_file(path).map(|()| Go::Past),
        _ => Ok(Go::In),
    })
}

fn set_times(root: &Path, seconds: i64) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    each_entry(root, &mut |path, _| {
        utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Go::In)
    })
}

#[derive(Clone, Copy)]
enum Kind {
    Directory,
    Other,
}

enum Go {
    In,
    Past,
}

/// Everything below `root`; links are not followed.
fn each_entry(root: &Path, visit: &mut dyn FnMut(&Path, Kind) -> io::Result<Go>) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let kind = if entry.file_type()?.is_dir() { Kind::Directory } else { Kind::Other };
        if let (Go::In, Kind::Directory) = (visit(&entry.path(), kind)?, kind) {
            each_entry(&entry.path(), visit)?;
        }
    }
    Ok(())
}
