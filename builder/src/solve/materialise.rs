//! Files of a tree as real files, for mounts: owned by the builder, with their modes and times.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::files::{FilesError, Found, Selection};
use crate::layer::{Kind, LayerPath, Mtime};

/// Makes `selection` under its name in the empty directory `dest`. Devices are left out.
pub(super) fn materialise<R: Read>(
    selection: &Selection,
    open: &dyn Fn(&LayerPath) -> io::Result<R>,
    dest: &Path,
) -> Result<(), FilesError> {
    let top = dest.join(std::ffi::OsStr::from_bytes(&selection.name));
    let place = |found: &Found| -> PathBuf {
        let relative = found.entry.path.strip_prefix(&selection.top.entry.path).unwrap_or_default();
        if relative.is_root() { top.clone() } else { top.join(relative.as_path()) }
    };
    let all = || std::iter::once(&selection.top).chain(&selection.below);
    for found in all() {
        make(found, &place(found), open).map_err(|source| failed(found, source))?;
    }
    // Directories last: making things in them changes their times, and they may not be writable.
    for found in all().filter(|found| found.is_dir()).collect::<Vec<_>>().into_iter().rev() {
        finish(found, &place(found)).map_err(|source| failed(found, source))?;
    }
    Ok(())
}

fn failed(found: &Found, source: io::Error) -> FilesError {
    FilesError::Io { path: found.entry.path.clone(), source }
}

fn make<R: Read>(found: &Found, at: &Path, open: &dyn Fn(&LayerPath) -> io::Result<R>) -> io::Result<()> {
    match &found.entry.kind {
        Kind::Dir => fs::create_dir(at),
        Kind::File { .. } => {
            let mut content = open(&found.entry.path)?;
            let mut file = File::options().write(true).create_new(true).mode(0o600).open(at)?;
            io::copy(&mut content, &mut file)?;
            finish(found, at)
        }
        Kind::Symlink { target } => {
            symlink(std::ffi::OsStr::from_bytes(target), at)?;
            set_time(at, found.entry.mtime)
        }
        Kind::Hardlink { .. } | Kind::Char { .. } | Kind::Block { .. } | Kind::Fifo | Kind::Whiteout | Kind::Opaque => {
            Ok(())
        }
    }
}

fn finish(found: &Found, at: &Path) -> io::Result<()> {
    fs::set_permissions(at, fs::Permissions::from_mode(found.entry.mode))?;
    set_time(at, found.entry.mtime)
}

fn set_time(at: &Path, time: Mtime) -> io::Result<()> {
    let time = Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(utimensat(CWD, at, &times, AtFlags::SYMLINK_NOFOLLOW)?)
}
