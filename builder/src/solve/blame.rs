//! From what went wrong to a message that points at the instruction.

use std::error::Error;

use crate::context::{Absence, ContextError};
use crate::copy::{ArchiveError, OwnerError, PlaceError};
use crate::dockerfile::suggest::did_you_mean;
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::files::{FilesError, SelectError};
use crate::layer::{LayerPath, WriteError};

/// An error and all that caused it, as a diagnostic at `span`.
pub(super) fn at(span: Span, title: impl Into<String>, error: &(dyn Error + 'static)) -> Diagnostic {
    let mut diagnostic = Diagnostic::error(title, span);
    let mut cause = Some(error);
    while let Some(error) = cause {
        diagnostic = diagnostic.note(error.to_string());
        cause = error.source();
    }
    diagnostic
}

/// A source that is not in a context.
pub(super) fn missing_in_context(pattern: &str, span: Span, context: &str, absence: &Absence) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("`{pattern}` is not in the {}", named(context)), span);
    match absence {
        Absence::Ignored => diagnostic
            .expected("it is there, but hidden")
            .note("a rule of .dockerignore leaves it out")
            .help(format!("take it back in with a line `!{}` at the end of .dockerignore", pattern.trim_matches('/'))),
        Absence::Nothing { siblings } => with_siblings(diagnostic, pattern, siblings),
    }
}

/// A source that is not in a stage or image.
pub(super) fn missing_in_stage(pattern: &str, span: Span, stage: &str, siblings: &[String]) -> Diagnostic {
    let whose = if stage.is_empty() { "the stage".to_owned() } else { format!("`{stage}`") };
    with_siblings(Diagnostic::error(format!("`{pattern}` is not in {whose}"), span), pattern, siblings)
}

fn named(context: &str) -> String {
    if context == "context" { "build context".to_owned() } else { format!("context `{context}`") }
}

fn with_siblings(diagnostic: Diagnostic, pattern: &str, siblings: &[String]) -> Diagnostic {
    let wanted = pattern.trim_matches('/').trim_start_matches("./");
    let diagnostic = diagnostic.expected("no such file or directory");
    if let Some(guess) = did_you_mean(wanted, siblings.iter().map(String::as_str)) {
        return diagnostic.help(guess);
    }
    const SHOWN: usize = 8;
    let Some(first) = siblings.first() else { return diagnostic };
    let directory = first.rsplit_once('/').map_or("its root", |(directory, _)| directory);
    let more = if siblings.len() > SHOWN { ", …" } else { "" };
    let names: Vec<&str> = siblings.iter().take(SHOWN).map(String::as_str).collect();
    diagnostic.note(format!("{directory} has {}{more}", names.join(", ")))
}

/// A source that cannot be looked up.
pub(super) fn select(error: &SelectError, span: Span) -> Diagnostic {
    match error {
        SelectError::Pattern(bad) => Diagnostic::error(bad.to_string(), span)
            .help("a backslash before `[`, `*`, `?` or `\\` makes it an ordinary character"),
        SelectError::Files(error) => files(error, span),
    }
}

/// A file that cannot be read.
pub(super) fn files(error: &FilesError, span: Span) -> Diagnostic {
    match error {
        FilesError::Io { path, source } => unreadable(path, source, span),
        FilesError::Name { .. } | FilesError::TooManyLinks { .. } => Diagnostic::error(error.to_string(), span),
    }
}

/// A file of a context that the system does not let us read.
pub(super) fn unreadable(path: &LayerPath, error: &std::io::Error, span: Span) -> Diagnostic {
    let name = String::from_utf8_lossy(path.as_bytes()).into_owned();
    let diagnostic = Diagnostic::error(format!("cannot read `{name}`"), span).note(error.to_string());
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            diagnostic.help(format!("make it readable, or leave it out with a line `{name}` in .dockerignore"))
        }
        _ => diagnostic,
    }
}

/// Something that cannot be put where it should go.
pub(super) fn place(error: &PlaceError, span: Span) -> Diagnostic {
    let diagnostic = Diagnostic::error(error.to_string(), span);
    match error {
        PlaceError::FileOverDirectory { path } => {
            diagnostic.help(format!("to copy into the directory, end the destination with a slash: {path}/"))
        }
        PlaceError::NotADirectory { .. }
        | PlaceError::DirectoryOverFile { .. }
        | PlaceError::TooManyLinks { .. }
        | PlaceError::ReservedName { .. }
        | PlaceError::Path { .. } => diagnostic,
    }
}

/// An archive that cannot be extracted.
pub(super) fn archive(error: &ArchiveError, name: &str, span: Span) -> BuildError {
    match error {
        ArchiveError::Place(error) => place(error, span).note(format!("while extracting {name}")).into(),
        ArchiveError::Tar(_) | ArchiveError::Name { .. } | ArchiveError::Link { .. } | ArchiveError::Spool(_) => {
            at(span, format!("the archive `{name}` cannot be extracted"), error).into()
        }
    }
}

/// An owner who is nobody.
pub(super) fn owner(error: &OwnerError, span: Span) -> Diagnostic {
    Diagnostic::error(error.to_string(), span)
        .help("names are looked up in the files of the image that is built; a number always works")
}

/// A layer that cannot be written.
pub(super) fn write(error: WriteError, span: Span) -> BuildError {
    match error {
        WriteError::Source { path, source } => unreadable(&path, &source, span).into(),
        WriteError::Truncated { ref path, .. } => Diagnostic::error(error.to_string(), span)
            .help(format!("nobody should write to {path} while the build reads it"))
            .into(),
        WriteError::Sink(source) => BuildError::io("write a layer", source),
        WriteError::Index(_) => at(span, "the files do not form a layer", &error).into(),
    }
}

/// A directory that cannot be a context.
pub(super) fn context(error: ContextError, span: Span) -> BuildError {
    match error {
        ContextError::Open { path, source } => BuildError::Io { doing: format!("open {path}"), source },
        ContextError::Ignore { path, source } => BuildError::Ignore { path, source },
        ContextError::IgnoreText { .. } => Diagnostic::error(error.to_string(), span).into(),
    }
}
