//! Decompression in a thread of its own, so that hashing and writing a layer's files need not wait for it.
//!
//! At most [`DEPTH`] pieces of [`PIECE`] bytes are ahead of the reader. The thread ends with the call.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

const PIECE: usize = 256 << 10;
const DEPTH: usize = 4;

/// Lets `work` read what comes out of `source`, which is read in a thread. Gives `source` back, read as far as it was.
pub(super) fn read_ahead<R: Read + Send, T>(source: R, work: impl FnOnce(Ahead) -> T) -> io::Result<(T, R)> {
    thread::scope(|scope| {
        let (full, pieces) = sync_channel(DEPTH);
        let (spent, empty) = channel();
        let reader = thread::Builder::new()
            .name("layer-decode".into())
            .spawn_scoped(scope, move || pump(source, &full, &empty))?;
        let result = work(Ahead { pieces, spent, current: Vec::new(), at: 0 });
        match reader.join() {
            Ok(source) => Ok((result, source)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn pump<R: Read>(mut source: R, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) -> R {
    loop {
        let mut piece = empty.try_recv().unwrap_or_default();
        piece.resize(PIECE, 0);
        let (filled, error) = fill(&mut source, &mut piece);
        piece.truncate(filled);
        // What came before an error counts. Nobody listening any more is a reason to stop, not an error.
        let go_on = filled == PIECE;
        if (filled > 0 && full.send(Ok(piece)).is_err()) || error.is_some_and(|error| full.send(Err(error)).is_err()) {
            return source;
        }
        if !go_on {
            return source;
        }
    }
}

/// Reads until `piece` is full, the source ends, or it fails.
fn fill(source: &mut impl Read, piece: &mut [u8]) -> (usize, Option<io::Error>) {
    let mut filled = 0;
    while filled < piece.len() {
        match source.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(error)),
        }
    }
    (filled, None)
}

/// What was read ahead.
pub(super) struct Ahead {
    pieces: Receiver<io::Result<Vec<u8>>>,
    spent: Sender<Vec<u8>>,
    current: Vec<u8>,
    at: usize,
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.current.len() {
            // The thread is gone: that was the end.
            let Ok(next) = self.pieces.recv() else { return Ok(0) };
            let spent = std::mem::replace(&mut self.current, next?);
            self.at = 0;
            // The thread may have ended meanwhile and want no more buffers.
            let _ = self.spent.send(spent);
        }
        let count = buffer.len().min(self.current.len() - self.at);
        buffer[..count].copy_from_slice(&self.current[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `left` bytes in odd pieces, then fails or ends.
    struct Source {
        left: usize,
        fails: bool,
    }

    impl Read for Source {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.left).min(77_777);
            if count == 0 && self.fails {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            buffer[..count].fill(b'x');
            self.left -= count;
            Ok(count)
        }
    }

    #[test]
    fn everything_arrives_and_the_source_comes_back() {
        for left in [0, 1, PIECE, 3 * PIECE + 5, 20 * PIECE] {
            let (read, source) = read_ahead(Source { left, fails: false }, |mut ahead| {
                let mut all = Vec::new();
                ahead.read_to_end(&mut all).map(|_| all.len())
            })
            .unwrap();
            assert_eq!((read.unwrap(), source.left), (left, 0));
        }
    }

    #[test]
    fn errors_come_after_what_came_before_them() {
        let (result, _) = read_ahead(Source { left: PIECE + 9, fails: true }, |mut ahead| {
            let mut all = Vec::new();
            (ahead.read_to_end(&mut all).unwrap_err().kind(), all.len())
        })
        .unwrap();
        assert_eq!(result, (io::ErrorKind::ConnectionReset, PIECE + 9));
    }

    #[test]
    fn stopping_early_stops_the_thread() {
        let (read, source) = read_ahead(Source { left: usize::MAX, fails: false }, |mut ahead| {
            let mut some = [0; 10];
            ahead.read_exact(&mut some).map(|()| some)
        })
        .unwrap();
        assert_eq!(read.unwrap(), [b'x'; 10]);
        assert!(source.left > usize::MAX - 100 * PIECE);
    }
}
