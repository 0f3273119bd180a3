//! `--ulimit`, `--memory`, `--cpus` and their kin: what every `RUN` may use up.

use std::time::Duration;

use wharf_builder::sandbox::{GroupLimits, Limits, Resource, Rlimit};

use crate::args::LimitOptions;
use crate::failure::Failure;

/// The period of a processor quota in microseconds, unless said otherwise.
const PERIOD: u64 = 100_000;

/// What the options let every `RUN` use up.
pub fn of(options: &LimitOptions) -> Result<Limits, Failure> {
    let options = &with_resources(options)?;
    let mut limits = Limits::default();
    for text in &options.ulimits {
        let limit = rlimit(text)?;
        // As a repeated flag of Docker's: the last one counts.
        limits.rlimits.retain(|known| known.resource != limit.resource);
        limits.rlimits.push(limit);
    }
    limits.shared_memory = options.shm_size.as_deref().map(|text| size("--shm-size", text)).transpose()?;
    limits.timeout = options.timeout.as_deref().map(time).transpose()?;
    limits.group = group(options)?;
    Ok(limits)
}

/// The options with what `--resource` says in the places of the flags of the same names.
fn with_resources(options: &LimitOptions) -> Result<LimitOptions, Failure> {
    let mut all = options.clone();
    for text in &options.resources {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let place = match name {
            "memory" => &mut all.memory,
            "memory-swap" => &mut all.memory_swap,
            "cpus" => &mut all.cpus,
            "cpu-quota" => &mut all.cpu_quota,
            "cpu-period" => &mut all.cpu_period,
            "cpu-shares" => &mut all.cpu_shares,
            "cpuset-cpus" => &mut all.cpuset_cpus,
            "cpuset-mems" => &mut all.cpuset_mems,
            _ => {
                return Err(Failure::usage(format!("--resource {text}: there is no resource {name}")).hint(
                    "memory, memory-swap, cpus, cpu-quota, cpu-period, cpu-shares, cpuset-cpus, cpuset-mems".to_owned(),
                ));
            }
        };
        *place = Some(value.to_owned());
    }
    Ok(all)
}

fn group(options: &LimitOptions) -> Result<GroupLimits, Failure> {
    let memory = options.memory.as_deref().map(|text| size("--memory", text)).transpose()?;
    let memory_and_swap = match options.memory_swap.as_deref() {
        None => None,
        Some(_) if memory.is_none() => {
            return Err(Failure::usage("--memory-swap: it limits memory and swap together, and wants --memory"));
        }
        Some("-1") => Some(None),
        Some(text) => Some(Some(size("--memory-swap", text)?)),
    };
    if let (Some(memory), Some(Some(together))) = (memory, memory_and_swap)
        && together < memory
    {
        return Err(Failure::usage("--memory-swap is less than --memory, which it includes"));
    }
    let number = |flag: &str, text: &Option<String>| text.as_deref().map(|text| number(flag, text)).transpose();
    let (mut cpu_period, mut cpu_quota) =
        (number("--cpu-period", &options.cpu_period)?, number("--cpu-quota", &options.cpu_quota)?);
    if let Some(text) = &options.cpus {
        if cpu_period.is_some() || cpu_quota.is_some() {
            return Err(Failure::usage("--cpus says in another way what --cpu-quota and --cpu-period say: give one"));
        }
        (cpu_period, cpu_quota) = (Some(PERIOD), Some(quota(text)?));
    }
    let list = |flag: &str, text: &Option<String>| text.as_deref().map(|text| list(flag, text)).transpose();
    let limits = GroupLimits {
        parent: None,
        memory,
        memory_and_swap,
        cpu_period,
        cpu_quota,
        cpu_shares: number("--cpu-shares", &options.cpu_shares)?,
        cpus: list("--cpuset-cpus", &options.cpuset_cpus)?,
        memory_nodes: list("--cpuset-mems", &options.cpuset_mems)?,
    };
    let parent = options.cgroup_parent.clone();
    if let Some(parent) = &parent
        && parent.split('/').any(|part| part == "..")
    {
        return Err(Failure::usage(format!(
            "--cgroup-parent {parent}: write it from the hierarchy's root, without `..`"
        )));
    }
    Ok(GroupLimits { parent, ..limits })
}

fn number(flag: &str, text: &str) -> Result<u64, Failure> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| Failure::usage(format!("{flag} {text}: it is a whole number above 0")))
}

/// Processors as time in a period; the kernel takes no less than a millisecond.
fn quota(text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("--cpus {text}: it is a number of processors from 0.01 on, for example 1.5"));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 5 || !(whole.bytes().chain(part.bytes())).all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let value: u64 = format!("{whole}{part:0<5}").parse().map_err(|_| wrong())?;
    if value < 1_000 { Err(wrong()) } else { Ok(value) }
}

/// Numbers and ranges, as the kernel reads them.
fn list(flag: &str, text: &str) -> Result<String, Failure> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_part = |part: &str| match part.split_once('-') {
        Some((first, last)) => is_number(first) && is_number(last),
        None => is_number(part),
    };
    if text.split(',').all(is_part) {
        Ok(text.to_owned())
    } else {
        Err(Failure::usage(format!("{flag} {text}: it is a list of numbers and ranges, for example 0-3,7")))
    }
}

/// Seconds, or a number and a unit.
fn time(text: &str) -> Result<Duration, Failure> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    let total = seconds.zip(number.parse::<u64>().ok()).and_then(|(unit, number)| number.checked_mul(unit));
    let total = total.filter(|seconds| *seconds > 0);
    let wrong = || Failure::usage(format!("--timeout {text}: it is a number and s, m or h, for example 30m"));
    total.map(Duration::from_secs).ok_or_else(wrong)
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
fn size(flag: &str, text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::usage(format!("{flag} {text}: a size is a number and b, k, m or g, for example 128m"));
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
            assert_eq!(size("--shm-size", text).unwrap(), bytes, "{text}");
        }
        for bad in ["", "0", "m", "1.5g", "-1", "1x", "99999999999999g"] {
            assert!(size("--shm-size", bad).is_err(), "{bad}");
        }
    }

    fn limits(flags: &[&str]) -> Result<Limits, Failure> {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Only {
            #[command(flatten)]
            limits: LimitOptions,
        }
        of(&Only::try_parse_from(["wharf"].iter().chain(flags)).unwrap().limits)
    }

    #[test]
    fn limits_of_the_whole_step_are_dockers() {
        let flags = ["-m", "2g", "--memory-swap", "-1", "--cpus", "1.5", "--cpuset-cpus", "0-3,7", "-c", "512"];
        let group = limits(&flags).unwrap().group;
        assert_eq!((group.memory, group.memory_and_swap), (Some(2 << 30), Some(None)));
        assert_eq!((group.cpu_quota, group.cpu_period, group.cpu_shares), (Some(150_000), Some(100_000), Some(512)));
        assert_eq!(group.cpus.as_deref(), Some("0-3,7"));
        let resources = limits(&["--resource", "memory=2g,cpus=0.5", "--resource=cpuset-mems=0"]).unwrap().group;
        assert_eq!((resources.memory, resources.cpu_quota), (Some(2 << 30), Some(50_000)));
        assert_eq!(resources.memory_nodes.as_deref(), Some("0"));
        assert_eq!(limits(&["--timeout", "2h"]).unwrap().timeout, Some(Duration::from_secs(7200)));
        assert_eq!(limits(&[]).unwrap().group, GroupLimits::default());
    }

    #[test]
    fn limits_that_make_no_sense_are_refused() {
        for bad in [
            &["--memory-swap", "1g"][..],
            &["--memory", "2g", "--memory-swap", "1g"],
            &["--cpus", "0.001"],
            &["--cpus", "two"],
            &["--cpus", "1", "--cpu-quota", "5000"],
            &["--cpu-shares", "0"],
            &["--cpuset-cpus", "0-"],
            &["--cpuset-cpus", ""],
            &["--resource", "disk=1g"],
            &["--cgroup-parent", "a/../b"],
            &["--timeout", "0"],
            &["--timeout", "5d"],
        ] {
            assert!(limits(bad).is_err(), "{bad:?}");
        }
    }
}
