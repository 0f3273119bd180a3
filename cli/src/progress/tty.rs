//! `--progress=tty`: live lines. Tasks under way stand at the bottom with a spinner or a bar and the last lines of their
//! output; finished ones scroll up.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::time::Duration;

use anstream::adapter::strip_str;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{How, Palette, Renderer, Update, size};

/// Lines of a command's output that are shown while it runs, where `BUILDKIT_TTY_LOG_LINES` does not say.
const TAIL: NonZeroUsize = NonZeroUsize::new(6).unwrap();

pub(super) struct Tty {
    screen: MultiProgress,
    tasks: HashMap<usize, Live>,
    palette: Palette,
    lines: NonZeroUsize,
}

struct Live {
    bar: ProgressBar,
    label: String,
    tail: Tail,
}

/// The last lines of a command's output.
struct Tail {
    lines: VecDeque<String>,
    most: NonZeroUsize,
}

impl Tail {
    fn new(most: NonZeroUsize) -> Self {
        Self { lines: VecDeque::new(), most }
    }

    fn push(&mut self, line: &str) {
        if self.lines.len() == self.most.get() {
            self.lines.pop_front();
        }
        self.lines.push_back(printable(line));
    }

    /// What is shown below `label`.
    fn below(&self, label: &str) -> String {
        self.lines.iter().fold(label.to_owned(), |text, line| text + "\n    " + line)
    }
}

impl Tty {
    /// Shows so many lines of a command's output.
    pub(super) fn new(palette: Palette, lines: Option<NonZeroUsize>) -> Self {
        Self { screen: MultiProgress::new(), tasks: HashMap::new(), palette, lines: lines.unwrap_or(TAIL) }
    }

    fn start(&mut self, task: usize, label: &str) {
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(spinner());
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.tasks.insert(task, Live { bar, label: label.to_owned(), tail: Tail::new(self.lines) });
    }

    /// Moves a task from the live lines to the lines above them.
    fn end(&mut self, task: usize, mark: &str, remark: &str) {
        if let Some(live) = self.tasks.remove(&task) {
            live.bar.finish_and_clear();
            let _ = self.screen.println(format!("{mark} {} {remark}", live.label));
        }
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// What a terminal shows last of a line: of what a carriage return begins again, the end. Colour and cursor sequences of a
/// command's output would break the live lines.
fn printable(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let shown = line.rsplit('\r').next().unwrap_or(line);
    strip_str(shown).to_string().chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl Renderer for Tty {
    fn update(&mut self, task: usize, update: &Update) {
        match update {
            Update::Started { label } => self.start(task, label),
            Update::Output { line, .. } => {
                if let Some(live) = self.tasks.get_mut(&task) {
                    live.tail.push(line);
                    live.bar.set_message(live.tail.below(&live.label));
                }
            }
            Update::Bytes { done, total } => {
                if let Some(live) = self.tasks.get(&task) {
                    let total = total.map(|total| format!(" / {}", size(total))).unwrap_or_default();
                    live.bar.set_message(format!("{} {}{total}", live.label, size(*done)));
                }
            }
            Update::Done { how: How::Done, elapsed } => {
                let mark = self.palette.done.on("✔");
                self.end(task, &mark, &format!("{:.1}s", elapsed.as_secs_f64()));
            }
            Update::Done { how, .. } => {
                let mark = self.palette.saved.on("✔");
                self.end(task, &mark, how.word());
            }
            Update::Failed { reason } => {
                let mark = self.palette.failed.on("✘");
                self.end(task, &mark, reason);
            }
            Update::Cancelled => {
                let mark = self.palette.cancelled.on("✘");
                self.end(task, &mark, "CANCELED");
            }
        }
    }

    fn say(&mut self, line: &str) {
        self.screen.suspend(|| eprintln!("{line}"));
    }

    fn close(&mut self) {
        for (_, live) in self.tasks.drain() {
            live.bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_stand_below_the_label() {
        let mut tail = Tail::new(NonZeroUsize::new(2).unwrap());
        assert_eq!(tail.below("RUN make"), "RUN make");
        for line in ["one", "\x1b[31mtwo\x1b[0m\x1b[K\x07", " 10 %\r 99 %\r100 %\tof three\r"] {
            tail.push(line);
        }
        assert_eq!(tail.below("RUN make"), "RUN make\n    two\n    100 %\tof three");
    }

    #[test]
    fn six_lines_are_kept_unless_another_number_is_given() {
        let lines = |given| Tty::new(Palette::plain(), NonZeroUsize::new(given)).lines.get();
        assert_eq!((lines(0), lines(20)), (6, 20));
    }
}
