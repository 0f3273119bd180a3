//! Getting an archive into a file that can be read at any place: streams are written to a temporary file, and gzip
//! around the whole archive is taken off.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom, copy};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncWriteExt as _};

use crate::transfer::{Error, Result};

const GZIP: &[u8] = &[0x1f, 0x8b];

/// What a temporary file holds when one was needed; it is deleted with it.
pub(super) fn unwrap_file(path: &Path, scratch: &Path) -> Result<Option<NamedTempFile>> {
    let failed = |source| Error::io(format!("read {}", path.display()), source);
    let mut file = File::open(path).map_err(failed)?;
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(GZIP.len() as u64).read_to_end(&mut start).map_err(failed)?;
    if start != GZIP {
        return Ok(None);
    }
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let mut spooled = temporary(scratch)?;
    copy(&mut MultiGzDecoder::new(file), &mut spooled).map_err(failed)?;
    Ok(Some(spooled))
}

/// Writes a stream to a temporary file.
pub(super) async fn spool(mut stream: impl AsyncRead + Send + Unpin, scratch: &Path) -> Result<NamedTempFile> {
    let spooled = temporary(scratch)?;
    let failed = |source| Error::io("read the archive from the stream", source);
    let mut file = tokio::fs::File::from_std(spooled.reopen().map_err(failed)?);
    tokio::io::copy(&mut stream, &mut file).await.map_err(failed)?;
    file.flush().await.map_err(failed)?;
    Ok(spooled)
}

fn temporary(scratch: &Path) -> Result<NamedTempFile> {
    NamedTempFile::new_in(scratch)
        .map_err(|source| Error::io(format!("create a temporary file in {}", scratch.display()), source))
}
