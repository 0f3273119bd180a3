//! Large blobs over plain HTTP/1.1 go from the page cache to the socket without passing through this process.
//!
//! A handler gives the server a body whose pieces are parts of a mapped file, which nobody touches. They reach the
//! connection's stream unchanged; it knows them by where they lie, and has the kernel send that part of the file
//! instead. A piece that somebody copies on its way is read from the file after all: what is sent is right either way.
//!
//! Only for files that never change while they are open, which is what objects are.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::mm::{MapFlags, ProtFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

use crate::seat::Portable;

/// Less than this is not worth it.
pub(super) const LARGE: u64 = 256 << 10;

/// What is handed on at once, in bytes.
const PIECE: usize = 1 << 20;

/// What an answer on one connection sends from files. A request carries it among its extensions, where it is possible.
#[derive(Clone, Debug, Default)]
pub(super) struct Direct {
    mapped: Arc<Mutex<Vec<Weak<Mapped>>>>,
}

/// A part of a file in the address space, and in no memory before somebody looks at it.
#[derive(Debug)]
struct Mapped {
    file: File,
    /// Where it begins in the address space, and in the file.
    address: usize,
    offset: u64,
    length: usize,
}

impl Direct {
    /// A body that is `range` of the file, or `None` when the file cannot be opened and mapped: then it must be read.
    pub(super) fn body(&self, path: &Path, range: Range<u64>) -> Option<Body> {
        let mapped = Arc::new(Mapped::new(File::open(path).ok()?, &range)?);
        let mut known = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|earlier| earlier.strong_count() > 0);
        known.push(Arc::downgrade(&mapped));
        drop(known);
        let begin = usize::try_from(range.start - mapped.offset).ok()?;
        let end = mapped.length;
        let pieces = stream::try_unfold((mapped, begin), move |(mapped, begin)| async move {
            if begin == end {
                return Ok::<_, io::Error>(None);
            }
            let piece = Piece { mapped: Arc::clone(&mapped), range: begin..end.min(begin + PIECE) };
            let next = piece.range.end;
            piece.bring_in().await?;
            Ok(Some((Bytes::from_owner(piece), (mapped, next))))
        });
        Some(Body::from_stream(pieces))
    }

    /// The mapped file in which these bytes lie, and where in the file.
    fn find(&self, bytes: &[u8]) -> Option<(Arc<Mapped>, u64)> {
        let known = self.mapped.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).find_map(|mapped| {
            let begin = (bytes.as_ptr() as usize).checked_sub(mapped.address)?;
            let offset = mapped.offset + begin as u64;
            (begin + bytes.len() <= mapped.length).then_some((mapped, offset))
        })
    }
}

impl Mapped {
    fn new(file: File, range: &Range<u64>) -> Option<Self> {
        if range.is_empty() || range.end > file.metadata().ok()?.len() {
            return None;
        }
        // Mappings begin on a page.
        let offset = range.start - range.start % rustix::param::page_size() as u64;
        let length = usize::try_from(range.end - offset).ok()?;
        #[expect(unsafe_code, reason = "the kernel chooses where the file is mapped")]
        // SAFETY: it is a new mapping, which touches no other.
        let address = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), length, ProtFlags::READ, MapFlags::SHARED, &file, offset).ok()?
        };
        Some(Self { file, address: address as usize, offset, length })
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "what was mapped is given back")]
        // SAFETY: it is our mapping, and pieces, which alone refer to it, hold it.
        let _ = unsafe { rustix::mm::munmap(self.address as *mut _, self.length) };
    }
}

/// Some of a mapped file's bytes.
struct Piece {
    mapped: Arc<Mapped>,
    range: Range<usize>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        let length = self.range.end - self.range.start;
        #[expect(unsafe_code, reason = "mapped memory is not known to the language")]
        // SAFETY: the range lies within the mapping, which lives as long as we do, and the file never changes.
        unsafe {
            std::slice::from_raw_parts((self.mapped.address + self.range.start) as *const u8, length)
        }
    }
}

impl Piece {
    /// Makes sure that sending does not wait for the disk, which would hold up other connections.
    async fn bring_in(&self) -> io::Result<()> {
        if self.is_in_memory() {
            return Ok(());
        }
        let (mapped, range) = (Arc::clone(&self.mapped), self.range.clone());
        let read = tokio::task::spawn_blocking(move || {
            let mut passed = vec![0; 64 << 10];
            for begin in range.step_by(passed.len()) {
                rustix::io::pread(&mapped.file, &mut passed, mapped.offset + begin as u64)?;
            }
            Ok(())
        });
        read.await.unwrap_or_else(|ended| Err(io::Error::other(ended)))
    }

    /// Looks at the first and the last page: files are read in order, so what lies between is there when these are.
    fn is_in_memory(&self) -> bool {
        [self.range.start, self.range.end - 1].into_iter().all(|position| {
            let offset = self.mapped.offset + position as u64;
            let mut byte = [0];
            let read = rustix::io::preadv2(
                &self.mapped.file,
                &mut [io::IoSliceMut::new(&mut byte)],
                offset,
                ReadWriteFlags::NOWAIT,
            );
            // A file system that cannot say so has to be trusted.
            read != Err(Errno::AGAIN)
        })
    }
}

/// A stream that sends mapped files' bytes from the files.
pub(super) struct DirectStream {
    stream: Portable,
    direct: Direct,
}

impl DirectStream {
    pub(super) fn new(stream: Portable) -> Self {
        Self { stream, direct: Direct::default() }
    }

    /// For the requests of this connection.
    pub(super) fn direct(&self) -> Direct {
        self.direct.clone()
    }

    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        (file, offset): (&File, u64),
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = self.stream.here()?;
        loop {
            ready!(stream.poll_write_ready(context))?;
            let mut offset = offset;
            let sent = stream.try_io(Interest::WRITABLE, || {
                Ok(rustix::fs::sendfile(stream.as_fd(), file, Some(&mut offset), length)?)
            });
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl AsyncRead for DirectStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for DirectStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.direct.find(bytes) {
            Some((mapped, offset)) => self.poll_send(context, (&mapped.file, offset), bytes.len()),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let found = slices.iter().enumerate().find_map(|(index, slice)| Some((index, self.direct.find(slice)?)));
        match found {
            Some((0, (mapped, offset))) => self.poll_send(context, (&mapped.file, offset), slices[0].len()),
            // What comes before a file goes first; the file's turn is in the next call.
            Some((index, _)) => Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..index]),
            None => Pin::new(&mut self.stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use std::io::Write as _;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use crate::seat::Seat;

    use super::*;

    fn file() -> (tempfile::NamedTempFile, Vec<u8>) {
        let bytes: Vec<u8> =
            (0_u32..3_000_000).map(|index| index.wrapping_mul(2_654_435_761).to_le_bytes()[2]).collect();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bytes).unwrap();
        (file, bytes)
    }

    #[tokio::test]
    async fn pieces_are_sent_from_the_file_and_are_right_when_copied() {
        let (file, bytes) = file();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let mut stream = DirectStream::new(Portable::new(accepted.unwrap().0, Seat::default()));
        let range = 5000..2_500_000_u64;
        let expected = bytes[5000..2_500_000].to_vec();
        let reader = tokio::spawn(async move {
            let mut received = Vec::new();
            client.unwrap().read_to_end(&mut received).await.unwrap();
            received
        });
        let mut pieces = stream.direct().body(file.path(), range).unwrap().into_data_stream();
        stream.write_all(b"head").await.unwrap();
        let mut copied = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece.unwrap();
            assert!(stream.direct.find(&piece).is_some());
            copied.extend_from_slice(&piece);
            assert!(stream.direct.find(&copied).is_none());
            let (mut head, mut rest) = (&b"+"[..], &piece[..]);
            while !rest.is_empty() {
                let slices = [io::IoSlice::new(head), io::IoSlice::new(rest)];
                let slices = if head.is_empty() { &slices[1..] } else { &slices[..] };
                let sent = stream.write_vectored(slices).await.unwrap();
                rest = if head.is_empty() { &rest[sent..] } else { rest };
                head = &[];
            }
        }
        drop(pieces);
        drop(stream);
        assert_eq!(copied, expected);
        let with_marks: Vec<u8> = expected.chunks(PIECE).flat_map(|piece| [b"+", piece].concat()).collect();
        assert_eq!(reader.await.unwrap(), [b"head", &with_marks[..]].concat());
    }

    #[tokio::test]
    async fn what_was_sent_is_forgotten() {
        let (file, _) = file();
        let direct = Direct::default();
        for _ in 0..3 {
            drop(direct.body(file.path(), 0..1_000_000).unwrap());
        }
        assert!(direct.mapped.lock().unwrap().len() <= 1);
        assert!(direct.body(file.path(), 0..3_000_001).is_none(), "the file is shorter");
    }
}
