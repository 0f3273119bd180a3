//! Keys of the step cache: what a step does and what it works on, hashed so that no two lists of facts look alike.

use wharf_blobstore::RecordKey;
use wharf_spec::Digest;

use super::notes::Notes;
use crate::files::Selection;
use crate::layer::{Fingerprint, Fingerprinter};

/// The version of everything below. A change of meaning must change it.
const VERSION: &str = "wharf-step-3";

/// The key of one step's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Fingerprint);

impl Key {
    /// `cache/<key>`
    pub(crate) fn record(&self) -> RecordKey {
        RecordKey::new(format!("cache/{}", self.0.hex()))
    }

    /// As hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        self.0.hex()
    }
}

/// Collects the facts of a key, and notes them by name for whoever asks later which of them changed.
#[derive(Clone)]
pub(crate) struct Facts {
    hasher: Fingerprinter,
    notes: Notes,
}

impl Facts {
    /// Begins with the kind of step.
    pub(crate) fn of(kind: &str) -> Self {
        let mut facts = Self { hasher: Fingerprinter::new(), notes: Notes::default() };
        facts.text("version", VERSION);
        facts.text("kind", kind);
        facts
    }

    /// A fact that is text.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, value.as_bytes());
    }

    /// A fact that is a digest.
    pub(crate) fn digest(&mut self, name: &str, value: &Digest) {
        self.bytes(name, value.as_bytes());
    }

    /// A fact that may be missing.
    pub(crate) fn maybe(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.bytes(&format!("no {name}"), &[]),
        }
    }

    /// A fact that is a fingerprint.
    pub(crate) fn fingerprint(&mut self, name: &str, value: &Fingerprint) {
        self.bytes(name, value.as_bytes());
    }

    /// Facts in order.
    pub(crate) fn list<'t>(&mut self, name: &str, values: impl IntoIterator<Item = &'t str>) {
        let values: Vec<&str> = values.into_iter().collect();
        self.hash(name, &(values.len() as u64).to_le_bytes());
        for value in &values {
            self.hash("", value.as_bytes());
        }
        self.notes.fact(name, values.join("\n").as_bytes());
    }

    /// Facts that have names of their own, in order.
    pub(crate) fn named(&mut self, name: &str, values: &[(String, String)]) {
        self.hash(name, &(values.len() as u64).to_le_bytes());
        for (own, value) in values {
            self.hash(own, value.as_bytes());
            self.notes.fact(&format!("{name} {own}"), value.as_bytes());
        }
    }

    /// Files that a fingerprint among the facts is about.
    pub(crate) fn files(&mut self, things: &[Selection]) {
        self.notes.files(things);
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        self.hash(name, value);
        self.notes.fact(name, value);
    }

    fn hash(&mut self, name: &str, value: &[u8]) {
        self.hasher.field(name.as_bytes());
        self.hasher.field(value);
    }

    /// The key.
    pub(crate) fn finish(self) -> Key {
        Key(self.hasher.finish())
    }

    /// The key and what it is made of.
    pub(crate) fn finish_noted(self) -> (Key, Notes) {
        (Key(self.hasher.finish()), self.notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_facts_make_different_keys() {
        let key = |tell: &dyn Fn(&mut Facts)| {
            let mut facts = Facts::of("run");
            tell(&mut facts);
            facts.finish()
        };
        let keys = [
            key(&|_| {}),
            key(&|facts| facts.text("a", "b")),
            key(&|facts| facts.text("ab", "")),
            key(&|facts| facts.list("l", ["a", "b"])),
            key(&|facts| facts.list("l", ["ab"])),
            key(&|facts| facts.maybe("m", None)),
            key(&|facts| facts.maybe("m", Some(""))),
        ];
        for (at, one) in keys.iter().enumerate() {
            assert!(keys[at + 1..].iter().all(|other| other != one));
        }
    }
}
