//! The system call filter of a confined process.
//!
//! Denied calls fail with `EPERM` and nothing is killed. The filter holds for the process and all it starts, and
//! only ever gets narrower. Must not know who installs it or when.

mod bpf;
mod native;
mod profile;

use rustix::io::Errno;

use super::sys;

/// Installs the default filter on the calling thread, which must hold `CAP_SYS_ADMIN` in its user namespace.
pub(super) fn install() -> Result<(), Errno> {
    sys::install_filter(&mut bpf::compile(&profile::tables()))
}
