//! Git repositories as sources of files: what a URL asks for, and the checkout of it.
//!
//! The `git` program does the work. It is given no configuration of the user or the machine, no terminal to ask on, no
//! transport but the network's, and a limited time; what it says when it fails ends up in the message.

mod program;
mod url;

pub use program::{Checkout, GitError, Host, checkout};
pub(crate) use url::OPTIONS;
pub use url::{FileTimes, GitSource, GitUrlError};
