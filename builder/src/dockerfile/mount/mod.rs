//! `RUN --mount`: the fields as written, and the mount they resolve to.
//!
//! Values may hold variables, even the type may. So a mount is read twice: [`MountSpec`] when the file is parsed,
//! [`Mount`] when the environment at its `RUN` is known. Without variables, mistakes are reported at the first reading.

mod parse;
mod resolve;

pub(super) use parse::{from_is_not_expanded, refers_to_variable, split_fields};

use super::span::{Span, Word};

/// The value of a `RUN --mount` flag: its fields, not yet expanded. `from` never holds a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSpec {
    /// The fields in order.
    pub fields: Vec<MountField>,
    /// The flag's value.
    pub span: Span,
}

/// One `key=value` (or bare `key`) of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountField {
    /// The key in lower case, in the author's place.
    pub key: Word,
    /// The value; absent for a bare key.
    pub value: Option<Word>,
}

/// A mount whose fields are expanded and checked.
///
/// Targets are as written: relative ones, including the empty string, are relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Files of the context, a stage or an image. Writes are discarded.
    Bind(BindMount),
    /// A directory kept between builds.
    Cache(CacheMount),
    /// A file system in memory.
    Tmpfs(TmpfsMount),
    /// A secret as a file, an environment variable, or both.
    Secret(SecretMount),
    /// The socket of an SSH agent.
    Ssh(SshMount),
}

/// `type=bind`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindMount {
    /// Where it appears.
    pub target: String,
    /// Path below the root of `from`; empty for the root itself.
    pub source: String,
    /// Stage, image or named context; the build context when absent.
    pub from: Option<Word>,
    /// Not writable; the default.
    pub read_only: bool,
}

/// `type=cache`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount {
    /// Where it appears.
    pub target: String,
    /// Identity of the cache; absent means the cleaned target.
    pub id: Option<String>,
    /// What happens when two builds use it at once.
    pub sharing: CacheSharing,
    /// Where its first content comes from; empty when absent.
    pub from: Option<Word>,
    /// Path below the root of `from`; empty for the root itself.
    pub source: String,
    /// Not writable.
    pub read_only: bool,
    /// Mode of a new cache directory.
    pub mode: u32,
    /// Owner of a new cache directory.
    pub uid: u32,
    /// Group of a new cache directory.
    pub gid: u32,
}

/// `sharing=` of a cache mount
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CacheSharing {
    /// Used by all at once.
    #[default]
    Shared,
    /// A second user gets a cache of its own.
    Private,
    /// A second user waits.
    Locked,
}

/// `type=tmpfs`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TmpfsMount {
    /// Where it appears.
    pub target: String,
    /// Upper limit in bytes; absent for the system's default.
    pub size: Option<u64>,
    /// Not writable.
    pub read_only: bool,
}

/// `type=secret`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretMount {
    /// Which secret.
    pub id: String,
    /// Where the file appears; absent when only an environment variable is wanted.
    pub target: Option<String>,
    /// The environment variable that receives the content.
    pub env: Option<String>,
    /// Fail when the secret was not given; otherwise the mount is left out.
    pub required: bool,
    /// Mode of the file.
    pub mode: u32,
    /// Owner of the file.
    pub uid: u32,
    /// Group of the file.
    pub gid: u32,
}

/// `type=ssh`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SshMount {
    /// Which agent; `default` unless given.
    pub id: String,
    /// Where the socket appears; absent for `/run/buildkit/ssh_agent.N`.
    pub target: Option<String>,
    /// Fail when the agent was not given; otherwise the mount is left out.
    pub required: bool,
    /// Mode of the socket.
    pub mode: u32,
    /// Owner of the socket.
    pub uid: u32,
    /// Group of the socket.
    pub gid: u32,
}

#[cfg(test)]
mod tests;
