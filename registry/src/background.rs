//! Work that steps back (`nice`) for those who serve somebody that waits.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How far; the largest is 19. To a tenth of the time of one that wants all it can get, so that such work goes on beside those, too.
const NICENESS: i32 = 10;

/// Has the calling thread step back, and those that it starts. Where it may not, it works all the same.
pub fn step_back() {
    rustix::process::setpriority_process(None, NICENESS).ok();
}

/// A thread that steps back, with helpers of its own for what blocks. Once dropped, it gives up its work where that waits next.
#[derive(Debug)]
pub struct Background {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Background {
    /// Starts it under a name of at most 15 bytes. An error is the system's, which has no more threads.
    pub fn start(name: &str) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).on_thread_start(step_back).enable_all();
        let runtime = builder.build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    /// Where its work is spawned.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
