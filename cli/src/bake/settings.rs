//! The attributes of a target: which there are, what each holds, and how those of several targets become one's.

use std::collections::BTreeMap;

use super::entries::{Entry, EntryKind, without_doubles};
use super::place::{Complaint, Place, Result};
use super::value::Value;
use crate::programs::PolicyFlag;

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Text.
    Text(String),
    /// Yes or no.
    Flag(bool),
    /// Texts in order.
    List(Vec<String>),
    /// Texts by name.
    Map(BTreeMap<String, String>),
    /// Entries with fields.
    Entries(Vec<Entry>),
}

/// The kinds of [`Setting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Yes or no.
    Flag,
    /// Texts in order.
    List,
    /// Texts by name.
    Map,
    /// Entries with fields.
    Entries(EntryKind),
    /// What `--policy` says, each in a text.
    Policies,
}

/// What becomes of an attribute that an inherited target has as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merging {
    /// The later one counts.
    Replace,
    /// The later one comes after the earlier one; of maps, name by name.
    Add,
}

/// The attributes, in the order in which Docker prints them.
pub const ATTRIBUTES: [(&str, Kind, Merging); 29] = [
    ("description", Kind::Text, Merging::Replace),
    ("inherits", Kind::List, Merging::Add),
    ("annotations", Kind::List, Merging::Add),
    ("attest", Kind::Entries(EntryKind::Attest), Merging::Add),
    ("context", Kind::Text, Merging::Replace),
    ("contexts", Kind::Map, Merging::Add),
    ("dockerfile", Kind::Text, Merging::Replace),
    ("dockerfile-inline", Kind::Text, Merging::Replace),
    ("args", Kind::Map, Merging::Add),
    ("labels", Kind::Map, Merging::Add),
    ("tags", Kind::List, Merging::Replace),
    ("cache-from", Kind::Entries(EntryKind::Cache), Merging::Add),
    ("cache-to", Kind::Entries(EntryKind::Cache), Merging::Replace),
    ("target", Kind::Text, Merging::Replace),
    ("secret", Kind::Entries(EntryKind::Secret), Merging::Add),
    ("ssh", Kind::Entries(EntryKind::Ssh), Merging::Add),
    ("platforms", Kind::List, Merging::Replace),
    ("output", Kind::Entries(EntryKind::Output), Merging::Replace),
    ("pull", Kind::Flag, Merging::Replace),
    ("no-cache", Kind::Flag, Merging::Replace),
    ("network", Kind::Text, Merging::Replace),
    ("no-cache-filter", Kind::List, Merging::Add),
    ("shm-size", Kind::Text, Merging::Replace),
    ("ulimits", Kind::List, Merging::Add),
    ("resources", Kind::Map, Merging::Add),
    ("call", Kind::Text, Merging::Replace),
    ("entitlements", Kind::List, Merging::Add),
    ("extra-hosts", Kind::Map, Merging::Add),
    ("policy", Kind::Policies, Merging::Add),
];

/// What `resources` may limit.
pub const RESOURCES: [&str; 7] =
    ["memory", "memory-swap", "cpu-shares", "cpu-period", "cpu-quota", "cpuset-cpus", "cpuset-mems"];

/// The names of all attributes of a target.
pub fn names() -> impl Iterator<Item = &'static str> {
    ATTRIBUTES.iter().map(|(name, ..)| *name)
}

/// The kind of an attribute.
pub fn kind(name: &str) -> Option<Kind> {
    ATTRIBUTES.iter().find(|(known, ..)| *known == name).map(|(_, kind, _)| *kind)
}

/// Settings by the names of their attributes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<String, Setting>);

impl Settings {
    /// Sets one.
    pub fn set(&mut self, name: &str, setting: Setting) {
        self.0.insert(name.to_owned(), setting);
    }

    /// Takes one out.
    pub fn remove(&mut self, name: &str) -> Option<Setting> {
        self.0.remove(name)
    }

    /// One, when it is set.
    pub fn get(&self, name: &str) -> Option<&Setting> {
        self.0.get(name)
    }

    /// A text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Setting::Text(text)) => Some(text),
            Some(_) | None => None,
        }
    }

    /// Yes or no.
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Setting::Flag(flag)) => Some(*flag),
            Some(_) | None => None,
        }
    }

    /// A list; empty when it is not set.
    pub fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Setting::List(list)) => list,
            Some(_) | None => &[],
        }
    }

    /// A map; none when it is not set.
    pub fn map(&self, name: &str) -> Option<&BTreeMap<String, String>> {
        match self.get(name) {
            Some(Setting::Map(map)) => Some(map),
            Some(_) | None => None,
        }
    }

    /// Entries; none when they are not set.
    pub fn entries(&self, name: &str) -> &[Entry] {
        match self.get(name) {
            Some(Setting::Entries(entries)) => entries,
            Some(_) | None => &[],
        }
    }

    /// Adds to a list.
    pub fn extend(&mut self, name: &str, texts: impl IntoIterator<Item = String>) {
        let mut list = self.list(name).to_vec();
        list.extend(texts);
        self.set(name, Setting::List(list));
    }

    /// Puts a text into a map.
    pub fn put(&mut self, name: &str, key: &str, value: &str) {
        let mut map = self.map(name).cloned().unwrap_or_default();
        map.insert(key.to_owned(), value.to_owned());
        self.set(name, Setting::Map(map));
    }

    /// Lays later settings over these.
    pub fn merge(&mut self, later: &Self) {
        for (name, kind, merging) in ATTRIBUTES {
            let Some(new) = later.get(name) else { continue };
            let merged = match (merging, self.0.remove(name), new) {
                (Merging::Add, Some(Setting::List(mut list)), Setting::List(more)) => {
                    list.extend(more.iter().cloned());
                    Setting::List(list)
                }
                (Merging::Add, Some(Setting::Map(mut map)), Setting::Map(more)) => {
                    map.extend(more.iter().map(|(name, value)| (name.clone(), value.clone())));
                    Setting::Map(map)
                }
                (Merging::Add, Some(Setting::Entries(mut entries)), Setting::Entries(more)) => {
                    entries.extend(more.iter().cloned());
                    match kind {
                        Kind::Entries(kind) => Setting::Entries(without_doubles(kind, entries)),
                        _ => Setting::Entries(entries),
                    }
                }
                (_, Some(old), Setting::Text(text)) if name == "description" && text.is_empty() => old,
                (_, _, new) => new.clone(),
            };
            self.0.insert(name.to_owned(), merged);
        }
    }

    /// Leaves out what says nothing, and what is said twice.
    pub fn normalize(&mut self) {
        if self.text("network") == Some("host") {
            self.extend("entitlements", ["network.host".to_owned()]);
        }
        for name in ["annotations", "tags", "platforms", "no-cache-filter", "ulimits", "entitlements"] {
            if let Some(Setting::List(list)) = self.0.get_mut(name) {
                let mut seen = std::collections::BTreeSet::new();
                list.retain(|text| !text.is_empty() && seen.insert(text.clone()));
            }
        }
        for (name, kind, _) in ATTRIBUTES {
            if let (Kind::Entries(kind), Some(Setting::Entries(entries))) = (kind, self.0.get_mut(name)) {
                *entries = without_doubles(kind, std::mem::take(entries));
            }
        }
        if let Some(Setting::Map(contexts)) = self.0.get_mut("contexts") {
            contexts.retain(|_, value| !value.is_empty());
        }
    }
}

/// What an attribute's value means. None when it is null, which is as good as not set.
pub fn read(name: &str, kind: Kind, value: &Value, place: Place) -> Result<Option<Setting>> {
    if *value == Value::Null {
        return Ok(None);
    }
    let wrong = |wanted: &str| Complaint::at(place, format!("`{name}` is {}, and is to be {wanted}", value.kind()));
    match kind {
        Kind::Policies => {
            let elements = value.elements().ok_or_else(|| wrong("a list").help(in_brackets(name, value)))?;
            let read = elements.iter().filter_map(|one| policy(one).transpose());
            let read = read.map(|one| one.map_err(|reason| Complaint::at(place, format!("`{name}`: {reason}"))));
            Ok(Some(Setting::List(read.collect::<Result<_>>()?)))
        }
        Kind::Text => value.to_text().map(|text| Some(Setting::Text(text))).ok_or_else(|| wrong("a string")),
        Kind::Flag => value.to_bool().map(|flag| Some(Setting::Flag(flag))).ok_or_else(|| wrong("true or false")),
        Kind::List => {
            let elements = value.elements().ok_or_else(|| wrong("a list of strings").help(in_brackets(name, value)))?;
            let element = |one: &Value| match one {
                Value::Null => None,
                other => Some(other.to_text().ok_or_else(|| {
                    Complaint::at(place, format!("`{name}` holds {}, and is to hold strings", other.kind()))
                })),
            };
            Ok(Some(Setting::List(elements.iter().filter_map(element).collect::<Result<_>>()?)))
        }
        Kind::Map => {
            let Value::Map(map) = value else { return Err(wrong("a map")) };
            let mut read = BTreeMap::new();
            for (key, value) in map {
                if name == "resources" && !RESOURCES.contains(&key.as_str()) {
                    return Err(Complaint::at(place, format!("there is no resource `{key}`")).nearest(key, RESOURCES));
                }
                if *value == Value::Null {
                    continue;
                }
                let text = value.to_text().ok_or_else(|| {
                    Complaint::at(place, format!("`{key}` in `{name}` is {}, and is to be a string", value.kind()))
                })?;
                read.insert(key.clone(), text);
            }
            Ok(Some(Setting::Map(read)))
        }
        Kind::Entries(kind) => {
            let elements = value.elements().ok_or_else(|| wrong("a list").help(in_brackets(name, value)))?;
            let mut entries = Vec::new();
            for element in elements {
                let read = match element {
                    Value::Null => continue,
                    Value::String(text) if text.is_empty() => continue,
                    Value::String(text) => Entry::read(kind, text),
                    Value::Map(map) => Entry::of_map(kind, map).map(|entry| vec![entry]),
                    other => Err(format!("{} is no entry", other.kind())),
                };
                entries.extend(read.map_err(|reason| Complaint::at(place, format!("`{name}`: {reason}")))?);
            }
            Ok(Some(Setting::Entries(entries)))
        }
    }
}

/// A policy as a text, from a text or an object with the same fields; none of what says nothing.
fn policy(value: &Value) -> std::result::Result<Option<String>, String> {
    let mut flag = PolicyFlag::default();
    match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => flag = PolicyFlag::parse(text)?,
        Value::Map(map) => {
            for (name, value) in map {
                let text = value.to_text().ok_or_else(|| format!("`{name}` is {}, not a string", value.kind()))?;
                flag.set(name, &text)?;
            }
        }
        other => return Err(format!("{} is no policy", other.kind())),
    }
    Ok(Some(flag.text()))
}

fn in_brackets(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("write {name} = [\"{text}\"]"),
        _ => format!("write {name} = [\"…\"]"),
    }
}
