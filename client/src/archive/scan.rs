//! Where everything in a tar is. Nothing is ever extracted: names are keys of a map, never paths of the system.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;

use crate::transfer::{Error, Result};

/// More files than any image needs; keeps a hostile archive from filling the memory.
const MAX_ENTRIES: usize = 200_000;

/// Links that lead to links.
const MAX_LINKS: usize = 16;

/// A file inside the tar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u64,
    pub(super) length: u64,
}

#[derive(Debug)]
enum Entry {
    File(Span),
    /// To another name in the tar.
    Link(String),
}

/// The names of a tar and what they stand for.
#[derive(Debug)]
pub(super) struct Contents {
    path: PathBuf,
    entries: HashMap<String, Entry>,
}

impl Contents {
    /// Reads all headers, skipping over the data.
    pub(super) fn scan(path: &Path) -> Result<Self> {
        let bad = |problem: String| Error::BadFile { path: path.to_owned(), problem };
        let broken = |error: std::io::Error| bad(format!("it is no valid tar archive: {error}"));
        let file = File::open(path).map_err(|source| Error::io(format!("read {}", path.display()), source))?;
        let size = file.metadata().map_err(broken)?.len();
        let mut archive = tar::Archive::new(file);
        let mut entries = HashMap::new();
        for entry in archive.entries_with_seek().map_err(broken)? {
            let entry = entry.map_err(broken)?;
            // A name that leads out of the archive leads nowhere in it.
            let Some(name) = plain_name(&entry.path().map_err(broken)?) else { continue };
            let found = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let span = Span { start: entry.raw_file_position(), length: entry.size() };
                    if span.start.checked_add(span.length).is_none_or(|end| end > size) {
                        return Err(bad(format!("it ends in the middle of {name}")));
                    }
                    Entry::File(span)
                }
                EntryType::Symlink | EntryType::Link => {
                    let target = entry.link_name().map_err(broken)?;
                    let symbolic = entry.header().entry_type() == EntryType::Symlink;
                    match target.and_then(|target| link_target(&name, &target, symbolic)) {
                        Some(target) => Entry::Link(target),
                        None => continue,
                    }
                }
                _ => continue,
            };
            entries.insert(name, found);
            if entries.len() > MAX_ENTRIES {
                return Err(bad(format!("it has more than {MAX_ENTRIES} entries")));
            }
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The file with this name, links followed.
    pub(super) fn find(&self, name: &str) -> Option<Span> {
        let mut name = plain_name(Path::new(name))?;
        for _ in 0..MAX_LINKS {
            match self.entries.get(&name)? {
                Entry::File(span) => return Some(*span),
                Entry::Link(target) => name.clone_from(target),
            }
        }
        None
    }

    /// A whole small file.
    pub(super) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>> {
        let Some(span) = self.find(name) else { return Ok(None) };
        if span.length > limit {
            let problem = format!("{name} in it is larger than {limit} bytes");
            return Err(Error::BadFile { path: self.path.clone(), problem });
        }
        let mut bytes = Vec::new();
        let read = self.open(span).and_then(|mut file| file.read_to_end(&mut bytes));
        read.map_err(|source| Error::io(format!("read {}", self.path.display()), source))?;
        Ok(Some(bytes))
    }

    /// The bytes of a file.
    pub(super) fn open(&self, span: Span) -> std::io::Result<std::io::Take<File>> {
        use std::io::{Seek as _, SeekFrom};
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(span.start))?;
        Ok(file.take(span.length))
    }
}

/// A name with its `.` and `..` worked out; `None` when it is absolute or leads out.
fn plain_name(path: &Path) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => parts.push(part.to_str()?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop()?),
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// What a link means: a symbolic one starts where it lies, a hard one at the top.
fn link_target(name: &str, target: &Path, symbolic: bool) -> Option<String> {
    let base = if symbolic { Path::new(name).parent()? } else { Path::new("") };
    if target.is_absolute() {
        return None;
    }
    plain_name(&base.join(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for (name, expected) in [
            ("./a/b", Some("a/b")),
            ("a/./b/../c", Some("a/c")),
            ("../a", None),
            ("a/../../b", None),
            ("/etc/passwd", None),
            (".", None),
        ] {
            assert_eq!(plain_name(Path::new(name)).as_deref(), expected, "{name}");
        }
        assert_eq!(link_target("b/layer.tar", Path::new("../a/layer.tar"), true).as_deref(), Some("a/layer.tar"));
        assert_eq!(link_target("b/layer.tar", Path::new("a/layer.tar"), false).as_deref(), Some("a/layer.tar"));
        assert_eq!(link_target("b/x", Path::new("../../etc/passwd"), true), None);
        assert_eq!(link_target("b/x", Path::new("/etc/passwd"), true), None);
    }
}
