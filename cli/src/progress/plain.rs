//! `--progress=plain`: one line an event, as `docker build --progress=plain` writes them.

use std::io::Write;
use std::time::Instant;

use super::{Renderer, Update, size};

/// Writes lines. Every fifth part of a transfer is a line, so that a log of a big pull stays short.
pub(super) struct Plain<W> {
    out: W,
    tasks: Vec<TaskState>,
}

struct TaskState {
    started: Instant,
    fifths: u64,
}

impl<W: Write> Plain<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, tasks: Vec::new() }
    }

    /// In one piece: others write to the same log. One that cannot be written is no reason to stop a build.
    fn line(&mut self, task: usize, text: std::fmt::Arguments<'_>) {
        let _ = self.out.write_all(format!("#{task} {text}\n").as_bytes());
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn update(&mut self, task: usize, update: &Update) {
        if self.tasks.len() < task {
            self.tasks.resize_with(task, || TaskState { started: Instant::now(), fifths: 0 });
        }
        match update {
            Update::Started { label } => {
                self.tasks[task - 1].started = Instant::now();
                self.line(task, format_args!("{label}"));
            }
            Update::Output { stderr: _, line } => {
                let seconds = self.tasks[task - 1].started.elapsed().as_secs_f64();
                self.line(task, format_args!("{seconds:.3} {line}"));
            }
            Update::Bytes { done, total: Some(total) } if *total > 0 => {
                let fifths = done.saturating_mul(5) / total;
                if fifths > self.tasks[task - 1].fifths && fifths < 5 {
                    self.tasks[task - 1].fifths = fifths;
                    self.line(task, format_args!("{} / {}", size(*done), size(*total)));
                }
            }
            Update::Bytes { .. } => {}
            Update::Done { how, elapsed } => {
                self.line(task, format_args!("{} {:.1}s", how.word(), elapsed.as_secs_f64()));
            }
            Update::Failed { reason } => self.line(task, format_args!("ERROR {reason}")),
            Update::Cancelled => self.line(task, format_args!("CANCELED")),
        }
    }

    fn close(&mut self) {
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::How;
    use super::*;

    #[test]
    fn events_are_lines() {
        let mut plain = Plain::new(Vec::new());
        plain.update(1, &Update::Started { label: "[build 1/2] RUN make".into() });
        plain.update(2, &Update::Started { label: "pull sha256:12".into() });
        for done in [1, 20, 25, 50, 100] {
            plain.update(2, &Update::Bytes { done, total: Some(100) });
        }
        plain.update(2, &Update::Done { how: How::Exists, elapsed: Duration::from_millis(1240) });
        plain.update(1, &Update::Failed { reason: "exit code 2".into() });
        plain.update(3, &Update::Started { label: "[tests 1/2] RUN check".into() });
        plain.update(3, &Update::Cancelled);
        let text = String::from_utf8(plain.out).unwrap();
        assert_eq!(
            text,
            "#1 [build 1/2] RUN make\n#2 pull sha256:12\n#2 20 B / 100 B\n#2 50 B / 100 B\n#2 EXISTS 1.2s\n\
             #1 ERROR exit code 2\n#3 [tests 1/2] RUN check\n#3 CANCELED\n"
        );
    }
}
