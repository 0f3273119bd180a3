//! Following symlinks inside the root of a tree, as the kernel would after `chroot`.

use super::{Node, Tree};
use crate::layer::entry::Kind;
use crate::layer::path::{LayerPath, PathError};

/// How many symlinks one resolution may follow.
const MOST_LINKS: u32 = 255;

/// Where a path leads.
#[derive(Clone, Debug)]
pub struct Resolution<'a> {
    /// The path without symlinks (its last component may be one if it was not to be followed).
    pub path: LayerPath,
    /// What is there; `None` when it does not exist yet, perhaps not even its parent.
    pub node: Option<&'a Node>,
}

/// Why a path leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Symlinks that go round in circles, or nearly so.
    #[error("{path} leads through more than {MOST_LINKS} symbolic links")]
    TooManyLinks {
        /// The path asked for.
        path: LayerPath,
    },
    /// Something on the way is neither a directory nor a symlink.
    #[error("{path} is no directory")]
    NotADirectory {
        /// The component.
        path: LayerPath,
    },
    /// A symlink's target is no possible path.
    #[error("the symbolic link {path} has an impossible target")]
    Target {
        /// The link.
        path: LayerPath,
        /// What is wrong with it.
        source: PathError,
    },
}

/// Whether the last component of a path is followed when it is a symlink.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Follow,
    Keep,
}

impl Tree {
    /// Follows every symlink of `path`, the last component included. `..` in targets stays inside the root, and a
    /// missing component is no error: the rest of the path is taken as it is.
    pub fn resolve(&self, path: &LayerPath) -> Result<Resolution<'_>, ResolveError> {
        self.follow(path, Last::Follow)
    }

    /// The same, but a symlink as the last component is the answer, not followed.
    pub fn resolve_parent(&self, path: &LayerPath) -> Result<Resolution<'_>, ResolveError> {
        self.follow(path, Last::Keep)
    }

    fn follow(&self, path: &LayerPath, last: Last) -> Result<Resolution<'_>, ResolveError> {
        // Components still to go, the next one last.
        let mut ahead: Vec<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        ahead.reverse();
        let mut here = LayerPath::root();
        let mut links = 0;
        while let Some(name) = ahead.pop() {
            if name == b".." {
                here = here.parent().unwrap_or_default();
                continue;
            }
            let next = here.join(&name).map_err(|source| ResolveError::Target { path: path.clone(), source })?;
            match self.get(&next).map(|node| &node.entry().kind) {
                Some(Kind::Symlink { target }) if last == Last::Follow || !ahead.is_empty() => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(ResolveError::TooManyLinks { path: path.clone() });
                    }
                    if target.starts_with(b"/") {
                        here = LayerPath::root();
                    }
                    push_target(target, &mut ahead);
                }
                Some(Kind::Dir) | None => here = next,
                Some(
                    Kind::File { .. }
                    | Kind::Symlink { .. }
                    | Kind::Hardlink { .. }
                    | Kind::Char { .. }
                    | Kind::Block { .. }
                    | Kind::Fifo
                    | Kind::Whiteout
                    | Kind::Opaque,
                ) => {
                    if !ahead.is_empty() {
                        return Err(ResolveError::NotADirectory { path: next });
                    }
                    here = next;
                }
            }
        }
        let node = self.get(&here);
        Ok(Resolution { path: here, node })
    }
}

fn push_target(target: &[u8], ahead: &mut Vec<Vec<u8>>) {
    let names = target.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    ahead.extend(names.rev().map(<[u8]>::to_vec));
}
