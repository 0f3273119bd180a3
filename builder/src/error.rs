//! Why a build failed. Whatever has a place in the Dockerfile is a [`Diagnostic`]; the caller renders it with the source
//! text it handed in. Each variant is a different exit for the caller, and after each the store is as it was but for
//! results of steps that had already succeeded.

use std::io;

use crate::dockerfile::Diagnostic;
use crate::dockerfile::lint::Finding;

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile, or something it names, is wrong. Never empty.
    #[error("{}", first_title(.0))]
    Dockerfile(Vec<Diagnostic>),
    /// The linter found something, and `# check=error=true` makes that a failure. Never empty.
    #[error("the checks of this Dockerfile found {} {}", .0.len(), if .0.len() == 1 { "problem" } else { "problems" })]
    Findings(Vec<Finding>),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] wharf_blobstore::Error),
    /// A base image's layer could not be fetched.
    #[error("a layer of a base image could not be fetched")]
    Transfer(#[from] wharf_client::transfer::Error),
    /// An image's layer is damaged or gone.
    #[error(transparent)]
    Layer(#[from] crate::solve::LayerFault),
    /// An ignore file is wrong. Render the diagnostic with that file's name and text.
    #[error("{path} cannot be used: {}", diagnostic.title)]
    Ignore {
        /// The file.
        path: String,
        /// Its text.
        text: String,
        /// What is wrong with it.
        diagnostic: Box<Diagnostic>,
    },
    /// The result could not be written to a directory.
    #[error("could not {doing}")]
    WriteFiles {
        /// What was being done, with the path.
        doing: String,
        /// Why.
        source: crate::layer::UnpackError,
    },
    /// The result could not be written as a tar.
    #[error("could not write the tar")]
    WriteTar {
        /// Why.
        source: crate::layer::WriteError,
    },
    /// A file or directory of the builder's own could not be read or written.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was being done, with the path.
        doing: String,
        /// The system's words.
        source: io::Error,
    },
    /// The caller cancelled.
    #[error("the build was cancelled")]
    Cancelled,
}

fn first_title(diagnostics: &[Diagnostic]) -> &str {
    diagnostics.first().map_or("the Dockerfile is wrong", |first| &first.title)
}

impl BuildError {
    /// An I/O error while `doing` something.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}

impl From<Diagnostic> for BuildError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::Dockerfile(vec![diagnostic])
    }
}
