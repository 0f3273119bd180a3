//! Time and randomness, as arguments: whoever needs them takes them from the [`crate::Store`], so that tests decide.

use std::fmt::Debug;
use std::time::SystemTime;

/// Tells the time.
pub trait Clock: Debug + Send + Sync + 'static {
    /// Now.
    fn now(&self) -> SystemTime;
}

/// Makes ids that nobody has made before.
pub trait Ids: Debug + Send + Sync + 'static {
    /// 128 fresh bits.
    fn fresh(&self) -> [u8; 16];
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else takes")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// The operating system's randomness.
#[derive(Clone, Copy, Debug)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn fresh(&self) -> [u8; 16] {
        let mut id = [0; 16];
        getrandom::fill(&mut id).expect("the operating system has randomness");
        id
    }
}
