//! What a step's key was made of, fact by fact and file by file, so that a miss can be explained: the notes of the last time
//! lie beside its frames, and whoever wants to know compares.
//!
//! Values are noted as short hashes: an environment may hold what nobody should find on a disk.

use std::collections::BTreeMap;

use crate::event::MissReason;
use crate::files::Selection;
use crate::layer::{Fingerprinter, Kind};

/// So many files are named, the rest is counted.
const MOST_NAMED: usize = 10;
const MAGIC: &[u8] = b"wharf notes 2\n";

/// Short hashes of a step's inputs, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    facts: BTreeMap<String, u64>,
    files: BTreeMap<Vec<u8>, u64>,
}

fn short(parts: &[&[u8]]) -> u64 {
    let mut fields = Fingerprinter::new();
    for part in parts {
        fields.field(part);
    }
    fields.finish().as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Notes {
    /// Notes a fact. Of several with one name, all count.
    pub(super) fn fact(&mut self, name: &str, value: &[u8]) {
        let note = self.facts.entry(name.to_owned()).or_default();
        *note = short(&[&note.to_le_bytes(), value]);
    }

    /// Notes what was selected.
    pub(super) fn files(&mut self, things: &[Selection]) {
        for found in things.iter().flat_map(|thing| std::iter::once(&thing.top).chain(&thing.below)) {
            let entry = &found.entry;
            let content = found.content.as_ref().map(|content| &content.as_bytes()[..]).unwrap_or_default();
            let kind = match &entry.kind {
                // The size says no more than the content does.
                Kind::File { .. } => String::new(),
                other => format!("{other:?}"),
            };
            let owner = format!("{:o} {}:{} {:?}", entry.mode, entry.uid, entry.gid, entry.xattrs);
            self.files.insert(entry.path.as_bytes().to_vec(), short(&[content, kind.as_bytes(), owner.as_bytes()]));
        }
    }

    /// Why a key made of these is another one than that made of `before`.
    pub(super) fn differences(&self, before: &Self) -> Vec<MissReason> {
        let mut reasons = Vec::new();
        let names: std::collections::BTreeSet<&String> = self.facts.keys().chain(before.facts.keys()).collect();
        for name in names {
            if self.facts.get(name) == before.facts.get(name) {
                continue;
            }
            match name.as_str() {
                "before" => reasons.insert(0, MissReason::Below),
                // Told file by file.
                "files" if self.files != before.files => {}
                name => reasons.push(MissReason::Input { name: described(name) }),
            }
        }
        let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
        for (path, note) in &self.files {
            match before.files.get(path) {
                Some(then) if then == note => {}
                Some(_) => changed.push(text(path)),
                None => added.push(text(path)),
            }
        }
        removed.extend(before.files.keys().filter(|path| !self.files.contains_key(*path)).map(|path| text(path)));
        let count = changed.len() + added.len() + removed.len();
        if count > 0 {
            for list in [&mut changed, &mut added, &mut removed] {
                list.truncate(MOST_NAMED);
            }
            reasons.push(MissReason::Files { count, changed, added, removed });
        }
        reasons
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let facts = self.facts.iter().map(|(name, note)| (name.as_bytes(), note));
        let files = self.files.iter().map(|(path, note)| (path.as_slice(), note));
        for (tag, entries) in [(b'F', facts.collect::<Vec<_>>()), (b'P', files.collect())] {
            for (name, note) in entries {
                bytes.push(tag);
                bytes.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
                bytes.extend_from_slice(name);
                bytes.extend_from_slice(&note.to_le_bytes());
            }
        }
        bytes
    }

    /// Reads what [`Notes::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (mut notes, mut rest) = (Self::default(), bytes.strip_prefix(MAGIC)?);
        while let Some((tag, after)) = rest.split_first() {
            let (length, after) = after.split_first_chunk()?;
            let (name, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            let (note, after) = after.split_first_chunk()?;
            let note = u64::from_le_bytes(*note);
            match tag {
                b'F' => notes.facts.insert(String::from_utf8(name.to_vec()).ok()?, note),
                b'P' => notes.files.insert(name.to_vec(), note),
                _ => return None,
            };
            rest = after;
        }
        Some(notes)
    }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// A fact's name as people say it.
fn described(name: &str) -> String {
    match name {
        "args" => "the command".to_owned(),
        "cwd" => "the working directory".to_owned(),
        "user" => "the user".to_owned(),
        "from" => "the stage it reads from".to_owned(),
        "files" => "the files it reads".to_owned(),
        "epoch" | "no epoch" => "SOURCE_DATE_EPOCH".to_owned(),
        "inline" | "script" => "the text in the Dockerfile".to_owned(),
        "content" | "remote" => "what a URL gives".to_owned(),
        "version" => "the version of this program".to_owned(),
        name => match name.strip_prefix("env ") {
            Some(variable) => format!("the variable {variable}"),
            None => format!("`{name}`"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(facts: &[(&str, &str)], files: &[(&str, u64)]) -> Notes {
        let mut notes = Notes::default();
        for (name, value) in facts {
            notes.fact(name, value.as_bytes());
        }
        notes.files = files.iter().map(|(path, note)| (path.as_bytes().to_vec(), *note)).collect();
        notes
    }

    #[test]
    fn differences_are_named() {
        let before = notes(&[("args", "a"), ("env A", "1"), ("files", "x"), ("before", "b")], &[("f", 1), ("gone", 1)]);
        let after = notes(&[("args", "a"), ("env A", "2"), ("files", "y"), ("before", "b")], &[("f", 2), ("new", 1)]);
        assert_eq!(
            after.differences(&before),
            [
                MissReason::Input { name: "the variable A".into() },
                MissReason::Files {
                    count: 3,
                    changed: vec!["f".into()],
                    added: vec!["new".into()],
                    removed: vec!["gone".into()]
                },
            ]
        );
        assert_eq!(before.differences(&before), []);
        let below = notes(&[("args", "a"), ("env A", "1"), ("files", "x"), ("before", "c")], &[("f", 1), ("gone", 1)]);
        assert_eq!(below.differences(&before), [MissReason::Below]);
    }

    #[test]
    fn notes_round_trip_and_garbage_is_none() {
        let some = notes(&[("args", "a"), ("args", "b")], &[("f", 1)]);
        assert_eq!(Notes::decode(&some.encode()), Some(some.clone()));
        let mut cut = some.encode();
        cut.pop();
        assert_eq!(Notes::decode(&cut), None);
        assert_eq!(Notes::decode(b"x"), None);
    }
}
