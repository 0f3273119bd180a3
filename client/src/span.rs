//! Reading a stretch of a file as a stream.

use std::io::SeekFrom;
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::transfer::{ByteStream, Error, Result};

/// Bytes per read: large enough that the calls do not count.
const BUFFER: usize = 256 << 10;

/// `length` bytes of the file at `path`, from `start` on.
pub(crate) async fn read_span(path: &Path, start: u64, length: u64) -> Result<ByteStream> {
    let shown = path.display().to_string();
    let failed = move |source| Error::io(format!("read {shown}"), source);
    let mut file = File::open(path).await.map_err(&failed)?;
    file.set_max_buf_size(BUFFER);
    file.seek(SeekFrom::Start(start)).await.map_err(&failed)?;
    Ok(ReaderStream::with_capacity(file.take(length), BUFFER).map_err(failed).boxed())
}
