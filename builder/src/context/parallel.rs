//! One piece of work for each of many things, on all processors and while others wait for the disk.

use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, available_parallelism};

/// So many threads for each processor: what nobody looked at lately comes from the disk, one file after the other.
const THREADS: usize = 2;

/// Does `work` for all of `things`, on [`THREADS`] for each processor but with at least `worth` things for each, every one
/// with a room of its own, empty at first. Some may be left undone when one fails.
pub(super) fn for_each<T: Send, R: Default, E: Send>(
    things: Vec<T>,
    worth: usize,
    work: impl Fn(T, &mut R) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let threads = THREADS * available_parallelism().map_or(1, NonZeroUsize::get);
    let threads = threads.min(things.len().div_ceil(worth));
    let queue = Mutex::new(things.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let until_none_is_left = || {
        let mut room = R::default();
        while let Some(thing) = next() {
            work(thing, &mut room)?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(until_none_is_left)).collect();
        let mut result = until_none_is_left();
        for other in others {
            result = result.and(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_done_once_and_errors_come_out() {
        let mut numbers: Vec<u32> = (0..1000).collect();
        for_each(numbers.iter_mut().collect(), 1, |number, (): &mut ()| {
            *number += 1;
            Ok::<(), u32>(())
        })
        .unwrap();
        assert_eq!(numbers, (1..=1000).collect::<Vec<_>>());
        assert_eq!(
            for_each(numbers, 16, |number, (): &mut ()| if number == 500 { Err(number) } else { Ok(()) }),
            Err(500)
        );
        assert_eq!(for_each(Vec::<u8>::new(), 1, |_, (): &mut ()| Err(())), Ok(()));
    }
}
