//! Stacks of unpacked layers as one file system.
//!
//! The kernel takes the whole stack as one option string of at most a page. So that a hundred layers with long
//! paths fit, and colons in paths do no harm, the string names short symbolic links instead.
//!
//! Layers must be unpacked the way the kernel reads them: a deleted entry is a character device 0:0, a directory
//! that hides what is below carries the attribute [`opaque_attribute`].

use std::ffi::CString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::mount::MountFlags;

use super::error::{At, SandboxError, Step};
use super::scratch::Scratch;
use super::userns;

/// The extended attribute, with value `y`, of a directory that replaces the one below it. Without the real root's
/// privileges the kernel keeps overlay's attributes among the user's.
pub fn opaque_attribute() -> &'static str {
    if userns::is_initial() { "trusted.overlay.opaque" } else { "user.overlay.opaque" }
}

/// Where changes go.
pub(super) struct Changes<'a> {
    pub(super) upper: &'a Path,
    /// Empty, on the upper's file system.
    pub(super) work: &'a Path,
}

/// One stack to mount.
pub(super) struct Stack<'a> {
    /// Names the stack in the scratch room.
    pub(super) name: &'a str,
    /// Top first, at least one (two without `changes`).
    pub(super) layers: Vec<&'a Path>,
    /// Read-only without.
    pub(super) changes: Option<Changes<'a>>,
    pub(super) flags: MountFlags,
}

/// Mounts the stack in the scratch room and tells where.
pub(super) fn mount(stack: &Stack<'_>, scratch: &Scratch) -> Result<PathBuf, SandboxError> {
    let names = scratch.directory(&format!("{}.names", stack.name))?;
    let at = scratch.directory(stack.name)?;
    let link = |target: &Path, name: &str| symlink(target, names.join(name)).at(Step::PrepareWork, target.display());

    let mut options = String::from("lowerdir=");
    for (position, layer) in distinct(&stack.layers).into_iter().enumerate() {
        let name = position.to_string();
        link(layer, &name)?;
        if position > 0 {
            options.push(':');
        }
        options.push_str(&name);
    }
    if let Some(changes) = &stack.changes {
        link(changes.upper, "u")?;
        link(changes.work, "w")?;
        options.push_str(",upperdir=u,workdir=w");
    }
    // A layer must hold whole files and nothing that only makes sense above its own lower layers.
    options.push_str(",redirect_dir=nofollow,metacopy=off,index=off,xino=off");
    if !userns::is_initial() {
        options.push_str(",userxattr");
    }
    std::env::set_current_dir(&names).at(Step::PrepareWork, names.display())?;
    let volatile = stack.changes.is_some();
    mount_options(&at, &options, stack.flags, volatile).at(Step::MountOverlay, describe(stack))?;
    Ok(at)
}

/// A crash loses the step anyway, so nothing is ever synced through the overlay: `fsync` inside costs nothing, and
/// unmounting does not flush the whole disk. Kernels before 5.10 cannot.
fn mount_options(at: &Path, options: &str, flags: MountFlags, volatile: bool) -> Result<(), Errno> {
    let attempt = |options: String| {
        let options = CString::new(options).map_err(|_| Errno::INVAL)?;
        rustix::mount::mount("overlay", at, "overlay", flags, options.as_c_str())
    };
    if volatile {
        match attempt(format!("{options},volatile")) {
            Err(Errno::INVAL) => {}
            result => return result,
        }
    }
    attempt(options.to_owned())
}

/// The same layer twice in one stack is refused by the kernel. All it holds is visible through the upper one, so
/// the lower one adds nothing.
fn distinct<'a>(layers: &[&'a Path]) -> Vec<&'a Path> {
    let mut seen = std::collections::HashSet::new();
    layers.iter().copied().filter(|layer| seen.insert(*layer)).collect()
}

fn describe(stack: &Stack<'_>) -> String {
    stack.changes.as_ref().map_or_else(String::new, |changes| format!("over {}", changes.upper.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_layers_the_topmost_stays() {
        let path = Path::new;
        let layers = [path("/a"), path("/b"), path("/a"), path("/c"), path("/b")];
        assert_eq!(distinct(&layers), [path("/a"), path("/b"), path("/c")]);
    }
}
