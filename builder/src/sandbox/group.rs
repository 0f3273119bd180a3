//! A control group for one step: what all its processes together may use up.
//!
//! ```text
//! limits -> settings by controller -> for each hierarchy: parent group (made if need be) / step-<pid>-<number> -> the helper
//! ```
//!
//! The builder makes the group and puts the helper into it before that is told what to do; whatever the step starts is in
//! there, too. Both kinds of hierarchies are known: a controller is where the kernel has it. Groups whose builder is gone are
//! removed by the next one.

mod hierarchy;
mod settings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use self::hierarchy::{Hierarchies, Home, Version};
use self::settings::{Controller, File, settings};
use super::error::{At, SandboxError, Step};
use super::spec::GroupLimits;

/// Below which group steps have theirs, where whoever builds may make groups anywhere.
const OWN_PARENT: &str = "wharf";
/// Begins the name of a step's group; the builder's process id follows.
const PREFIX: &str = "step-";

/// The group of a step; removed when it is dropped, if nobody is in it any more.
pub(super) struct Group {
    /// One for each hierarchy.
    directories: Vec<PathBuf>,
}

impl Group {
    /// Makes the group that `limits` ask for; none if they ask for nothing.
    pub(super) fn make(limits: &GroupLimits) -> Result<Option<Self>, SandboxError> {
        if *limits == GroupLimits::default() {
            return Ok(None);
        }
        let hierarchies = Hierarchies::of_this_process().at(Step::LimitGroup, "/proc/self/mountinfo")?;
        Self::make_in(&hierarchies, limits).map(Some)
    }

    fn make_in(hierarchies: &Hierarchies, limits: &GroupLimits) -> Result<Self, SandboxError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        let mut group = Self { directories: Vec::new() };
        for (controller, wanted) in settings(limits) {
            let home = hierarchies.home(controller.name());
            let home = home.ok_or(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            let home = home.at(Step::LimitGroup, format_args!("the controller {}", controller.name()))?;
            let directory = place(&home, controller, limits.parent.as_deref(), &name)?;
            // In the unified hierarchy several controllers share one.
            if !group.directories.contains(&directory) {
                group.directories.push(directory.clone());
            }
            let files = match home.version {
                Version::One => wanted.one,
                Version::Two => wanted.two,
            };
            for file in files {
                set(&directory, &file)?;
            }
        }
        Ok(group)
    }

    /// Puts a process in.
    pub(super) fn join(&self, pid: u32) -> Result<(), SandboxError> {
        for directory in &self.directories {
            let list = directory.join("cgroup.procs");
            write(&list, &pid.to_string()).at(Step::LimitGroup, list.display())?;
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            // If somebody is still dying in there, the next builder removes it.
            let _ = fs::remove_dir(directory);
        }
    }
}

/// The directory of a new group, in the first place where groups may be made.
fn place(home: &Home, controller: Controller, parent: Option<&str>, name: &str) -> Result<PathBuf, SandboxError> {
    let parents = match parent {
        Some(parent) => vec![home.root.join(parent.trim_start_matches('/'))],
        None => vec![home.root.join(OWN_PARENT), home.beside_us.clone()],
    };
    let mut refused = None;
    for parent in parents {
        match prepare(home, &parent, controller).and_then(|()| make(&parent.join(name), home, controller)) {
            Ok(directory) => return Ok(directory),
            Err(error) => {
                refused.get_or_insert((parent, error));
            }
        }
    }
    match refused {
        Some((parent, error)) => Err(error).at(Step::LimitGroup, parent.display()),
        None => Err(SandboxError::HelperVanished),
    }
}

/// Makes a parent that has the controller for its children, and removes what dead builders left in it.
fn prepare(home: &Home, parent: &Path, controller: Controller) -> io::Result<()> {
    let below = parent.strip_prefix(&home.root).unwrap_or(Path::new(""));
    let mut group = home.root.clone();
    hand_down(home, &group, controller)?;
    for part in below {
        group.push(part);
        make(&group, home, controller)?;
        hand_down(home, &group, controller)?;
    }
    for entry in fs::read_dir(parent)?.flatten() {
        let name = entry.file_name();
        let builder = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if builder.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
    Ok(())
}

/// Lets the children of a group have a controller.
fn hand_down(home: &Home, group: &Path, controller: Controller) -> io::Result<()> {
    let list = group.join("cgroup.subtree_control");
    match home.version {
        Version::One => Ok(()),
        Version::Two if fs::read_to_string(&list)?.split_whitespace().any(|known| known == controller.name()) => Ok(()),
        Version::Two => write(&list, &format!("+{}", controller.name())),
    }
}

fn make(group: &Path, home: &Home, controller: Controller) -> io::Result<PathBuf> {
    match fs::create_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    if home.version == Version::One && controller == Controller::Cpuset {
        // Nobody may enter a group that has no processors and no memory.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            let (own, above) = (group.join(file), group.parent().unwrap_or(group).join(file));
            if fs::read_to_string(&own)?.trim().is_empty() {
                write(&own, fs::read_to_string(above)?.trim())?;
            }
        }
    }
    Ok(group.to_owned())
}

fn set(directory: &Path, file: &File) -> Result<(), SandboxError> {
    let path = directory.join(file.name);
    match write(&path, &file.value) {
        // What nobody asked for by name is left where the kernel does not count it.
        Err(error) if !file.asked && error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.at(Step::LimitGroup, format_args!("{} to {}", path.display(), file.value)),
    }
}

/// These files are never made, only written.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    fs::File::options().write(true).truncate(true).open(path)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A directory that looks like a hierarchy with these groups and files in each.
    fn tree(groups: &[&str], files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for group in groups {
            fs::create_dir_all(root.path().join(group)).unwrap();
            for (name, text) in files {
                fs::write(root.path().join(group).join(name), text).unwrap();
            }
        }
        root
    }

    fn limits() -> GroupLimits {
        GroupLimits { memory: Some(64 << 20), cpu_quota: Some(50_000), ..GroupLimits::default() }
    }

    #[test]
    fn in_the_unified_hierarchy_parents_hand_controllers_down() {
        // A directory is no group: its files have to be there before, so the step's own is made here, too.
        let step = format!("wharf/{PREFIX}{}-", std::process::id());
        let steps: Vec<String> = (0..64).map(|n| format!("{step}{n}")).collect();
        let groups: Vec<&str> = ["", "wharf"].into_iter().chain(steps.iter().map(String::as_str)).collect();
        let files = [
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", ""),
            ("memory.max", ""),
            ("cpu.max", ""),
            ("cgroup.controllers", "cpu memory"),
        ];
        let root = tree(&groups, &files);
        let hierarchies = Hierarchies { one: BTreeMap::new(), two: Some((root.path().to_owned(), "/us/here".into())) };
        let group = Group::make_in(&hierarchies, &limits()).unwrap();
        group.join(77).unwrap();
        let [directory] = group.directories.as_slice() else { panic!("{:?}", group.directories) };
        let text = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
        assert_eq!((text("memory.max"), text("cpu.max")), ("67108864".into(), "50000 100000".into()));
        assert_eq!(text("cgroup.procs"), "77");
        for parent in ["", "wharf"] {
            let handed = fs::read_to_string(root.path().join(parent).join("cgroup.subtree_control")).unwrap();
            assert!(handed == "+memory" || handed == "+cpu", "{handed}");
        }
    }

    #[test]
    fn a_controller_that_the_kernel_lacks_is_named() {
        let hierarchies = Hierarchies { one: BTreeMap::new(), two: None };
        let Err(error) = Group::make_in(&hierarchies, &limits()) else { panic!("there is none") };
        assert!(error.to_string().contains("the controller memory"), "{error}");
    }

    #[test]
    fn where_nothing_may_be_made_the_first_place_is_named() {
        let root = tree(&[""], &[("cgroup.controllers", "cpu memory"), ("cgroup.subtree_control", "cpu memory")]);
        let hierarchies = Hierarchies { one: BTreeMap::new(), two: Some((root.path().to_owned(), "/us/here".into())) };
        let Err(error) = Group::make_in(&hierarchies, &limits()) else { panic!("nothing hands down") };
        assert!(error.to_string().contains("/wharf"), "{error}");
        assert!(error.hint().is_some());
    }

    #[test]
    fn groups_of_dead_builders_go() {
        let dead = format!("wharf/{PREFIX}4194305-0");
        let root = tree(&["wharf", &dead.clone()], &[]);
        let home = Home { version: Version::One, root: root.path().to_owned(), beside_us: root.path().to_owned() };
        prepare(&home, &root.path().join("wharf"), Controller::Memory).unwrap();
        assert!(!root.path().join(dead).exists());
    }
}
