//! The builder's side: starts a helper, passes output on, and sees to it that nothing outlives the call.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::error::{At, SandboxError, Step};
use super::group::Group;
use super::helper::{HELPER_ARG, NOTHING_ARG};
use super::report::{ExitStatus, encode_task, outcome};
use super::spec::{Access, Mount, MountKind, Process, RootFs, Task};

/// Where output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Some bytes the process wrote. The order is kept within a stream, not between the two.
#[derive(Clone, Debug)]
pub struct OutputChunk {
    /// Which stream.
    pub stream: Stream,
    /// As written: not necessarily whole lines, not necessarily text.
    pub bytes: Bytes,
}

const CHUNK: usize = 32 << 10;

/// The helpers of a build, one for each process. One can be started ahead of the process that it is for.
#[derive(Default)]
pub struct Helpers {
    ready: Mutex<Option<Helper>>,
}

/// A helper that waits to be told what to do. Dropped, it ends.
struct Helper {
    child: Child,
    socket: UnixStream,
}

impl Helper {
    fn if_alive(mut self) -> Option<Self> {
        matches!(self.child.try_wait(), Ok(None)).then_some(self)
    }
}

impl Helpers {
    /// Starts the helper of the next process, while another process runs.
    pub fn prepare(&self) {
        let mut ready = self.ready();
        if ready.is_none() {
            // Where it cannot be started, whoever needs it will be told why.
            *ready = start_helper().ok();
        }
    }

    fn take(&self) -> Result<Helper, SandboxError> {
        let ready = self.ready().take();
        match ready.and_then(Helper::if_alive) {
            Some(helper) => Ok(helper),
            None => start_helper(),
        }
    }

    fn ready(&self) -> MutexGuard<'_, Option<Helper>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one process in a root file system and waits for it. A non-zero exit is an [`ExitStatus`], no error.
    ///
    /// Output goes to `output` as it comes; a full channel makes the process wait, a closed one discards. When this
    /// returns, or is dropped, no process of the sandbox is left (after a drop: within moments), and the mounts, which
    /// no other process ever saw, are gone.
    pub async fn run(
        &self,
        rootfs: &RootFs,
        process: &Process,
        output: mpsc::Sender<OutputChunk>,
        cancel: &CancellationToken,
    ) -> Result<ExitStatus, SandboxError> {
        let task = encode_task(&Task { rootfs: rootfs.clone(), process: process.clone() })?;
        let group = Group::make(&process.limits.group)?;
        let Helper { mut child, mut socket } = self.take()?;
        if let (Some(group), Some(pid)) = (&group, child.id()) {
            // It does nothing before it is told what.
            group.join(pid)?;
        }
        let streams = [
            child.stdout.take().map(|stdout| tokio::spawn(forward(stdout, Stream::Stdout, output.clone()))),
            child.stderr.take().map(|stderr| tokio::spawn(forward(stderr, Stream::Stderr, output))),
        ];
        let mut lines = Vec::new();
        let ended = {
            let work = async {
                // A helper that is gone already shows in what it said, or did not say.
                let _ = socket.write_all(&task).await;
                let _ = socket.read_to_end(&mut lines).await;
            };
            tokio::select! {
                () = work => Ok(()),
                () = cancel.cancelled() => Err(SandboxError::Cancelled),
                after = elapsed(process.limits.timeout) => Err(SandboxError::TimedOut { after }),
            }
        };
        // Closing the socket is what makes the helper kill everything; after a normal end it changes nothing.
        drop(socket);
        child.wait().await.at(Step::StartHelper, "")?;
        for stream in streams.into_iter().flatten() {
            match ended {
                Ok(()) => drop(stream.await),
                Err(_) => stream.abort(),
            }
        }
        ended.and_then(|()| outcome(&lines)).map_err(|error| match (error, process.limits.group.memory) {
            (SandboxError::Killed { out_of_memory: true, .. }, Some(limit)) => SandboxError::MemoryExceeded { limit },
            (error, _) => error,
        })
    }
}

/// Makes a whole sandbox below `scratch`, runs nothing in it, and takes it down: whether this process, on this
/// kernel and this file system, can run build steps. `scratch` is an existing directory where the store's snapshots
/// will be.
pub async fn rehearse(scratch: &Path) -> Result<(), SandboxError> {
    let room = scratch.join(format!("rehearsal-{}", std::process::id()));
    let rootfs =
        RootFs { lowers: Vec::new(), upper: room.join("upper"), work: room.join("work"), shared: room.join("shared") };
    for directory in [&rootfs.upper, &rootfs.work, &rootfs.shared] {
        std::fs::create_dir_all(directory).at(Step::PrepareWork, directory.display())?;
    }
    let program = "/program".to_owned();
    let mut process = Process::new([program.as_str(), HELPER_ARG, NOTHING_ARG]);
    let source = std::env::current_exe().at(Step::StartHelper, "")?;
    let kind = MountKind::Bind { source, subpath: String::new(), access: Access::ReadOnly };
    process.mounts.push(Mount { target: program, kind });
    let (output, _) = mpsc::channel(1);
    let result = Helpers::default().run(&rootfs, &process, output, &CancellationToken::new()).await;
    std::fs::remove_dir_all(&room).at(Step::PrepareWork, room.display())?;
    result.map(drop)
}

/// The helper's environment is empty, and it holds no descriptor but its socket (as standard input) and the two output pipes.
/// It goes to `/` itself: told to start there, the standard library would copy all our page tables for it.
fn start_helper() -> Result<Helper, SandboxError> {
    let (ours, theirs) = StdUnixStream::pair().at(Step::StartHelper, "")?;
    ours.set_nonblocking(true).at(Step::StartHelper, "")?;
    let child = Command::new("/proc/self/exe")
        .arg(HELPER_ARG)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .at(Step::StartHelper, "")?;
    Ok(Helper { child, socket: UnixStream::from_std(ours).at(Step::StartHelper, "")? })
}

async fn elapsed(limit: Option<Duration>) -> Duration {
    match limit {
        Some(limit) => {
            tokio::time::sleep(limit).await;
            limit
        }
        None => std::future::pending().await,
    }
}

async fn forward(mut from: impl AsyncRead + Unpin, stream: Stream, to: mpsc::Sender<OutputChunk>) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(CHUNK);
        match from.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            // Whether anybody listens is not the process's business: it must not die of a closed pipe.
            Ok(_) => drop(to.send(OutputChunk { stream, bytes: buffer.split().freeze() }).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_helper_that_died_while_it_waited_is_not_used() {
        // This program does not know what a helper is, and ends at once.
        let mut helper = start_helper().unwrap();
        assert!(!helper.child.wait().await.unwrap().success());
        assert!(helper.if_alive().is_none());
    }
}
