//! Writing a tar to wherever bytes go, one entry after the other; what is written is the same for the same content.

use futures_util::TryStreamExt as _;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use crate::transfer::{ByteStream, Error, Origin, Result};

const BLOCK: usize = 512;

/// A tar that is being written.
pub(super) struct TarWriter {
    out: Box<dyn AsyncWrite + Send + Unpin>,
    origin: Origin,
}

impl TarWriter {
    pub(super) fn new(out: Box<dyn AsyncWrite + Send + Unpin>, origin: Origin) -> Self {
        Self { out, origin }
    }

    /// A file of `length` bytes. After an error the tar is broken.
    pub(super) async fn stream(&mut self, name: &str, length: u64, mut bytes: ByteStream) -> Result<()> {
        self.header(name, tar::EntryType::Regular, length).await?;
        let mut written = 0;
        while let Some(piece) = bytes.try_next().await? {
            written += piece.len() as u64;
            self.write(&piece).await?;
        }
        debug_assert_eq!(written, length, "the stream is checked against its descriptor");
        self.pad(length).await
    }

    /// A small file.
    pub(super) async fn file(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        self.header(name, tar::EntryType::Regular, bytes.len() as u64).await?;
        self.write(bytes).await?;
        self.pad(bytes.len() as u64).await
    }

    pub(super) async fn directory(&mut self, name: &str) -> Result<()> {
        self.header(name, tar::EntryType::Directory, 0).await
    }

    /// The end of the archive.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.write(&[0; 2 * BLOCK]).await?;
        let ended = match self.out.flush().await {
            Ok(()) => self.out.shutdown().await,
            Err(error) => Err(error),
        };
        ended.map_err(|source| self.failed(source))
    }

    async fn header(&mut self, name: &str, kind: tar::EntryType, length: u64) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        // Names here are short and made by us.
        header.set_path(name).map_err(|source| self.failed(source))?;
        header.set_entry_type(kind);
        header.set_mode(if kind == tar::EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(length);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        self.write(header.as_bytes()).await
    }

    async fn pad(&mut self, length: u64) -> Result<()> {
        let over = usize::try_from(length % BLOCK as u64).expect("less than a block");
        if over == 0 {
            return Ok(());
        }
        let zeros = [0; BLOCK];
        self.write(&zeros[over..]).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).await.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: std::io::Error) -> Error {
        Error::io(format!("write {}", self.origin), source)
    }
}
