//! Reading files: a stretch of a large one as a stream, a small one whole.

use std::io::{Read as _, SeekFrom};
use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::transfer::{ByteStream, Error, MAX_MANIFEST, Result};

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

/// A file that is parsed whole, and therefore must not be large.
pub(crate) fn read_small(path: &Path) -> Result<Vec<u8>> {
    let failed = |source| Error::io(format!("read {}", path.display()), source);
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(failed)?.take(MAX_MANIFEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_MANIFEST {
        let problem = format!("it is larger than {MAX_MANIFEST} bytes");
        return Err(Error::BadFile { path: path.to_owned(), problem });
    }
    Ok(bytes)
}
