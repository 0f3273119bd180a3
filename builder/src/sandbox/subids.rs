//! The ids an administrator has given to an ordinary user: `/etc/subuid` and `/etc/subgid`.

use std::fs;
use std::path::{Path, PathBuf};

/// One line of a user namespace's id map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) inside: u32,
    pub(super) outside: u32,
    pub(super) count: u32,
}

/// Which of the two id spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    Users,
    Groups,
}

impl Ids {
    /// Where the administrator writes the ranges.
    pub(super) fn file(self) -> &'static str {
        match self {
            Self::Users => "/etc/subuid",
            Self::Groups => "/etc/subgid",
        }
    }

    /// The program that may write them into a map.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Users => "newuidmap",
            Self::Groups => "newgidmap",
        }
    }

    /// The file of a process in `/proc` that holds its map.
    pub(super) fn map(self) -> &'static str {
        match self {
            Self::Users => "uid_map",
            Self::Groups => "gid_map",
        }
    }
}

/// The map for user `uid`, whose own id of this kind is `own`: 0 is itself, 1 and up are the given ranges.
/// Nothing if there are no ranges.
pub(super) fn plan(ids: Ids, uid: u32, own: u32) -> Option<Vec<Extent>> {
    let name = user_name(&fs::read_to_string("/etc/passwd").unwrap_or_default(), uid);
    let ranges = ranges(&fs::read_to_string(ids.file()).ok()?, name.as_deref(), uid);
    if ranges.is_empty() {
        return None;
    }
    let mut map = vec![Extent { inside: 0, outside: own, count: 1 }];
    let mut next = 1_u32;
    for (start, count) in ranges {
        map.push(Extent { inside: next, outside: start, count });
        next = next.checked_add(count)?;
    }
    Some(map)
}

/// Where the distribution put a program. The environment is not asked: it is not this crate's to read.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin"]
        .into_iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

fn user_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// `user:start:count`, the user by name or number.
fn ranges(text: &str, name: Option<&str>, uid: u32) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        if Some(who) != name && who.parse() != Ok(uid) {
            return None;
        }
        let (start, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        (count > 0 && start.checked_add(count).is_some()).then_some((start, count))
    };
    text.lines().filter_map(range).collect()
}

/// Reads a map as `/proc` shows it.
pub(super) fn parse_map(text: &str) -> Vec<Extent> {
    let extent = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some(Extent { inside: number()?, outside: number()?, count: number()? })
    };
    text.lines().filter_map(extent).collect()
}

/// Writes a map as `/proc` takes it.
pub(super) fn format_map(map: &[Extent]) -> String {
    let line = |extent: &Extent| format!("{} {} {}", extent.inside, extent.outside, extent.count);
    map.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "ann:100000:65536\n1000:300000:10\nbob:200000:65536\nann:bad:1\nann:1:0\nann:4294967295:2\n";
        assert_eq!(ranges(text, Some("ann"), 1000), [(100_000, 65536), (300_000, 10)]);
        assert_eq!(ranges(text, None, 7), []);
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:\nbroken\nann:x:1000:1000::/home/ann:\n";
        assert_eq!(user_name(passwd, 1000).as_deref(), Some("ann"));
        assert_eq!(user_name(passwd, 1001), None);
    }

    #[test]
    fn maps_are_read_as_written() {
        let map = [Extent { inside: 0, outside: 1000, count: 1 }, Extent { inside: 1, outside: 100_000, count: 65536 }];
        assert_eq!(parse_map(&format_map(&map)), map);
        assert_eq!(parse_map("         0          0 4294967295\n").len(), 1);
        assert_eq!(parse_map(""), []);
    }
}
