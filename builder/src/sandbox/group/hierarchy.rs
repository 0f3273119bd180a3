//! Where the kernel's control groups are mounted, and in which of them this process is.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The hierarchies that can be seen from here.
#[derive(Debug)]
pub(super) struct Hierarchies {
    /// Of version 1: the mount and this process's own group, by controller.
    pub(super) one: BTreeMap<String, (PathBuf, String)>,
    /// The unified one.
    pub(super) two: Option<(PathBuf, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// The hierarchy in which a controller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Home {
    pub(super) version: Version,
    /// The group of everybody.
    pub(super) root: PathBuf,
    /// The group in which a neighbour of our own may be made: for an ordinary user whose part of the tree was handed to him.
    pub(super) beside_us: PathBuf,
}

impl Hierarchies {
    pub(super) fn of_this_process() -> io::Result<Self> {
        Ok(Self::read(&fs::read_to_string("/proc/self/mountinfo")?, &fs::read_to_string("/proc/self/cgroup")?))
    }

    /// From the texts of `/proc/self/mountinfo` and `/proc/self/cgroup`.
    fn read(mounts: &str, groups: &str) -> Self {
        let own = |controller: &str| {
            let group = groups.lines().find_map(|line| {
                let mut fields = line.splitn(3, ':').skip(1);
                let is_it = fields.next()?.split(',').any(|name| name == controller);
                fields.next().filter(|_| is_it)
            });
            group.unwrap_or("/").to_owned()
        };
        let mut found = Self { one: BTreeMap::new(), two: None };
        for line in mounts.lines() {
            let Some((place, kind)) = line.split_once(" - ") else { continue };
            let Some(mount) = place.split(' ').nth(4) else { continue };
            let mut kind = kind.split(' ');
            match kind.next() {
                Some("cgroup2") => found.two = Some((PathBuf::from(mount), own(""))),
                Some("cgroup") => {
                    for controller in kind.nth(1).unwrap_or_default().split(',') {
                        found.one.insert(controller.to_owned(), (PathBuf::from(mount), own(controller)));
                    }
                }
                Some(_) | None => {}
            }
        }
        found
    }

    /// Where a controller is; `None` when this kernel has it nowhere.
    pub(super) fn home(&self, controller: &str) -> Option<Home> {
        if let Some((root, own)) = self.one.get(controller) {
            let beside_us = root.join(own.trim_start_matches('/'));
            return Some(Home { version: Version::One, root: root.clone(), beside_us });
        }
        let (root, own) = self.two.as_ref()?;
        let known = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
        if !known.split_whitespace().any(|name| name == controller) {
            return None;
        }
        // A group with processes of its own cannot hand controllers down: next to it, not below it.
        let above = Path::new(own.trim_start_matches('/')).parent().unwrap_or(Path::new(""));
        Some(Home { version: Version::Two, root: root.clone(), beside_us: root.join(above) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hybrid_and_unified_machines_are_read() {
        let mounts = "24 1 0:22 / /sys/fs/cgroup/memory rw,relatime shared:5 - cgroup cgroup rw,memory\n\
            25 1 0:23 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
            26 1 0:24 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n27 1 0:25 / /proc rw - proc proc rw\n";
        let groups = "4:memory:/api/x\n2:cpu,cpuacct:/\n0::/user/me\n";
        let found = Hierarchies::read(mounts, groups);
        let memory = found.home("memory").unwrap();
        assert_eq!((memory.version, memory.root.as_path()), (Version::One, Path::new("/sys/fs/cgroup/memory")));
        assert_eq!(memory.beside_us, Path::new("/sys/fs/cgroup/memory/api/x"));
        assert_eq!(found.home("cpu").unwrap().root, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert_eq!(found.two, Some((PathBuf::from("/sys/fs/cgroup/unified"), "/user/me".to_owned())));
        assert_eq!(found.home("cpuset"), None);
    }

    #[test]
    fn in_the_unified_hierarchy_the_neighbour_is_beside() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("cgroup.controllers"), "cpu memory pids\n").unwrap();
        let found = Hierarchies { one: BTreeMap::new(), two: Some((root.path().to_owned(), "/user/app/x".to_owned())) };
        let home = found.home("memory").unwrap();
        assert_eq!((home.version, home.beside_us), (Version::Two, root.path().join("user/app")));
        assert_eq!(found.home("cpuset"), None);
    }
}
