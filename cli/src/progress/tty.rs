//! `--progress=tty`: live lines. Tasks under way stand at the bottom with a spinner or a bar and the last lines of their
//! output; finished ones scroll up.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::{How, Renderer, Update, size};

/// Lines of a command's output that are shown while it runs.
const TAIL: usize = 6;

pub(super) struct Tty {
    screen: MultiProgress,
    tasks: HashMap<usize, Live>,
    color: bool,
}

struct Live {
    bar: ProgressBar,
    label: String,
    tail: VecDeque<String>,
}

impl Tty {
    pub(super) fn new(color: bool) -> Self {
        Self { screen: MultiProgress::new(), tasks: HashMap::new(), color }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn start(&mut self, task: usize, label: &str) {
        let bar = self.screen.add(ProgressBar::new_spinner());
        bar.set_style(spinner());
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        self.tasks.insert(task, Live { bar, label: label.to_owned(), tail: VecDeque::new() });
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

/// Colour and cursor sequences of a command's output would break the live lines.
fn printable(line: &str) -> String {
    line.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl Renderer for Tty {
    fn update(&mut self, task: usize, update: &Update) {
        match update {
            Update::Started { label } => self.start(task, label),
            Update::Output { line, .. } => {
                if let Some(live) = self.tasks.get_mut(&task) {
                    if live.tail.len() == TAIL {
                        live.tail.pop_front();
                    }
                    live.tail.push_back(printable(line));
                    let tail = live.tail.iter().fold(String::new(), |text, line| text + "\n    " + line);
                    live.bar.set_message(format!("{}{tail}", live.label));
                }
            }
            Update::Bytes { done, total } => {
                if let Some(live) = self.tasks.get(&task) {
                    let total = total.map(|total| format!(" / {}", size(total))).unwrap_or_default();
                    live.bar.set_message(format!("{} {}{total}", live.label, size(*done)));
                }
            }
            Update::Done { how: How::Done, elapsed } => {
                let mark = self.paint("32", "✔");
                self.end(task, &mark, &format!("{:.1}s", elapsed.as_secs_f64()));
            }
            Update::Done { how, .. } => {
                let mark = self.paint("36", "✔");
                self.end(task, &mark, how.word());
            }
            Update::Failed { reason } => {
                let mark = self.paint("31", "✘");
                self.end(task, &mark, reason);
            }
        }
    }

    fn close(&mut self) {
        for (_, live) in self.tasks.drain() {
            live.bar.finish_and_clear();
        }
    }
}
