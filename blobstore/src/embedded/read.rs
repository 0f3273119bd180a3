//! Reading an object: what is small comes in one go, and right away when it is in the page cache; of the rest, one piece is read ahead while another is on its way
//! to the reader. A reader holds two pieces at most.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use rustix::fs::Advice;
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use super::blocking::{blocking, joined};
use crate::{ByteStream, Error, ObjectKey, Result};

/// What is read at once.
const PIECE: u64 = 256 << 10;

/// What may be read right where it is asked for: handing it to another thread and back would take longer.
const FEW: u64 = 64 << 10;

/// A range of an open object, of which the first piece is read.
struct Opened {
    file: File,
    first: Bytes,
    rest: Range<u64>,
}

/// Reads `range` of the object in this file. `None` when there is no such file.
pub(super) async fn read(path: PathBuf, key: ObjectKey, range: Range<u64>) -> Result<Option<ByteStream>> {
    // An empty range has nothing to read, but may lie outside of the object: that is found out below.
    if (1..=FEW).contains(&range.end.saturating_sub(range.start))
        && let Some(bytes) = read_now(&path, &range)
    {
        return Ok(Some(stream::iter([Ok(bytes)]).boxed()));
    }
    let Some(opened) = blocking(move || open(&path, key, range)).await? else { return Ok(None) };
    let Opened { file, first, rest } = opened;
    if rest.is_empty() {
        let pieces = (!first.is_empty()).then_some(Ok(first));
        return Ok(Some(stream::iter(pieces).boxed()));
    }
    let ahead = ReadAhead::begin(Arc::new(file), key, rest);
    Ok(Some(stream::once(async { Ok(first) }).chain(stream::unfold(Some(ahead), ReadAhead::next)).boxed()))
}

/// Reads what needs no waiting for the disk; `None` when that is not all of it, for whatever reason.
fn read_now(path: &PathBuf, range: &Range<u64>) -> Option<Bytes> {
    let file = File::open(path).ok()?;
    let mut bytes = vec![0; usize::try_from(range.end.checked_sub(range.start)?).ok()?];
    let mut slices = [io::IoSliceMut::new(&mut bytes)];
    let read = rustix::io::preadv2(&file, &mut slices, range.start, ReadWriteFlags::NOWAIT).ok()?;
    (read == bytes.len()).then(|| bytes.into())
}

fn open(path: &PathBuf, key: ObjectKey, range: Range<u64>) -> Result<Option<Opened>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot(key, error)),
    };
    let length = file.metadata().map_err(|error| cannot(key, error))?.len();
    if range.start > range.end || range.end > length {
        return Err(cannot(key, io::Error::new(io::ErrorKind::InvalidInput, "range outside of the object")));
    }
    if range.end - range.start > PIECE {
        // Only a hint; where it is not understood, reading works all the same.
        let _ = rustix::fs::fadvise(&file, range.start, None, Advice::Sequential);
    }
    let (now, rest) = split(range);
    let first = read_at(&file, key, now)?;
    Ok(Some(Opened { file, first, rest }))
}

/// The first piece of a range, and what is left.
fn split(range: Range<u64>) -> (Range<u64>, Range<u64>) {
    let middle = range.end.min(range.start + PIECE);
    (range.start..middle, middle..range.end)
}

/// The piece that is being read while the reader has the one before.
struct ReadAhead {
    file: Arc<File>,
    key: ObjectKey,
    piece: JoinHandle<Result<Bytes>>,
    rest: Range<u64>,
}

impl ReadAhead {
    fn begin(file: Arc<File>, key: ObjectKey, range: Range<u64>) -> Self {
        let (now, rest) = split(range);
        let from = Arc::clone(&file);
        let piece = tokio::task::spawn_blocking(move || read_at(&from, key, now));
        Self { file, key, piece, rest }
    }

    async fn next(ahead: Option<Self>) -> Option<(Result<Bytes>, Option<Self>)> {
        let Self { file, key, piece, rest } = ahead?;
        let piece = joined(piece).await;
        let more = (piece.is_ok() && !rest.is_empty()).then(|| Self::begin(file, key, rest));
        Some((piece, more))
    }
}

fn read_at(file: &File, key: ObjectKey, range: Range<u64>) -> Result<Bytes> {
    let wanted = usize::try_from(range.end - range.start).expect("a piece fits into memory");
    let mut bytes = Vec::with_capacity(wanted);
    while bytes.len() < wanted {
        let offset = range.start + bytes.len() as u64;
        let read = rustix::io::pread(file, rustix::buffer::spare_capacity(&mut bytes), offset);
        match read {
            Ok(0) => return Err(cannot(key, io::ErrorKind::UnexpectedEof.into())),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(cannot(key, error.into())),
        }
    }
    // `with_capacity` may give more than was asked for.
    bytes.truncate(wanted);
    Ok(bytes.into())
}

fn cannot(key: ObjectKey, error: io::Error) -> Error {
    Error::io(format!("read object {key}"), error)
}
