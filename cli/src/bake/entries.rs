//! Entries of attributes such as `output` and `secret`: text between commas, or objects with the same fields.

use std::collections::BTreeMap;

use super::ordered::Ordered;
use super::value::Value;
use crate::csv;

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// `cache-from`, `cache-to`
    Cache,
    /// `output`
    Output,
    /// `attest`
    Attest,
    /// `secret`
    Secret,
    /// `ssh`
    Ssh,
}

/// One entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// What is said by name. Absent is not empty.
    pub fields: BTreeMap<String, String>,
    /// The sockets or keys of an SSH agent.
    pub paths: Vec<String>,
}

/// Why an entry is none.
pub type Wrong = String;

impl Entry {
    fn of<const N: usize>(fields: [(&str, &str); N]) -> Self {
        let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { fields: fields.into(), paths: Vec::new() }
    }

    /// A field, when there is one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Reads the text of one entry, or, of names of caches alone, of several.
    pub fn read(kind: EntryKind, text: &str) -> Result<Vec<Self>, Wrong> {
        if kind == EntryKind::Ssh {
            let (id, paths) = text.split_once('=').map_or((text, None), |(id, paths)| (id, Some(paths)));
            let paths = paths.map(|paths| paths.split(',').map(str::to_owned).collect()).unwrap_or_default();
            return Ok(vec![Self { paths, ..Self::of([("id", id)]) }]);
        }
        let fields = csv::split(text, ',').ok_or_else(|| format!("the quotes in `{text}` do not go together"))?;
        match kind {
            EntryKind::Cache if !text.contains('=') => {
                return Ok(fields.iter().map(|name| Self::of([("type", "registry"), ("ref", name)])).collect());
            }
            EntryKind::Output if text == "-" => return Ok(vec![Self::of([("type", "tar"), ("dest", "-")])]),
            EntryKind::Output if !text.starts_with("type=") && fields.as_slice() == [text] => {
                return Ok(vec![Self::of([("type", "local"), ("dest", text)])]);
            }
            _ => {}
        }
        let mut entry = Self::default();
        for field in &fields {
            let pair = field.split_once('=').ok_or_else(|| format!("`{field}` is not NAME=VALUE"))?;
            entry.fields.insert(pair.0.trim().to_lowercase(), pair.1.to_owned());
        }
        entry.checked(kind).map(|entry| vec![entry])
    }

    /// Reads an object.
    pub fn of_map(kind: EntryKind, map: &BTreeMap<String, Value>) -> Result<Self, Wrong> {
        let mut entry = Self::default();
        for (name, value) in map {
            match value {
                Value::Null => {}
                Value::List(paths) if kind == EntryKind::Ssh && name == "paths" => {
                    entry.paths = paths.iter().filter_map(Value::to_text).collect();
                }
                value => {
                    let text = value.to_text().ok_or_else(|| format!("`{name}` is {}, not a string", value.kind()))?;
                    entry.fields.insert(name.clone(), text);
                }
            }
        }
        entry.checked(kind)
    }

    fn checked(mut self, kind: EntryKind) -> Result<Self, Wrong> {
        let known: &[&str] = match kind {
            EntryKind::Secret => {
                for other in ["source", "file"] {
                    if let Some(path) = self.fields.remove(other) {
                        self.fields.insert("src".to_owned(), path);
                    }
                }
                match self.fields.remove("type").as_deref() {
                    None | Some("file") => {}
                    Some("env") if self.get("env").is_none() => {
                        if let Some(name) = self.fields.remove("src") {
                            self.fields.insert("env".to_owned(), name);
                        }
                    }
                    Some("env") => {}
                    Some(other) => return Err(format!("there is no type {other}; it is file or env")),
                }
                self.fields.retain(|_, value| !value.is_empty());
                &["id", "src", "env"]
            }
            EntryKind::Ssh => &["id"],
            EntryKind::Cache | EntryKind::Output | EntryKind::Attest => {
                if self.get("type").is_none_or(str::is_empty) {
                    return Err("the type is missing: type=NAME".to_owned());
                }
                if self.get("disabled").is_some_and(|text| !wharf_builder::settings::is_true(text)) {
                    self.fields.remove("disabled");
                }
                return Ok(self);
            }
        };
        match self.fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(format!("`{name}` is not known here; there are {}", known.join(", "))),
            None => Ok(self),
        }
    }

    /// As a flag of `wharf build` has it.
    pub fn text(&self, kind: EntryKind) -> String {
        if kind == EntryKind::Ssh {
            let id = self.get("id").unwrap_or_default();
            return if self.paths.is_empty() { id.to_owned() } else { format!("{id}={}", self.paths.join(",")) };
        }
        let first = match kind {
            EntryKind::Secret => ["id", "src"],
            _ => ["type", "dest"],
        };
        let mut fields: Vec<_> = first.iter().filter_map(|name| Some((*name, self.get(name)?))).collect();
        fields.extend(
            self.fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .filter(|(name, _)| !first.contains(name)),
        );
        let fields: Vec<_> = fields.iter().map(|(name, value)| csv::field(&format!("{name}={value}"))).collect();
        fields.join(",")
    }

    /// As Docker prints it.
    pub fn json(&self, kind: EntryKind) -> Ordered {
        let mut members = Vec::new();
        let order: Vec<&str> = match kind {
            EntryKind::Secret => vec!["id", "src", "env"],
            _ => self.fields.keys().map(String::as_str).collect(),
        };
        for name in order {
            match (kind, name, self.get(name)) {
                (_, _, None) | (EntryKind::Ssh, _, Some("")) | (EntryKind::Output, "dest", Some("")) => {}
                (EntryKind::Attest, "disabled", Some(_)) => members.push((name.to_owned(), Ordered::Leaf(true.into()))),
                (_, _, Some(value)) => members.push((name.to_owned(), value.into())),
            }
        }
        if !self.paths.is_empty() {
            members.push(("paths".to_owned(), Ordered::texts(&self.paths)));
        }
        Ordered::Map(members)
    }
}

/// Takes out what is said twice, as Docker does it: of attestations, secrets and agents the last of a name counts, at the
/// place of the first; of others, an equal one that comes later makes room for the last of all.
pub fn without_doubles(kind: EntryKind, mut entries: Vec<Entry>) -> Vec<Entry> {
    let key = match kind {
        EntryKind::Attest => "type",
        EntryKind::Secret | EntryKind::Ssh => "id",
        EntryKind::Cache | EntryKind::Output => {
            for index in (0..entries.len().saturating_sub(1)).rev() {
                let equal = (index + 1..entries.len()).find(|&later| entries[later] == entries[index]);
                if let Some(later) = equal {
                    entries.swap_remove(later);
                }
            }
            return entries;
        }
    };
    let mut kept: Vec<Entry> = Vec::new();
    for entry in entries {
        match kept.iter_mut().find(|known| known.get(key) == entry.get(key)) {
            Some(known) => *known = entry,
            None => kept.push(entry),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_and_print_as_dockers_do() {
        for (kind, text, json) in [
            (EntryKind::Cache, "reg.example/a", r#"[{"ref":"reg.example/a","type":"registry"}]"#),
            (EntryKind::Cache, "a,b", r#"[{"ref":"a","type":"registry"},{"ref":"b","type":"registry"}]"#),
            (EntryKind::Cache, "type=local,src=x", r#"[{"src":"x","type":"local"}]"#),
            (EntryKind::Output, "out", r#"[{"dest":"out","type":"local"}]"#),
            (EntryKind::Output, "-", r#"[{"dest":"-","type":"tar"}]"#),
            (EntryKind::Output, "type=registry", r#"[{"type":"registry"}]"#),
            (EntryKind::Output, "type=image,\"name=a,b\"", r#"[{"name":"a,b","type":"image"}]"#),
            (EntryKind::Attest, "type=sbom,disabled=true", r#"[{"disabled":true,"type":"sbom"}]"#),
            (EntryKind::Secret, "id=a,type=env,source=B", r#"[{"id":"a","env":"B"}]"#),
            (EntryKind::Ssh, "default", r#"[{"id":"default"}]"#),
            (EntryKind::Ssh, "key=a,b", r#"[{"id":"key","paths":["a","b"]}]"#),
        ] {
            let entries = Entry::read(kind, text).unwrap();
            let printed = Ordered::List(entries.iter().map(|entry| entry.json(kind)).collect());
            assert_eq!(serde_json::to_string(&printed).unwrap(), json, "{text}");
        }
        for (kind, bad) in [
            (EntryKind::Cache, "src=x"),
            (EntryKind::Output, "type=a,b"),
            (EntryKind::Secret, "id=a,colour=red"),
            (EntryKind::Secret, "id=a,type=wire"),
        ] {
            assert!(Entry::read(kind, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn doubles_go_as_docker_lets_them_go() {
        let of = |kind, texts: &[&str]| {
            let entries = texts.iter().flat_map(|text| Entry::read(kind, text).unwrap()).collect();
            let kept = without_doubles(kind, entries);
            kept.iter().map(|entry| entry.text(kind)).collect::<Vec<_>>()
        };
        assert_eq!(of(EntryKind::Secret, &["id=a,src=1", "id=b", "id=a,env=2"]), ["id=a,env=2", "id=b"]);
        assert_eq!(of(EntryKind::Output, &["type=a", "type=a", "type=b"]), ["type=a", "type=b"]);
    }
}
