//! Small files on their way into a layer, read by threads of their own: opening a file and looking at it takes longer than its
//! bytes do, and a disk gives several in the time of one. The layer's writer takes them in their order.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::Builder;

use bytes::{Buf as _, Bytes};

use crate::jobs::Jobs;
use crate::layer::Open;

/// Files up to so many bytes are read here; larger ones by the writer, piece by piece.
const SMALL: u64 = 256 << 10;

/// What is read at once ends with so many bytes, or files.
const BYTES: u64 = 256 << 10;
const FILES: usize = 64;

/// So many batches are on their way, and so many are read at a time.
const AHEAD: usize = 6;
const READERS: usize = 4;

/// A file that is to be read, and its size.
pub(super) struct Unread {
    pub(super) size: u64,
    pub(super) open: Open,
}

/// Something in its order, with its file if it has one.
type Item<T> = (T, Option<Unread>);

/// Items, and where they go once their files are read.
type Job<T> = (Vec<Item<T>>, SyncSender<Vec<Item<T>>>);

/// Gives items back in the order in which they came, with their files read. Holds no more than [`AHEAD`] batches and two.
pub(super) struct ReadAhead<T> {
    readers: Option<Sender<Job<T>>>,
    batch: Vec<Item<T>>,
    /// Of its files.
    bytes: u64,
    coming: VecDeque<Receiver<Vec<Item<T>>>>,
}

impl<T: Send + 'static> ReadAhead<T> {
    /// Nothing to read yet.
    pub(super) fn new() -> Self {
        Self { readers: None, batch: Vec::new(), bytes: 0, coming: VecDeque::new() }
    }

    /// Takes the next item, and gives those whose turn it is.
    pub(super) fn push(&mut self, item: T, file: Option<Unread>) -> io::Result<Vec<Item<T>>> {
        self.bytes += file.as_ref().map_or(0, |file| file.size.min(SMALL));
        self.batch.push((item, file));
        if self.bytes < BYTES && self.batch.len() < FILES {
            return Ok(Vec::new());
        }
        self.read_batch()?;
        if self.coming.len() > AHEAD { self.next() } else { Ok(Vec::new()) }
    }

    /// The next of those that are left; nothing when none is. Few as they are, nobody reads them before they are wanted.
    pub(super) fn rest(&mut self) -> io::Result<Vec<Item<T>>> {
        if self.coming.is_empty() { Ok(std::mem::take(&mut self.batch)) } else { self.next() }
    }

    fn read_batch(&mut self) -> io::Result<()> {
        let readers = match &self.readers {
            Some(readers) => readers,
            None => self.readers.insert(start()?),
        };
        let (done, coming) = sync_channel(1);
        self.bytes = 0;
        readers.send((std::mem::take(&mut self.batch), done)).map_err(|_| lost())?;
        self.coming.push_back(coming);
        Ok(())
    }

    fn next(&mut self) -> io::Result<Vec<Item<T>>> {
        let Some(coming) = self.coming.pop_front() else { return Ok(Vec::new()) };
        coming.recv().map_err(|_| lost())
    }
}

/// Starts the threads. They end when nobody can send them anything any more.
fn start<T: Send + 'static>() -> io::Result<Sender<Job<T>>> {
    let (readers, jobs) = channel::<Job<T>>();
    let jobs = Jobs::new(jobs);
    for _ in 0..READERS {
        let jobs = jobs.share();
        Builder::new().name("read-ahead".into()).spawn(move || {
            for (mut batch, done) in jobs {
                read(&mut batch);
                // Nobody may want it any more.
                let _ = done.send(batch);
            }
        })?;
    }
    Ok(readers)
}

/// Reads the small files. What goes wrong is found when a file is opened.
fn read<T>(batch: &mut [Item<T>]) {
    let small = |file: &&mut Unread| file.size <= SMALL;
    let wanted: u64 = batch.iter_mut().filter_map(|(_, file)| file.as_mut().filter(small)).map(|file| file.size).sum();
    let mut bytes = vec![0; usize::try_from(wanted).unwrap_or(0)];
    let mut read = Vec::with_capacity(batch.len());
    let mut start = 0;
    for file in batch.iter_mut().filter_map(|(_, file)| file.as_mut().filter(small)) {
        let open = std::mem::replace(&mut file.open, Box::new(|| Err(lost())));
        let end = start + usize::try_from(file.size).unwrap_or(0);
        let content = open().and_then(|content| fill(content, &mut bytes[start..end]));
        read.push((file, content.map(|length| start..start + length)));
        start = end;
    }
    let bytes = Bytes::from(bytes);
    for (file, content) in read {
        let content = content.map(|range| bytes.slice(range));
        file.open = Box::new(|| Ok(Box::new(content?.reader())));
    }
}

/// Reads until nothing is missing or nothing comes any more: how much came.
fn fill(mut content: impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < bytes.len() {
        match content.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

fn lost() -> io::Error {
    io::Error::other("a thread that reads files ended early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &[u8]) -> Unread {
        let content = content.to_vec();
        Unread { size: content.len() as u64, open: Box::new(|| Ok(Box::new(io::Cursor::new(content)))) }
    }

    fn content(file: Unread) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (file.open)()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn what_went_in_comes_out_in_its_order() {
        for lengths in [vec![], vec![7], vec![0; 1000], (0..900).map(|n| n * 37 % 5000).collect(), vec![300 << 10; 30]]
        {
            let (mut ahead, mut out) = (ReadAhead::new(), Vec::new());
            for (number, length) in lengths.iter().enumerate() {
                let file = (number % 5 != 3).then(|| file(&vec![u8::try_from(number % 251).unwrap(); *length]));
                let came = ahead.push(number, file).unwrap();
                assert!(out.len() + came.len() + (AHEAD + 2) * FILES > number, "no more than this is held");
                out.extend(came);
            }
            loop {
                let came = ahead.rest().unwrap();
                if came.is_empty() {
                    break;
                }
                out.extend(came);
            }
            assert_eq!(out.len(), lengths.len());
            for (place, (number, file)) in out.into_iter().enumerate() {
                assert_eq!(number, place);
                assert_eq!(file.is_none(), number % 5 == 3);
                let expected = vec![u8::try_from(number % 251).unwrap(); lengths[number]];
                assert!(file.is_none_or(|file| content(file).unwrap() == expected), "{number}");
            }
        }
    }

    #[test]
    fn what_goes_wrong_belongs_to_its_file() {
        let mut ahead = ReadAhead::new();
        let broken = || Unread { size: 4, open: Box::new(|| Err(io::ErrorKind::PermissionDenied.into())) };
        let short = Unread { size: 9, open: file(b"less").open };
        ahead.push(0, Some(broken())).unwrap();
        ahead.push(1, Some(file(b"good"))).unwrap();
        ahead.push(2, Some(short)).unwrap();
        // With these, it is a batch.
        for number in 3..FILES {
            ahead.push(number, None).unwrap();
        }
        let read: Vec<_> = ahead.rest().unwrap().into_iter().filter_map(|(_, file)| file.map(content)).collect();
        assert_eq!(read[0].as_ref().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(read[1].as_deref().unwrap(), b"good");
        assert_eq!(read[2].as_deref().unwrap(), b"less");
    }
}
