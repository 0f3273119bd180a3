//! Runs the process of a `RUN` step, apart from the machine it runs on.
//!
//! ```text
//! builder (threads)  --socket-->  helper  --fork-->  init (pid 1)  --fork-->  program
//!   run.rs                        helper.rs          init.rs                  payload.rs
//!                                 namespaces         mounts, /proc, /dev,     limits, capabilities,
//!                                 waits              root, reaping            filter, user, exec
//! ```
//!
//! What holds whatever the process does:
//!
//! * Its root is an overlay of the given layers; what it changes ends up in the upper directory, and nothing else
//!   does: mount points the image lacks come from a layer of their own ([`rootfs`]).
//! * It sees no process, file, variable, descriptor or terminal of the host but what the [`Process`] names. It is on
//!   the host's network unless told otherwise.
//! * All mounts live in the helper's mount namespace. When the builder dies, even by `kill -9`, the helper's socket
//!   closes, everything in the sandbox is killed, and no mount is left; only the work directory's files are.
//! * A helper started ahead of its process waits on its socket, and has nothing of the host's that another would not have.
//! * The program that `/proc/1/exe` names is the builder's own, but the builder is running it: writing to it fails.
//!
//! Whoever runs steps calls [`run_helper_if_asked`] and then [`enter_user_namespace_if_needed`] first thing in
//! `main`. In a user namespace (see [`Tier`]) all file work on layers is done as its root, and layers carry overlay's
//! marks under another name: [`opaque_attribute`].
//!
//! Needs Linux 5.12. Must not know layers as blobs, Dockerfiles, or who asks.

mod detached;
mod devices;
mod error;
mod group;
mod helper;
mod init;
mod inside;
mod kernel_files;
mod mounts;
mod name_files;
mod overlay;
mod payload;
mod report;
mod rootfs;
mod run;
mod scratch;
mod seccomp;
mod spec;
mod subids;
mod sys;
mod tier;
mod user;
mod userns;

pub use error::{Errno, SandboxError, Step};
pub use helper::{HELPER_ARG, run_helper_if_asked};
pub use overlay::opaque_attribute;
pub use report::ExitStatus;
pub use run::{Helpers, OutputChunk, Stream, rehearse};
pub use spec::{
    Access, GroupLimits, Limits, Mount, MountKind, Network, Process, Resource, Rlimit, RootFs, Secret, Security, Writes,
};
pub use tier::{Check, Outcome, Report, Tier, probe};
pub use userns::{EnterError, enter_user_namespace_if_needed};
