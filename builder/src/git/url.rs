//! What a repository's URL asks for: `https://host/repository.git#branch:directory`, or the same with a query,
//! `?ref=…&subdir=…`.

/// A repository, and what of it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GitSource {
    /// Where it is, without what is wanted of it.
    pub remote: String,
    /// Branch, tag, full reference or commit; the remote's `HEAD` when absent.
    pub reference: Option<String>,
    /// The directory in it; all of it when absent. Relative, without `..`.
    pub directory: Option<String>,
    /// The commit it has to be, or how that begins.
    pub commit: Option<String>,
    /// Whether `.git` is kept; when absent, whoever asks decides.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are checked out, too.
    pub submodules: bool,
    /// The times of its files.
    pub times: FileTimes,
}

/// The times of the files of a checkout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FileTimes {
    /// When they were checked out.
    #[default]
    Checkout,
    /// When the commit was made.
    Commit,
}

/// Why a repository's URL makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GitUrlError {
    /// The query has something else in it.
    #[error("`{0}` is nothing that can be asked of a repository")]
    UnknownOption(String),
    /// A value that is neither.
    #[error("`{0}` is neither true nor false")]
    NoTruth(String),
    /// Wanted twice, and not the same.
    #[error("`{0}` is said twice")]
    Twice(&'static str),
    /// A directory outside.
    #[error("`{0}` is no directory inside of the repository")]
    Directory(String),
    /// Something Git would take for an option, or that holds blanks.
    #[error("`{0}` is no name of a branch, tag or commit")]
    Reference(String),
    /// A commit that is no hexadecimal number.
    #[error("`{0}` is no commit: a commit has 7 to 64 hexadecimal digits")]
    Commit(String),
}

/// What a query can ask for.
pub(crate) const OPTIONS: [&str; 10] =
    ["ref", "tag", "branch", "subdir", "commit", "checksum", "keep-git-dir", "submodules", "mtime", "fetch-by-commit"];

impl GitSource {
    /// Reads a URL; `None` when it names no repository. Over HTTP only paths that end in `.git` do.
    pub fn parse(text: &str) -> Option<Result<Self, GitUrlError>> {
        let (before, fragment) = text.split_once('#').map_or((text, None), |(before, after)| (before, Some(after)));
        let (remote, query) = before.split_once('?').map_or((before, None), |(before, after)| (before, Some(after)));
        let http = remote.starts_with("http://") || remote.starts_with("https://");
        let is_git = remote.starts_with("git://")
            || remote.starts_with("ssh://")
            || (http && remote.trim_end_matches('/').strip_suffix(".git").is_some())
            || is_scp(remote);
        is_git.then(|| Self::read(remote, query, fragment))
    }

    fn read(remote: &str, query: Option<&str>, fragment: Option<&str>) -> Result<Self, GitUrlError> {
        let mut source = Self {
            remote: remote.to_owned(),
            reference: None,
            directory: None,
            commit: None,
            keep_git_dir: None,
            submodules: true,
            times: FileTimes::default(),
        };
        for field in query.unwrap_or_default().split('&').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            source.option(key, value)?;
        }
        if let Some(fragment) = fragment {
            let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
            source.want(reference)?;
            source.enter(directory)?;
        }
        Ok(source)
    }

    fn option(&mut self, key: &str, value: &str) -> Result<(), GitUrlError> {
        match key {
            "ref" => self.want(value),
            "tag" => self.want(&format!("refs/tags/{value}")),
            "branch" => self.want(&format!("refs/heads/{value}")),
            "subdir" => self.enter(value),
            "commit" | "checksum" => self.expect(value),
            "keep-git-dir" => truth(value).map(|keep| self.keep_git_dir = Some(keep)),
            "submodules" => truth(value).map(|wanted| self.submodules = wanted),
            "mtime" if value == "commit" => {
                self.times = FileTimes::Commit;
                Ok(())
            }
            "mtime" if value == "checkout" => Ok(()),
            "fetch-by-commit" => truth(value).map(drop),
            _ => Err(GitUrlError::UnknownOption(format!("{key}={value}"))),
        }
    }

    fn want(&mut self, reference: &str) -> Result<(), GitUrlError> {
        if reference.is_empty() {
            return Ok(());
        }
        if reference.starts_with('-') || reference.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(GitUrlError::Reference(reference.to_owned()));
        }
        match self.reference.replace(reference.to_owned()) {
            Some(before) if before != reference => Err(GitUrlError::Twice("ref")),
            Some(_) | None => Ok(()),
        }
    }

    fn enter(&mut self, directory: &str) -> Result<(), GitUrlError> {
        let parts: Vec<&str> = directory.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if parts.contains(&"..") {
            return Err(GitUrlError::Directory(directory.to_owned()));
        }
        if parts.is_empty() {
            return Ok(());
        }
        let clean = parts.join("/");
        match self.directory.replace(clean.clone()) {
            Some(before) if before != clean => Err(GitUrlError::Twice("subdir")),
            Some(_) | None => Ok(()),
        }
    }

    /// Sets the commit it has to be.
    pub fn expect(&mut self, commit: &str) -> Result<(), GitUrlError> {
        let commit = commit.to_ascii_lowercase();
        if !(7..=64).contains(&commit.len()) || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(GitUrlError::Commit(commit));
        }
        match self.commit.replace(commit.clone()) {
            Some(before) if before != commit => Err(GitUrlError::Twice("commit")),
            Some(_) | None => Ok(()),
        }
    }
}

/// `git@host:path`
fn is_scp(text: &str) -> bool {
    let Some((user, rest)) = text.split_once('@') else { return false };
    let plain = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
    };
    rest.split_once(':')
        .is_some_and(|(host, path)| plain(user) && !user.starts_with('-') && plain(host) && !path.is_empty())
}

fn truth(text: &str) -> Result<bool, GitUrlError> {
    match text {
        "" | "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        other => Err(GitUrlError::NoTruth(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, GitUrlError> {
        let GitSource { remote, reference, directory, commit, keep_git_dir, submodules, times } =
            GitSource::parse(text).expect("a repository")?;
        let maybe = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let (reference, directory, commit) = (maybe(reference), maybe(directory), maybe(commit));
        Ok(format!("{remote} {reference} {directory} {commit} {keep_git_dir:?} {submodules} {times:?}"))
    }

    #[test]
    fn urls_say_what_is_wanted() {
        for (text, expect) in [
            ("https://h/r.git", "https://h/r.git - - - None true Checkout"),
            ("https://h/r.git#main", "https://h/r.git main - - None true Checkout"),
            ("https://h/r.git#:d/./e/", "https://h/r.git - d/e - None true Checkout"),
            ("git@h:o/r.git#v1:d", "git@h:o/r.git v1 d - None true Checkout"),
            ("ssh://git@h/r#v1", "ssh://git@h/r v1 - - None true Checkout"),
            ("git://h/r", "git://h/r - - - None true Checkout"),
            (
                "https://h/r.git?tag=v1&subdir=d&checksum=ABCDEF0&keep-git-dir=1&submodules=false&mtime=commit",
                "https://h/r.git refs/tags/v1 d abcdef0 Some(true) false Commit",
            ),
            ("https://h/r.git?branch=b&keep-git-dir", "https://h/r.git refs/heads/b - - Some(true) true Checkout"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(expect), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "https://h/r.git?x=1",
            "https://h/r.git#-upload-pack=x",
            "https://h/r.git#a:../b",
            "https://h/r.git?ref=a#b",
            "https://h/r.git?commit=xyz",
            "https://h/r.git?submodules=maybe",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_things_are_no_repositories() {
        for text in ["https://h/r.tar.gz", "d/r.git", "github.com/o/r", "./git@h", "https://h/x?y=r.git", "a b@c:d"] {
            assert_eq!(GitSource::parse(text), None, "{text}");
        }
    }
}
