//! `ADD https://…`: the file, before anybody knows where it goes.

use std::path::PathBuf;
use std::time::UNIX_EPOCH;

use futures_util::TryStreamExt as _;
use wharf_spec::{Algorithm, Digest, Hasher};

use super::depot::Depot;
use super::solver::Solver;
use crate::copy::Spool;
use crate::dockerfile::{Diagnostic, Span};
use crate::error::BuildError;
use crate::fetch::{Fetch, FetchError};
use crate::git::{GitSource, Host, checkout};
use crate::layer::{Entry, Kind, LayerPath, Mtime};

/// The name of a file whose URL has none.
const UNNAMED: &str = "__unnamed__";

/// A file that was fetched.
pub(super) struct Download {
    /// Its name as path; `0600`, and as old as the server says.
    pub(super) entry: Entry,
    /// Its bytes, from the start.
    pub(super) spool: Spool,
    /// What they hash to.
    pub(super) digest: Digest,
}

/// What a URL gave.
pub(super) struct Spooled {
    /// Its bytes, from the start.
    pub(super) spool: Spool,
    /// What they hash to.
    pub(super) digest: Digest,
    /// `Last-Modified`, in seconds since 1970.
    pub(super) modified: Option<i64>,
}

/// Fetches `url` and holds it against `checksum`.
pub(super) async fn spooled(
    fetch: &dyn Fetch,
    depot: &Depot,
    (url, checksum): (&str, Option<&Digest>),
    span: Span,
) -> Result<Spooled, BuildError> {
    let fetched = fetch.get(url).await.map_err(|error| failed(url, &error, span))?;
    let cannot_spool = |error| BuildError::io("spool a download", error);
    let mut spool = Spool::new(depot.cache().room()).map_err(cannot_spool)?;
    let mut hasher = Hasher::new(checksum.map_or(Algorithm::Sha256, Digest::algorithm));
    let mut body = fetched.body;
    while let Some(piece) = body.try_next().await.map_err(|error| failed(url, &error, span))? {
        hasher.update(&piece);
        spool.append(&piece).map_err(cannot_spool)?;
    }
    let digest = hasher.finish();
    if let Some(expected) = checksum.filter(|expected| **expected != digest) {
        return Err(Diagnostic::error(format!("{url} is not what its checksum says"), span)
            .expected(format!("it hashes to {digest}"))
            .note(format!("expected {expected}"))
            .into());
    }
    let modified = fetched.last_modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.and_then(|since| i64::try_from(since.as_secs()).ok());
    Ok(Spooled { spool, digest, modified })
}

impl Solver<'_> {
    /// The file at `url`.
    pub(super) async fn download(
        &self,
        url: &str,
        checksum: Option<&Digest>,
        span: Span,
    ) -> Result<Download, BuildError> {
        let Spooled { spool, digest, modified } =
            spooled(&*self.environment.fetch, &self.depot, (url, checksum), span).await?;
        let mut entry = Entry::new(file_name(url), Kind::File { size: spool.end() }, 0o600);
        entry.mtime = Mtime::from_secs(modified.unwrap_or(crate::copy::DATELESS.secs));
        Ok(Download { entry, spool, digest })
    }
}

impl Solver<'_> {
    /// The files of a repository, in a directory that goes with the build.
    pub(super) async fn check_out(
        &self,
        source: &GitSource,
        keep_git_dir: bool,
        span: Span,
    ) -> Result<PathBuf, BuildError> {
        let into = self.depot.scratch("git")?;
        let proxies = crate::plan::proxies(self.request);
        let host = Host { agent: self.request.ssh.get("default").cloned(), proxies };
        let done = tokio::select! {
            done = checkout(source, &into, &host, keep_git_dir) => done,
            () = self.cancel.cancelled() => return Err(BuildError::Cancelled),
        };
        let checkout = done.map_err(|error| {
            let title = format!("the repository {} cannot be used", source.remote);
            super::blame::at(span, title, &error).maybe_help(error.hint().map(str::to_owned))
        })?;
        Ok(checkout.directory)
    }
}

/// The last component of the URL's path.
pub(super) fn file_name(url: &str) -> LayerPath {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let name = path.split_once('/').and_then(|(_, path)| path.trim_end_matches('/').rsplit('/').next());
    let name = name.filter(|name| !matches!(*name, "" | "." | "..")).unwrap_or(UNNAMED);
    LayerPath::parse(name).unwrap_or_else(|_| LayerPath::parse(UNNAMED).unwrap_or_default())
}

fn failed(url: &str, error: &FetchError, span: Span) -> BuildError {
    super::blame::at(span, format!("{url} could not be fetched"), error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_what_its_url_ends_in() {
        for (url, name) in [
            ("https://x.example/a/b.tar.gz?x=1#y", "/b.tar.gz"),
            ("https://x.example/", "/__unnamed__"),
            ("https://x.example", "/__unnamed__"),
            ("https://x.example/a/", "/a"),
            ("https://x.example/a/..", "/__unnamed__"),
        ] {
            assert_eq!(file_name(url).to_string(), name, "{url}");
        }
    }
}
