//! `user[:group]` as `--chown` and `USER` write it, for files that the builder itself makes.

/// Who owns what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The two parts as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnerSpec {
    user: Name,
    group: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Id(u32),
    Text(String),
}

/// Why an owner is nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OwnerError {
    /// No such line.
    #[error("{} `{name}` is not in the image's {}", kind.noun(), kind.file())]
    Unknown {
        /// What was looked for.
        name: String,
        /// Where.
        kind: Database,
    },
}

/// The two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Passwd,
    Group,
}

impl Database {
    /// Its path in an image.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Passwd => "/etc/passwd",
            Self::Group => "/etc/group",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Passwd => "user",
            Self::Group => "group",
        }
    }
}

impl Name {
    fn of(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Text(text.to_owned()), Self::Id)
    }
}

impl OwnerSpec {
    /// Takes the two parts; an empty user is root.
    pub(crate) fn parse(text: &str) -> Self {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, (!group.is_empty()).then(|| Name::of(group))),
            None => (text, None),
        };
        Self { user: if user.is_empty() { Name::Id(0) } else { Name::of(user) }, group }
    }

    /// Which of the image's files are needed to resolve it.
    pub(crate) fn needs(&self) -> Vec<Database> {
        let named = |name: &Name| matches!(name, Name::Text(_));
        let user = named(&self.user).then_some(Database::Passwd);
        let group = self.group.as_ref().is_some_and(named).then_some(Database::Group);
        user.into_iter().chain(group).collect()
    }

    /// Resolves names in the files' texts; a file that is not there is empty. A number alone stands for both ids.
    pub(crate) fn resolve(&self, passwd: &[u8], group: &[u8]) -> Result<Owner, OwnerError> {
        let (uid, own_gid) = match &self.user {
            Name::Id(id) => (*id, *id),
            Name::Text(name) => {
                let missing = OwnerError::Unknown { name: name.clone(), kind: Database::Passwd };
                let fields = line(passwd, name).ok_or_else(|| missing.clone())?;
                let id = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
                (id(2).ok_or_else(|| missing.clone())?, id(3).ok_or(missing)?)
            }
        };
        let gid = match &self.group {
            None => own_gid,
            Some(Name::Id(id)) => *id,
            Some(Name::Text(name)) => {
                let missing = OwnerError::Unknown { name: name.clone(), kind: Database::Group };
                let fields = line(group, name).ok_or_else(|| missing.clone())?;
                fields.get(2).and_then(|field| field.parse().ok()).ok_or(missing)?
            }
        };
        Ok(Owner { uid, gid })
    }
}

/// The fields of the first line for `name`.
fn line(file: &[u8], name: &str) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(file);
    let fields = |line: &str| line.split(':').map(str::trim).map(str::to_owned).collect::<Vec<_>>();
    text.lines().map(fields).find(|fields| fields.first().is_some_and(|first| first == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\nbroken:x\n";
    const GROUP: &[u8] = b"root:x:0:\nweb:x:33:app\n";

    fn check(text: &str, expect: Result<(u32, u32), &str>) {
        let found = OwnerSpec::parse(text).resolve(PASSWD, GROUP);
        let found = found.map(|owner| (owner.uid, owner.gid)).map_err(|error| error.to_string());
        assert_eq!(found, expect.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn owners_are_names_or_numbers() {
        check("1", Ok((1, 1)));
        check("1:2", Ok((1, 2)));
        check("app", Ok((1000, 1001)));
        check("app:web", Ok((1000, 33)));
        check("1:web", Ok((1, 33)));
        check("app:7", Ok((1000, 7)));
        check("", Ok((0, 0)));
        check(":web", Ok((0, 33)));
        check("nobody", Err("user `nobody` is not in the image's /etc/passwd"));
        check("app:none", Err("group `none` is not in the image's /etc/group"));
        check("broken", Err("user `broken` is not in the image's /etc/passwd"));
    }

    #[test]
    fn numbers_need_no_files() {
        assert_eq!(OwnerSpec::parse("1:2").needs(), []);
        assert_eq!(OwnerSpec::parse("app").needs(), [Database::Passwd]);
        assert_eq!(OwnerSpec::parse("1:web").needs(), [Database::Group]);
    }
}
