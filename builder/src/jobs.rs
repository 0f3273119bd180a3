//! Work for threads of a kind: whoever is free takes the next piece.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

/// What there is to do, for one of several threads. Ends when nobody can send more.
pub(crate) struct Jobs<T> {
    queue: Arc<Mutex<Receiver<T>>>,
}

impl<T> Jobs<T> {
    pub(crate) fn new(queue: Receiver<T>) -> Self {
        Self { queue: Arc::new(Mutex::new(queue)) }
    }

    /// The same for another thread.
    pub(crate) fn share(&self) -> Self {
        Self { queue: Arc::clone(&self.queue) }
    }
}

impl<T> Iterator for Jobs<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.queue.lock().ok()?.recv().ok()
    }
}
