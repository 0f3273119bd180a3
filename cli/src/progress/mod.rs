//! Progress of long work. Commands translate the events of builds and transfers into a few [`Update`]s of numbered
//! tasks; a renderer shows them in one of the styles of `--progress`. All of it goes to standard error.

mod json;
mod palette;
mod plain;
mod rawjson;
mod tty;

use std::fmt;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::args::{Global, ProgressStyle};
use crate::env::Environment;
use crate::failure::Failure;
use crate::session::Session;

pub use palette::{Paint, Palette};

/// Something happened to a task.
#[derive(Clone, Debug)]
pub enum Update {
    /// A task began.
    Started {
        /// What it does, for people.
        label: String,
    },
    /// A line of a command's output.
    Output {
        /// Whether it came on standard error.
        stderr: bool,
        /// The line, without its end; control sequences are the command's own.
        line: String,
    },
    /// Bytes moved.
    Bytes {
        /// So far.
        done: u64,
        /// In all, when that is known.
        total: Option<u64>,
    },
    /// A task ended well.
    Done {
        /// `DONE`, `CACHED`, `EXISTS`, `MOUNTED`.
        how: How,
        /// How long it took.
        elapsed: Duration,
    },
    /// A task failed.
    Failed {
        /// One line; the whole story is the command's error.
        reason: String,
    },
    /// A task was stopped, because of something that is not its fault.
    Cancelled,
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It was done.
    Done,
    /// A result from before was used.
    Cached,
    /// There was nothing to do.
    Exists,
    /// A registry took the bytes from another of its repositories.
    Mounted,
}

impl How {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "DONE",
            Self::Cached => "CACHED",
            Self::Exists => "EXISTS",
            Self::Mounted => "MOUNTED",
        }
    }
}

/// A style of showing updates. Tasks are numbered from 1 in the order they start.
trait Renderer: Send {
    /// Shows `update` of `task`.
    fn update(&mut self, task: usize, update: &Update);
    /// Takes live lines away, so that other output can follow.
    fn close(&mut self);
    /// Writes a line to standard error that is about no task.
    fn say(&mut self, line: &str) {
        eprintln!("{line}");
    }
}

/// Where updates go. Clones share one renderer.
#[derive(Clone)]
pub struct Progress {
    inner: Arc<Mutex<Inner>>,
    /// Who among several that are shown together.
    whose: Option<Arc<str>>,
}

struct Inner {
    renderer: Option<Box<dyn Renderer>>,
    tasks: usize,
}

impl Progress {
    /// The style the user asked for, or the one that fits where standard error goes.
    pub fn new(session: &Session) -> Result<Self, Failure> {
        let terminal = std::io::stderr().is_terminal();
        let live = || Box::new(tty::Tty::new(session.palette.clone(), session.environment.tty_log_lines()));
        let style = style(&session.global, &session.environment)?;
        let renderer: Option<Box<dyn Renderer>> = match (session.global.quiet, style) {
            (true, _) | (_, ProgressStyle::Quiet) => None,
            (false, ProgressStyle::Json) => Some(Box::new(json::Json)),
            (false, ProgressStyle::Rawjson) => {
                Some(Box::new(rawjson::RawJson::new(std::io::stderr(), jiff::Timestamp::now)))
            }
            (false, ProgressStyle::Tty) => Some(live()),
            (false, ProgressStyle::Auto) if terminal => Some(live()),
            (false, ProgressStyle::Auto | ProgressStyle::Plain) => Some(Box::new(plain::Plain::new(std::io::stderr()))),
        };
        Ok(Self { inner: Arc::new(Mutex::new(Inner { renderer, tasks: 0 })), whose: None })
    }

    /// The same for one of several that are shown together: its tasks are named after it, and it closes nothing.
    pub fn of(&self, whose: &str) -> Self {
        Self { inner: Arc::clone(&self.inner), whose: Some(whose.into()) }
    }

    /// Begins a task.
    pub fn start(&self, label: impl Into<String>) -> Task {
        match &self.whose {
            Some(whose) => self.start_named(format!("[{whose}] {}", label.into())),
            None => self.start_named(label.into()),
        }
    }

    /// Begins a task whose label says whose it is.
    pub fn start_named(&self, label: String) -> Task {
        let mut inner = self.inner();
        inner.tasks += 1;
        let number = inner.tasks;
        inner.show(number, &Update::Started { label });
        Task { progress: self.clone(), number }
    }

    /// Takes live lines away, so that other output can follow.
    pub fn close(&self) {
        if self.whose.is_some() {
            return;
        }
        if let Some(renderer) = &mut self.inner().renderer {
            renderer.close();
        }
    }

    /// Writes a line to standard error, above what is live there.
    pub fn say(&self, line: &str) {
        match &mut self.inner().renderer {
            Some(renderer) => renderer.say(line),
            None => eprintln!("{line}"),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").field("whose", &self.whose).finish_non_exhaustive()
    }
}

impl Inner {
    fn show(&mut self, task: usize, update: &Update) {
        if let Some(renderer) = &mut self.renderer {
            renderer.update(task, update);
        }
    }
}

/// A task under way.
#[derive(Clone)]
pub struct Task {
    progress: Progress,
    number: usize,
}

impl Task {
    /// Shows an update.
    pub fn update(&self, update: &Update) {
        self.progress.inner().show(self.number, update);
    }

    /// Ends it well.
    pub fn done(&self, how: How, elapsed: Duration) {
        self.update(&Update::Done { how, elapsed });
    }
}

fn style(global: &Global, environment: &Environment) -> Result<ProgressStyle, Failure> {
    match (global.progress, environment.progress()) {
        (Some(style), _) => Ok(style),
        (None, None | Some("auto")) => Ok(ProgressStyle::Auto),
        (None, Some("tty")) => Ok(ProgressStyle::Tty),
        (None, Some("plain")) => Ok(ProgressStyle::Plain),
        (None, Some("json")) => Ok(ProgressStyle::Json),
        (None, Some("rawjson")) => Ok(ProgressStyle::Rawjson),
        (None, Some("quiet" | "none")) => Ok(ProgressStyle::Quiet),
        (None, Some(other)) => Err(Failure::usage(format!("BUILDKIT_PROGRESS is `{other}`"))
            .hint("it can be auto, tty, plain, json, rawjson or quiet")),
    }
}

/// A size as people read it: `1.5 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        for (bytes, text) in
            [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_540_000, "1.5 MB"), (u64::MAX, "18446744.1 TB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
