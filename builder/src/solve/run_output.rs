//! What a `RUN` prints, as lines: told as they come, and the last ones kept for the message if it fails.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::report::Reporter;
use crate::event::{StepId, Stream};
use crate::sandbox::{self, OutputChunk};

/// How many lines a failure shows.
const LAST_LINES: usize = 20;
/// A longer line is told in parts.
const LONGEST_LINE: usize = 16 << 10;

/// Turns chunks into lines.
pub(super) struct Listener {
    step: StepId,
    reporter: Arc<Reporter>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    last: VecDeque<String>,
}

impl Listener {
    pub(super) fn new(step: StepId, reporter: Arc<Reporter>) -> Self {
        Self { step, reporter, stdout: Vec::new(), stderr: Vec::new(), last: VecDeque::new() }
    }

    /// Listens until nobody speaks any more.
    pub(super) async fn listen(&mut self, mut chunks: mpsc::Receiver<OutputChunk>) {
        while let Some(chunk) = chunks.recv().await {
            let stream = match chunk.stream {
                sandbox::Stream::Stdout => Stream::Stdout,
                sandbox::Stream::Stderr => Stream::Stderr,
            };
            self.take(stream, &chunk.bytes);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = std::mem::take(self.pending(stream));
            if !rest.is_empty() {
                self.tell(stream, &rest);
            }
        }
    }

    /// The last lines of both streams, in the order in which they came.
    pub(super) fn last_lines(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        match stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
        }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let pending = self.pending(stream);
            pending.extend_from_slice(piece);
            if piece.ends_with(b"\n") || pending.len() >= LONGEST_LINE {
                let line = std::mem::take(pending);
                self.tell(stream, &line);
            }
        }
    }

    fn tell(&mut self, stream: Stream, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        // Of a line that was written over and over, what was seen last.
        let line = line.rsplit(|byte| *byte == b'\r').next().unwrap_or(line);
        let line = String::from_utf8_lossy(line).into_owned();
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line.clone());
        self.reporter.output(self.step, stream, line);
    }
}
