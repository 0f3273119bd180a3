//! An SSH agent of our own, for keys in files: it signs what it is asked to, and never gives a key away.
//!
//! Keys are read once, live in this process's memory, and no message shows them. Only keys without a passphrase can be read.

mod agent;
mod bignum;
mod key;
mod wire;

pub use agent::KeyAgent;
pub use key::{KeyError, PrivateKey};
