//! `/dev`: the harmless devices, terminals of its own, shared memory.
//!
//! Device nodes are bound from the host one by one, and everything around them is mounted `nodev`: the process may
//! make nodes (it has `CAP_MKNOD`, images contain them), but opens none that was not put here.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, mkdirat, mknodat, openat, symlinkat};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use super::detached::{Detached, NO_SETUID, Setting};
use super::error::{At, SandboxError, Step, errno};
use super::inside;
use super::kernel_files::{mount_mqueue, mount_shm};
use super::rootfs::Root;
use super::spec::Security;

/// What every program may expect.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Mounts and fills `/dev`.
pub(super) fn mount(root: &Root, security: Security, shared_memory: Option<u64>) -> Result<(), SandboxError> {
    let over = inside::open(&root.place, Path::new("dev")).at(Step::MountDev, "")?;
    let attributes = match security {
        Security::Sandbox => NO_SETUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        Security::Insecure => NO_SETUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    };
    let settings = [Setting::Value("mode", "0755"), Setting::Value("size", "65536k")];
    let dev =
        Detached::fresh("tmpfs", &settings, attributes).and_then(|dev| dev.attach(over)).at(Step::MountDev, "")?;
    fill(dev.as_fd(), shared_memory)?;
    match security {
        Security::Sandbox => Ok(()),
        Security::Insecure => add_host_devices(dev.as_fd(), Path::new("/dev")).at(Step::MountDev, "with host devices"),
    }
}

fn fill(dev: impl AsFd + Copy, shared_memory: Option<u64>) -> Result<(), SandboxError> {
    for (name, target) in LINKS {
        symlinkat(target, dev, name).at(Step::MountDev, name)?;
    }
    for name in NODES {
        bind_node(dev, name, &Path::new("/dev").join(name)).at(Step::MountDev, name)?;
    }
    directory(dev, "pts", mount_terminals)?;
    directory(dev, "shm", |over| mount_shm(over.as_fd(), shared_memory))?;
    directory(dev, "mqueue", |over| mount_mqueue(over.as_fd()))
}

fn directory(
    dev: impl AsFd + Copy,
    name: &str,
    mount: impl FnOnce(std::os::fd::OwnedFd) -> Result<(), Errno>,
) -> Result<(), SandboxError> {
    mkdirat(dev, name, Mode::from_raw_mode(0o755))
        .and_then(|()| mount(openat(dev, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?))
        .at(Step::MountDev, name)
}

fn bind_node(dev: impl AsFd, name: &str, host: &Path) -> Result<(), Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let over = openat(dev, name, flags, Mode::from_raw_mode(0o666))?;
    match Detached::copy_of_path(host) {
        Ok(node) => node.attach(over).map(drop),
        // Some containers lack /dev/tty or /dev/full; so does this one then.
        Err(Errno::NOENT) => Ok(()),
        Err(refused) => Err(refused),
    }
}

fn mount_terminals(over: std::os::fd::OwnedFd) -> Result<(), Errno> {
    let attributes = NO_SETUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mut settings = vec![
        Setting::Flag("newinstance"),
        Setting::Value("ptmxmode", "0666"),
        Setting::Value("mode", "0620"),
        // The group `tty` of every distribution. With a single id there is no such group.
        Setting::Value("gid", "5"),
    ];
    let pts = Detached::fresh("devpts", &settings, attributes).or_else(|_| {
        settings.pop();
        Detached::fresh("devpts", &settings, attributes)
    })?;
    pts.attach(over).map(drop)
}

/// For `--security=insecure`: every device of the host under its own name.
fn add_host_devices(dev: impl AsFd, host: &Path) -> Result<(), Errno> {
    let home = fs::metadata(host).map_err(|error| errno(&error))?.dev();
    for entry in fs::read_dir(host).map_err(|error| errno(&error))? {
        let entry = entry.map_err(|error| errno(&error))?;
        let (name, path) = (entry.file_name(), entry.path());
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let kind = found.file_type();
        let exists = match () {
            // Not what is mounted there: `pts`, `shm`, `mqueue`, `hugepages`.
            () if kind.is_dir() && found.dev() == home => mkdirat(&dev, &name, Mode::from_raw_mode(found.mode()))
                .and_then(|()| {
                    let below = openat(&dev, &name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
                    add_host_devices(below, &path)
                }),
            () if kind.is_char_device() || kind.is_block_device() => add_node(&dev, &name, &path, &found),
            () if kind.is_symlink() => {
                fs::read_link(&path).map_err(|error| errno(&error)).and_then(|target| symlinkat(&target, &dev, &name))
            }
            () => Ok(()),
        };
        match exists {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(refused) => return Err(refused),
        }
    }
    Ok(())
}

fn add_node(dev: impl AsFd, name: &std::ffi::OsStr, path: &Path, found: &fs::Metadata) -> Result<(), Errno> {
    let kind = FileType::from_raw_mode(found.mode());
    let mode = Mode::from_raw_mode(found.mode());
    match mknodat(&dev, name, kind, mode, found.rdev()) {
        Err(Errno::PERM) => name.to_str().map_or(Ok(()), |name| bind_node(&dev, name, path)),
        other => other,
    }
}
