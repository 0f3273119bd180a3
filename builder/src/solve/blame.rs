//! From what went wrong to a message that points at the instruction.

use std::error::Error;

use crate::context::{Absence, ContextError};
use crate::copy::{ArchiveError, OwnerError, PlaceError};
use crate::dockerfile::suggest::nearest;
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
        Absence::Ignored { rule, line } => diagnostic
            .expected("it is there, but hidden")
            .note(format!("`{rule}` in line {line} of .dockerignore leaves it out"))
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

/// What is there instead: `siblings` are all paths in the deepest directory that is there.
fn with_siblings(diagnostic: Diagnostic, pattern: &str, siblings: &[String]) -> Diagnostic {
    let diagnostic = diagnostic.expected("no such file or directory");
    let Some(first) = siblings.first() else { return diagnostic };
    // The first component that is missing is the one that may be misspelt.
    let depth = first.trim_start_matches('/').split('/').count();
    let wanted: Vec<&str> = pattern.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let (missing, rest) = wanted.split_at(depth.min(wanted.len()));
    let slash = if first.starts_with('/') { "/" } else { "" };
    let missing = format!("{slash}{}", missing.join("/"));
    if siblings.contains(&missing) {
        return diagnostic.note(format!("`{missing}` is there, but it is a symbolic link to something that is not"));
    }
    if let Some(guess) = nearest(&missing, siblings.iter().map(String::as_str)) {
        let guess: Vec<&str> = std::iter::once(guess).chain(rest.iter().copied()).collect();
        return diagnostic.help(format!("did you mean `{}`?", guess.join("/")));
    }
    let directory = first.rsplit_once('/').map_or("", |(directory, _)| directory);
    let directory = if directory.is_empty() { "its root" } else { directory };
    let more = if siblings.len() > SHOWN_SIBLINGS { ", …" } else { "" };
    let names: Vec<&str> = siblings.iter().take(SHOWN_SIBLINGS).map(|path| file_name(path)).collect();
    diagnostic.note(format!("{directory} has {}{more}", names.join(", ")))
}

/// How many names a message lists.
const SHOWN_SIBLINGS: usize = 8;

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
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
    Diagnostic::error(error.to_string(), span)
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
        ContextError::Ignore { path, text, source } => {
            BuildError::Ignore { path, text, diagnostic: Box::new(source.into()) }
        }
        ContextError::IgnoreText { .. } => Diagnostic::error(error.to_string(), span).into(),
    }
}
