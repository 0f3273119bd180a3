//! How old a source is: when its commit was made, what the server says, or its newest file if it is an archive.

use super::blame;
use super::depot::Depot;
use super::remote::{Spooled, spooled};
use super::transport::blocking;
use crate::copy::Spool;
use crate::environment::BuildEnvironment;
use crate::error::BuildError;
use crate::git::{Host, checkout};
use crate::layer::{Decoder, Kind, LayerIndex, TarLimits, detect_archive};
use crate::plan::EpochSource;
use crate::request::BuildRequest;

/// Seconds since 1970; nothing for a file that neither the server nor its content gives a time.
pub(crate) async fn time_of(
    source: &EpochSource,
    request: &BuildRequest,
    environment: &BuildEnvironment,
    depot: &Depot,
) -> Result<Option<i64>, BuildError> {
    match source {
        EpochSource::Repository { source, span } => {
            let into = depot.scratch("git")?;
            let host = Host { agent: request.ssh.get("default").cloned(), proxies: crate::plan::proxies(request) };
            let done = checkout(source, &into, &host, false).await.map_err(|error| {
                let title = format!("the repository {} cannot be used", source.remote);
                blame::at(*span, title, &error).maybe_help(error.hint().map(str::to_owned))
            })?;
            Ok(Some(done.committed))
        }
        EpochSource::Url { url, checksum, span } => {
            let what = (url.as_str(), checksum.as_ref());
            let Spooled { spool, modified, .. } = spooled(&*environment.fetch, depot, what, *span).await?;
            match modified {
                Some(modified) => Ok(Some(modified)),
                None => Ok(blocking(move || newest(&spool)).await),
            }
        }
    }
}

/// The time of an archive's newest file. What is no archive, or a damaged one, has none: the step that adds it complains.
fn newest(spool: &Spool) -> Option<i64> {
    let whole = || spool.slice(0, spool.end());
    let format = detect_archive(whole()).ok()??;
    let decoder = Decoder::new(whole(), format).ok()?;
    let (_, index) = LayerIndex::from_tar(decoder, wharf_spec::Compression::Uncompressed, TarLimits::default()).ok()?;
    let files = index.iter().filter(|one| matches!(one.entry.kind, Kind::File { .. }));
    files.map(|one| one.entry.mtime.secs).max()
}
