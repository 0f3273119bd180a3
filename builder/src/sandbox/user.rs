//! Whom `USER` means: resolved in the image's own `/etc/passwd` and `/etc/group`, never in the host's.
//!
//! An unknown name is an error, an unknown number is not. Naming a group drops all other groups.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::io::Errno;

use super::error::{At, SandboxError, Step, errno};
use super::inside;

/// No user database is larger; an image may lie about its size.
const MOST_BYTES: u64 = 10 << 20;

/// Ids above are taken for names, as other builders do.
const HIGHEST_ID: u32 = i32::MAX as u32;

/// Who a process runs as.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All groups, the primary one first.
    pub(super) groups: Vec<u32>,
    /// What `HOME` is unless the environment says otherwise.
    pub(super) home: String,
}

/// Looks `user` up below an image's root.
pub(super) fn resolve(root: BorrowedFd<'_>, user: &str) -> Result<Identity, SandboxError> {
    let passwd = read(root, "etc/passwd").at(Step::ReadUsers, "/etc/passwd")?;
    let group = read(root, "etc/group").at(Step::ReadUsers, "/etc/group")?;
    identify(user, &passwd, &group)
}

fn read(root: BorrowedFd<'_>, path: &str) -> Result<String, Errno> {
    let file = match inside::open_to_read(root, Path::new(path)) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(String::new()),
        Err(refused) => return Err(refused),
    };
    if !file.metadata().map_err(|error| errno(&error))?.is_file() {
        return Err(Errno::INVAL);
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(|error| errno(&error))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(Errno::FBIG);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn identify(spec: &str, passwd: &str, group: &str) -> Result<Identity, SandboxError> {
    let (user, wanted_group) = match spec.split_once(':') {
        Some((user, group)) => (user, (!group.is_empty()).then_some(group)),
        None => (spec, None),
    };
    let user = if user.is_empty() { "0" } else { user };
    let entry = passwd.lines().filter_map(PasswdEntry::parse).find(|entry| named(user, entry.name, entry.uid));
    let (uid, gid, home) = match (&entry, number(user)) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => return Err(SandboxError::UserNotFound { user: user.to_owned() }),
    };
    let home = if home.is_empty() { "/" } else { home }.to_owned();
    if let Some(wanted) = wanted_group {
        let known = group.lines().filter_map(GroupEntry::parse).find(|entry| named(wanted, entry.name, entry.gid));
        let gid = known
            .map(|entry| entry.gid)
            .or_else(|| number(wanted))
            .ok_or_else(|| SandboxError::GroupNotFound { group: wanted.to_owned() })?;
        return Ok(Identity { uid, gid, groups: vec![gid], home });
    }
    let mut groups = vec![gid];
    if let Some(entry) = entry {
        let member_of = group.lines().filter_map(GroupEntry::parse).filter(|group| group.has(entry.name));
        for group in member_of {
            if !groups.contains(&group.gid) {
                groups.push(group.gid);
            }
        }
    }
    Ok(Identity { uid, gid, groups, home })
}

fn named(wanted: &str, name: &str, id: u32) -> bool {
    wanted == name || number(wanted) == Some(id)
}

fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id <= HIGHEST_ID)
}

struct PasswdEntry<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

impl<'a> PasswdEntry<'a> {
    /// `name:password:uid:gid:comment:home:shell`
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let (uid, gid) = (number(fields.nth(1)?)?, number(fields.next()?)?);
        Some(Self { name, uid, gid, home: fields.nth(1).unwrap_or_default() })
    }
}

struct GroupEntry<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

impl<'a> GroupEntry<'a> {
    /// `name:password:gid:member,member`
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.trim().split(':');
        let name = fields.next().filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        Some(Self { name, gid: number(fields.nth(1)?)?, members: fields.next().unwrap_or_default() })
    }

    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# a comment\nbroken\napp:x:1000:1001::/home/app:/bin/sh\n\
                          12:x:77:78::/twelve:\nbare:x:5:6\n";
    const GROUP: &str = "root:x:0:\nwheel:x:10:root,app\napp:x:1001:\nvideo:x:44:app\nstaff:x:50:\n";

    #[track_caller]
    fn check(spec: &str, uid: u32, groups: &[u32], home: &str) {
        let expected = Identity { uid, gid: groups[0], groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(identify(spec, PASSWD, GROUP), Ok(expected), "{spec:?}");
    }

    #[test]
    fn a_user_brings_all_its_groups() {
        check("app", 1000, &[1001, 10, 44], "/home/app");
        check("1000", 1000, &[1001, 10, 44], "/home/app");
        check("", 0, &[0, 10], "/root");
        check("0", 0, &[0, 10], "/root");
    }

    #[test]
    fn a_named_group_is_the_only_one() {
        check("app:staff", 1000, &[50], "/home/app");
        check("app:4242", 1000, &[4242], "/home/app");
        check(":staff", 0, &[50], "/root");
        check("app:", 1000, &[1001, 10, 44], "/home/app");
    }

    #[test]
    fn unknown_numbers_are_fine_and_unknown_names_are_not() {
        check("4242", 4242, &[0], "/");
        check("bare", 5, &[6], "/");
        assert_eq!(identify("nobody", PASSWD, GROUP), Err(SandboxError::UserNotFound { user: "nobody".into() }));
        assert_eq!(identify("app:none", PASSWD, GROUP), Err(SandboxError::GroupNotFound { group: "none".into() }));
        assert_eq!(
            identify("4294967295", PASSWD, GROUP),
            Err(SandboxError::UserNotFound { user: "4294967295".into() })
        );
        assert_eq!(identify("-1", PASSWD, GROUP), Err(SandboxError::UserNotFound { user: "-1".into() }));
    }

    #[test]
    fn a_name_made_of_digits_is_a_name_first_come_first_served() {
        check("12", 77, &[78], "/twelve");
    }

    #[test]
    fn an_image_without_users_has_root() {
        let root = Identity { uid: 0, gid: 0, groups: vec![0], home: "/".to_owned() };
        assert_eq!(identify("", "", ""), Ok(root));
    }

    #[test]
    fn a_user_database_that_is_no_file_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("etc/passwd")).unwrap();
        let opened = File::open(root.path()).unwrap();
        let error = resolve(std::os::fd::AsFd::as_fd(&opened), "x").unwrap_err();
        assert!(matches!(error, SandboxError::Setup { step: Step::ReadUsers, .. }), "{error}");
    }
}
