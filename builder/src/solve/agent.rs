//! SSH agents for steps: a socket of the step's own, whose every connection is carried on to the agent's.
//!
//! The agent's own socket is never shown: its owner and mode belong to the user, and what is beside it is none of the
//! step's business.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::plan::AgentUse;

/// A socket that leads to an agent as long as this lives.
pub(super) struct Forwarded {
    /// Where it is.
    pub(super) socket: PathBuf,
    carrier: JoinHandle<()>,
}

impl Drop for Forwarded {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// Makes a socket in `room` that leads to `agent`.
pub(super) fn forward(agent: &Path, room: &Path, how: &AgentUse) -> io::Result<Forwarded> {
    let socket = room.join("agent");
    let listener = UnixListener::bind(&socket)?;
    chown(&socket, Some(how.uid), Some(how.gid))?;
    fs::set_permissions(&socket, fs::Permissions::from_mode(how.mode))?;
    let agent = agent.to_owned();
    let carrier = tokio::spawn(async move {
        // Dropped with this task, and all connections with it.
        let mut connections = JoinSet::new();
        while let Ok((mut here, _)) = listener.accept().await {
            let agent = agent.clone();
            connections.spawn(async move {
                // A connection that breaks is the affair of those at its ends.
                if let Ok(mut there) = UnixStream::connect(&agent).await {
                    let _ = tokio::io::copy_bidirectional(&mut here, &mut there).await;
                }
            });
            while connections.try_join_next().is_some() {}
        }
    });
    Ok(Forwarded { socket, carrier })
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn what_is_said_on_one_side_is_heard_on_the_other() {
        let room = tempfile::tempdir().unwrap();
        let path = room.path().join("theirs");
        let agent = UnixListener::bind(&path).unwrap();
        let identity = rustix::process::geteuid().as_raw();
        let how =
            AgentUse { id: "default".to_owned(), mode: 0o640, uid: identity, gid: rustix::process::getegid().as_raw() };
        let forwarded = forward(&path, room.path(), &how).unwrap();
        assert_eq!(fs::metadata(&forwarded.socket).unwrap().permissions().mode() & 0o7777, 0o640);
        for round in 0..3_u8 {
            let mut step = UnixStream::connect(&forwarded.socket).await.unwrap();
            let (mut other, _) = agent.accept().await.unwrap();
            step.write_all(&[round]).await.unwrap();
            assert_eq!(other.read_u8().await.unwrap(), round);
            other.write_all(&[round + 10]).await.unwrap();
            assert_eq!(step.read_u8().await.unwrap(), round + 10);
            drop(other);
            assert_eq!(step.read(&mut [0]).await.unwrap(), 0, "the end is carried over, too");
        }
    }
}
