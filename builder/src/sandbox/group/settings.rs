//! What limits mean to the kernel: which files of which controller get which values.

use crate::sandbox::spec::GroupLimits;

/// The period of a processor quota in microseconds, unless said otherwise; the kernel's own.
const PERIOD: u64 = 100_000;

/// A part of the kernel that limits something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Controller {
    Memory,
    Cpu,
    Cpuset,
}

impl Controller {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Cpuset => "cpuset",
        }
    }
}

/// A value for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// Whether the user wants just this; otherwise it is what goes with something else.
    pub(super) asked: bool,
}

/// The files in either version of control groups, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) one: Vec<File>,
    pub(super) two: Vec<File>,
}

/// The settings of each controller that is needed.
pub(super) fn settings(limits: &GroupLimits) -> Vec<(Controller, Files)> {
    let all =
        [(Controller::Memory, memory(limits)), (Controller::Cpu, cpu(limits)), (Controller::Cpuset, cpuset(limits))];
    all.into_iter().filter(|(_, files)| *files != Files::default()).collect()
}

fn asked(name: &'static str, value: impl ToString) -> File {
    File { name, value: value.to_string(), asked: true }
}

fn memory(limits: &GroupLimits) -> Files {
    let Some(memory) = limits.memory else { return Files::default() };
    let mut files = Files { one: vec![asked("memory.limit_in_bytes", memory)], two: vec![asked("memory.max", memory)] };
    // As Docker does: as much swap as memory, unless said otherwise. -1 is no limit.
    let together = limits.memory_and_swap.unwrap_or(Some(memory.saturating_mul(2)));
    let said = limits.memory_and_swap.is_some();
    let one = together.map_or_else(|| "-1".to_owned(), |bytes| bytes.to_string());
    let two = together.map_or_else(|| "max".to_owned(), |bytes| bytes.saturating_sub(memory).to_string());
    files.one.push(File { name: "memory.memsw.limit_in_bytes", value: one, asked: said });
    files.two.push(File { name: "memory.swap.max", value: two, asked: said });
    files
}

fn cpu(limits: &GroupLimits) -> Files {
    let mut files = Files::default();
    if limits.cpu_quota.is_some() || limits.cpu_period.is_some() {
        let period = limits.cpu_period.unwrap_or(PERIOD);
        files.one.push(asked("cpu.cfs_period_us", period));
        files.one.extend(limits.cpu_quota.map(|quota| asked("cpu.cfs_quota_us", quota)));
        let quota = limits.cpu_quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        files.two.push(asked("cpu.max", format_args!("{quota} {period}")));
    }
    if let Some(shares) = limits.cpu_shares {
        files.one.push(asked("cpu.shares", shares));
        files.two.push(asked("cpu.weight", weight(shares)));
    }
    files
}

/// Shares are 2 to 262144 with 1024 for everybody, weights 1 to 10000: as runc translates them.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9_999 / 262_142
}

fn cpuset(limits: &GroupLimits) -> Files {
    let mut files = Files::default();
    for (name, value) in [("cpuset.cpus", &limits.cpus), ("cpuset.mems", &limits.memory_nodes)] {
        let file = value.as_ref().map(|value| asked(name, value));
        files.one.extend(file.clone());
        files.two.extend(file);
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(files: &[File]) -> String {
        files.iter().fold(String::new(), |all, file| all + file.name + "=" + &file.value + " ")
    }

    #[track_caller]
    fn check(limits: &GroupLimits, one: &str, two: &str) {
        let all = settings(limits);
        assert_eq!(all.iter().map(|(_, files)| shown(&files.one)).collect::<String>().trim(), one);
        assert_eq!(all.iter().map(|(_, files)| shown(&files.two)).collect::<String>().trim(), two);
    }

    #[test]
    fn limits_have_files_in_both_versions() {
        let none = GroupLimits::default();
        check(&none, "", "");
        check(
            &GroupLimits { memory: Some(100), ..none.clone() },
            "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=200",
            "memory.max=100 memory.swap.max=100",
        );
        check(
            &GroupLimits { memory: Some(100), memory_and_swap: Some(None), ..none.clone() },
            "memory.limit_in_bytes=100 memory.memsw.limit_in_bytes=-1",
            "memory.max=100 memory.swap.max=max",
        );
        check(
            &GroupLimits { cpu_quota: Some(150_000), cpu_shares: Some(1024), ..none.clone() },
            "cpu.cfs_period_us=100000 cpu.cfs_quota_us=150000 cpu.shares=1024",
            "cpu.max=150000 100000 cpu.weight=39",
        );
        check(
            &GroupLimits { cpu_period: Some(50_000), cpus: Some("0-1".into()), memory_nodes: Some("0".into()), ..none },
            "cpu.cfs_period_us=50000 cpuset.cpus=0-1 cpuset.mems=0",
            "cpu.max=max 50000 cpuset.cpus=0-1 cpuset.mems=0",
        );
    }

    #[test]
    fn shares_become_weights_at_both_ends() {
        assert_eq!((weight(0), weight(2), weight(262_144), weight(1 << 40)), (1, 1, 10_000, 10_000));
    }
}
