//! What builds at the same time have in common: how much they may do at once, and what is fetched and unpacked just now.

use std::sync::Arc;

use tokio::sync::Semaphore;
use wharf_spec::Digest;

use super::once::KeyedLocks;

/// What layers that are written at the same time may take together: 128 MiB. One that wants more has it to itself.
pub(super) const MEMORY_UNITS: u32 = 128;
pub(super) const MEMORY_UNIT: u64 = 1 << 20;

/// Builds with clones of the same one do no more at once than one of them would alone, and get a layer that several need
/// once. Which steps they have in common is found out without it.
#[derive(Clone)]
pub struct Together {
    pub(super) slots: Arc<Semaphore>,
    /// Memory for layers that are being written, in [`MEMORY_UNIT`]s.
    pub(super) memory: Arc<Semaphore>,
    pub(super) fetches: Arc<KeyedLocks<Digest>>,
    pub(super) unpacks: Arc<KeyedLocks<Digest>>,
}

impl Together {
    /// For builds that run so many steps at once; one at least.
    pub fn new(steps: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(steps.max(1))),
            memory: Arc::new(Semaphore::new(MEMORY_UNITS as usize)),
            fetches: Arc::default(),
            unpacks: Arc::default(),
        }
    }
}
