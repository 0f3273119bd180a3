//! What a step's key was made of, fact by fact and file by file, so that a miss can be explained: the notes of the last time
//! lie beside its frames, and whoever wants to know compares.
//!
//! Values are noted as short hashes: an environment may hold what nobody should find on a disk. Files are many, and kept packed.

use std::collections::{BTreeMap, HashMap};

use crate::copy::add_found;
use crate::event::MissReason;
use crate::files::Selection;
use crate::layer::{Fingerprint, Fingerprinter};

/// So many files are named, the rest is counted.
const MOST_NAMED: usize = 10;
const MAGIC: &[u8] = b"wharf notes 4\n";

/// Short hashes of a step's inputs, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Notes {
    facts: BTreeMap<String, u64>,
    files: FileNotes,
}

/// Short hashes of files by path, in the order in which they were noted.
///
/// Of each: how many bytes of the path are those of the one before, how many others there are, those, and the note.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FileNotes {
    bytes: Vec<u8>,
    last: Vec<u8>,
}

impl FileNotes {
    fn push(&mut self, path: &[u8], note: u64) {
        let shared = self.last.iter().zip(path).take_while(|(a, b)| a == b).count();
        // No path is longer than 4 KiB.
        for length in [shared, path.len() - shared] {
            self.bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes());
        }
        self.bytes.extend_from_slice(&path[shared..]);
        self.bytes.extend_from_slice(&note.to_le_bytes());
        self.last.truncate(shared);
        self.last.extend_from_slice(&path[shared..]);
    }

    /// Shows every path and its note to `look`; `None` when the bytes are not what [`FileNotes::push`] makes.
    fn each(&self, mut look: impl FnMut(&[u8], u64)) -> Option<()> {
        let (mut path, mut rest) = (Vec::new(), &self.bytes[..]);
        while !rest.is_empty() {
            let (shared, after) = rest.split_first_chunk()?;
            let (length, after) = after.split_first_chunk()?;
            let (name, after) = after.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
            let (note, after) = after.split_first_chunk()?;
            path.truncate(usize::from(u16::from_le_bytes(*shared)));
            path.extend_from_slice(name);
            look(&path, u64::from_le_bytes(*note));
            rest = after;
        }
        Some(())
    }
}

fn short(parts: &[&[u8]]) -> u64 {
    let mut fields = Fingerprinter::new();
    for part in parts {
        fields.field(part);
    }
    shortened(&fields.finish())
}

fn shortened(fingerprint: &Fingerprint) -> u64 {
    fingerprint.as_bytes().first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Notes {
    /// Notes a fact. Of several with one name, all count.
    pub(super) fn fact(&mut self, name: &str, value: &[u8]) {
        let note = self.facts.entry(name.to_owned()).or_default();
        *note = short(&[&note.to_le_bytes(), value]);
    }

    /// Notes what was selected.
    pub(super) fn files(&mut self, things: &[Selection]) {
        let mut fields = Fingerprinter::new();
        for found in things.iter().flat_map(|thing| std::iter::once(&thing.top).chain(&thing.below)) {
            add_found(&mut fields, found);
            self.files.push(found.entry.path.as_bytes(), shortened(&fields.take()));
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
                "files" if self.files.bytes != before.files.bytes => {}
                name => reasons.push(MissReason::Input { name: described(name) }),
            }
        }
        reasons.extend(self.changed_files(before));
        reasons
    }

    /// Which files differ, told apart by short hashes of their paths.
    fn changed_files(&self, before: &Self) -> Option<MissReason> {
        if self.files.bytes == before.files.bytes {
            return None;
        }
        let mut then: HashMap<u64, (u64, bool)> = HashMap::new();
        before.files.each(|path, note| _ = then.insert(short(&[path]), (note, false)))?;
        let (mut count, mut changed, mut added, mut removed) = (0, Vec::new(), Vec::new(), Vec::new());
        let mut name = |list: &mut Vec<String>, path: &[u8]| {
            count += 1;
            if list.len() < MOST_NAMED {
                list.push(String::from_utf8_lossy(path).into_owned());
            }
        };
        self.files.each(|path, note| match then.get_mut(&short(&[path])) {
            Some((before, seen)) => {
                if !*seen && *before != note {
                    name(&mut changed, path);
                }
                *seen = true;
            }
            None => name(&mut added, path),
        })?;
        before.files.each(|path, _| {
            if then.get(&short(&[path])).is_some_and(|(_, seen)| !seen) {
                name(&mut removed, path);
            }
        })?;
        (count > 0).then_some(MissReason::Files { count, changed, added, removed })
    }

    /// The stored form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1024 + self.files.bytes.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&u32::try_from(self.facts.len()).unwrap_or(0).to_le_bytes());
        for (name, note) in &self.facts {
            bytes.extend_from_slice(&u32::try_from(name.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&note.to_le_bytes());
        }
        bytes.extend_from_slice(&self.files.bytes);
        bytes
    }

    /// Reads what [`Notes::encode`] wrote; `None` for anything else.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, mut rest) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
        let mut notes = Self::default();
        for _ in 0..u32::from_le_bytes(*count) {
            let (length, after) = rest.split_first_chunk()?;
            let (name, after) = after.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            let (note, after) = after.split_first_chunk()?;
            notes.facts.insert(String::from_utf8(name.to_vec()).ok()?, u64::from_le_bytes(*note));
            rest = after;
        }
        notes.files.bytes = rest.to_vec();
        let mut last = Vec::new();
        notes.files.each(|path, _| path.clone_into(&mut last))?;
        notes.files.last = last;
        Some(notes)
    }
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
        for (path, note) in files {
            notes.files.push(path.as_bytes(), *note);
        }
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
        let some = notes(&[("args", "a"), ("args", "b")], &[("f", 1), ("d/long", 2), ("d/longer", 3), ("d", 4)]);
        assert_eq!(Notes::decode(&some.encode()), Some(some.clone()));
        let mut cut = some.encode();
        cut.pop();
        assert_eq!(Notes::decode(&cut), None);
        assert_eq!(Notes::decode(b"x"), None);
    }
}
