//! What the processes of one sandbox tell the builder: lines of JSON on one socket, the first word on the outcome
//! wins. The socket is also the lifeline: when the builder's end closes, for whatever reason, the sandbox ends.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use super::error::SandboxError;
use super::spec::Task;

/// One line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The program ended by itself.
    Exited { code: i32 },
    /// A signal ended it.
    Killed { signal: i32 },
    /// It did not come to that.
    Failed(SandboxError),
    /// The kernel killed a process for lack of memory meanwhile, here or elsewhere.
    OutOfMemory,
}

/// The sandbox's end of the socket.
pub(super) struct Channel(UnixStream);

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self(UnixStream::from(socket))
    }

    /// Tells the builder. If it does not listen any more there is nobody to tell that.
    pub(super) fn send(&mut self, report: &Report) {
        if let Ok(mut line) = serde_json::to_vec(report) {
            line.push(b'\n');
            let _ = self.0.write_all(&line);
        }
    }

    /// Reads what [`encode_task`] wrote.
    pub(super) fn receive_task(&mut self) -> io::Result<Task> {
        let mut length = [0; size_of::<u64>()];
        self.0.read_exact(&mut length)?;
        let mut text = Vec::new();
        let length = u64::from_le_bytes(length);
        (&self.0).take(length).read_to_end(&mut text)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A task as the helper reads it: its length in eight bytes, then JSON.
pub(super) fn encode_task(task: &Task) -> Result<Vec<u8>, SandboxError> {
    let unrepresentable = |error: serde_json::Error| SandboxError::Unrepresentable { reason: error.to_string() };
    let mut bytes = vec![0; size_of::<u64>()];
    serde_json::to_writer(&mut bytes, task).map_err(unrepresentable)?;
    let length = (bytes.len() - size_of::<u64>()) as u64;
    bytes[..size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// How a process ended that ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// 0 is success.
    pub code: i32,
    /// The kernel killed something for lack of memory meanwhile; if the code is not 0 that may be why.
    pub out_of_memory: bool,
}

/// The outcome told by all lines together.
pub(super) fn outcome(lines: &[u8]) -> Result<ExitStatus, SandboxError> {
    let reports = || lines.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let out_of_memory = reports().any(|report| matches!(report, Report::OutOfMemory));
    let first = reports().find(|report| !matches!(report, Report::OutOfMemory));
    match first {
        Some(Report::Exited { code }) => Ok(ExitStatus { code, out_of_memory }),
        Some(Report::Killed { signal }) => Err(SandboxError::Killed { signal, out_of_memory }),
        Some(Report::Failed(error)) => Err(error),
        Some(Report::OutOfMemory) | None => Err(SandboxError::HelperVanished),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(lines: &str, expected: &Result<ExitStatus, SandboxError>) {
        assert_eq!(&outcome(lines.as_bytes()), expected);
    }

    #[test]
    fn the_first_word_on_the_outcome_wins() {
        check("{\"Exited\":{\"code\":3}}\n", &Ok(ExitStatus { code: 3, out_of_memory: false }));
        check(
            "{\"Failed\":{\"UserNotFound\":{\"user\":\"x\"}}}\n{\"Exited\":{\"code\":127}}\n",
            &Err(SandboxError::UserNotFound { user: "x".to_owned() }),
        );
        check(
            "{\"Killed\":{\"signal\":9}}\n\"OutOfMemory\"\n",
            &Err(SandboxError::Killed { signal: 9, out_of_memory: true }),
        );
    }

    #[test]
    fn silence_is_not_success() {
        check("", &Err(SandboxError::HelperVanished));
        check("{\"Exi", &Err(SandboxError::HelperVanished));
        check("\"OutOfMemory\"\n", &Err(SandboxError::HelperVanished));
    }
}
