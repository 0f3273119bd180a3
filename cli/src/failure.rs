//! What a user sees when something did not work: what happened, why, and what to do.

use std::error::Error;
use std::fmt;

/// Exit code of a command that could not do its work.
pub const EXIT_FAILURE: u8 = 1;
/// Exit code of a check that found the store not in order.
pub const EXIT_DAMAGED: u8 = 2;
/// Exit code of a command line that makes no sense, as clap and Docker have it.
pub const EXIT_USAGE: u8 = 125;
/// Exit code of a command that was told to stop, as shells have it for Ctrl-C.
pub const EXIT_INTERRUPTED: u8 = 130;

/// An error on its way to the terminal. Its text never holds a secret: it is made of other errors' texts, which
/// promise the same.
#[derive(Debug)]
pub struct Failure {
    what: String,
    why: Vec<String>,
    hints: Vec<String>,
    code: u8,
    /// Whether `what` is a whole story already, with its own `error:`.
    rendered: bool,
}

impl Failure {
    /// A text that says everything itself, such as a rendered diagnostic.
    pub fn rendered(text: String) -> Self {
        Self { rendered: true, ..Self::new(text) }
    }

    /// Nothing more to say: the output has said it.
    pub fn silent() -> Self {
        Self::rendered(String::new())
    }

    /// Something that did not work.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), why: Vec::new(), hints: Vec::new(), code: EXIT_FAILURE, rendered: false }
    }

    /// A command line that makes no sense.
    pub fn usage(what: impl Into<String>) -> Self {
        Self { code: EXIT_USAGE, ..Self::new(what) }
    }

    /// A store that was checked and is not in order.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self { code: EXIT_DAMAGED, ..Self::new(what) }
    }

    /// Work that was told to stop.
    pub fn interrupted(what: impl Into<String>) -> Self {
        Self { code: EXIT_INTERRUPTED, ..Self::new(what) }
    }

    /// Adds a cause, and its causes, with the advice that those who know what went wrong have.
    #[must_use]
    pub fn because(mut self, cause: impl Error + 'static) -> Self {
        let mut next: Option<&(dyn Error + 'static)> = Some(&cause);
        while let Some(error) = next {
            let text = error.to_string();
            // Transparent wrappers say the same again, some texts end in that of their cause, others begin as ours.
            if !self.why.last().unwrap_or(&self.what).ends_with(&text) {
                let text = text.strip_prefix(&format!("{}: ", self.what)).map(str::to_owned).unwrap_or(text);
                self.why.push(text);
            }
            if let Some(hint) = advice(error)
                && !self.hints.contains(&hint)
            {
                self.hints.push(hint);
            }
            next = error.source();
        }
        self
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether everything was said already.
    pub fn is_silent(&self) -> bool {
        self.rendered && self.what.is_empty()
    }

    /// Says whose failure it is, where several things are done.
    #[must_use]
    pub fn of(self, whose: &str) -> Self {
        let what = match (self.rendered, self.what.is_empty()) {
            (true, true) => self.what,
            (true, false) => format!("{}\n\nerror: {whose} failed", self.what),
            (false, _) => format!("{whose}: {}", self.what),
        };
        Self { what, ..self }
    }

    /// What the process exits with.
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The text for the terminal, ending in a line break.
    pub fn render(&self, color: bool) -> String {
        if self.rendered && self.what.is_empty() {
            return String::new();
        }
        if self.rendered {
            return format!("{}\n", self.what);
        }
        let (red, cyan, bold, reset) =
            if color { ("\x1b[1;31m", "\x1b[36m", "\x1b[1m", "\x1b[0m") } else { ("", "", "", "") };
        let mut text = format!("{red}error{reset}{bold}: {}{reset}\n", self.what);
        for why in &self.why {
            text.push_str(&format!("  {why}\n"));
        }
        for hint in &self.hints {
            text.push_str(&format!("\n{cyan}hint{reset}: {hint}\n"));
        }
        text
    }
}

/// What can be done about an error, as the crate that made it knows.
fn advice(error: &(dyn Error + 'static)) -> Option<String> {
    let transfer = || error.downcast_ref::<wharf_client::transfer::Error>()?.hint();
    let registry = || error.downcast_ref::<wharf_client::registry::Error>()?.hint();
    let sandbox = || error.downcast_ref::<wharf_builder::sandbox::SandboxError>()?.hint();
    transfer().or_else(registry).or_else(sandbox)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Error for Failure {}
