//! `--ulimit` and `--shm-size`, and what Docker takes beside them that has no effect here.

use wharf_builder::sandbox::{Limits, Resource, Rlimit};

use crate::args::{BuildOptions, Taken};
use crate::failure::Failure;

/// What the options let every `RUN` use up. What cannot be done is said on standard error.
pub fn of(options: &BuildOptions) -> Result<Limits, Failure> {
    for flag in without_effect(&options.taken) {
        eprintln!("warning: {flag} has no effect: build steps get no control group of their own");
        eprintln!("  limit all of it instead: systemd-run --scope -p MemoryMax=4G -p CPUQuota=200% wharf build …");
    }
    let mut limits = Limits::default();
    for text in &options.ulimits {
        let limit = rlimit(text)?;
        // As a repeated flag of Docker's: the last one counts.
        limits.rlimits.retain(|known| known.resource != limit.resource);
        limits.rlimits.push(limit);
    }
    limits.shared_memory = options.shm_size.as_deref().map(shared_memory).transpose()?;
    Ok(limits)
}

/// The flags given that need control groups.
fn without_effect(taken: &Taken) -> Vec<&'static str> {
    let Taken { builder: _, rm: _, force_rm: _, compress: _, cgroup_parent, memory, memory_swap, .. } = taken;
    let Taken { cpu_period, cpu_quota, cpu_shares, cpuset_cpus, cpuset_mems, resource, .. } = taken;
    let given = [
        ("--cgroup-parent", cgroup_parent.is_some()),
        ("--memory", memory.is_some()),
        ("--memory-swap", memory_swap.is_some()),
        ("--cpu-period", cpu_period.is_some()),
        ("--cpu-quota", cpu_quota.is_some()),
        ("--cpu-shares", cpu_shares.is_some()),
        ("--cpuset-cpus", cpuset_cpus.is_some()),
        ("--cpuset-mems", cpuset_mems.is_some()),
        ("--resource", !resource.is_empty()),
    ];
    given.into_iter().filter_map(|(flag, given)| given.then_some(flag)).collect()
}

/// `TYPE=SOFT[:HARD]`; -1 is unlimited.
fn rlimit(text: &str) -> Result<Rlimit, Failure> {
    let wrong = |what: String| Failure::usage(format!("--ulimit {text}: {what}"));
    let (name, values) = text.split_once('=').ok_or_else(|| wrong("write TYPE=SOFT[:HARD]".to_owned()))?;
    let known = || Resource::ALL.map(Resource::name).join(", ");
    let resource = Resource::ALL.into_iter().find(|resource| resource.name() == name);
    let resource = resource.ok_or_else(|| wrong(format!("there is no limit {name}")).hint(known()))?;
    let value = |value: &str| match value {
        "-1" | "unlimited" => Ok(None),
        number => number.parse().map(Some).map_err(|_| wrong(format!("`{number}` is no number"))),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (value(soft)?, value(hard)?);
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(wrong("the soft limit is above the hard one".to_owned()));
    }
    Ok(Rlimit { resource, soft, hard })
}

/// A size as Docker takes it for memory: units are powers of 1024, whatever they are called.
fn shared_memory(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("--shm-size {text}: a size is a number and b, k, m or g, for example 128m"));
    let lower = text.to_ascii_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    // Nothing at all would be a file system without a limit.
    number.checked_mul(1 << shift).filter(|size| *size > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_read_as_docker_writes_them() {
        let limit = |soft, hard| Rlimit { resource: Resource::Nofile, soft, hard };
        for (text, expected) in [
            ("nofile=10", limit(Some(10), Some(10))),
            ("nofile=10:20", limit(Some(10), Some(20))),
            ("nofile=10:-1", limit(Some(10), None)),
            ("nofile=unlimited", limit(None, None)),
        ] {
            assert_eq!(rlimit(text).unwrap(), expected, "{text}");
        }
        for bad in ["nofile", "files=1", "nofile=a", "nofile=20:10", "nofile=-1:10", "nofile=", "nofile=1:"] {
            assert!(rlimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shared_memory_is_counted_as_memory_is() {
        for (text, bytes) in [("1", 1), ("64k", 64 << 10), ("128m", 128 << 20), ("1GB", 1 << 30), ("2gib", 2 << 30)] {
            assert_eq!(shared_memory(text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "0", "m", "1.5g", "-1", "1x", "99999999999999g"] {
            assert!(shared_memory(bad).is_err(), "{bad}");
        }
    }
}
